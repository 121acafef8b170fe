/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_STOP_H
#define MEMORY_STOP_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

struct stop {
	pid_t helper;
};

/* Stops all other threads of this process. Results: 0, MEMORY_NO_RIGHT, negative errno. */
int stop_others(struct stop *stop);
void stop_release(struct stop *stop);

#endif
