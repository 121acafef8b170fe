/* SPDX-License-Identifier: Apache-2.0 */
/* The other place where programs look for <xp_shm.h>. */
#ifndef SYS_XP_SHM_H
#define SYS_XP_SHM_H

#include <xp_shm.h>

#endif
