/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLACEMENT_SYSV_H
#define PLACEMENT_SYSV_H

/*
 * System V segments as /proc/sysvipc/shm lists them to everybody, whatever the rights on them, and
 * without a trace in them. Thread safe.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct sysv_segment {
	int32_t key;
	int shmid;
	uint32_t mode;
	uint64_t size;
	pid_t creator, last;
	uint64_t n_attached;
	uid_t uid, cuid;
	gid_t gid, cgid;
	uint64_t resident, swapped; /* bytes */
};

struct sysv_list {
	struct sysv_segment *segments; /* by shmid */
	size_t n;
};

int sysv_list_read(struct sysv_list *ret_list);
void sysv_list_deinit(struct sysv_list *list);
/* NULL: there is none of this id. */
const struct sysv_segment *sysv_list_find(const struct sysv_list *list, int shmid);

/* One line of the file; false: it is none of a segment's. */
bool sysv_parse(const char *line, struct sysv_segment *ret_segment);

/* One segment. -EINVAL: there is none of this id. Without /proc the resident bytes are unknown and
 * shown as 0. */
int sysv_find(int shmid, struct sysv_segment *ret_segment);

struct sysv_user {
	uid_t uid; /* effective, as all of them */
	gid_t gid;
	const gid_t *groups;
	unsigned int n_groups;
	bool privileged; /* CAP_IPC_OWNER */
};

/* The kernel's rule for IPC: which of rights (04 read, 02 write) this user lacks; 0: none. */
uint32_t sysv_lacks(const struct sysv_segment *s, const struct sysv_user *user, uint32_t rights);

#endif
