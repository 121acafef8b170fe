/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xp_shmat() and xp_shmdt(): an attach is an import of the segment, mapped whole. Where the address
 * is the program's, and nothing may be there, it is given to the kernel as a hint: whatever is made
 * there meanwhile stays.
 */
#include <xp_shm.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "api/clshm/attaches.h"
#include "api/clshm/call.h"
#include "api/clshm/number.h"
#include "api/clshm/session.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/import.h"
#include "wire/status.h"

#define FLAGS (SHM_RDONLY | SHM_RND | SHM_REMAP)

#define MAP_TRIES 20
#define MAP_PAUSE 5000 /* us */

DEFINE_CLEANUP(struct cw_link *, cw_link_put);

/* Where the program wants it. */
struct place {
	char *address; /* NULL: anywhere */
	bool replace;  /* what is there */
};

static int read_place(const void *addr, int flags, struct place *ret_place)
{
	uintptr_t address = (uintptr_t)addr, beyond = address % (uintptr_t)SHMLBA;

	if (flags & ~FLAGS || (!addr && flags & SHM_REMAP))
		return -EINVAL;
	if (beyond && !(flags & SHM_RND))
		return -EINVAL;
	address -= beyond;
	if (addr && !address)
		return -EINVAL;
	*ret_place = (struct place){(char *)address, flags & SHM_REMAP};
	return 0;
}

/* A signal handler that runs meanwhile is no reason to give up. */
static int connect_segment(const struct session *s, struct attach *a)
{
	uint32_t controller = a->here ? WIRE_CONTROLLER_LOOPBACK : WIRE_CONTROLLER_TCP;
	uint32_t partition = a->here ? 0 : WIRE_SHM_PARTITION(a->shmid);
	uint32_t rights = a->read_only ? WIRE_READ : WIRE_READ | WIRE_WRITE;
	uint64_t end = clock_now() + s->node.timeout;
	int r;

	/* that of a node without configuration, which is alone */
	if (!a->here && !partition)
		return STATUS_NODE_UNKNOWN;
	do {
		r = cw_import_connect(WIRE_SPACE_CLSHM, controller, partition, (uint32_t)a->shmid,
			rights, &a->import);
	} while (r == STATUS_INTERRUPTED && clock_now() < end);
	return r;
}

/* The daemon hears of it without answering: this process's later requests come after that. */
static void detach(cw_handle import)
{
	(void)cw_import_unmap(import);
	(void)cw_import_disconnect(import);
}

/* Nothing below fails for want of the thread's slot once it is there. */
static int prepare_thread(void)
{
	return cw_slot_self || cw_slot_get() ? 0 : -ENOMEM;
}

static int size_of(cw_handle handle, size_t *ret_size)
{
	struct cw_import *import = cw_import_ref(handle);

	if (!import)
		return STATUS_BAD_HANDLE;
	*ret_size = import->size;
	cw_import_put(import);
	return 0;
}

/* What is attached there is detached first, if nothing of it would be left. */
static int clear_place(const struct place *place, size_t size)
{
	struct attach a;
	bool found = place->replace;
	int r = 0;

	while (found && !r) {
		r = attaches_take_within(place->address, size, &found, &a);
		if (!r && found)
			detach(a.import);
	}
	return r;
}

/* Another partition's: a process that forks there just now cannot be told from a stranger who has
 * the memory, and would be its end; a moment later it can. */
static int map_patiently(const struct place *place, const struct attach *a, void **ret_map)
{
	int prot = a->read_only ? PROT_READ : PROT_READ | PROT_WRITE, r;

	for (int tries = 0;; tries++) {
		r = cw_import_map(
			a->import, place->address, place->replace, prot, 0, a->size, ret_map);
		if (r != STATUS_MAP_FAILED || a->here || tries == MAP_TRIES)
			return r;
		usleep(MAP_PAUSE);
	}
}

static int map_segment(const struct place *place, struct attach *a)
{
	void *map;
	int r;

	r = clear_place(place, a->size);
	if (!r)
		r = map_patiently(place, a, &map);
	if (r)
		return place->address && r == STATUS_MAP_FAILED ? STATUS_BAD_ADDRESS : r;
	a->address = map;
	return !place->address || map == place->address ? 0 : STATUS_BAD_ADDRESS;
}

static int make_attach(const struct session *s, const struct place *place, struct attach *a)
{
	int r;

	a->here = WIRE_SHM_PARTITION(a->shmid) == s->node.partition;
	r = connect_segment(s, a);
	if (r)
		return r;
	r = size_of(a->import, &a->size);
	if (!r)
		r = map_segment(place, a);
	if (r)
		detach(a->import);
	return r;
}

static int attach(int shmid, const void *addr, int flags, char **ret_address)
{
	_cleanup_(session_put) struct session s = {0};
	struct attach a = {.shmid = shmid, .read_only = flags & SHM_RDONLY};
	struct place place;
	int r;

	r = read_place(addr, flags, &place);
	if (!r && !number_is_possible(shmid))
		r = -EINVAL;
	if (!r)
		r = prepare_thread();
	if (!r)
		r = session_get(&s);
	if (!r)
		r = attaches_reserve();
	if (r)
		return r;
	r = make_attach(&s, &place, &a);
	if (r) {
		attaches_unreserve();
		return r;
	}
	attaches_add(&a);
	*ret_address = a.address;
	return 0;
}

CLSHM_API void *xp_shmat(int shmid, const void *addr, int shmflg)
{
	char *address = NULL;
	int r;

	call_begin();
	r = attach(shmid, addr, shmflg, &address);
	/* -1 is what it returns, too */
	return (void *)call_end("xp_shmat", CODE_ATTACH, r, (intptr_t)address);
}

static struct cw_link *link_of(cw_handle handle)
{
	struct cw_import *import = cw_import_ref(handle);
	struct cw_link *link = import ? cw_link_ref(import->link) : NULL;

	cw_import_put(import);
	return link;
}

/* Whatever the owner answers, it has heard of the detach by then. Who is not there is not asked. */
static void await_owner(struct cw_link *link, int shmid)
{
	struct wire_message m = {.type = WIRE_SHM_STAT, .shm_stat = {.shmid = (uint32_t)shmid}};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));

	if (link && reply)
		(void)cw_link_call(link, &m, NULL, 0, reply);
}

static int detach_address(const void *addr)
{
	_cleanup_(cw_link_put_p) struct cw_link *link = NULL;
	struct attach a;
	int r = prepare_thread();

	if (r)
		return r;
	if (!attaches_take(addr, &a))
		return -EINVAL;
	if (!a.here)
		link = link_of(a.import);
	detach(a.import);
	await_owner(link, a.shmid);
	return 0;
}

CLSHM_API int xp_shmdt(const void *addr)
{
	int r;

	call_begin();
	r = detach_address(addr);
	return (int)call_end("xp_shmdt", CODE_ATTACH, r, 0);
}
