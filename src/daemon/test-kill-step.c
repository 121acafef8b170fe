/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/test-kill.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"

/* Looking into the daemon, and stopping it step by step. */

unsigned int each_fd(
	pid_t pid, bool (*fn)(const char *path, const char *what, void *userdata), void *userdata)
{
	char dir[32], path[64], what[128];
	struct dirent *e;
	unsigned int n = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)pid);
	d = opendir(dir);
	assert_non_null(d);
	while ((e = readdir(d))) {
		ssize_t len;

		snprintf(path, sizeof(path), "%.24s/%.20s", dir, e->d_name);
		len = readlink(path, what, sizeof(what) - 1);
		if (len < 0)
			continue;
		what[len] = 0;
		/* made with the first handshake, and stays: a restarted daemon may have none */
		if (!strcmp(what, "anon_inode:[timerfd]"))
			continue;
		n++;
		if (fn && fn(path, what, userdata))
			break;
	}
	closedir(d);
	return n;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x9e3779b97f4a7c15ull;
}

/* Of all that a successor or a client can see, without system calls. */
static uint64_t look(const struct scene *s)
{
	uint64_t body[JOURNAL_BODY_SIZE / 8], h = journal_end(s->journal);

	for (uint32_t i = 1; i < journal_end(s->journal); i++) {
		uint32_t kind = journal_read(s->journal, i, body, sizeof(body));

		h = mix(h, kind);
		for (size_t n = 0; kind && n < ELEMENTS(body); n++)
			h = mix(h, body[n]);
	}
	for (uint32_t i = 0; i < 3; i++) {
		h = mix(h, atomic_load(&s->a.status->exports[i].n_cells));
		h = mix(h, client_import_word(&s->b, i));
		if (s->cells)
			h = mix(mix(h, s->cells[i].word), s->cells[i].has_pipe);
	}
	return h;
}

/* Disturbing the daemon */

static unsigned int ticks; /* since the daemon last went on */

static void on_tick(int sig)
{
	ticks++;
}

void clock_run(bool on)
{
	const struct sigaction action = {.sa_handler = on_tick};
	struct itimerval tick = {.it_interval = {.tv_usec = on ? 50000 : 0}};

	tick.it_value = tick.it_interval;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
}

/* Lets it run with this request to its next stop. Returns false when it sleeps instead. */
static bool run_on(struct scene *s, int request)
{
	int status;

	if (ptrace(request, s->daemon, NULL, NULL) < 0)
		fail_msg("ptrace: %s", strerror(errno));
	ticks = 0;
	while (waitpid(s->daemon, &status, __WALL) < 0)
		if (ticks >= 2)
			return false;
	assert_true(WIFSTOPPED(status));
	return true;
}

/* Done with everything before, so that the steps are always the same ones. */
static void wait_asleep(pid_t pid)
{
	char path[32], line[256], *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (int i = 0; i < 5000; i++) {
		f = fopen(path, "re");
		assert_non_null(f);
		state = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
		fclose(f);
		assert_non_null(state);
		if (state[2] == 'S')
			return;
		usleep(200);
	}
	fail_msg("the daemon does not come to rest");
}

bool daemon_attach(struct scene *s)
{
	int status;

	wait_asleep(s->daemon);
	if (ptrace(PTRACE_SEIZE, s->daemon, NULL, PTRACE_O_TRACESYSGOOD) < 0)
		return false;
	assert_int_equal(ptrace(PTRACE_INTERRUPT, s->daemon, NULL, NULL), 0);
	assert_int_equal(waitpid(s->daemon, &status, __WALL), s->daemon);
	return true;
}

void daemon_kill(struct scene *s)
{
	int status;

	kill(s->daemon, SIGKILL);
	/* a traced one is ours to wait for; another one the keeper's */
	while (waitpid(s->daemon, &status, __WALL) < 0 && errno == EINTR)
		;
	s->killed = true;
}

void daemon_detach(struct scene *s)
{
	int status;

	if (ptrace(PTRACE_DETACH, s->daemon, NULL, NULL) == 0)
		return;
	ptrace(PTRACE_INTERRUPT, s->daemon, NULL, NULL);
	assert_int_equal(waitpid(s->daemon, &status, __WALL), s->daemon);
	assert_int_equal(ptrace(PTRACE_DETACH, s->daemon, NULL, NULL), 0);
}

bool kill_after_calls(struct scene *s, unsigned int n)
{
	struct __ptrace_syscall_info info;
	bool received = false;
	uint64_t nr = 0;

	while (n > 0) {
		if (!run_on(s, PTRACE_SYSCALL))
			return false;
		assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, s->daemon, sizeof(info), &info) > 0);
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
			nr = info.entry.nr;
			if (received && (nr == SYS_epoll_pwait
#ifdef SYS_epoll_wait
						|| nr == SYS_epoll_wait
#endif
						))
				return false;
		} else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
			received |= nr == SYS_recvmsg && info.exit.rval >= 0;
			n--;
		}
	}
	daemon_kill(s);
	return true;
}

bool kill_after_changes(struct scene *s, unsigned int n)
{
	uint64_t before = look(s), now;

	while (n > 0) {
		if (!run_on(s, PTRACE_SINGLESTEP))
			return false;
		now = look(s);
		n -= now != before;
		before = now;
	}
	daemon_kill(s);
	return true;
}
