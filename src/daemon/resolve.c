/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/resolve.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"

#define THREADS_MAX 16u

static_assert(sizeof(struct resolved) <= PIPE_BUF, "goes through a pipe whole or not at all");

struct Resolve {
	void (*done)(void *userdata, const struct resolved *resolved);
	void *userdata;
	int pipe; /* the thread's answer comes here */
	sd_event_source *io;
};

/* What the thread is given, and frees. */
struct question {
	int pipe;
	uint32_t port;
	char host[];
};

static _Atomic unsigned int n_threads;

static int ask(const char *host, uint32_t port, int flags, struct resolved *ret_resolved)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
	struct resolved resolved = {.n = 0};
	struct addrinfo *list, *a;
	char service[16];

	snprintf(service, sizeof(service), "%u", port);
	resolved.error = getaddrinfo(host, service, &hints, &list);
	if (resolved.error == 0) {
		for (a = list; a && resolved.n < PEER_LINK_ADDRESSES; a = a->ai_next) {
			struct peer_address *at = &resolved.addresses[resolved.n++];

			memcpy(&at->address, a->ai_addr, a->ai_addrlen);
			at->length = a->ai_addrlen;
		}
		freeaddrinfo(list);
	}
	*ret_resolved = resolved;
	return resolved.error;
}

bool resolve_address(const char *host, uint32_t port, struct peer_address *ret_address)
{
	struct resolved resolved;

	if (ask(host, port, AI_NUMERICHOST, &resolved) || resolved.n == 0)
		return false;
	*ret_address = resolved.addresses[0];
	return true;
}

int resolve_now(const char *host, uint32_t port, struct resolved *ret_resolved)
{
	return ask(host, port, 0, ret_resolved);
}

static void *run(void *userdata)
{
	struct question *q = userdata;
	struct resolved resolved;

	ask(q->host, q->port, 0, &resolved);
	if (write(q->pipe, &resolved, sizeof(resolved)) < 0)
		errno = 0; /* nobody wants to know any more */
	fd_close(q->pipe);
	free(q);
	atomic_fetch_sub(&n_threads, 1);
	return NULL;
}

static int start_thread(const char *host, uint32_t port, int *pipe)
{
	_cleanup_free_ struct question *q = malloc(sizeof(*q) + strlen(host) + 1);
	pthread_t thread;
	int r;

	if (!q)
		return -ENOMEM;
	q->port = port;
	q->pipe = *pipe;
	strcpy(q->host, host);
	if (atomic_fetch_add(&n_threads, 1) >= THREADS_MAX)
		r = EAGAIN;
	else
		r = pthread_create(&thread, NULL, run, q);
	if (r) {
		atomic_fetch_sub(&n_threads, 1);
		return -r;
	}
	pthread_detach(thread);
	take_ptr(q);
	take_fd(pipe);
	return 0;
}

static int on_answer(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct resolved resolved = {.error = EAI_FAIL};
	Resolve *r = userdata;

	if (read(fd, &resolved, sizeof(resolved)) != sizeof(resolved))
		resolved = (struct resolved){.error = EAI_FAIL};
	r->done(r->userdata, &resolved);
	return 0;
}

void resolve_free(Resolve *r)
{
	if (!r)
		return;
	sd_event_source_disable_unref(r->io);
	fd_close(r->pipe);
	free(r);
}

DEFINE_CLEANUP(Resolve *, resolve_free);

int resolve_start(sd_event *event, const char *host, uint32_t port,
	void (*done)(void *userdata, const struct resolved *resolved), void *userdata,
	Resolve **ret_resolve)
{
	_cleanup_(resolve_free_p) Resolve *resolve = calloc(1, sizeof(*resolve));
	_cleanup_close_ int theirs = -1;
	int pair[2], r;

	if (!resolve)
		return -ENOMEM;
	resolve->pipe = -1;
	resolve->done = done;
	resolve->userdata = userdata;
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return negative_errno();
	resolve->pipe = pair[0];
	theirs = pair[1];
	r = sd_event_add_io(event, &resolve->io, resolve->pipe, EPOLLIN, on_answer, resolve);
	if (r == 0)
		r = start_thread(host, port, &theirs);
	if (r < 0)
		return r;
	*ret_resolve = take_ptr(resolve);
	return 0;
}
