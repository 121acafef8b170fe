/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What benchmarks need of the machine: time, CPUs, memory, another process, the node's processes.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define LEAST_TIME    20000000u /* ns: of one sample */
#define LEAST_REPEATS 9u
#define MOST_REPEATS  4000u
#define MOST_PARTNERS 16u
#define PAGE	      4096u
#define FRAME	      (2u << 20)
#define PAGEMAP_PAGE  ((1ull << 55) - 1)

uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	return bench_now();
#endif
}

double bench_tick_ns(void)
{
	static double length;

	if (length == 0) {
		uint64_t time = bench_now(), ticks = bench_ticks();

		usleep(20000);
		ticks = bench_ticks() - ticks;
		length = (double)(bench_now() - time) / (double)ticks;
	}
	return length;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

double bench_median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

double bench_percentile(const double *sorted, size_t n, double percent)
{
	return sorted[(size_t)((double)(n - 1) * percent / 100)];
}

int bench_cpu(unsigned int which)
{
	static int cpus[2] = {-1, -1};

	if (cpus[0] < 0) {
		cpu_set_t allowed;

		if (sched_getaffinity(0, sizeof(allowed), &allowed))
			bench_fail("sched_getaffinity: %m");
		for (int i = 0; i < CPU_SETSIZE; ++i)
			if (CPU_ISSET(i, &allowed)) {
				cpus[0] = cpus[0] < 0 ? i : cpus[0];
				cpus[1] = i;
			}
	}
	return cpus[which];
}

void bench_pin(pid_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(thread, sizeof(set), &set);
}

void bench_unpin(pid_t thread)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(bench_cpu(0), &set);
	CPU_SET(bench_cpu(1), &set);
	sched_setaffinity(thread, sizeof(set), &set);
}

void bench_pin_process(pid_t process, int cpu)
{
	char path[64];
	struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", process);
	tasks = opendir(path);
	if (!tasks)
		return;
	while ((entry = readdir(tasks))) {
		pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);

		if (thread > 0 && cpu >= 0)
			bench_pin(thread, cpu);
		else if (thread > 0)
			bench_unpin(thread);
	}
	closedir(tasks);
}

double bench_time(bench_work work, void *context, unsigned long n, double *ret_p99)
{
	static double times[MOST_REPEATS];
	uint64_t begin = bench_now();
	size_t repeats = 0;
	double median;

	while (repeats < MOST_REPEATS &&
		(repeats < LEAST_REPEATS || bench_now() - begin < LEAST_TIME)) {
		uint64_t start = bench_now();

		work(context, n);
		times[repeats++] = (double)(bench_now() - start) / (double)n;
	}
	median = bench_median(times, repeats);
	if (ret_p99)
		*ret_p99 = bench_percentile(times, repeats, 99);
	return median;
}

void bench_time_two(struct bench_side sides[2], unsigned long n)
{
	static double times[2][MOST_REPEATS];
	uint64_t begin = bench_now();
	size_t repeats = 0;

	while (repeats < MOST_REPEATS &&
		(repeats < LEAST_REPEATS || bench_now() - begin < 2 * LEAST_TIME)) {
		for (size_t i = 0; i < 2; ++i) {
			uint64_t start = bench_now();

			sides[i].work(sides[i].context, n);
			times[i][repeats] = (double)(bench_now() - start) / (double)n;
		}
		++repeats;
	}
	for (size_t i = 0; i < 2; ++i) {
		sides[i].median = bench_median(times[i], repeats);
		sides[i].p99 = bench_percentile(times[i], repeats, 99);
	}
}

void bench_sample_two(struct bench_row *row, const char *const contenders[2],
	struct bench_side sides[2], unsigned long n)
{
	bench_time_two(sides, n);
	for (size_t i = 0; i < 2; ++i)
		bench_sample(
			row, contenders[i], sides[i].median, n == 1 ? sides[i].p99 : BENCH_NONE);
}

static void *map(size_t size, int flags, int fd)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		bench_fail("mmap of %zu bytes: %m", size);
	memset(memory, 1, size);
	return memory;
}

void *bench_memory(size_t size)
{
	return map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

void *bench_shared_memory(size_t size)
{
	return map(size, MAP_SHARED | MAP_ANONYMOUS, -1);
}

void *bench_memfd(size_t size, int *ret_fd)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);
	void *memory;

	if (fd < 0 || ftruncate(fd, (off_t)size) || fallocate(fd, 0, 0, (off_t)size))
		bench_fail("memfd of %zu bytes: %m", size);
	memory = map(size, MAP_SHARED, fd);
	if (ret_fd)
		*ret_fd = fd;
	else
		close(fd);
	return memory;
}

