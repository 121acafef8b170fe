/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of a cluster: found by the marker in their environment, ended through pidfds. */
#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/parse.h"
#include "cli/cluster.h"
#include "cli/process.h"

#define DEATH_TIMEOUT (10 * NSEC_PER_SEC) /* of what got SIGKILL */

DEFINE_CLEANUP(DIR *, closedir);

void cluster_processes_deinit(struct cluster_processes *p)
{
	for (size_t i = 0; i < p->n; i++)
		fd_close(p->v[i].pidfd);
	free(p->v);
	*p = (struct cluster_processes){0};
}

/* The node that pid belongs to; 0: none of c's. */
static uint32_t node_of(const struct cluster *c, pid_t pid)
{
	static const char marker[] = CLUSTER_MARKER "=";
	_cleanup_free_ char *text = NULL;
	size_t size, len = strlen(c->dir);
	uint32_t id;

	if (process_read(pid, "environ", &text, &size) < 0)
		return 0;
	for (const char *p = text; p < text + size; p += strlen(p) + 1) {
		if (strncmp(p, marker, sizeof(marker) - 1) != 0)
			continue;
		p += sizeof(marker) - 1;
		if (!strncmp(p, c->dir, len) && p[len] == '/' && parse_u32(p + len + 1, &id) == 0)
			return id;
		return 0;
	}
	return 0;
}

/* The node's own processes are those that were told its socket. */
static enum cluster_role role_of(const struct cluster *c, uint32_t node, pid_t pid)
{
	_cleanup_free_ char *told = NULL, *fd = NULL;
	char socket[PATH_MAX];

	if (!cluster_path(c, node, "socket", socket, sizeof(socket)) ||
		process_option(pid, "--socket", &told) < 0 || strcmp(told, socket) != 0)
		return CLUSTER_PROGRAM;
	return process_option(pid, "--daemon-fd", &fd) == 0 ? CLUSTER_DAEMON : CLUSTER_KEEPER;
}

static int add_process(struct cluster_processes *list, const struct cluster_process *p)
{
	struct cluster_process *v = reallocarray(list->v, list->n + 1, sizeof(*v));

	if (!v)
		return cli_fail("out of memory");
	list->v = v;
	v[list->n++] = *p;
	return 0;
}

/* Adds pid if it is one of node id's. */
static int consider(const struct cluster *c, uint32_t id, pid_t pid, struct cluster_processes *list)
{
	struct cluster_process p = {.pid = pid, .pidfd = -1};
	int r;

	if (pid == getpid() || !node_of(c, pid))
		return 0;
	p.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p.pidfd < 0)
		return errno == ESRCH
			       ? 0
			       : cli_fail("cannot open process %d: %s", pid, strerror(errno));
	/* From now on the number is the descriptor's process as long as it lives: look again. */
	p.node = node_of(c, pid);
	if (!p.node || (id && p.node != id)) {
		fd_close(p.pidfd);
		return 0;
	}
	p.role = role_of(c, p.node, pid);
	r = add_process(list, &p);
	if (r)
		fd_close(p.pidfd);
	return r;
}

static int by_role(const void *a, const void *b)
{
	const struct cluster_process *x = a, *y = b;

	return x->role != y->role ? (int)x->role - (int)y->role
				  : (x->pid > y->pid) - (x->pid < y->pid);
}

int cluster_processes_find(
	const struct cluster *c, uint32_t id, struct cluster_processes *ret_processes)
{
	_cleanup_(cluster_processes_deinit) struct cluster_processes list = {0};
	_cleanup_(closedir_p) DIR *d = opendir("/proc");
	struct dirent *e;
	uint32_t pid;
	int r = 0;

	if (!d)
		return cli_fail("cannot read /proc: %s", strerror(errno));
	while (r == 0 && (e = readdir(d)))
		if (parse_u32(e->d_name, &pid) == 0 && pid <= INT32_MAX)
			r = consider(c, id, (pid_t)pid, &list);
	if (r)
		return r;
	if (list.n)
		qsort(list.v, list.n, sizeof(*list.v), by_role);
	*ret_processes = list;
	list = (struct cluster_processes){0};
	return 0;
}

static int send_signal(const struct cluster_process *p, int signal)
{
	if (syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) == 0 || errno == ESRCH)
		return 0;
	return cli_fail("cannot send signal %d to process %d of node %u: %s", signal, p->pid,
		p->node, strerror(errno));
}

int cluster_process_kill(const struct cluster_process *p)
{
	return send_signal(p, SIGKILL);
}

/* True if all of them have ended before end. */
static bool wait_all(const struct cluster_processes *list, uint64_t end)
{
	for (size_t i = 0; i < list->n; i++) {
		struct pollfd p = {.fd = list->v[i].pidfd, .events = POLLIN};
		uint64_t now = clock_now();
		int left = now < end ? (int)((end - now) / NSEC_PER_MSEC) + 1 : 0;

		while (poll(&p, 1, left) < 0 && errno == EINTR)
			;
		if (!p.revents)
			return false;
	}
	return true;
}

/* SIGKILL for all at what looks like one instant: daemon and keeper start each other again, and
 * tell other nodes of programs that died, so they are held still first. */
static int kill_all(const struct cluster_processes *list)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->n; i++)
		if (list->v[i].role != CLUSTER_PROGRAM)
			r = send_signal(&list->v[i], SIGSTOP);
	for (size_t i = 0; r == 0 && i < list->n; i++)
		r = send_signal(&list->v[i], SIGKILL);
	return r;
}

static int signal_all(const struct cluster_processes *list, int signal)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->n; i++)
		r = send_signal(&list->v[i], signal);
	return r;
}

/* Leaves the programs, which are at the end of the list. */
static void drop_nodes(struct cluster_processes *list)
{
	size_t n = 0;

	while (n < list->n && list->v[n].role != CLUSTER_PROGRAM)
		fd_close(list->v[n++].pidfd);
	list->n -= n;
	memmove(list->v, list->v + n, list->n * sizeof(*list->v));
}

/* Again until there are none: what was just being started is found the next time. */
int cluster_processes_end(const struct cluster *c, uint32_t id, bool programs, int signal,
	uint64_t patience, size_t *ret_n)
{
	uint64_t patient = clock_now() + patience, end = patient + DEATH_TIMEOUT;
	size_t n = 0;

	for (;;) {
		_cleanup_(cluster_processes_deinit) struct cluster_processes list = {0};
		bool kill = clock_now() >= patient;
		int r = cluster_processes_find(c, id, &list);

		if (r == 0 && programs && list.n)
			drop_nodes(&list);
		if (r == 0)
			r = kill ? kill_all(&list) : signal_all(&list, signal);
		if (r)
			return r;
		if (!list.n) {
			*ret_n = n;
			return 0;
		}
		if (wait_all(&list, kill ? end : patient))
			n += list.n;
		else if (kill)
			return cli_fail("process %d and perhaps others do not end although they "
					"were killed",
				list.v[0].pid);
	}
}
