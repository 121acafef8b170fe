/* SPDX-License-Identifier: Apache-2.0 */
#include "api/clshm/session.h"

#include <stdlib.h>
#include <xp_shm.h>
#include "api/clshm/fork.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "wire/status.h"

/* a build of the tests has others */
#ifndef CLSHM_USR_VERSION
#define CLSHM_USR_VERSION ((uint32_t)CLSHM_USR_MAJOR_VERS << 16 | CLSHM_USR_MINOR_VERS)
#endif

static struct {
	pthread_mutex_t lock; /* also while a daemon is greeted: nobody asks it before */
	struct session session;
} current = {.lock = PTHREAD_MUTEX_INITIALIZER};

int session_call(
	const struct session *session, struct wire_message *request, struct cw_reply *ret_reply)
{
	uint16_t answer = request->type | WIRE_REPLY_BIT;
	int r = cw_link_call(session->link, request, NULL, 0, ret_reply);

	if (r)
		return r;
	fd_close_many(ret_reply->fds, ret_reply->n_fds);
	ret_reply->n_fds = 0;
	return ret_reply->message.type == answer ? 0 : STATUS_VERSION;
}

/* What a daemon says to the greeting that it says to nothing else. */
static int hello_error(int r)
{
	switch (r) {
	case STATUS_NO_DAEMON:
		return -ECONNREFUSED;
	case STATUS_NODE_UNKNOWN:
		return -ENOSYS;
	default:
		return r;
	}
}

static int greet(struct session *s)
{
	struct wire_message m = {.type = WIRE_SHM_HELLO};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	m.shm_hello.version = CLSHM_USR_VERSION;
	s->starts = s->link->node_page->starts;
	r = session_call(s, &m, reply);
	if (r)
		return hello_error(r);
	s->node = reply->message.shm_hello_reply;
	if (s->node.version >> 16 != CLSHM_DAEM_MAJOR_VERS)
		return STATUS_VERSION;
	return s->node.partition < MAX_PARTITIONS ? 0 : -ENOSYS;
}

static bool is_greeted(const struct cw_link *link)
{
	const struct session *s = &current.session;

	return link == s->link && link->node_page->starts == s->starts;
}

/* Consumes the link. */
static int renew(struct cw_link *link)
{
	struct session s = {.link = link};
	int r = greet(&s);

	if (r) {
		session_put(&s);
		return r;
	}
	session_put(&current.session);
	current.session = s;
	return 0;
}

static int get_locked(struct session *ret_session)
{
	struct cw_link *link;
	int r;

	r = fork_watch();
	if (r < 0)
		return r;
	r = cw_link_get(&link);
	if (r)
		return r;
	if (is_greeted(link))
		cw_link_put(link);
	else
		r = renew(link);
	if (r)
		return r;
	*ret_session = current.session;
	cw_link_ref(ret_session->link);
	return 0;
}

int session_get(struct session *ret_session)
{
	int r;

	pthread_mutex_lock(&current.lock);
	r = get_locked(ret_session);
	pthread_mutex_unlock(&current.lock);
	return r;
}

void session_put(struct session *session)
{
	cw_link_put(session->link);
	session->link = NULL;
}

int session_ask(struct wire_message *request, struct cw_reply *ret_reply)
{
	_cleanup_(session_put) struct session s = {0};
	int r = session_get(&s);

	return r ? r : session_call(&s, request, ret_reply);
}

int session_tell(struct wire_message *request)
{
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));

	return reply ? session_ask(request, reply) : -ENOMEM;
}

int session_partition(uint32_t *ret_partition)
{
	_cleanup_(session_put) struct session s = {0};
	int r = session_get(&s);

	if (!r)
		*ret_partition = s.node.partition;
	return r;
}

/* fork */

void session_fork_prepare(void)
{
	pthread_mutex_lock(&current.lock);
}

uint64_t session_patience_locked(void)
{
	return current.session.link ? current.session.node.timeout : 0;
}

void session_fork_parent(void)
{
	pthread_mutex_unlock(&current.lock);
}

void session_fork_child(void)
{
	session_put(&current.session);
	pthread_mutex_unlock(&current.lock);
}
