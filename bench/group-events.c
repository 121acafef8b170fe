/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rsm_intr_signal_wait_pollfd() over 64 descriptors beside poll(2) over the same: 63 of segments,
 * the last of them with the signal, and a pipe of our own. Who takes a signal also empties its
 * pipe, so beside that stands poll with the read(2) of a byte.
 */

#include <poll.h>
#include <unistd.h>
#include "segment.h"

#define SEGMENTS 63u
#define N_FDS	 (SEGMENTS + 1)
#define SIGNALS	 200u /* a sample */

static struct pollfd fds[N_FDS];
static int own[2]; /* the pipe */

static void wait_pollfd(void *unused, unsigned long n)
{
	int ready;

	for (unsigned long i = 0; i < n; ++i) {
		int code = rsm_intr_signal_wait_pollfd(fds, N_FDS, 0, &ready);

		if (code != RSM_SUCCESS && code != RSMERR_TIMEOUT)
			bench_rsm(code, "rsm_intr_signal_wait_pollfd");
	}
}

static void bare_poll(void *unused, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		if (poll(fds, N_FDS, 0) < 0)
			bench_fail("poll: %m");
}

static void write_byte(void)
{
	if (write(own[1], "", 1) != 1)
		bench_fail("write: %m");
}

static void read_byte(void)
{
	char byte;

	if (read(own[0], &byte, 1) != 1)
		bench_fail("read: %m");
}

/* The ns of the call that takes a signal; posting is not in it. */
static double take_signal(rsm_memseg_import_handle_t import)
{
	int ready = 0, code;
	uint64_t start;

	bench_rsm(rsm_intr_signal_post(import, 0), "rsm_intr_signal_post");
	start = bench_now();
	code = rsm_intr_signal_wait_pollfd(fds, N_FDS, 1000, &ready);
	start = bench_now() - start;
	bench_rsm(code, "rsm_intr_signal_wait_pollfd");
	if (ready != 1)
		bench_fail("%d descriptors are ready", ready);
	return (double)start;
}

static double take_byte(void)
{
	uint64_t start;

	write_byte();
	start = bench_now();
	if (poll(fds, N_FDS, 1000) != 1)
		bench_fail("poll: %m");
	read_byte();
	return (double)(bench_now() - start);
}

static void sample_taken(struct bench_row *row, rsm_memseg_import_handle_t import)
{
	static double signals[SIGNALS], bytes[SIGNALS];
	double median;

	for (size_t i = 0; i < SIGNALS; ++i) {
		signals[i] = take_signal(import);
		bytes[i] = take_byte();
	}
	median = bench_median(signals, SIGNALS);
	bench_sample(row, "causeway", median, bench_percentile(signals, SIGNALS, 99));
	median = bench_median(bytes, SIGNALS);
	bench_sample(row, "poll(2), read", median, bench_percentile(bytes, SIGNALS, 99));
}

void group_events(struct bench *bench)
{
	static const char *const names[2] = {"causeway", "poll(2)"};
	struct bench_side sides[2] = {{.work = wait_pollfd}, {.work = bare_poll}};
	struct bench_row *none, *plain, *taken;
	rsm_memseg_import_handle_t import = NULL;

	for (size_t i = 0; i < SEGMENTS; ++i) {
		struct bench_export segment = bench_export(4096);

		bench_rsm(rsm_memseg_get_pollfd(segment.handle, &fds[i]), "rsm_memseg_get_pollfd");
		import = bench_import(segment.id);
	}
	if (pipe(own))
		bench_fail("pipe: %m");
	fds[SEGMENTS] = (struct pollfd){.fd = own[0], .events = POLLIN};
	none = bench_row(bench, "wait_pollfd of 64, none ready", "ns", 1, BENCH_RATIO, 1.3);
	plain = bench_row(
		bench, "wait_pollfd of 64, a pipe of our own ready", "ns", 1, BENCH_RATIO, 1.3);
	taken = bench_row(bench, "wait_pollfd of 64, a signal taken", "ns", 1, BENCH_RATIO, 1.3);
	while (bench_round(bench)) {
		bench_pin(0, bench_cpu(1));
		bench_sample_two(none, names, sides, 100);
		write_byte();
		bench_sample_two(plain, names, sides, 100);
		read_byte();
		sample_taken(taken, import);
	}
}
