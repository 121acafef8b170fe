/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SHM_MEMORY_H
#define DAEMON_SHM_MEMORY_H

/* Between shm-place.c, shm-look.c and shm-lock.c. */

#include "daemon/shm.h"

/* The segment is about to be freed. */
void shm_look_forget(EngineSegment *segment);
void shm_lock_forget(EngineSegment *segment);

#endif
