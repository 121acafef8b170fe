/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/bus-error.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"

#define BIT (1ull << (SIGBUS - 1))

/* What /proc says of a thread. */
struct thread {
	pid_t process;
	uint64_t pending, blocked, ignored; /* signals, from bit 0 on */
	enum { ELSEWHERE, RUNNING, AT_FAULT, IN_CALL } place;
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
		(void)sscanf(line, "SigPnd: %" SCNx64, &thread->pending);
		(void)sscanf(line, "SigBlk: %" SCNx64, &thread->blocked);
		(void)sscanf(line, "SigIgn: %" SCNx64, &thread->ignored);
	}
	fclose(f);
	return thread->process > 0;
}

static bool waits_for_fault(pid_t number)
{
	FILE *f = open_proc(number, "wchan");
	char where[32] = "";
	bool is;

	if (!f)
		return false;
	is = fscanf(f, "%31s", where) == 1 && !strcmp(where, "handle_userfault");
	fclose(f);
	return is;
}

/* "running", "-1 …" of one that sleeps and has made no call: so it does at a fault; or the number
 * of the call. */
static int look_where(pid_t number)
{
	FILE *f = open_proc(number, "syscall");
	int call, n;

	if (!f)
		return ELSEWHERE;
	n = fscanf(f, "%d", &call);
	fclose(f);
	if (n != 1)
		return RUNNING;
	if (call < 0)
		return AT_FAULT;
	return waits_for_fault(number) ? IN_CALL : ELSEWHERE;
}

static bool look(pid_t process, pid_t number, struct thread *ret_thread)
{
	struct thread thread = {0};

	if (number <= 0 || !look_at_status(number, &thread))
		return false;
	if (process && thread.process != process)
		return false;
	thread.place = look_where(number);
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

static bool is_deaf(const struct thread *thread)
{
	bool waits = thread->place == AT_FAULT || thread->place == IN_CALL;

	return waits && (thread->blocked | thread->ignored) & BIT;
}

/* One signal for one wait: whoever has it goes on elsewhere, and must not get another there. Who
 * has it and is still running waits in a call, without sleep. Who seems to block it is looked at
 * once more: the mask may have been that of a handler that ended before the wait began. */
int bus_error_raise(pid_t process, pid_t number)
{
	struct thread thread, again;

	if (!look(process, number, &thread))
		return BUS_ERROR_NOT_SEEN;
	if (thread.pending & BIT && thread.place == RUNNING)
		return BUS_ERROR_IN_CALL;
	if (thread.place != AT_FAULT && thread.place != IN_CALL)
		return BUS_ERROR_NOT_SEEN;
	if (is_deaf(&thread)) {
		if (!look(process, number, &again) || !is_deaf(&again))
			return BUS_ERROR_NOT_SEEN;
		bus_error_kill(thread.process, number);
		return BUS_ERROR_KILLED;
	}
	(void)syscall(SYS_tgkill, thread.process, number, SIGBUS);
	return thread.place == IN_CALL ? BUS_ERROR_IN_CALL : BUS_ERROR_RAISED;
}
