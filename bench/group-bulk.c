/* SPDX-License-Identifier: Apache-2.0 */
/*
 * put and get of blocks beside memcpy between the very same pages: private anonymous memory on this
 * side, the segment through a map of a second import on the other. Beside it memcpy with another
 * memfd, new in each round: which physical pages one got is worth up to a third at 1 MiB here.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "segment.h"

struct block {
	rsm_memseg_import_handle_t import;
	void *local, *remote; /* remote: where memcpy finds it */
	size_t size;
	int code;
};

static void put(void *context, unsigned long n)
{
	struct block *block = context;

	for (unsigned long i = 0; i < n; ++i)
		block->code |= rsm_memseg_import_put(block->import, 0, block->local, block->size);
}

static void get(void *context, unsigned long n)
{
	struct block *block = context;

	for (unsigned long i = 0; i < n; ++i)
		block->code |= rsm_memseg_import_get(block->import, 0, block->local, block->size);
}

/* The empty statement keeps the compiler from leaving copies out. */
static void copy_out(void *context, unsigned long n)
{
	struct block *block = context;

	for (unsigned long i = 0; i < n; ++i) {
		memcpy(block->remote, block->local, block->size);
		__asm__ volatile("" ::: "memory");
	}
}

static void copy_in(void *context, unsigned long n)
{
	struct block *block = context;

	for (unsigned long i = 0; i < n; ++i) {
		memcpy(block->local, block->remote, block->size);
		__asm__ volatile("" ::: "memory");
	}
}

static const struct {
	size_t size;
	const char *name;
	unsigned long n;
} sizes[] = {
	{4096, "4 KiB", 500},
	{65536, "64 KiB", 50},
	{1 << 20, "1 MiB", 5},
	{16 << 20, "16 MiB", 1},
	{256 << 20, "256 MiB", 1},
};

#define N_SIZES (sizeof(sizes) / sizeof(*sizes))
#define LARGEST (256ul << 20)

static struct bench_row *make_row(struct bench *bench, const char *direction, size_t which)
{
	char *name;

	if (asprintf(&name, "%s of %s", direction, sizes[which].name) < 0)
		bench_fail("out of memory");
	if (sizes[which].size == 4096)
		return bench_row(bench, name, "ns", 1, BENCH_PLUS, 15);
	return bench_row(bench, name, "us", 1000, BENCH_RATIO, 1 / 0.97);
}

struct direction {
	struct bench_row *rows[N_SIZES];
	bench_work ours, copy;
	const char *operation;
	struct bench_peer *ucx, *oshmem;
};

static void sample(
	const struct direction *direction, size_t which, struct block *block, void *other)
{
	static const char *const names[2] = {"causeway", "memcpy, the same pages"};
	struct bench_side sides[2] = {
		{.work = direction->ours, .context = block},
		{.work = direction->copy, .context = block},
	};
	struct bench_row *row = direction->rows[which];
	unsigned long n = sizes[which].n;
	struct block with_other;

	block->size = sizes[which].size;
	bench_time_two(sides, n);
	for (size_t i = 0; i < 2; ++i)
		bench_sample(row, names[i], sides[i].median, BENCH_NONE);
	with_other = *block;
	with_other.remote = other;
	bench_sample(row, "memcpy, another memfd",
		bench_time(direction->copy, &with_other, n, NULL), BENCH_NONE);
	bench_peer_sample(row, "UCX", direction->ucx, direction->operation, block->size, n);
	bench_peer_sample(
		row, "OpenSHMEM", direction->oshmem, direction->operation, block->size, n);
}

static void *map_again(rsm_memseg_id_t id)
{
	void *address = NULL;

	bench_rsm(rsm_memseg_import_map(
			  bench_import(id), &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, LARGEST),
		"rsm_memseg_import_map");
	memset(address, 1, LARGEST);
	return address;
}

void group_bulk(struct bench *bench)
{
	int cpu = bench_cpu(1);
	rsm_memseg_id_t id = bench_exporter(LARGEST);
	struct bench_peer *ucx = bench_peer_ucx(cpu), *oshmem = bench_peer_oshmem(cpu);
	struct direction directions[] = {
		{.ours = put, .copy = copy_out, .operation = "put", .ucx = ucx, .oshmem = oshmem},
		{.ours = get, .copy = copy_in, .operation = "get", .ucx = ucx, .oshmem = oshmem},
	};
	struct block block = {.import = bench_import(id), .size = LARGEST};
	rsmapi_barrier_t barrier;

	block.local = bench_memory(LARGEST);
	block.remote = map_again(id);
	bench_rsm(rsm_memseg_import_init_barrier(block.import, RSM_BAR_DEFAULT, &barrier),
		"rsm_memseg_import_init_barrier");
	put(&block, 1); /* touches every page of the hidden map */
	for (size_t i = 0; i < N_SIZES; ++i)
		for (size_t j = 0; j < 2; ++j)
			directions[j].rows[i] = make_row(bench, directions[j].operation, i);
	while (bench_round(bench)) {
		void *other = bench_memfd(LARGEST, NULL);

		bench_pin(0, cpu);
		for (size_t i = 0; i < N_SIZES; ++i)
			for (size_t j = 0; j < 2; ++j)
				sample(&directions[j], i, &block, other);
		munmap(other, LARGEST);
		bench_rsm(block.code, "put or get");
	}
}
