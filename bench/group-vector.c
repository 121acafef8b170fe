/* SPDX-License-Identifier: Apache-2.0 */
/*
 * putv and getv of 16 entries beside the same bytes by put and get: in one call where they lie
 * together on both sides, and in 16 calls. Small entries show what an entry costs, large ones what
 * a copy costs.
 */

#include "segment.h"

#define ENTRIES 16u
#define LARGEST 4096u

struct vector {
	rsm_memseg_import_handle_t import;
	rsm_iovec_t entries[ENTRIES];
	rsm_scat_gath_t list;
	char *local;
	size_t size; /* of an entry */
	int code;
};

static void set_size(struct vector *v, size_t size)
{
	v->size = size;
	for (size_t i = 0; i < ENTRIES; ++i)
		v->entries[i] = (rsm_iovec_t){.io_type = RSM_VA_TYPE,
			.local.vaddr = v->local + i * size,
			.remote_offset = i * size,
			.transfer_length = size};
	v->list = (rsm_scat_gath_t){
		.io_request_count = ENTRIES, .remote_handle = v->import, .iovec = v->entries};
}

static void putv(void *context, unsigned long n)
{
	struct vector *v = context;

	for (unsigned long i = 0; i < n; ++i)
		v->code |= rsm_memseg_import_putv(&v->list);
}

static void getv(void *context, unsigned long n)
{
	struct vector *v = context;

	for (unsigned long i = 0; i < n; ++i)
		v->code |= rsm_memseg_import_getv(&v->list);
}

static void put_once(void *context, unsigned long n)
{
	struct vector *v = context;

	for (unsigned long i = 0; i < n; ++i)
		v->code |= rsm_memseg_import_put(v->import, 0, v->local, ENTRIES * v->size);
}

static void get_once(void *context, unsigned long n)
{
	struct vector *v = context;

	for (unsigned long i = 0; i < n; ++i)
		v->code |= rsm_memseg_import_get(v->import, 0, v->local, ENTRIES * v->size);
}

static void put_each(void *context, unsigned long n)
{
	struct vector *v = context;

	for (unsigned long i = 0; i < n; ++i)
		for (size_t j = 0; j < ENTRIES; ++j)
			v->code |= rsm_memseg_import_put(
				v->import, (off_t)(j * v->size), v->local + j * v->size, v->size);
}

static void get_each(void *context, unsigned long n)
{
	struct vector *v = context;

	for (unsigned long i = 0; i < n; ++i)
		for (size_t j = 0; j < ENTRIES; ++j)
			v->code |= rsm_memseg_import_get(
				v->import, (off_t)(j * v->size), v->local + j * v->size, v->size);
}

static const struct {
	const char *name, *second, *third;
	bench_work ours, beside, shown;
	size_t size;
	unsigned long n;
} kinds[] = {
	{"putv of 16 x 64 B", "16 puts of 64 B", "1 put of 1 KiB", putv, put_each, put_once, 64,
		500},
	{"getv of 16 x 64 B", "16 gets of 64 B", "1 get of 1 KiB", getv, get_each, get_once, 64,
		500},
	{"putv of 16 x 4 KiB", "1 put of 64 KiB", "16 puts of 4 KiB", putv, put_once, put_each,
		LARGEST, 50},
	{"getv of 16 x 4 KiB", "1 get of 64 KiB", "16 gets of 4 KiB", getv, get_once, get_each,
		LARGEST, 50},
};

#define N_KINDS (sizeof(kinds) / sizeof(*kinds))

void group_vector(struct bench *bench)
{
	static struct vector v;
	struct bench_row *rows[N_KINDS];
	rsmapi_barrier_t barrier;

	v.import = bench_import(bench_exporter(ENTRIES * LARGEST));
	v.local = bench_memory(ENTRIES * LARGEST);
	bench_rsm(rsm_memseg_import_init_barrier(v.import, RSM_BAR_DEFAULT, &barrier),
		"rsm_memseg_import_init_barrier");
	for (size_t i = 0; i < N_KINDS; ++i)
		rows[i] = bench_row(bench, kinds[i].name, "ns", 1, BENCH_RATIO, 1.2);
	while (bench_round(bench)) {
		bench_pin(0, bench_cpu(1));
		for (size_t i = 0; i < N_KINDS; ++i) {
			const char *const names[2] = {"causeway", kinds[i].second};
			struct bench_side sides[2] = {
				{.work = kinds[i].ours, .context = &v},
				{.work = kinds[i].beside, .context = &v},
			};

			set_size(&v, kinds[i].size);
			bench_sample_two(rows[i], names, sides, kinds[i].n);
			bench_sample(rows[i], kinds[i].third,
				bench_time(kinds[i].shown, &v, kinds[i].n, NULL), BENCH_NONE);
		}
		bench_rsm(v.code, "putv, getv, put or get");
	}
}
