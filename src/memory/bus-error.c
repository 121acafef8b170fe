/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/bus-error.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"

/* What /proc says of a thread. */
struct thread {
	pid_t process;
	uint64_t blocked, ignored; /* signals, from bit 0 on */
	bool in_call;
};

static FILE *open_proc(pid_t thread, const char *name)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)thread, name);
	return fopen(path, "re");
}

static bool look_at_status(pid_t number, struct thread *thread)
{
	_cleanup_free_ char *line = NULL;
	FILE *f = open_proc(number, "status");
	size_t size = 0;

	if (!f)
		return false;
	while (getline(&line, &size, f) > 0) {
		(void)sscanf(line, "Tgid: %d", &thread->process);
		(void)sscanf(line, "SigBlk: %" SCNx64, &thread->blocked);
		(void)sscanf(line, "SigIgn: %" SCNx64, &thread->ignored);
	}
	fclose(f);
	return thread->process > 0;
}

/* "-1 …" of one that the kernel stopped elsewhere than in a call, "running" of one that has gone
 * on. */
static bool is_in_call(pid_t number)
{
	FILE *f = open_proc(number, "syscall");
	bool is = false;
	int call;

	if (!f)
		return false;
	is = fscanf(f, "%d", &call) == 1 && call >= 0;
	fclose(f);
	return is;
}

static bool look(pid_t process, pid_t number, struct thread *ret_thread)
{
	struct thread thread = {0};

	if (number <= 0 || !look_at_status(number, &thread))
		return false;
	if (process && thread.process != process)
		return false;
	thread.in_call = is_in_call(number);
	*ret_thread = thread;
	return true;
}

void bus_error_kill(pid_t process, pid_t number)
{
	_cleanup_close_ int fd = -1;
	struct thread thread, again;

	if (!look(process, number, &thread))
		return;
	fd = (int)syscall(SYS_pidfd_open, thread.process, 0);
	/* it is still the one that was looked at */
	if (fd >= 0 && look(thread.process, number, &again))
		(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}

int bus_error_raise(pid_t process, pid_t number)
{
	const uint64_t bit = 1ull << (SIGBUS - 1);
	struct thread thread;

	if (!look(process, number, &thread))
		return BUS_ERROR_RAISED;
	if ((thread.blocked | thread.ignored) & bit) {
		bus_error_kill(thread.process, number);
		return BUS_ERROR_KILLED;
	}
	(void)syscall(SYS_tgkill, thread.process, number, SIGBUS);
	return thread.in_call ? BUS_ERROR_IN_CALL : BUS_ERROR_RAISED;
}
