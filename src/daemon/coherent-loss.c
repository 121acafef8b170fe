/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-loss.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/log.h"
#include "memory/bus-error.h"

/*
 * A lost part keeps its mappers: they stay registered and nothing is ever filled, so that each
 * access to a page that was not touched since is told to us, in forked children and after a restart
 * as well. The kernel then poisons that page; one that cannot has the signal sent by us.
 */

#define LENT  (10 * NSEC_PER_MSEC)
#define PAUSE (10 * NSEC_PER_MSEC)

/* --- process groups --- */

struct proc {
	pid_t process, group;
	uid_t uid; /* real, effective, saved are this one */
	bool mixed;
};

struct census {
	struct proc *members;
	size_t n, size;
};

static bool look(pid_t pid, struct proc *ret_proc)
{
	struct proc member = {.process = pid};
	_cleanup_free_ char *line = NULL;
	unsigned int ids[3];
	size_t size = 0;
	char path[40];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (getline(&line, &size, f) > 0) {
		if (sscanf(line, "Uid: %u %u %u", &ids[0], &ids[1], &ids[2]) == 3) {
			member.uid = ids[0];
			member.mixed = ids[1] != ids[0] || ids[2] != ids[0];
		}
		(void)sscanf(line, "NSpgid: %d", &member.group);
	}
	fclose(f);
	*ret_proc = member;
	return member.group > 0;
}

static int add(struct census *census, const struct proc *member)
{
	size_t size = MAX((size_t)64, 2 * census->size);
	struct proc *grown;

	if (census->n == census->size) {
		grown = reallocarray(census->members, size, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		census->members = grown;
		census->size = size;
	}
	census->members[census->n++] = *member;
	return 0;
}

static int take_census(struct census *census)
{
	struct proc member;
	const struct dirent *e;
	DIR *proc = opendir("/proc");
	int r = 0;

	if (!proc)
		return negative_errno();
	while (r == 0 && (e = readdir(proc))) {
		pid_t pid = (pid_t)atoi(e->d_name);

		if (pid > 0 && look(pid, &member))
			r = add(census, &member);
	}
	closedir(proc);
	return r;
}

/* The group of this process, if nobody else's processes are in it: then not ours either. 0 */
static pid_t group_of(const struct census *census, const CoherentWatch *w)
{
	pid_t group = getpgid(w->pid);

	if (group <= 1 || group == getpgrp())
		return 0;
	for (size_t i = 0; i < census->n; i++) {
		const struct proc *m = &census->members[i];

		if (m->group == group && (m->mixed || m->uid != w->uid || m->process == getppid()))
			return 0;
	}
	return group;
}

/* Who was an ordinary user's, and executes a program with more rights by now, has nothing attached
 * any more, only its socket: it is not that user's to have killed. */
static bool is_still_users(const CoherentWatch *w)
{
	struct proc self;

	return w->uid == 0 || (look(w->pid, &self) && !self.mixed && self.uid == w->uid);
}

static void kill_watched(const struct census *census, const CoherentWatch *w)
{
	pid_t group = census ? group_of(census, w) : 0;

	if (!is_still_users(w))
		return;
	/* the number is its own still if the process can be signalled behind it */
	if (group && syscall(SYS_pidfd_send_signal, w->process, 0, NULL, 0) == 0)
		(void)kill(-group, SIGKILL);
	(void)syscall(SYS_pidfd_send_signal, w->process, SIGKILL, NULL, 0);
}

/* Children that are no clients are killed when they touch it, if they are not of the group. */
static void kill_all(CoherentPart *part)
{
	struct census census = {0};
	bool known = take_census(&census) == 0;
	CoherentMapper *mapper;

	list_for_each (mapper, &part->mappers, of_part)
		if (mapper->watch->process >= 0 && mapper->watch->pid > 0)
			kill_watched(known ? &census : NULL, mapper->watch);
	free(census.members);
}

/* --- the part --- */

static void set_lost(CoherentPart *part, uint32_t loss)
{
	CoherentMapper *mapper;

	part->over = true;
	part->loss = loss;
	list_for_each (mapper, &part->mappers, of_part)
		coherent_row_mark(mapper);
}

bool coherent_loss_begin(CoherentGuest *g)
{
	uint32_t loss = g->part.coherent->manager->options.config->on_loss;
	CoherentPart *part = &g->part;

	if (g->space != WIRE_SPACE_CLSHM || loss == WIRE_SHM_LOSS_ZERO ||
		list_empty(&part->mappers))
		return false;
	set_lost(part, loss);
	g->parting = true;
	log_limited("memory of node %u is lost: who has it attached %s", g->node,
		loss == WIRE_SHM_LOSS_KILL ? "is killed" : "gets SIGBUS");
	if (loss == WIRE_SHM_LOSS_KILL)
		kill_all(part);
	/* whoever waits asks again */
	coherent_part_wake(part);
	return true;
}

void coherent_loss_unmapped(CoherentPart *part)
{
	if (!part->loss || !list_empty(&part->mappers))
		return;
	coherent_guest_of(part)->ended = true;
	coherent_note(part->coherent);
}

/* --- faults --- */

/*
 * Where the kernel cannot poison, a system call ends only if it gets the page: it gets zeros for a
 * moment, when everybody who waits for that page has been sent the signal, and then it is taken
 * back.
 */

static void want(CoherentPart *part, uint64_t page)
{
	for (unsigned int i = 0; i < part->n_wanted; i++)
		if (part->wanted[i] == page)
			return;
	/* who gets none asks again, for he has a signal */
	if (part->n_wanted == ELEMENTS(part->wanted))
		return;
	part->wanted[part->n_wanted++] = page;
	if (!part->turn)
		part->turn = part->coherent->now + PAUSE;
	coherent_touch(part);
}

static void lend(CoherentPart *part, uint64_t page)
{
	uint64_t offset = page << PAGE_SIZE_SHIFT;
	CoherentMapper *mapper;

	if (page_store_reserve(&part->store, offset, PAGE_BYTES) < 0)
		return;
	part->lent = true;
	list_for_each (mapper, &part->mappers, of_part)
		mapper_allow(&mapper->m, offset, PAGE_BYTES);
}

void coherent_loss_tick(CoherentPart *part)
{
	if (!part->turn || part->turn > part->coherent->now)
		return;
	if (part->lent)
		(void)page_store_punch(&part->store, 0, part->store.size);
	part->lent = false;
	for (unsigned int i = 0; i < part->n_wanted; i++)
		lend(part, part->wanted[i]);
	part->n_wanted = 0;
	part->turn = part->lent ? part->coherent->now + LENT : 0;
}

static void raise_signal(CoherentMapper *mapper, uint64_t page, pid_t thread)
{
	switch (bus_error_raise(mapper->watch->pid, thread)) {
	case BUS_ERROR_IN_CALL:
		want(mapper->part, page);
		break;
	case BUS_ERROR_NOT_SEEN:
		mapper_wake(&mapper->m, page << PAGE_SIZE_SHIFT, PAGE_BYTES);
		break;
	default:
		break;
	}
}

void coherent_loss_fault(CoherentMapper *mapper, uint64_t page, const struct watch_event *fault)
{
	if (mapper->part->loss == WIRE_SHM_LOSS_KILL)
		bus_error_kill(mapper->watch->pid, fault->thread);
	else if (mapper_can_poison(-1))
		mapper_poison(&mapper->m, page << PAGE_SIZE_SHIFT);
	else
		raise_signal(mapper, page, fault->thread);
}
