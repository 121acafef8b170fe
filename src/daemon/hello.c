/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/hello.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include "base/closer.h"
#include "base/fd.h"
#include "daemon/rdma.h"
#include "memory/memfd.h"
#include "wire/status.h"

static int add_readonly(struct reply *a, int fd)
{
	int copy, r = memfd_reopen_readonly(fd, &copy);

	if (r == 0)
		reply_add_fd(a, copy);
	return r;
}

static int add_descriptors(ManagerClient *c, struct reply *a)
{
	Manager *m = c->manager;
	int fd, r;

	r = add_readonly(a, m->node_fd);
	if (r == 0)
		r = add_readonly(a, c->status.fd);
	if (r == 0)
		r = memfd_reopen(c->maps, &fd);
	if (r < 0)
		return r;
	reply_add_fd(a, fd);
	if (m->uffd_device < 0)
		return 0;
	fd = fcntl(m->uffd_device, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return negative_errno();
	reply_add_fd(a, fd);
	a->message.hello_reply.flags |= WIRE_HELLO_UFFD;
	return 0;
}

static int fill_welcome(ManagerClient *c, struct reply *a)
{
	Manager *m = c->manager;
	const struct engine_limits *limits = engine_limits(m->engine);
	struct wire_hello_reply *h = &a->message.hello_reply;

	h->client = c->engine->id;
	memcpy(h->token, c->token, sizeof(h->token));
	h->incarnation = journal_incarnation(m->journal);
	h->node = engine_node(m->engine);
	h->daemon_pid = (uint32_t)getpid();
	h->keeper_pid = (uint32_t)m->keeper_pid;
	h->max_segment_bytes = limits->max_segment_bytes;
	h->max_total_bytes = limits->max_bytes_per_user;
	h->max_segments = limits->max_segments_per_user;
	h->max_imports = limits->max_imports_per_user;
	if (rdma_kind(m))
		h->flags |= WIRE_HELLO_RDMA;
	return add_descriptors(c, a);
}

/* The descriptors before the record: a record without them could not be taken up again. */
static int client_begin(ManagerClient *c)
{
	Manager *m = c->manager;
	uint64_t incarnation = journal_incarnation(m->journal);
	int r;

	if (getrandom(c->token, sizeof(c->token), 0) != sizeof(c->token))
		return -EIO;
	r = status_page_new(incarnation, &c->status);
	if (r == 0)
		r = client_page_new(incarnation, &c->maps);
	if (r == 0)
		r = engine_client_new(m->engine, &c->identity, &c->engine);
	if (r == 0)
		r = manager_save_counters(m);
	if (r == 0)
		r = manager_client_save_groups(c);
	if (r == 0)
		r = manager_client_enter(c);
	if (r)
		return r;
	manager_client_store(c);
	return manager_client_save(c);
}

/* The identity of an existing client becomes that of this connection, which becomes its socket.
 * Nothing has changed when this fails. */
static int client_resume(ManagerClient *old, ManagerClient *c)
{
	struct engine_identity saved = old->identity;
	uint32_t saved_groups = old->groups_slot;
	Manager *m = old->manager;
	int r;

	old->identity = c->identity;
	r = manager_client_save_groups(old);
	if (r == 0)
		r = engine_client_identify(old->engine, &c->identity);
	if (r) {
		journal_remove(m->journal, old->groups_slot);
		old->groups_slot = saved_groups;
		old->identity = saved;
		return r;
	}
	sd_event_source_disable_unref(old->readable);
	old->readable = take_ptr(c->readable);
	sd_event_source_set_userdata(old->readable, old);
	/* In this order: who is killed in between leaves a client that comes again, or the new
	 * socket with the new identity. Once the old one hangs up nothing else may lead to it. */
	manager_client_save(old);
	keeper_link_store(m->link, KEEP_SOCKET, old->engine->id, c->socket);
	closer_hang_up(old->socket);
	old->socket = take_fd(&c->socket);
	fd_let_pass(old->socket, true);
	c->cut = true;
	journal_remove(m->journal, saved_groups);
	return 0;
}

static ManagerClient *find_resumed(const ManagerClient *c, const struct wire_hello *h)
{
	ManagerClient *old = manager_client_find_by_token(c->manager, h->resume_client, h->token);

	return old && old->identity.pid == c->identity.pid ? old : NULL;
}

/* *to: whose connection it is in the end. A restored client may repeat its hello. */
static int hello(ManagerClient *c, const struct wire_hello *h, struct reply *a, ManagerClient **to)
{
	ManagerClient *old;
	int r;

	a->message.hello_reply.major = WIRE_MAJOR;
	a->message.hello_reply.minor = WIRE_MINOR;
	if (h->major != WIRE_MAJOR)
		return STATUS_VERSION;
	if (c->engine)
		return fill_welcome(c, a);
	if (h->resume_client) {
		old = find_resumed(c, h);
		if (!old)
			return STATUS_BAD_HANDLE;
		r = fill_welcome(old, a);
		if (r == 0)
			r = client_resume(old, c);
		if (r == 0)
			*to = old;
		return r;
	}
	r = client_begin(c);
	return r ? r : fill_welcome(c, a);
}

void hello_handle(ManagerClient *c, struct request *q, struct reply *a)
{
	ManagerClient *to = c;
	int r = hello(c, &q->message.hello, a, &to);

	if (r) {
		fd_close_many(a->fds, a->n_fds);
		a->n_fds = 0;
	}
	a->message.status = request_status(r);
	manager_client_reply(to, a);
	if (r)
		to->cut = true;
	if (to != c && to->cut)
		manager_client_free(to);
}
