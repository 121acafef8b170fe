/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SYSV_CALLS_H
#define SYSV_CALLS_H

/*
 * One source, two libraries: the kernel's System V calls, or clshm's (USE_CLSHM). Keys are new at
 * every call of new_key() with both.
 */

#include <sys/ipc.h>
#include <sys/shm.h>

#ifdef USE_CLSHM
#include <xp_shm.h>

static inline key_t new_key(void)
{
	return xp_ftok(NULL, CLSHM_IF_ID_DEFAULT);
}

#define shmget xp_shmget
#define shmat  xp_shmat
#define shmdt  xp_shmdt
#define shmctl xp_shmctl
#else
#include <unistd.h>

static inline key_t new_key(void)
{
	static int n;

	return (key_t)(0x5ca5e000 ^ (getpid() << 8) ^ n++);
}
#endif

#endif
