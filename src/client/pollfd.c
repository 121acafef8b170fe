/* SPDX-License-Identifier: Apache-2.0 */
#include "client/pollfd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "client/route.h"
#include "client/side.h"
#include "wire/status.h"

/* Which handle a descriptor belongs to, by its number. */
static struct {
	pthread_mutex_t lock;
	cw_handle *handles; /* 0: not ours */
	uint32_t n_handles;
	bool inherited; /* in a child that has not made pipes of its own yet */
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int table_set(int fd, cw_handle handle)
{
	uint32_t n = (uint32_t)fd + 1, grown_n;
	cw_handle *grown;
	int r = 0;

	pthread_mutex_lock(&table.lock);
	grown_n = MAX(64u, table.n_handles);
	while (grown_n < n)
		grown_n *= 2;
	if (n > table.n_handles) {
		grown = reallocarray(table.handles, grown_n, sizeof(*grown));
		if (grown) {
			memset(grown + table.n_handles, 0,
				(grown_n - table.n_handles) * sizeof(*grown));
			table.handles = grown;
			table.n_handles = grown_n;
		} else {
			r = -ENOMEM;
		}
	}
	if (!r)
		table.handles[fd] = handle;
	pthread_mutex_unlock(&table.lock);
	return r;
}

static cw_handle table_get(int fd)
{
	cw_handle handle = 0;

	pthread_mutex_lock(&table.lock);
	if (fd >= 0 && (uint32_t)fd < table.n_handles)
		handle = table.handles[fd];
	pthread_mutex_unlock(&table.lock);
	return handle;
}

/* the two kinds of owners */

static pthread_mutex_t *side_lock(const struct side *s)
{
	return s->export ? &s->export->lock : &s->import->lock;
}

static struct cw_cells *side_cells(const struct side *s)
{
	return s->export ? &s->export->cells : &s->import->cells;
}

static bool side_ended(const struct side *s)
{
	return s->export ? s->export->closed : !s->import->handle;
}

static bool pending(const struct wire_cell *c)
{
	return atomic_load(&c->word) & WIRE_CELL_COUNT;
}

/* references */

static int request_pipe(struct cw_link *link, uint32_t side, uint32_t index, int *ret_fd)
{
	struct wire_message m = {.type = WIRE_PIPE};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	m.pipe.side = side;
	m.pipe.index = index;
	r = cw_link_call_for_fd(link, &m, reply);
	if (r)
		return r;
	*ret_fd = reply->fds[0];
	return 0;
}

static void drain(int fd)
{
	char bytes[16];

	while (read(fd, bytes, sizeof(bytes)) == sizeof(bytes))
		;
}

static int open_pipe_locked(const struct side *s, cw_handle handle)
{
	struct cw_cells *cells = side_cells(s);
	int fd, r;

	r = s->export ? request_pipe(s->link, WIRE_SIDE_EXPORT, s->export->index, &fd)
		      : request_pipe(s->link, WIRE_SIDE_IMPORT, s->import->index, &fd);
	if (r)
		return r;
	r = table_set(fd, handle);
	if (r) {
		fd_close(fd);
		return r;
	}
	cells->pipe = fd;
	return 0;
}

static int get_locked(const struct side *s, cw_handle handle, int *ret_fd)
{
	struct cw_cells *cells = side_cells(s);
	int r;

	if (side_ended(s))
		return STATUS_BAD_HANDLE;
	r = side_state(s);
	if (!r && cells->pipe == CW_NO_PIPE)
		r = open_pipe_locked(s, handle);
	if (r)
		return r;
	cells->pollfd_refs++;
	*ret_fd = cells->pipe;
	return 0;
}

int cw_pollfd_get(cw_handle handle, int *ret_fd)
{
	struct side s;
	int r = side_open(handle, &s);

	if (r)
		return r;
	pthread_mutex_lock(side_lock(&s));
	r = get_locked(&s, handle, ret_fd);
	pthread_mutex_unlock(side_lock(&s));
	/* it may hold the byte of a signal that was taken when nobody had the reading end */
	if (!r)
		cw_pollfd_settle(&s);
	side_close(&s);
	return r;
}

void cw_pollfd_close(struct cw_cells *cells)
{
	int fd = cells->pipe;

	if (fd == CW_NO_PIPE)
		return;
	if (cells->cells)
		atomic_store(&cells->cells[cells->own].has_pipe, 0);
	(void)table_set(fd, 0);
	cells->pollfd_refs = 0;
	cells->pipe = CW_NO_PIPE;
	fd_close(fd);
}

int cw_pollfd_release(cw_handle handle)
{
	struct side s = {.export = cw_export_ref(handle)};
	struct cw_cells *cells;

	if (!s.export)
		s.import = cw_import_ref(handle);
	if (!s.export && !s.import)
		return STATUS_BAD_HANDLE;
	cells = side_cells(&s);
	pthread_mutex_lock(side_lock(&s));
	if (cells->pollfd_refs && --cells->pollfd_refs == 0)
		cw_pollfd_close(cells);
	pthread_mutex_unlock(side_lock(&s));
	side_close(&s);
	return 0;
}

/* keeping the byte and the count together */

/* Whoever else is to see it must find a byte where the count or the state tell something. */
static bool worth_a_byte(const struct side *s)
{
	return pending(&s->cells[s->own]) || side_state(s);
}

void cw_pollfd_settle(const struct side *s)
{
	struct cw_cells *cells = side_cells(s);
	bool again = false;

	if (likely(cells->pipe == CW_NO_PIPE) || worth_a_byte(s))
		return;
	pthread_mutex_lock(side_lock(s));
	if (cells->pipe != CW_NO_PIPE && !worth_a_byte(s)) {
		drain(cells->pipe);
		again = worth_a_byte(s);
	}
	pthread_mutex_unlock(side_lock(s));
	if (again) {
		side_poke(s, s->own);
		side_flush(s);
	}
}

/* waiting */

/* What a segment's entry shows, given that poll saw something there; 0: nothing after all. */
static short judge(cw_handle handle)
{
	struct side s;
	int r = side_open(handle, &s);

	if (!r) {
		bool took = side_take(&s);

		r = took ? 0 : side_state(&s);
		cw_pollfd_settle(&s);
		side_close(&s);
		if (!r)
			return took ? POLLRDNORM : 0;
	}
	return r == STATUS_REVOKED || r == STATUS_NODE_LOST ? POLLRDNORM | POLLHUP : POLLNVAL;
}

static int count_ready(struct pollfd *fds, nfds_t n, int left)
{
	int ready = 0;

	for (nfds_t i = 0; i < n && left; i++) {
		cw_handle handle;

		if (!fds[i].revents)
			continue;
		left--;
		/* a number that the program has closed is not asked, though we may know it still */
		handle = fds[i].revents & POLLNVAL ? 0 : table_get(fds[i].fd);
		if (handle)
			fds[i].revents = judge(handle);
		ready += fds[i].revents != 0;
	}
	return ready;
}

/* In a child: the numbers that the program has still lead to the parent's pipes. */
static void renew_inherited(void)
{
	for (uint32_t fd = 0; fd < table.n_handles; fd++) {
		cw_handle handle = table_get((int)fd);
		struct cw_import *import = handle ? cw_import_ref(handle) : NULL;

		if (import && import->forked)
			(void)cw_import_check(import);
		cw_import_put(import);
	}
	table.inherited = false;
}

int cw_pollfd_wait(struct pollfd *fds, nfds_t n, uint64_t timeout_ns, int *ret_ready)
{
	uint64_t now = clock_now(), end;
	int ready = 0;

	if (unlikely(table.inherited))
		renew_inherited();
	route_flush_all();
	if (__builtin_add_overflow(now, timeout_ns, &end))
		end = UINT64_MAX;
	/* a signal that another thread took is no reason to end the wait */
	do {
		struct timespec ts = clock_timespec(end > now ? end - now : 0);
		int r = ppoll(fds, n, end == UINT64_MAX ? NULL : &ts, NULL);

		if (r < 0)
			return errno == EINTR ? STATUS_INTERRUPTED : negative_errno();
		if (!r)
			return STATUS_TIMED_OUT;
		ready = count_ready(fds, n, r);
		now = clock_now();
	} while (!ready && now < end);
	if (!ready)
		return STATUS_TIMED_OUT;
	*ret_ready = ready;
	return 0;
}

/* fork */

int cw_pollfd_renew(struct cw_link *link, uint32_t index, int pipe)
{
	int fd, r;

	if (pipe == CW_NO_PIPE)
		return 0;
	r = request_pipe(link, WIRE_SIDE_IMPORT, index, &fd);
	if (r)
		return r;
	if (dup3(fd, pipe, O_CLOEXEC) < 0)
		r = negative_errno();
	fd_close(fd);
	return r;
}

void cw_pollfd_fork_prepare(void)
{
	pthread_mutex_lock(&table.lock);
}

void cw_pollfd_fork_parent(void)
{
	pthread_mutex_unlock(&table.lock);
}

void cw_pollfd_fork_child(void)
{
	table.inherited = table.n_handles;
	pthread_mutex_unlock(&table.lock);
}
