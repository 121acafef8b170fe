/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers: programs that measure another library on request, each a process of its own, because those
 * libraries hook into memory management and bring threads. They end with the group.
 */

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

struct bench_peer {
	FILE *in, *out; /* of the peer */
	char missing[80];
	pid_t pid;
};

static struct bench_peer *started[8];
static unsigned int n_started;

static void end_peers(void)
{
	for (unsigned int i = 0; i < n_started; ++i) {
		if (started[i]->in)
			fclose(started[i]->in); /* the end of its input ends it */
		for (int wait = 0; wait < 300 && waitpid(started[i]->pid, NULL, WNOHANG) == 0;
			++wait)
			usleep(10000);
		if (!waitpid(started[i]->pid, NULL, WNOHANG)) {
			kill(started[i]->pid, SIGTERM);
			waitpid(started[i]->pid, NULL, 0);
		}
	}
	n_started = 0;
}

static _Noreturn void become(const char *const command[], int in, int out)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	if (!getenv("BENCH_PEER_STDERR") && !freopen("/dev/null", "we", stderr))
		_exit(1);
	execvp(command[0], (char *const *)command);
	_exit(127);
}

static void start(struct bench_peer *peer, const char *const command[])
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		bench_fail("pipe2: %m");
	fflush(NULL);
	peer->pid = fork();
	if (peer->pid < 0)
		bench_fail("fork: %m");
	if (!peer->pid)
		become(command, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	peer->in = fdopen(in[1], "we");
	peer->out = fdopen(out[0], "re");
}

struct bench_peer *bench_peer(const char *const command[], int cpu)
{
	struct bench_peer *peer = calloc(1, sizeof(*peer));
	char line[80];

	if (!peer || n_started == sizeof(started) / sizeof(*started))
		bench_fail("out of peers");
	if (!n_started)
		atexit(end_peers);
	signal(SIGPIPE, SIG_IGN);
	start(peer, command);
	started[n_started++] = peer;
	fprintf(peer->in, "%d\n", cpu);
	fflush(peer->in);
	if (!fgets(line, sizeof(line), peer->out) || strcmp(line, "ready\n"))
		snprintf(peer->missing, sizeof(peer->missing), "%s not installed, or did not start",
			command[0]);
	return peer;
}

const char *bench_peer_missing(const struct bench_peer *peer)
{
	return peer->missing[0] ? peer->missing : NULL;
}

double bench_peer_time(struct bench_peer *peer, const char *operation, size_t size, unsigned long n)
{
	double result;

	if (peer->missing[0])
		return NAN;
	fprintf(peer->in, "%s %zu %lu\n", operation, size, n);
	fflush(peer->in);
	if (fscanf(peer->out, "%lf", &result) == 1)
		return result;
	snprintf(peer->missing, sizeof(peer->missing), "ended at %s of %zu bytes", operation, size);
	return NAN;
}

void bench_peer_sample(struct bench_row *row, const char *name, struct bench_peer *peer,
	const char *operation, size_t size, unsigned long n)
{
	double result = bench_peer_time(peer, operation, size, n);

	if (isnan(result))
		bench_missing(row, name, bench_peer_missing(peer));
	else
		bench_sample(row, name, result, BENCH_NONE);
}

/* The program of this name beside our own. */
static const char *beside_us(const char *name)
{
	char own[4096], *path;
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

	if (n < 0)
		bench_fail("/proc/self/exe: %m");
	own[n] = 0;
	*strrchr(own, '/') = 0;
	if (asprintf(&path, "%s/%s", own, name) < 0)
		bench_fail("out of memory");
	return path;
}

static struct bench_peer *absent(const char *reason)
{
	struct bench_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		bench_fail("out of memory");
	snprintf(peer->missing, sizeof(peer->missing), "%s", reason);
	return peer;
}

struct bench_peer *bench_peer_ucx(int cpu)
{
	const char *program = beside_us("bench-ucx");

	if (access(program, X_OK))
		return absent("not built: libucx-dev is not installed");
	return bench_peer((const char *const[]){program, NULL}, cpu);
}

static void allow_root(void)
{
	setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
	setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
}

static struct bench_peer *under_launcher(
	const char *launcher, const char *name, int cpu, const char *why)
{
	const char *program = beside_us(name);

	if (access(program, X_OK))
		return absent(why);
	allow_root();
	return bench_peer((const char *const[]){launcher, "--oversubscribe", "--bind-to", "none",
				  "-n", "2", program, NULL},
		cpu);
}

struct bench_peer *bench_peer_oshmem(int cpu)
{
	return under_launcher(
		"oshrun", "bench-oshmem", cpu, "not built: libopenmpi-dev is not installed");
}

struct bench_peer *bench_peer_mpi(int cpu)
{
	return under_launcher(
		"mpirun", "bench-mpi", cpu, "not built: libopenmpi-dev is not installed");
}

/* The file of this name in the tree's bench/, which is what was built from. */
static const char *in_tree(const char *name)
{
	const char *tree = getenv("BENCH_DIR");
	char *path;

	if (asprintf(&path, "%s/%s", tree ? tree : "bench", name) < 0)
		bench_fail("out of memory");
	return path;
}

/* What both halves look at: a word of ours. */
static void share_turn(void)
{
	int fd = memfd_create("turn", 0);
	char path[64];

	if (fd < 0 || ftruncate(fd, sizeof(int)))
		bench_fail("memfd_create: %m");
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	setenv("PEER_TURN", path, 1);
}

struct bench_peer *bench_peer_mpi_nodes(int cpu)
{
	const char *program = beside_us("bench-mpi");
	char hosts[64];
	struct bench_peer *peer;

	if (access(program, X_OK))
		return absent("not built: libopenmpi-dev is not installed");
	allow_root();
	share_turn();
	snprintf(hosts, sizeof(hosts), "localhost:1,%s:1", getenv("PEER_ADDRESS"));
	peer = bench_peer(
		(const char *const[]){"mpirun", "--bind-to", "none", "-n", "2", "--host", hosts,
			"--mca", "plm_rsh_agent", in_tree("mpi-there"), "--mca",
			"oob_tcp_if_include", "eth0", "--mca", "btl_tcp_if_include", "eth0",
			"--mca", "btl", "tcp,self", "--mca", "pml", "ob1", "--mca", "osc", "pt2pt",
			"-x", "PEER_TURN", "-x", "PEER_NETWORK", program, NULL},
		cpu);
	unsetenv("PEER_TURN");
	return peer;
}

struct bench_peer *bench_peer_ofi(const char *provider, int cpu)
{
	const char *program = beside_us("bench-ofi");

	if (access(program, X_OK))
		return absent("not built: libfabric-dev is not installed");
	return bench_peer((const char *const[]){program, provider, NULL}, cpu);
}

struct bench_peer *bench_peer_iperf(int cpu)
{
	if (access("/usr/bin/iperf3", X_OK))
		return absent("iperf3 is not installed");
	return bench_peer((const char *const[]){in_tree("peer-iperf"), NULL}, cpu);
}
