/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_FORK_H
#define CLIENT_FORK_H

/*
 * What happens to the library's objects in a forked child (spec/rsmapi.md, decision 7): locks are
 * free, the parent's socket is closed, adopted memory is private, export handles answer
 * STATUS_FORKED, import handles connect anew at their next use. vfork, posix_spawn and a raw clone
 * get none of this.
 */

#include "client/connection.h"

/* Installs the handlers, once per process. An interface with a lock of its own that it holds while
 * it calls us installs its handlers after this, so that fork takes its lock first. -ENOMEM */
CW_EXPORT int cw_fork_watch(void);

#endif
