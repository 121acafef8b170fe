/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rig of the clshm conformance tests. Beside the general one's macros FAILS and OK note a
 * failure and go on; NEED ends the test. Segments that a test makes are its own affair: they go
 * with the node that runs it.
 */
#ifndef TESTS_CONFORMANCE_CLSHM_RIG_H
#define TESTS_CONFORMANCE_CLSHM_RIG_H

#include <errno.h>

#include <xp_shm.h>

#include "../rig/rig.h"

/* A call that must return -1, or (void *)-1, with this errno; or anything else. */
#define FAILS(call, error)                                                                         \
	do {                                                                                       \
		errno = 0;                                                                         \
		rig_fails(__FILE__, __LINE__, #call, (intptr_t)(call), error);                     \
	} while (0)
#define OK(call)                                                                                   \
	do {                                                                                       \
		errno = 0;                                                                         \
		rig_succeeds(__FILE__, __LINE__, #call, (intptr_t)(call));                         \
	} while (0)
/* The value of a call without which the test makes no sense. */
#define NEED(call)                                                                                 \
	({                                                                                         \
		__typeof__(call) rig_value = (call);                                               \
                                                                                                   \
		rig_need(__FILE__, __LINE__, #call, (intptr_t)rig_value == -1 ? errno : 0);        \
		rig_value;                                                                         \
	})

void rig_fails(const char *file, int line, const char *what, intptr_t got, int error);
void rig_succeeds(const char *file, int line, const char *what, intptr_t got);

size_t rig_page(void);
/* A key of this partition, of another one. */
key_t rig_key(void);
key_t rig_key_of(partid_t partition);
/* A new segment here; mode 0: 0600. */
int rig_segment(size_t size, int mode);
char *rig_attach(int shmid);
struct shmid_ds rig_state(int shmid);
unsigned long rig_attached(int shmid);
/* Nobody has it any more. */
bool rig_is_gone(int shmid);

/* The signal that ends a child which reads or writes a byte; 0: none. */
int rig_signal_of(volatile char *p, bool write);

/* An address of this many bytes where nothing is. */
char *rig_hole(size_t size);
/* An address that is none. */
void *rig_nowhere(void);

/* All calls that need the daemon fail with this, whatever they are asked. */
void rig_all_fail(int error);

/* Becomes another user, without groups; skips the test when not root. */
void rig_become(uid_t uid, gid_t gid);

#endif
