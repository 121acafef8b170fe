/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/shm-memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include "base/cleanup.h"
#include "base/fd.h"
#include "daemon/binding.h"
#include "daemon/keeper.h"
#include "daemon/log.h"
#include "daemon/pin.h"
#include "wire/status.h"

/*
 * Segments locked in memory. Pages of a memory file stay there while a process has them locked, so
 * each such segment has one (pin.h), which ends with the segment, or with this daemon: a successor
 * starts another, one in each turn of the loop, as that takes milliseconds each.
 */

#define LOCKS_MAX 256u /* processes */

struct ShmLock {
	EngineSegment *segment;
	int link;
	sd_event_source *ended;
};

static void lock_free(struct ShmLock *l)
{
	if (!l)
		return;
	sd_event_source_disable_unref(l->ended);
	fd_close(l->link);
	free(l);
}
DEFINE_CLEANUP(struct ShmLock *, lock_free);

void shm_lock_forget(EngineSegment *segment)
{
	ManagerSegment *s = manager_segment(segment);

	lock_free(s->lock);
	s->lock = NULL;
}

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct ShmLock *l = userdata;

	log_warning(
		"clshm segment 0x%x: the process that keeps it locked in memory died: it may be "
		"swapped out",
		l->segment->id);
	shm_lock_forget(l->segment);
	return 0;
}

/* To whom it is charged, whoever has been given it. */
static uid_t user_of(const EngineSegment *segment)
{
	return segment->owner->identity.uid;
}

struct locked {
	unsigned int n, n_own; /* segments; those of this user */
	uint64_t bytes;	       /* this user's */
};

static struct locked count_locked(Manager *m, uid_t uid)
{
	struct locked locked = {0};
	const EngineSegment *s = engine_segment_next(m->engine, 0);

	for (; s; s = engine_segment_next(m->engine, s->instance)) {
		if (!manager_segment(s) || !manager_segment(s)->lock)
			continue;
		locked.n++;
		if (user_of(s) != uid)
			continue;
		locked.n_own++;
		locked.bytes += s->size;
	}
	return locked;
}

/* The kernel holds root to no limit; a user's locked memory is held to the daemon's all the same.
 */
static int check_limits(Manager *m, const EngineSegment *segment)
{
	struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
	uid_t uid = user_of(segment);
	struct locked locked = count_locked(m, uid);

	getrlimit(RLIMIT_MEMLOCK, &limit);
	/* one user has no more than he leaves to others */
	if (locked.n >= LOCKS_MAX || (uid != 0 && locked.n_own >= LOCKS_MAX - locked.n))
		return STATUS_NO_RESOURCES;
	if (uid == 0 || limit.rlim_cur == RLIM_INFINITY ||
		locked.bytes + segment->size <= limit.rlim_cur)
		return 0;
	log_limited("clshm segment 0x%x is not locked in memory: user %u would have %" PRIu64
		    " KiB locked, and causewayd's limit of locked memory (LimitMEMLOCK=, "
		    "ulimit -l) is %" PRIu64 " KiB",
		segment->id, uid, (locked.bytes + segment->size) >> 10,
		(uint64_t)limit.rlim_cur >> 10);
	return STATUS_NO_RESOURCES;
}

/* The other process would fail at the same, but nobody could be told. */
static int try(const EngineSegment *segment)
{
	void *map = mmap(
		NULL, segment->size, PROT_READ, MAP_SHARED, manager_segment(segment)->memory, 0);
	int r;

	if (map == MAP_FAILED)
		return negative_errno();
	r = mlock2(map, segment->size, MLOCK_ONFAULT) < 0 ? negative_errno() : 0;
	munmap(map, segment->size);
	if (r == 0)
		return 0;
	log_limited("clshm segment 0x%x is not locked in memory: %s; causewayd needs CAP_IPC_LOCK, "
		    "or a higher limit of locked memory (LimitMEMLOCK=, ulimit -l)",
		segment->id, strerror(-r));
	return STATUS_NO_RESOURCES;
}

static int start(Manager *m, EngineSegment *segment, struct ShmLock *l)
{
	static const char *const argv[] = {"causeway-pin", NULL};
	const struct binding *b = binding_find_instance(m, segment->instance);
	struct pin_order order = {.size = segment->size};
	_cleanup_close_ int theirs = -1;
	int pair[2], pid, r;

	if (b && b->placement.hard)
		nodeset_put_bytes(&b->placement.nodes, order.nodes);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return negative_errno();
	l->link = pair[0];
	theirs = pair[1];
	r = fd_send(
		l->link, &order, sizeof(order), &manager_segment(segment)->memory, 1, MSG_DONTWAIT);
	if (r == 0)
		r = keeper_spawn(argv, "--pin-fd", theirs, &pid);
	return r < 0 ? r : sd_event_add_io(m->event, &l->ended, l->link, EPOLLIN, on_ended, l);
}

static int lock(Manager *m, EngineSegment *segment)
{
	_cleanup_(lock_free_p) struct ShmLock *l = NULL;
	int r;

	r = try(segment);
	if (r)
		return r;
	l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = (struct ShmLock){.segment = segment, .link = -1};
	r = start(m, segment, l);
	if (r == 0)
		manager_segment(segment)->lock = take_ptr(l);
	return r;
}

int shm_lock(Manager *m, EngineSegment *segment, bool on)
{
	int r;

	if (!on)
		shm_lock_forget(segment);
	if (!on || manager_segment(segment)->lock)
		return 0;
	r = check_limits(m, segment);
	return r ? r : lock(m, segment);
}

/* After a restart */

static bool is_unlocked(const EngineSegment *segment)
{
	return segment->shm && segment->shm->flags & WIRE_SHM_LOCKED &&
	       !manager_segment(segment)->lock;
}

static int on_turn(sd_event_source *source, void *userdata)
{
	Manager *m = userdata;
	EngineSegment *s = engine_segment_next(m->engine, m->shm->locked_to);

	while (s && !is_unlocked(s))
		s = engine_segment_next(m->engine, s->instance);
	if (!s) {
		m->shm->locking = sd_event_source_disable_unref(m->shm->locking);
		return 0;
	}
	m->shm->locked_to = s->instance;
	(void)lock(m, s);
	return 0;
}

void shm_locks_restore(Manager *m)
{
	int r = sd_event_add_defer(m->event, &m->shm->locking, on_turn, m);

	if (r == 0)
		r = sd_event_source_set_enabled(m->shm->locking, SD_EVENT_ON);
	/* what is always pending would be first always */
	if (r == 0)
		r = sd_event_source_set_priority(m->shm->locking, SD_EVENT_PRIORITY_IDLE);
	if (r < 0)
		log_limited("clshm segments are not locked in memory again: %s", strerror(-r));
}
