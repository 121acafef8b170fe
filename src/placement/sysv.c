/* SPDX-License-Identifier: Apache-2.0 */
#include "placement/sysv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include "base/cleanup.h"
#include "base/error.h"

#define LIST "/proc/sysvipc/shm"

static void file_close_p(FILE **f)
{
	if (*f)
		fclose(*f);
}

bool sysv_parse(const char *line, struct sysv_segment *ret_segment)
{
	unsigned long long size, attached, rss, swap;
	struct sysv_segment s;

	/* key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap */
	if (sscanf(line, "%d %d %o %llu %d %d %llu %u %u %u %u %*d %*d %*d %llu %llu", &s.key,
		    &s.shmid, &s.mode, &size, &s.creator, &s.last, &attached, &s.uid, &s.gid,
		    &s.cuid, &s.cgid, &rss, &swap) != 13)
		return false;
	s.size = size;
	s.n_attached = attached;
	s.resident = rss;
	s.swapped = swap;
	*ret_segment = s;
	return true;
}

static int by_id(const void *a, const void *b)
{
	const struct sysv_segment *x = a, *y = b;

	return (x->shmid > y->shmid) - (x->shmid < y->shmid);
}

int sysv_list_read(struct sysv_list *ret_list)
{
	_cleanup_(file_close_p) FILE *f = fopen(LIST, "re");
	_cleanup_(sysv_list_deinit) struct sysv_list l = {0};
	size_t max = 0;
	char line[512];

	if (!f)
		return negative_errno();
	while (fgets(line, sizeof(line), f)) {
		if (l.n == max) {
			void *grown;

			max = MAX(64u, max * 2);
			grown = reallocarray(l.segments, max, sizeof(*l.segments));
			if (!grown)
				return -ENOMEM;
			l.segments = grown;
		}
		l.n += sysv_parse(line, &l.segments[l.n]);
	}
	if (l.n > 0)
		qsort(l.segments, l.n, sizeof(*l.segments), by_id);
	*ret_list = l;
	l = (struct sysv_list){0};
	return 0;
}

void sysv_list_deinit(struct sysv_list *list)
{
	free(list->segments);
	*list = (struct sysv_list){0};
}

const struct sysv_segment *sysv_list_find(const struct sysv_list *list, int shmid)
{
	struct sysv_segment key = {.shmid = shmid};

	return list->n ? bsearch(&key, list->segments, list->n, sizeof(key), by_id) : NULL;
}

static int find_without_proc(int shmid, struct sysv_segment *ret_segment)
{
	struct shmid_ds d;

	if (shmctl(shmid, IPC_STAT, &d) < 0)
		return negative_errno() == -EIDRM ? -EINVAL : negative_errno();
	*ret_segment = (struct sysv_segment){
		.key = d.shm_perm.__key,
		.shmid = shmid,
		.mode = d.shm_perm.mode,
		.size = d.shm_segsz,
		.creator = d.shm_cpid,
		.last = d.shm_lpid,
		.n_attached = d.shm_nattch,
		.uid = d.shm_perm.uid,
		.gid = d.shm_perm.gid,
		.cuid = d.shm_perm.cuid,
		.cgid = d.shm_perm.cgid,
	};
	return 0;
}

int sysv_find(int shmid, struct sysv_segment *ret_segment)
{
	_cleanup_(file_close_p) FILE *f = fopen(LIST, "re");
	struct sysv_segment s;
	char line[512];

	if (!f)
		return find_without_proc(shmid, ret_segment);
	while (fgets(line, sizeof(line), f)) {
		if (!sysv_parse(line, &s) || s.shmid != shmid)
			continue;
		*ret_segment = s;
		return 0;
	}
	return -EINVAL;
}

static bool in_group(const struct sysv_user *user, gid_t gid)
{
	if (user->gid == gid)
		return true;
	for (unsigned int i = 0; i < user->n_groups; i++)
		if (user->groups[i] == gid)
			return true;
	return false;
}

uint32_t sysv_lacks(const struct sysv_segment *s, const struct sysv_user *user, uint32_t rights)
{
	uint32_t granted = s->mode;

	if (user->privileged)
		return 0;
	if (user->uid == s->uid || user->uid == s->cuid)
		granted >>= 6;
	else if (in_group(user, s->gid) || in_group(user, s->cgid))
		granted >>= 3;
	return rights & ~granted & 07;
}
