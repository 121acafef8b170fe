/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SISCI's copies between two nodes: by SCIMemCpy into a map, and by DMA, which needs none; beside
 * rsm_memseg_import_put and get of the same memory, into a segment that is mapped, too, or not.
 * All return when the data is there.
 */

#include <unistd.h>
#include "nodes.h"
#include "sisci.h"

#define LARGEST (16ul << 20)

/* Mapped by the other side, and not. */
enum { MAPPED, PLAIN };

static void serve(int channel, void *context)
{
	rsm_memseg_export_handle_t handle;

	node_enter(2);
	bench_pin(0, bench_cpu(0));
	bench_send(channel, sisci_node());
	for (unsigned int i = MAPPED; i <= PLAIN; i++) {
		bench_send(channel, sisci_own(LARGEST, true).id);
		bench_send(channel, node_export(LARGEST, &handle));
	}
	for (;;)
		pause();
}

struct copies {
	struct sisci_copy sisci;
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
};

static void rsm_put(void *context, unsigned long n)
{
	struct copies *c = context;

	for (unsigned long i = 0; i < n; i++)
		bench_rsm(rsm_memseg_import_put(c->import, 0, c->sisci.from.memory, c->sisci.size),
			"rsm_memseg_import_put");
}

static void rsm_get(void *context, unsigned long n)
{
	struct copies *c = context;

	for (unsigned long i = 0; i < n; i++)
		bench_rsm(rsm_memseg_import_get(c->import, 0, c->sisci.from.memory, c->sisci.size),
			"rsm_memseg_import_get");
}

static const struct line {
	const char *name;
	size_t size;
	bench_work ours, rsm;
	unsigned int which; /* MAPPED, PLAIN */
	double most;	    /* times RSM's; 0: only shown */
} lines[] = {
	{"SCIMemCpy to another node, 8 B", 8, sisci_memcpy_write, rsm_put, MAPPED, 0},
	{"SCIMemCpy to another node, 4 KiB", 4096, sisci_memcpy_write, rsm_put, MAPPED, 1 / 0.95},
	{"SCIMemCpy to another node, 64 KiB", 65536, sisci_memcpy_write, rsm_put, MAPPED, 1 / 0.95},
	{"SCIMemCpy to another node, 1 MiB", 1 << 20, sisci_memcpy_write, rsm_put, MAPPED,
		1 / 0.95},
	{"SCIMemCpy to another node, 16 MiB", LARGEST, sisci_memcpy_write, rsm_put, MAPPED,
		1 / 0.95},
	{"SCIMemCpy from another node, 1 MiB", 1 << 20, sisci_memcpy_read, rsm_get, MAPPED,
		1 / 0.95},
	{"DMA to another node, 8 B", 8, sisci_dma_write, rsm_put, PLAIN, 0},
	{"DMA to another node, 64 KiB", 65536, sisci_dma_write, rsm_put, PLAIN, 1 / 0.95},
	{"DMA to another node, 64 KiB, in the caller", 65536, sisci_dma_wait, rsm_put, PLAIN,
		1 / 0.95},
	{"DMA to another node, 1 MiB", 1 << 20, sisci_dma_write, rsm_put, PLAIN, 1 / 0.95},
	{"DMA to another node, 16 MiB", LARGEST, sisci_dma_write, rsm_put, PLAIN, 1 / 0.95},
	{"DMA from another node, 1 MiB", 1 << 20, sisci_dma_read, rsm_get, PLAIN, 1 / 0.95},
	{"DMA to another node, a vector, 16 x 64 KiB", 1 << 20, sisci_dma_vector, rsm_put, PLAIN,
		0},
};

#define N_LINES (sizeof(lines) / sizeof(*lines))

static void sample_copy(struct bench_row *row, const struct line *line, struct copies *c)
{
	struct bench_side sides[2] = {
		{.work = line->ours, .context = &c->sisci},
		{.work = line->rsm, .context = c},
	};

	c->sisci.size = line->size;
	bench_time_two(sides, 1);
	bench_sample(row, "Causeway", sides[0].median, BENCH_NONE);
	bench_sample(
		row, line->rsm == rsm_put ? "RSM put" : "RSM get", sides[1].median, BENCH_NONE);
}

static void begin_one(
	struct copies *c, unsigned int node, const struct bench_partner *partner, bool mapped)
{
	unsigned int id = (unsigned int)bench_receive(partner->channel);
	void *address = NULL;

	sisci_copy_begin(&c->sisci, node, id, LARGEST, mapped);
	c->import = node_import(2, (rsm_memseg_id_t)bench_receive(partner->channel));
	if (mapped)
		bench_rsm(rsm_memseg_import_map(
				  c->import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, LARGEST),
			"rsm_memseg_import_map");
	bench_rsm(rsm_memseg_import_init_barrier(c->import, RSM_BAR_DEFAULT, &c->barrier),
		"rsm_memseg_import_init_barrier");
	c->sisci.size = LARGEST;
	sisci_dma_write(&c->sisci, 1); /* its thread is there, too, before we are pinned */
}

static void begin(struct copies c[2])
{
	struct bench_partner partner = bench_partner(serve, NULL);
	unsigned int node;

	nodes_pin(false);
	node_enter(1);
	node = (unsigned int)bench_receive(partner.channel);
	begin_one(&c[MAPPED], node, &partner, true);
	begin_one(&c[PLAIN], node, &partner, false);
	nodes_pin(true);
	bench_pin_process(getpid(), bench_cpu(1));
}

void group_nodes_sisci(struct bench *bench)
{
	struct bench_row *rows[N_LINES];
	struct copies c[2];

	for (size_t i = 0; i < N_LINES; i++)
		rows[i] = bench_row(bench, lines[i].name, "µs", 1000,
			lines[i].most > 0 ? BENCH_RATIO : BENCH_SHOWN, lines[i].most);
	begin(c);
	while (bench_round(bench))
		for (size_t i = 0; i < N_LINES; i++)
			sample_copy(rows[i], &lines[i], &c[lines[i].which]);
}
