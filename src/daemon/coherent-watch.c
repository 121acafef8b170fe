/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/closer.h"
#include "daemon/log.h"
#include "wire/status.h"

/*
 * Watchers. A watch is one userfaultfd: a client's, or a child's that one of them has forked. It
 * lives until its process has none of our mappings any more, also when the process is no client any
 * more. Its thread reads; what is read is dealt with by whoever holds the lock.
 */

#define SWEEP (500 * NSEC_PER_MSEC) /* between two looks for processes that are gone */

/* What a process tells */

static void change_one(CoherentMapper *mapper, const struct watch_event *e)
{
	struct mapper pieces[3];
	unsigned int n = mapper_change(&mapper->m, e, pieces);

	for (unsigned int i = 1; i < n; i++)
		if (coherent_mapper_add(mapper, &pieces[i], mapper->watch) < 0)
			coherent_watch_kill(mapper->watch);
	if (n == 0) {
		coherent_mapper_free(mapper);
		return;
	}
	mapper->m = pieces[0];
	coherent_row_change(mapper);
}

/* Nobody would see what it does. Its parent first: a fork that has not come so far that the child
 * can be found does not go on then. */
static void refuse_child(CoherentWatch *parent)
{
	coherent_watch_kill(parent);
	coherent_children_kill(parent);
}

static int add_child(CoherentWatch *parent, CoherentWatch *child)
{
	CoherentMapper *mapper;
	int r;

	list_for_each (mapper, &parent->mappers, of_watch) {
		r = coherent_mapper_add(mapper, &mapper->m, child);
		if (r < 0)
			return r;
	}
	return coherent_watch_start(child);
}

/* Most of those that fork much are gone soon. The parent is not to be ended now. */
static void make_room(CoherentWatch *parent)
{
	bool current = parent->current;

	if (coherent_user_has_room(parent->coherent, parent->uid))
		return;
	parent->current = true;
	coherent_watches_sweep(parent->coherent);
	parent->current = current;
}

static void on_fork(CoherentWatch *parent, int uffd)
{
	Coherent *c = parent->coherent;
	CoherentWatch *child;
	int r;

	make_room(parent);
	r = coherent_watch_new(c, uffd, parent->uid, &child);
	if (r < 0) {
		/* until it is dead it waits at its faults */
		refuse_child(parent);
		closer_close(uffd);
		return;
	}
	if (add_child(parent, child) < 0)
		refuse_child(parent);
	coherent_note(c);
}

static void apply(CoherentWatch *w, const struct watch_event *e)
{
	CoherentMapper *mapper, *tmp;

	if (e->type == WATCH_FORK) {
		on_fork(w, e->uffd);
		return;
	}
	if (e->type != WATCH_MOVED && e->type != WATCH_UNMAPPED)
		return;
	list_for_each_safe (mapper, tmp, &w->mappers, of_watch)
		change_one(mapper, e);
}

/* False: there are changes again. */
static bool protect_all(CoherentWatch *w)
{
	CoherentMapper *mapper;

	list_for_each (mapper, &w->mappers, of_watch) {
		int r = mapper_protect(&mapper->m, mapper->m.offset, mapper->m.length);

		if (r == -EBUSY)
			coherent_watch_kill(w);
		if (r != MAPPER_OK)
			return r < 0;
	}
	return true;
}

void coherent_watch_apply(CoherentWatch *w)
{
	struct watch_event e;
	bool moved = false;

	/* What is moved may be mapped in its old place, too, without marks. */
	do
		while (watch_change(w->watch, &e)) {
			moved |= e.type == WATCH_MOVED;
			apply(w, &e);
		}
	while (moved && !protect_all(w));
}

static void wake_all(CoherentWatch *w)
{
	CoherentMapper *mapper;

	list_for_each (mapper, &w->mappers, of_watch)
		mapper_wake(&mapper->m, mapper->m.offset, mapper->m.length);
}

static void on_fault(CoherentWatch *w, const struct watch_event *e)
{
	CoherentMapper *mapper;
	uint64_t offset;

	if (e->type == WATCH_FAULTS_FORGOTTEN) {
		wake_all(w);
		return;
	}
	mapper = coherent_mapper_find(w, e->address, &offset);
	if (mapper)
		coherent_mapper_fault(mapper, offset >> PAGE_SIZE_SHIFT, e);
	else
		log_limited("a process waits at %#llx, which it has not mapped as it said",
			(unsigned long long)e->address);
}

