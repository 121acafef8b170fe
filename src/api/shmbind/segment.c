/* SPDX-License-Identifier: Apache-2.0 */
#include "api/shmbind/segment.h"

#include <linux/capability.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"

#define PAGE_MAX (16ull << 30) /* the largest huge page of any machine */

int segment_find(int shmid, struct sysv_segment *ret_segment)
{
	int r = shmid < 0 ? -EINVAL : sysv_find(shmid, ret_segment);

	/* without /proc the kernel tells only those who may read */
	return r == -EACCES ? -EPERM : r;
}

static bool may_bypass_rights(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	return syscall(SYS_capget, &header, data) == 0 && data[0].effective & 1u << CAP_IPC_OWNER;
}

/* The supplementary groups; a program may have 65,536. */
static int read_groups(gid_t **ret_groups, unsigned int *ret_n)
{
	int n = getgroups(0, NULL);
	gid_t *groups = calloc((size_t)MAX(n, 1), sizeof(*groups));

	if (!groups)
		return -ENOMEM;
	/* another thread may just have got more: then there are none, which errs on the safe side
	 */
	n = getgroups(n, groups);
	*ret_groups = groups;
	*ret_n = n > 0 ? (unsigned int)n : 0;
	return 0;
}

int segment_check_rights(const struct sysv_segment *s, uint32_t rights)
{
	_cleanup_free_ gid_t *groups = NULL;
	struct sysv_user user = {
		.uid = geteuid(),
		.gid = getegid(),
		.privileged = may_bypass_rights(),
	};
	int r;

	r = read_groups(&groups, &user.n_groups);
	if (r < 0)
		return r;
	user.groups = groups;
	return sysv_lacks(s, &user, rights) ? -EPERM : 0;
}

static int attach_error(void)
{
	switch (errno) {
	case EACCES:
		return -EPERM;
	case EIDRM:
		return -EINVAL;
	default:
		return negative_errno();
	}
}

/*
 * The size of what can be treated by itself. Nothing tells it of a map of huge pages but that the
 * kernel refuses to split one. Nothing has been touched yet, so changing the rights of a part and
 * back costs nothing, but the map is two from then on. Any other refusal ends the search, which
 * must not leave the map.
 */
static int find_page_size(char *address, bool writable, uint64_t *ret_page)
{
	int rights = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	while (mprotect(address, page, PROT_NONE) < 0) {
		if (errno != EINVAL || page >= PAGE_MAX)
			return negative_errno();
		page *= 2;
	}
	mprotect(address, page, rights);
	*ret_page = page;
	return 0;
}

static void set_page(struct attachment *a, uint64_t page)
{
	a->page = page;
	a->n_pages = a->size / page + (a->size % page > 0);
}

int attachment_make(const struct sysv_segment *s, bool writable, struct attachment *ret_attachment)
{
	struct attachment a = {.shmid = s->shmid, .writable = writable};
	void *p = shmat(s->shmid, NULL, writable ? 0 : SHM_RDONLY);

	if (p == (void *)-1)
		return attach_error();
	a.address = p;
	a.size = s->size;
	set_page(&a, (uint64_t)sysconf(_SC_PAGESIZE));
	*ret_attachment = a;
	return 0;
}

int attachment_measure(struct attachment *a)
{
	uint64_t page;
	int r = find_page_size(a->address, a->writable, &page);

	if (r == 0)
		set_page(a, page);
	return r;
}

int attachment_renew(struct attachment *a)
{
	int flags = SHM_REMAP | (a->writable ? 0 : SHM_RDONLY);

	return shmat(a->shmid, a->address, flags) == (void *)-1 ? attach_error() : 0;
}

bool attachment_is_only_one(const struct attachment *a)
{
	struct shmid_ds d;

	return shmctl(a->shmid, IPC_STAT, &d) == 0 && d.shm_nattch == 1;
}

bool attachment_is_huge(const struct attachment *a)
{
	return a->page > (uint64_t)sysconf(_SC_PAGESIZE);
}

void attachment_deinit(struct attachment *a)
{
	if (a->address)
		shmdt(a->address);
	a->address = NULL;
}
