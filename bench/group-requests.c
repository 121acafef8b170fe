/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What needs the daemon, beside bare round trips: to a process that waits in epoll for requests on
 * a seqpacket socket and answers each with a descriptor. Both on the same core and across.
 */

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "round-trip.h"
#include "segment.h"

#define SIZE 65536u

struct bare {
	struct round_trip trip;
	void *local, *shared, *exchanged;
};

static void *must_map(void *address, int flags, int fd)
{
	void *memory = mmap(address, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		bench_fail("mmap: %m");
	return memory;
}

static void bare_connect_and_map(void *context, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i) {
		int fd = round_trip_make(context);

		munmap(must_map(NULL, MAP_SHARED, fd), SIZE);
		close(fd);
	}
}

static void bare_create(void *context, unsigned long n)
{
	struct bare *bare = context;

	for (unsigned long i = 0; i < n; ++i) {
		for (int trip = 0; trip < 3; ++trip)
			close(round_trip_make(&bare->trip));
		memcpy(bare->shared, bare->local, SIZE);
		__asm__ volatile("" ::: "memory");
		memcpy(bare->local, bare->shared, SIZE);
		__asm__ volatile("" ::: "memory");
	}
}

/* The least that turns private memory into shared memory in place, and back. */
static void bare_create_and_map(void *context, unsigned long n)
{
	struct bare *bare = context;

	for (unsigned long i = 0; i < n; ++i) {
		int fd = memfd_create("bench", MFD_CLOEXEC);
		void *fresh;

		for (int trip = 0; trip < 3; ++trip)
			close(round_trip_make(&bare->trip));
		if (fd < 0 || ftruncate(fd, SIZE) || fallocate(fd, 0, 0, SIZE) ||
			pwrite(fd, bare->exchanged, SIZE, 0) != SIZE)
			bench_fail("memfd: %m");
		must_map(bare->exchanged, MAP_SHARED | MAP_FIXED, fd);
		fresh = must_map(NULL, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		memcpy(fresh, bare->exchanged, SIZE);
		if (mremap(fresh, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, bare->exchanged) ==
			MAP_FAILED)
			bench_fail("mremap: %m");
		close(fd);
	}
}

static void connect_and_map(void *context, unsigned long n)
{
	rsm_memseg_id_t *id = context;

	for (unsigned long i = 0; i < n; ++i) {
		rsm_memseg_import_handle_t import = bench_import(*id);
		void *address = NULL;

		bench_rsm(rsm_memseg_import_map(
				  import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SIZE),
			"rsm_memseg_import_map");
		bench_rsm(rsm_memseg_import_unmap(import), "rsm_memseg_import_unmap");
		bench_rsm(rsm_memseg_import_disconnect(import), "rsm_memseg_import_disconnect");
	}
}

static void create_and_publish(void *context, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i) {
		rsm_memseg_export_handle_t export;
		rsm_memseg_id_t id = 0;

		bench_rsm(rsm_memseg_export_create(bench_controller(), &export, context, SIZE, 0),
			"rsm_memseg_export_create");
		bench_rsm(rsm_memseg_export_publish(export, &id, NULL, 0),
			"rsm_memseg_export_publish");
		bench_rsm(rsm_memseg_export_unpublish(export), "rsm_memseg_export_unpublish");
		bench_rsm(rsm_memseg_export_destroy(export), "rsm_memseg_export_destroy");
	}
}

static void sample(struct bench_row *row, bench_work ours, void *context, const char *beside,
	bench_work bare, void *bare_context)
{
	const char *const names[2] = {"causeway", beside};
	struct bench_side sides[2] = {
		{.work = ours, .context = context},
		{.work = bare, .context = bare_context},
	};

	bench_sample_two(row, names, sides, 1);
}

void group_requests(struct bench *bench)
{
	struct bare bare = {
		.local = bench_memory(SIZE),
		.shared = bench_memfd(SIZE, NULL),
		.exchanged = bench_memory(SIZE),
	};
	struct bench_row *connect[2], *create[2];
	void *memory = bench_memory(SIZE);
	rsm_memseg_id_t id;

	round_trip_begin(&bare.trip, SIZE);
	id = bench_exporter(SIZE);
	connect[0] = bench_row(
		bench, "connect, map, unmap, disconnect; same core", "us", 1000, BENCH_RATIO, 1.5);
	connect[1] = bench_row(
		bench, "connect, map, unmap, disconnect; across", "us", 1000, BENCH_RATIO, 1.5);
	create[0] = bench_row(bench, "create, publish, unpublish, destroy; same core", "us", 1000,
		BENCH_RATIO, 1);
	create[1] = bench_row(
		bench, "create, publish, unpublish, destroy; across", "us", 1000, BENCH_RATIO, 1);
	while (bench_round(bench)) {
		bench_pin(0, bench_cpu(1));
		for (unsigned int across = 0; across < 2; ++across) {
			round_trip_place(&bare.trip, bench_cpu(across ? 0 : 1));
			sample(connect[across], connect_and_map, &id, "bare round trip",
				round_trip_work, &bare.trip);
			bench_sample(connect[across], "round trip, mmap, munmap",
				bench_time(bare_connect_and_map, &bare.trip, 1, NULL), BENCH_NONE);
			sample(create[across], create_and_publish, memory,
				"3 bare round trips, 2 copies", bare_create, &bare);
			bench_sample(create[across], "with pages exchanged, twice",
				bench_time(bare_create_and_map, &bare, 1, NULL), BENCH_NONE);
		}
	}
	round_trip_place(&bare.trip, -1);
}