static void handle(CoherentWatch *w)
{
	struct watch_event e;

	coherent_watch_apply(w);
	while (watch_fault(w->watch, &e)) {
		on_fault(w, &e);
		coherent_watch_apply(w);
	}
}

static void *run(void *userdata)
{
	CoherentWatch *w = userdata;
	int r;

	prctl(PR_SET_NAME, "causeway-watch");
	do {
		r = watch_wait(w->watch);
		if (r == -ECANCELED || watch_lock(w->watch, &w->coherent->lock) < 0)
			break;
		coherent_locked(w->coherent);
		if (r < 0)
			coherent_watch_kill(w);
		handle(w);
		coherent_unlock(w->coherent);
	} while (r == 0);
	return NULL;
}

/* Processes */

void coherent_watch_kill(CoherentWatch *w)
{
	/* A child that does such things has learnt it from its parent. */
	log_limited("a process changes its mappings without end, or there is no memory to follow "
		    "them: it is killed");
	if (w->process >= 0)
		(void)syscall(SYS_pidfd_send_signal, w->process, SIGKILL, NULL, 0);
	else
		coherent_children_kill(w);
	watch_forgive(w->watch);
}

static bool is_gone(CoherentWatch *w)
{
	const CoherentMapper *mapper = list_first(&w->mappers, CoherentMapper, of_watch);
	struct pollfd p = {.fd = w->process, .events = POLLIN};

	if (w->process >= 0 && poll(&p, 1, 0) > 0)
		return true;
	return !mapper || watch_gone(w->watch) || watch_probe(w->watch, mapper->m.address);
}

static void end(CoherentWatch *w)
{
	CoherentMapper *mapper, *tmp;

	list_for_each_safe (mapper, tmp, &w->mappers, of_watch)
		coherent_mapper_free(mapper);
	/* it may still be looked at, and has a credit of its own for that */
	watch_forgive(w->watch);
	coherent_user_put(w->user);
	w->user = NULL;
	w->coherent->n_watches--;
	list_unlink(&w->link);
	list_append(&w->coherent->ended, &w->link);
	coherent_note(w->coherent);
}

void coherent_watches_sweep(Coherent *c)
{
	CoherentWatch *w, *tmp;

	if (c->sweeping)
		return;
	c->sweeping = true;
	list_for_each_safe (w, tmp, &c->watches, link) {
		if (w->current)
			continue;
		if (is_gone(w)) {
			/* its last children have what it had */
			coherent_watch_apply(w);
			end(w);
		} else {
			c->look = MIN(c->look, c->now + SWEEP);
		}
	}
	c->sweeping = false;
}

/* Making */

int coherent_watch_new(Coherent *c, int uffd, uid_t uid, CoherentWatch **ret_watch)
{
	_cleanup_free_ CoherentWatch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	r = coherent_user_get(c, uid, &w->user);
	if (r < 0)
		return r;
	r = watch_new(uffd, &w->watch);
	if (r < 0) {
		coherent_user_put(w->user);
		return r;
	}
	watch_share_credit(w->watch, &w->user->credit);
	w->coherent = c;
	w->uffd = uffd;
	w->uid = uid;
	w->process = -1;
	w->number = ++c->last_number;
	list_init(&w->mappers);
	list_append(&c->watches, &w->link);
	c->n_watches++;
	c->look = MIN(c->look, c->now + SWEEP);
	*ret_watch = take_ptr(w);
	return 0;
}

int coherent_watch_start(CoherentWatch *w)
{
	int r = -EAGAIN;

	if (w->coherent->n_watches <= COHERENT_WATCHES &&
		w->user->n_watches <= COHERENT_USER_WATCHES)
		r = coherent_thread(run, w, &w->thread);
	w->has_thread = r == 0;
	if (r < 0)
		log_limited("the maps of a process cannot be served: %s", strerror(-r));
	return r;
}

int coherent_uffd_begin(ManagerClient *client)
{
	int r;

	if (client->uffd < 0)
		return -EBADF;
	if (client->uffd_begun)
		return 0;
	r = watch_begin(client->uffd);
	/* perhaps a predecessor has said it */
	if (r == -EINVAL && client->restored)
		r = 0;
	client->uffd_begun = r == 0;
	return r;
}

