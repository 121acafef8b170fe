/* SPDX-License-Identifier: Apache-2.0 */
#include "api/shmbind/commit.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "placement/admission.h"
#include "placement/apply.h"
#include "placement/kernel.h"

/*
 * Should memory end in spite of the guard, the kernel kills a process, and it must not be the
 * program nor anybody else: a child does the work that asks to be the first to be killed. The
 * parent looks at what is free before each step and says "go on".
 *
 * The child is none that the program could notice: it ends without SIGCHLD, plain wait() does not
 * see it, no atfork handler runs. It has the program's memory as it was when some other thread may
 * have held any lock, so it makes system calls and nothing else.
 */

#define STEP (1u << 20)

struct step {
	uint64_t offset, length;
};

_Noreturn static void child_main(const struct attachment *a, int sock)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	struct step step;
	int r;

	if (fd < 0 || write(fd, "1000", 4) != 4)
		_exit(1);
	/* what the program closes meanwhile shall be closed */
	if (sock > 0)
		syscall(SYS_close_range, 0, sock - 1, 0);
	syscall(SYS_close_range, sock + 1, ~0u, 0);
	while (recv(sock, &step, sizeof(step), 0) == sizeof(step)) {
		r = kernel_populate(a->address + step.offset, step.length);
		if (send(sock, &r, sizeof(r), MSG_NOSIGNAL) != sizeof(r))
			break;
	}
	_exit(0);
}

static int child_start(const struct attachment *a, int ours, int theirs, pid_t *ret_pid)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	/* the program's handlers must not run in the child */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
	if (pid == 0)
		child_main(a, theirs);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return negative_errno();
	*ret_pid = pid;
	return 0;
}

static void child_end(pid_t pid)
{
	while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
		;
}

static ssize_t receive(int sock, int *ret)
{
	ssize_t n;

	do {
		n = recv(sock, ret, sizeof(*ret), 0);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* One step, if there is memory for it. */
static int populate_step(int sock, const struct step *step, const struct placement *placement,
	struct topology *topology)
{
	struct claim claim = {*placement, step->length};
	int r;

	r = topology_refresh(topology, "");
	if (r < 0)
		return r;
	if (!admission_allows(&claim, 1, topology))
		return -ENOMEM;
	if (send(sock, step, sizeof(*step), MSG_NOSIGNAL) != sizeof(*step))
		return -ENOMEM;
	/* the end of the stream: it was killed */
	return receive(sock, &r) == sizeof(r) ? r : -ENOMEM;
}

static int populate_steps(int sock, uint64_t bytes, const struct placement *placement)
{
	_cleanup_(topology_deinit) struct topology topology = {0};
	int r;

	r = topology_read("", &topology);
	for (uint64_t at = 0; at < bytes && r == 0; at += STEP) {
		struct step step = {at, MIN(bytes - at, STEP)};

		r = populate_step(sock, &step, placement, &topology);
	}
	return r;
}

static int populate_by_child(const struct attachment *a, const struct placement *placement)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return negative_errno();
	ours = pair[0];
	theirs = pair[1];
	r = child_start(a, ours, theirs, &pid);
	if (r < 0)
		return r;
	theirs = fd_close(theirs);
	r = populate_steps(ours, attachment_bytes(a), placement);
	ours = fd_close(ours);
	child_end(pid);
	return r;
}

/* Where huge pages end the access fails, and nobody is killed. */
static int populate_huge(const struct attachment *a)
{
	int r = kernel_populate(a->address, attachment_bytes(a));

	return r == -EFAULT ? -ENOMEM : r;
}

/* Trusts nobody: a hard binding's pages are looked at. */
static int check_places(const struct attachment *a, const struct placement *placement)
{
	_cleanup_free_ struct placement_count *count = malloc(sizeof(*count));
	uint64_t inside = 0, n = attachment_bytes(a) / (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned int node;
	int r;

	if (!count)
		return -ENOMEM;
	r = placement_count(a->address, n, attachment_is_huge(a), count, NULL, NULL);
	if (r < 0)
		return r;
	nodeset_for_each (&placement->nodes, node)
		inside += count->on[node];
	return inside == n || !placement->hard ? 0 : -ENOMEM;
}

int commit_pages(const struct attachment *a, const struct placement *placement)
{
	int r = attachment_is_huge(a) ? populate_huge(a) : populate_by_child(a, placement);

	if (r == 0)
		r = check_places(a, placement);
	if (r < 0)
		madvise(a->address, attachment_bytes(a), MADV_REMOVE);
	return r;
}
