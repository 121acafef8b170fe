/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_THREAD_H
#define SISCI_THREAD_H

/* The library's own threads: detached, all signals blocked. A forked child has none of them. */

#include <pthread.h>

/* Negative: what pthread_create() says. */
int thread_start(const char *name, void *(*run)(void *), void *arg, pthread_t *ret_thread);

#endif