static CoherentWatch *find_current(Coherent *c, uint64_t client)
{
	CoherentWatch *w;

	list_for_each (w, &c->watches, link)
		if (w->client == client && w->current)
			return w;
	return NULL;
}

static const char *trouble(int r)
{
	if (r == -EBADF)
		return "it gave no userfaultfd, because it may not have a full one";
	if (r == -EPERM)
		return "causewayd may not follow forks (CAP_SYS_PTRACE)";
	if (r == -EINVAL)
		return "the kernel is too old, or its userfaultfd is in use";
	return strerror(-r);
}

void coherent_watch_set_client(CoherentWatch *w, const ManagerClient *client)
{
	w->client = client->engine->id;
	w->current = true;
	w->pid = client->identity.pid;
	w->process = fcntl(client->process, F_DUPFD_CLOEXEC, 0);
}

static int make(Coherent *c, ManagerClient *client, CoherentWatch **ret_watch)
{
	int r = coherent_uffd_begin(client), uffd;

	if (r < 0)
		return r;
	uffd = fcntl(client->uffd, F_DUPFD_CLOEXEC, 0);
	if (uffd < 0)
		return negative_errno();
	coherent_lock(c);
	if (!coherent_user_has_room(c, client->identity.uid))
		coherent_watches_sweep(c);
	r = coherent_watch_new(c, uffd, client->identity.uid, ret_watch);
	if (r == 0) {
		coherent_watch_set_client(*ret_watch, client);
		r = coherent_watch_start(*ret_watch);
		if (r < 0)
			end(*ret_watch);
	} else {
		closer_close(uffd);
	}
	coherent_unlock(c);
	return r;
}

int coherent_watch_get(Manager *m, ManagerClient *client, CoherentWatch **ret_watch)
{
	CoherentWatch *w;
	int r = 0;

	coherent_lock(m->coherent);
	w = find_current(m->coherent, client->engine->id);
	coherent_unlock(m->coherent);
	if (!w)
		r = make(m->coherent, client, &w);
	if (r < 0) {
		log_limited("maps of client %d (%s) cannot be watched: %s", client->identity.pid,
			client->identity.command, trouble(r));
		return r == -ENOMEM ? r : STATUS_MAP_FAILED;
	}
	*ret_watch = w;
	coherent_watches_look(m);
	return 0;
}

static void forget_client(Coherent *c, uint64_t client, bool gone)
{
	CoherentWatch *w;

	list_for_each (w, &c->watches, link) {
		if (w->client != client)
			continue;
		w->current = false;
		if (gone)
			w->client = 0;
	}
}

void coherent_client_watch(Manager *m, ManagerClient *client)
{
	client->uffd_begun = false;
	if (!m->coherent)
		return;
	coherent_lock(m->coherent);
	forget_client(m->coherent, client->engine->id, false);
	m->coherent->look = m->coherent->now;
	coherent_unlock(m->coherent);
}

/* A process that lives on is watched on, so that it does not change what others have. */
void coherent_client_gone(Manager *m, ManagerClient *client)
{
	Coherent *c = m->coherent;

	if (!c || !client->engine)
		return;
	coherent_opens_forget(m, client->engine->id);
	coherent_lock(c);
	forget_client(c, client->engine->id, true);
	coherent_watches_sweep(c);
	coherent_unlock(c);
}

/* (main) */

static void watch_free_all(CoherentWatch *w)
{
	if (w->has_thread) {
		watch_stop(w->watch, w->thread);
	}
	watch_free(w->watch);
	closer_close(w->uffd);
	fd_close(w->process);
	free(w);
}

static CoherentWatch *take_ended(Coherent *c)
{
	CoherentWatch *w;

	coherent_lock(c);
	w = list_first(&c->ended, CoherentWatch, link);
	if (w)
		list_unlink(&w->link);
	coherent_unlock(c);
	return w;
}

static void store_new(Manager *m)
{
	CoherentWatch *w;

	coherent_lock(m->coherent);
	list_for_each (w, &m->coherent->watches, link)
		if (!w->stored) {
			keeper_link_store(m->link, KEEP_WATCH, w->number, w->uffd);
			w->stored = true;
		}
	coherent_unlock(m->coherent);
}

void coherent_watches_look(Manager *m)
{
	CoherentWatch *w;

	store_new(m);
	while ((w = take_ended(m->coherent))) {
		if (w->stored)
			keeper_link_drop(m->link, KEEP_WATCH, w->number);
		watch_free_all(w);
	}
}
