/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 10,000 published segments of one process that may open 1,024 descriptors: time, the node's
 * memory, and whether another process's connect notices.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "segment.h"

#define N_SEGMENTS 10000u
#define PAGE	   4096u

static rsm_memseg_export_handle_t exports[N_SEGMENTS];

static double create_all(char *memory)
{
	uint64_t start = bench_now();

	for (size_t i = 0; i < N_SEGMENTS; ++i) {
		rsm_memseg_id_t id = 0;

		bench_rsm(rsm_memseg_export_create(
				  bench_controller(), &exports[i], memory + i * PAGE, PAGE, 0),
			"rsm_memseg_export_create, many");
		bench_rsm(rsm_memseg_export_publish(exports[i], &id, NULL, 0),
			"rsm_memseg_export_publish, many");
	}
	return (double)(bench_now() - start);
}

static double destroy_all(void)
{
	uint64_t start = bench_now();

	for (size_t i = 0; i < N_SEGMENTS; ++i)
		bench_rsm(rsm_memseg_export_destroy(exports[i]), "rsm_memseg_export_destroy, many");
	return (double)(bench_now() - start);
}

/* Creates at one word, destroys at the next; answers with the ns. */
static void crowd(int channel, void *unused)
{
	struct rlimit limit = {1024, 1024};
	char *memory = bench_memory((size_t)N_SEGMENTS * PAGE);

	if (setrlimit(RLIMIT_NOFILE, &limit))
		bench_fail("setrlimit: %m");
	bench_controller();
	for (;;) {
		bench_receive(channel);
		bench_send(channel, (uint64_t)create_all(memory));
		bench_receive(channel);
		bench_send(channel, (uint64_t)destroy_all());
	}
}

static double resident(pid_t pid)
{
	char path[64], line[128];
	unsigned long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmRSS: %lu", &kib) == 1)
			break;
	fclose(file);
	return (double)kib * 1024;
}

static double node_resident(void)
{
	pid_t pids[2];
	unsigned int n = bench_node(pids);
	double sum = 0;

	if (!n)
		bench_fail("the node's processes are not to be found");
	for (unsigned int i = 0; i < n; ++i)
		sum += resident(pids[i]);
	return sum;
}

static void connect_and_disconnect(void *context, unsigned long n)
{
	rsm_memseg_id_t *id = context;

	for (unsigned long i = 0; i < n; ++i)
		bench_rsm(rsm_memseg_import_disconnect(bench_import(*id)),
			"rsm_memseg_import_disconnect");
}

/* Client, keeper and daemon on one core, or all where they like: what crosses cores varies too
 * much. */
static void together(bool on)
{
	static pid_t pids[2];
	static unsigned int n;

	if (!n)
		n = bench_node(pids);
	for (unsigned int i = 0; i < n; ++i)
		bench_pin_process(pids[i], on ? bench_cpu(1) : -1);
	bench_pin_process(getpid(), on ? bench_cpu(1) : -1);
}

static double time_connect(rsm_memseg_id_t *id, double *ret_p99)
{
	double median;

	together(true);
	median = bench_time(connect_and_disconnect, id, 1, ret_p99);
	together(false);
	return median;
}

static double ask(int channel)
{
	bench_send(channel, 0);
	return (double)bench_receive(channel);
}

void group_many(struct bench *bench)
{
	struct bench_row *create, *destroy, *memory, *connect;
	int channel = bench_partner(crowd, NULL).channel;
	rsm_memseg_id_t id = bench_exporter(65536);
	double before, p99, median;

	bench_at_most_rounds(bench, 10);
	create = bench_row(
		bench, "10,000 segments: create and publish", "s", 1e9, BENCH_ABSOLUTE, 1e9);
	destroy = bench_row(bench, "10,000 segments: destroy", "s", 1e9, BENCH_SHOWN, 0);
	memory = bench_row(bench, "10,000 segments: memory of daemon and keeper, each", "KiB", 1024,
		BENCH_ABSOLUTE, 2048);
	connect = bench_row(bench, "connect beside 10,000 segments", "us", 1000, BENCH_RATIO, 1.2);
	connect_and_disconnect(&id, 10);
	before = node_resident(); /* once: what later rounds use again must not be left out */
	while (bench_round(bench)) {
		median = time_connect(&id, &p99);
		bench_sample(create, "causeway", ask(channel), BENCH_NONE);
		bench_sample(
			memory, "causeway", (node_resident() - before) / N_SEGMENTS, BENCH_NONE);
		bench_sample(connect, "causeway", time_connect(&id, NULL), BENCH_NONE);
		bench_sample(connect, "connect, 1 segment", median, p99);
		bench_sample(destroy, "causeway", ask(channel), BENCH_NONE);
	}
}
