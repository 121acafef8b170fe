/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clshm on one partition beside System V: attach and detach beside the kernel's and a bare round
 * trip to a daemon, the get of a known key, loads and stores.
 */

#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>
#include <xp_shm.h>
#include "access.h"
#include "round-trip.h"

#define SIZE 65536u

static void *must_attach(void *memory, const char *what)
{
	if (memory == (void *)-1)
		bench_fail("%s: %m", what);
	return memory;
}

static int must(int r, const char *what)
{
	if (r == -1)
		bench_fail("%s: %m", what);
	return r;
}

/* --- attach and detach --- */

static void attach(void *context, unsigned long n)
{
	const int *id = context;

	for (unsigned long i = 0; i < n; ++i)
		must(xp_shmdt(must_attach(xp_shmat(*id, NULL, 0), "xp_shmat")), "xp_shmdt");
}

struct kernel {
	key_t key;
	int id;
	struct round_trip trip;
};

static void kernel_attach(void *context, unsigned long n)
{
	struct kernel *kernel = context;

	for (unsigned long i = 0; i < n; ++i)
		must(shmdt(must_attach(shmat(kernel->id, NULL, 0), "shmat")), "shmdt");
}

static void kernel_attach_and_ask(void *context, unsigned long n)
{
	struct kernel *kernel = context;

	for (unsigned long i = 0; i < n; ++i) {
		kernel_attach(kernel, 1);
		round_trip_work(&kernel->trip, 1);
	}
}

/* --- get --- */

struct known {
	key_t key;
	int id;
};

static void get(void *context, unsigned long n)
{
	const struct known *known = context;

	for (unsigned long i = 0; i < n; ++i)
		must(xp_shmget(known->key, SIZE, 0600), "xp_shmget");
}

static void kernel_get(void *context, unsigned long n)
{
	const struct kernel *kernel = context;

	for (unsigned long i = 0; i < n; ++i)
		must(shmget(kernel->key, SIZE, 0600), "shmget");
}

/* --- access --- */

static void *make(void)
{
	int id = must(
		xp_shmget(must(xp_ftok(NULL, CLSHM_IF_ID_DEFAULT), "xp_ftok"), ACCESS_SIZE, 0600),
		"xp_shmget");
	void *memory = must_attach(xp_shmat(id, NULL, 0), "xp_shmat");

	must(xp_shmctl(id, IPC_RMID), "xp_shmctl");
	access_touch(memory);
	return memory;
}

static void *make_kernel(void)
{
	int id = must(shmget(IPC_PRIVATE, ACCESS_SIZE, IPC_CREAT | 0600), "shmget");
	void *memory = must_attach(shmat(id, NULL, 0), "shmat");

	must(shmctl(id, IPC_RMID, NULL), "shmctl");
	access_touch(memory);
	return memory;
}

static void drop_kernel(void *memory)
{
	must(shmdt(memory), "shmdt");
}

static void drop(void *memory)
{
	must(xp_shmdt(memory), "xp_shmdt");
}

/* New ones in each round; who comes first gets what others have just given back, so that is either
 * by turns. */
static void sample_access(struct bench_row *const *rows, bool ours_first, size_t frames[2])
{
	static const char *const names[2] = {"causeway", "System V memory"};
	void *ours, *kernel;

	if (ours_first) {
		ours = make();
		kernel = access_memory_like(
			bench_frames(ours, ACCESS_SIZE), make_kernel, drop_kernel);
	} else {
		kernel = make_kernel();
		ours = access_memory_like(bench_frames(kernel, ACCESS_SIZE), make, drop);
	}
	frames[0] += bench_frames(ours, ACCESS_SIZE);
	frames[1] += bench_frames(kernel, ACCESS_SIZE);
	access_sample(rows, names, ours, kernel);
	drop_kernel(kernel);
	drop(ours);
}

/* --- the group --- */

static void begin(struct known *known, struct kernel *kernel)
{
	known->key = must(xp_ftok(NULL, CLSHM_IF_ID_DEFAULT), "xp_ftok");
	known->id = must(xp_shmget(known->key, SIZE, 0600), "xp_shmget");
	/* some key that nobody has */
	kernel->key = getpid();
	while ((kernel->id = shmget(kernel->key, SIZE, IPC_CREAT | IPC_EXCL | 0600)) == -1)
		kernel->key++;
	round_trip_begin(&kernel->trip, SIZE);
}

static void end(const struct known *known, const struct kernel *kernel)
{
	round_trip_place(&kernel->trip, -1);
	must(shmctl(kernel->id, IPC_RMID, NULL), "shmctl");
	must(xp_shmctl(known->id, IPC_RMID), "xp_shmctl");
}

static void sample_attach(struct bench_row *row, struct known *known, struct kernel *kernel)
{
	static const char *const names[2] = {"causeway", "shmat, shmdt, bare round trip"};
	struct bench_side sides[2] = {
		{.work = attach, .context = &known->id},
		{.work = kernel_attach_and_ask, .context = kernel},
	};
	double p99, median;

	bench_sample_two(row, names, sides, 1);
	median = bench_time(kernel_attach, kernel, 1, &p99);
	bench_sample(row, "shmat, shmdt", median, p99);
	median = bench_time(round_trip_work, &kernel->trip, 1, &p99);
	bench_sample(row, "bare round trip", median, p99);
}

static void sample_get(struct bench_row *row, struct known *known, struct kernel *kernel)
{
	static const char *const names[2] = {"causeway", "shmget"};
	struct bench_side sides[2] = {
		{.work = get, .context = known},
		{.work = kernel_get, .context = kernel},
	};

	bench_sample_two(row, names, sides, 1000);
}

void group_clshm(struct bench *bench)
{
	struct bench_row *attaches[2], *gets, *accesses[ACCESS_PATTERNS];
	static struct kernel kernel;
	size_t frames[2] = {0, 0};
	struct known known;

	attaches[0] = bench_row(
		bench, "clshm: attach and detach; same core", "us", 1000, BENCH_RATIO, 1.5);
	attaches[1] =
		bench_row(bench, "clshm: attach and detach; across", "us", 1000, BENCH_RATIO, 1.5);
	gets = bench_row(bench, "clshm: get of a known key", "ns", 1, BENCH_RATIO, 5);
	access_rows(bench, "clshm", 1.03, accesses);
	begin(&known, &kernel);
	while (bench_round(bench)) {
		bench_pin(0, bench_cpu(1));
		for (unsigned int across = 0; across < 2; ++across) {
			round_trip_place(&kernel.trip, bench_cpu(across ? 0 : 1));
			sample_attach(attaches[across], &known, &kernel);
		}
		sample_get(gets, &known, &kernel);
		sample_access(accesses, bench_round_number(bench) % 2, frames);
	}
	bench_note(accesses[ACCESS_PATTERNS - 1],
		"physical 2 MiB frames in all rounds: %zu and %zu", frames[0], frames[1]);
	end(&known, &kernel);
}