static int compare_words(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

size_t bench_frames(const void *memory, size_t size)
{
	size_t n = size / PAGE, n_frames = 0;
	uint64_t *entries = calloc(n, sizeof(*entries));
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || !entries ||
		pread(fd, entries, n * sizeof(*entries),
			(off_t)((uintptr_t)memory / PAGE * sizeof(*entries))) !=
			(ssize_t)(n * sizeof(*entries)))
		bench_fail("/proc/self/pagemap: %m");
	close(fd);
	for (size_t i = 0; i < n; ++i)
		entries[i] = (entries[i] & PAGEMAP_PAGE) / (FRAME / PAGE);
	qsort(entries, n, sizeof(*entries), compare_words);
	for (size_t i = 0; i < n; ++i)
		n_frames += entries[i] && (!i || entries[i] != entries[i - 1]);
	free(entries);
	return n_frames;
}

static pid_t partners[MOST_PARTNERS];
static unsigned int n_partners;
static pid_t partners_parent;

/* What partners have started themselves ends because they end (PR_SET_PDEATHSIG). */
static void end_partners(void)
{
	if (getpid() != partners_parent)
		return;
	for (unsigned int i = 0; i < n_partners; ++i) {
		kill(partners[i], SIGKILL);
		waitpid(partners[i], NULL, 0);
	}
}

static void note_partner(pid_t pid)
{
	if (partners_parent != getpid()) {
		partners_parent = getpid();
		n_partners = 0;
		atexit(end_partners);
	}
	if (n_partners == MOST_PARTNERS)
		bench_fail("too many partners");
	partners[n_partners++] = pid;
}

struct bench_partner bench_partner(void (*main)(int channel, void *context), void *context)
{
	pid_t parent = getpid();
	struct bench_partner partner;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		bench_fail("socketpair: %m");
	fflush(NULL);
	partner.pid = fork();
	if (partner.pid < 0)
		bench_fail("fork: %m");
	if (!partner.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(pair[0]);
		main(pair[1], context);
		_exit(0);
	}
	close(pair[1]);
	note_partner(partner.pid);
	partner.channel = pair[0];
	return partner;
}

void bench_send(int channel, uint64_t word)
{
	if (send(channel, &word, sizeof(word), MSG_NOSIGNAL) != sizeof(word))
		bench_fail("the other process is gone");
}

uint64_t bench_receive(int channel)
{
	uint64_t word;
	ssize_t n;

	do
		n = recv(channel, &word, sizeof(word), MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(word))
		bench_fail("the other process is gone");
	return word;
}

/* The keeper listens, so the socket's credentials name it; the daemon is its child. */
unsigned int bench_node(pid_t ret_pids[2])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("CAUSEWAY_SOCKET");
	struct ucred credentials;
	socklen_t size = sizeof(credentials);
	char children[64];
	unsigned int n = 0;
	FILE *file;
	int fd;

	if (!path || strlen(path) >= sizeof(address.sun_path))
		return 0;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address)) &&
		!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size))
		ret_pids[n++] = credentials.pid;
	if (fd >= 0)
		close(fd);
	if (!n)
		return 0;
	snprintf(children, sizeof(children), "/proc/%d/task/%d/children", ret_pids[0], ret_pids[0]);
	file = fopen(children, "re");
	if (file) {
		if (fscanf(file, "%d", &ret_pids[n]) == 1)
			++n;
		fclose(file);
	}
	return n;
}

/* Context switches of a thread since it began, voluntary or not. */
static unsigned long thread_switches(pid_t pid, const char *thread)
{
	char path[128], line[128];
	unsigned long n, sum = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", pid, thread);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1 ||
			sscanf(line, "nonvoluntary_ctxt_switches: %lu", &n) == 1)
			sum += n;
	fclose(file);
	return sum;
}

unsigned long bench_switches(pid_t pid)
{
	unsigned long sum = 0;
	struct dirent *entry;
	char path[64];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		return 0;
	while ((entry = readdir(tasks)))
		if (entry->d_name[0] != '.')
			sum += thread_switches(pid, entry->d_name);
	closedir(tasks);
	return sum;
}
