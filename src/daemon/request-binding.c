/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/binding.h"
#include "daemon/log.h"
#include "wire/status.h"

/* The registry of System V segments that are bound to NUMA nodes. All of this may be said again. */

/* Ids of segments are per namespace. */
static bool sees_the_same_segments(const ManagerClient *c)
{
	struct stat theirs, ours;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/ipc", (int)c->identity.pid);
	return stat(path, &theirs) == 0 && stat("/proc/self/ns/ipc", &ours) == 0 &&
	       theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev &&
	       manager_client_alive(c);
}

static int find_segment(const ManagerClient *c, uint32_t shmid, struct sysv_segment *ret_segment)
{
	const struct engine_identity *id = &c->identity;
	struct sysv_user user = {
		.uid = id->uid,
		.gid = id->gid,
		.groups = id->groups,
		.n_groups = id->n_groups,
		.privileged = id->uid == 0,
	};
	struct sysv_segment s;
	int r;

	if (!sees_the_same_segments(c))
		return STATUS_NOT_SUPPORTED;
	r = shmid > INT32_MAX ? -EINVAL : sysv_find((int)shmid, &s);
	if (r < 0)
		return r == -EINVAL ? STATUS_NOT_FOUND : r;
	if (sysv_lacks(&s, &user, 06))
		return STATUS_DENIED;
	*ret_segment = s;
	return 0;
}

static bool is_placement(const struct wire_binding_add *p, const struct nodeset *nodes)
{
	return p->order >= PLACE_FIRSTREF && p->order <= PLACE_MOSTFREE && p->hard <= 1 &&
	       !nodeset_empty(nodes);
}

int request_binding_add(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_binding_add *p = &q->message.binding_add;
	struct nodeset nodes = nodeset_get_bytes(p->nodes);
	struct sysv_segment segment;
	struct binding content;
	struct timespec now;
	int r;

	if (!is_placement(p, &nodes))
		return STATUS_BAD_REQUEST;
	r = find_segment(c, p->shmid, &segment);
	if (r == 0)
		r = bindings_refresh(c->manager);
	if (r)
		return r;
	clock_gettime(CLOCK_REALTIME, &now);
	content = (struct binding){
		.shmid = segment.shmid,
		.creator = segment.creator,
		.size = segment.size,
		.present = segment.resident + segment.swapped,
		.placement = {.order = p->order, .hard = p->hard, .nodes = nodes},
		.huge = p->page,
		.uid = c->identity.uid,
		.pid = c->identity.pid,
		.created = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec,
	};
	return binding_add(c->manager, &content);
}

/*
 * The memory of a segment that the client has attached at this address, as one map. The kernel's
 * own name for what was opened must be that of the segment, of which the client has been found to
 * have the rights.
 */
static int open_memory(
	const ManagerClient *c, const struct binding *b, uint64_t address, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE),
		 end = address + (b->size + page - 1) / page * page;
	char path[128], name[64];
	struct stat memory, own;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64,
		(int)c->identity.pid, address, end);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return negative_errno();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0 || fstat(fd, &memory) < 0 || fstat(c->status.fd, &own) < 0)
		return negative_errno();
	name[n] = '\0';
	/* the inode of a System V segment has its id for a number */
	if (strncmp(name, "/SYSV", strlen("/SYSV")) || memory.st_dev != own.st_dev ||
		memory.st_ino != (ino_t)b->shmid || (uint64_t)memory.st_size < b->size)
		return -EBADF;
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Without the right to it the plan that the client made stays. */
static void try_filler(const ManagerClient *c, struct binding *b, uint64_t address)
{
	_cleanup_close_ int memory = -1;
	int r = open_memory(c, b, address, &memory);

	if (r == 0)
		r = binding_start_filler(b, memory);
	if (r < 0)
		log_limited("segment %d: free memory is not followed: %s", b->shmid, strerror(-r));
}

int request_binding_done(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_binding_done *p = &q->message.binding_done;
	struct sysv_segment segment;
	struct binding *b;
	int r;

	r = find_segment(c, p->shmid, &segment);
	if (r)
		return r;
	b = binding_find(c->manager, segment.shmid);
	/* Only he who added it, and only once. */
	if (!b || b->settled || b->pid != c->identity.pid)
		return STATUS_NOT_FOUND;
	if (!p->kept) {
		binding_free(b);
		return 0;
	}
	binding_settle(b);
	if (p->address)
		try_filler(c, b, p->address);
	a->message.binding_done_reply.filler = (uint32_t)b->filler_pid;
	return 0;
}

static void fill_row(const struct binding *b, struct wire_binding_row *row)
{
	*row = (struct wire_binding_row){
		.shmid = (uint32_t)b->shmid,
		.order = b->placement.order,
		.hard = b->placement.hard,
		.filler = (uint32_t)b->filler_pid,
		.size = b->size,
		.present = b->present,
		.uid = b->uid,
		.pid = (uint32_t)b->pid,
		.created = b->created,
	};
	nodeset_put_bytes(&b->placement.nodes, row->nodes);
}

/* The entry after this one by id, of those that were bound: the list is short and in no order. */
static const struct binding *next_binding(Manager *m, uint32_t cursor)
{
	const struct binding *b, *next = NULL;

	list_for_each (b, &m->bindings, link)
		if (b->settled && !b->instance && (uint32_t)b->shmid >= cursor &&
			(!next || b->shmid < next->shmid))
			next = b;
	return next;
}

int request_binding_list(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_binding_list_reply *answer = &a->message.binding_list_reply;
	uint32_t cursor = q->message.binding_list.cursor;
	uint8_t *at = a->tail, *next;
	const struct binding *b;
	int r;

	if (!sees_the_same_segments(c))
		return STATUS_NOT_SUPPORTED;
	r = bindings_refresh(c->manager);
	if (r < 0)
		return r;
	while ((b = next_binding(c->manager, cursor))) {
		struct wire_binding_row row;

		fill_row(b, &row);
		next = wire_put_binding_row(at, reply_tail_end(a), &row);
		if (!next)
			break;
		at = next;
		answer->n++;
		cursor = (uint32_t)b->shmid + 1;
	}
	answer->next = b ? cursor : 0;
	reply_set_tail(a, at);
	return 0;
}
