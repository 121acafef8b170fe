/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_H
#define BENCH_H

/*
 * The harness of the benchmarks. A group is a process of its own that measures a few rows together:
 * in each round every contender of every row gives one sample (the median of many repetitions), one
 * after the other, so that whatever the machine does meanwhile meets all of them. With each round
 * goes the cache-line ping-pong across the two cores, because that is what moves by itself here.
 *
 * A row's first contender is ours; the second is the one that the limit speaks of. Printed are the
 * medians over the rounds, the ratio of each contender to ours of the same round with its range,
 * and whether the limit was kept.
 *
 * Benchmarks give up loudly: bench_fail() ends the group, the others go on.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define BENCH_NONE (-1.0)

enum bench_limit {
	BENCH_SHOWN,	/* nothing to keep */
	BENCH_ABSOLUTE, /* ours <= value */
	BENCH_RATIO,	/* ours <= value × the second contender */
	BENCH_PLUS,	/* ours <= the second contender + value */
};

struct bench;
struct bench_row;

/* Rows live as long as the group. unit divides the samples, which are ns for times. */
struct bench_row *bench_row(struct bench *bench, const char *name, const char *unit, double scale,
	enum bench_limit limit, double value);

/* A further limit: ours <= value × this contender, if it can be measured. */
void bench_limit_too(struct bench_row *row, const char *contender, double value);

/* False when all rounds are over. Measures the ping-pong. */
bool bench_round(struct bench *bench);
unsigned int bench_round_number(const struct bench *bench); /* from 0 */
double bench_round_pingpong(const struct bench *bench);
/* Before the first round: this group can do with n. */
void bench_at_most_rounds(struct bench *bench, unsigned int n);

/* One sample of this round. p99 of the repetitions or BENCH_NONE. */
void bench_sample(struct bench_row *row, const char *contender, double value, double p99);
/* A contender that cannot be measured here, and why. */
void bench_missing(struct bench_row *row, const char *contender, const char *reason);
/* A line of text below the row. */
void bench_note(struct bench_row *row, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

void bench_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Ends the group if an RSM function did not succeed. */
void bench_rsm(int code, const char *what);

static inline uint64_t bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A counter that costs some ns to read, and its length in ns. */
uint64_t bench_ticks(void);
double bench_tick_ns(void);

double bench_median(double *values, size_t n); /* sorts */
double bench_percentile(const double *sorted, size_t n, double percent);

/* The first and the last CPU that this process was allowed at the start. */
int bench_cpu(unsigned int which);
void bench_pin(pid_t thread, int cpu);
void bench_unpin(pid_t thread);
void bench_pin_process(pid_t process, int cpu); /* all threads; < 0: anywhere */

/* Repeats work(context), n times each, until at least this many repetitions and this much time went
 * by; the sample is ns per one of the n: the median, and the 99th percentile. */
typedef void (*bench_work)(void *context, unsigned long n);
double bench_time(bench_work work, void *context, unsigned long n, double *ret_p99);

/* The same for two contenders in turns, repetition by repetition, so that a disturbance meets both.
 */
struct bench_side {
	bench_work work;
	void *context;
	double median, p99;
};
void bench_time_two(struct bench_side sides[2], unsigned long n);
void bench_sample_two(struct bench_row *row, const char *const contenders[2],
	struct bench_side sides[2], unsigned long n);

/* Memory. populated: every page touched. */
void *bench_memory(size_t size);	/* private anonymous, populated */
void *bench_shared_memory(size_t size); /* shared anonymous, populated */
/* A memfd, allocated, mapped shared and populated: what a segment is made of. */
void *bench_memfd(size_t size, int *ret_fd);

/* Physical 2 MiB frames that these pages lie in: the fewer, the fewer misses in the host's page
 * tables. 0 where the kernel does not say (it tells root only). */
size_t bench_frames(const void *memory, size_t size);

/* The other process of a benchmark: runs main(channel) and ends with the group. channel is one end
 * of a stream socket. */
struct bench_partner {
	pid_t pid;
	int channel;
};
struct bench_partner bench_partner(void (*main)(int channel, void *context), void *context);
void bench_send(int channel, uint64_t word);
uint64_t bench_receive(int channel);

/* A peer: another library's program that answers "put 8 1000" with ns per operation. */
struct bench_peer;
struct bench_peer *bench_peer(const char *const command[], int cpu);
const char *bench_peer_missing(const struct bench_peer *peer); /* NULL: it is there */
double bench_peer_time(
	struct bench_peer *peer, const char *operation, size_t size, unsigned long n);
struct bench_peer *bench_peer_ucx(int cpu);
struct bench_peer *bench_peer_oshmem(int cpu);
struct bench_peer *bench_peer_mpi(int cpu);
/* Between two nodes: nodes.h says how they know of the other half's network. */
struct bench_peer *bench_peer_mpi_nodes(int cpu);
struct bench_peer *bench_peer_ofi(const char *provider, int cpu);
struct bench_peer *bench_peer_iperf(int cpu);
void bench_peer_sample(struct bench_row *row, const char *name, struct bench_peer *peer,
	const char *operation, size_t size, unsigned long n);

/* The processes of the node that we talk to: keeper, daemon. Number of those found. */
unsigned int bench_node(pid_t ret_pids[2]);
/* How often the threads of a process have left a CPU, voluntarily or not. */
unsigned long bench_switches(pid_t process);

struct bench_group {
	const char *name;
	void (*run)(struct bench *bench);
	const char *what;
};
/* The program's, until one without a name, and what it is called. */
extern const struct bench_group bench_groups[];
extern const char bench_what[];

/* The groups of `bench local`. */
void group_elements(struct bench *bench);
void group_bulk(struct bench *bench);
void group_mapped(struct bench *bench);
void group_signals(struct bench *bench);
void group_vector(struct bench *bench);
void group_events(struct bench *bench);
void group_crowd(struct bench *bench);
void group_requests(struct bench *bench);
void group_adoption(struct bench *bench);
void group_many(struct bench *bench);
void group_idle(struct bench *bench);
void group_pages(struct bench *bench);
void group_sisci(struct bench *bench);
void group_clshm(struct bench *bench);

/* The groups of `bench remote`. */
void group_fabric(struct bench *bench);
void group_fabric_asleep(struct bench *bench);
void group_fabric_batches(struct bench *bench);
void group_nodes(struct bench *bench);
void group_nodes_spans(struct bench *bench);
void group_nodes_signals(struct bench *bench);
void group_nodes_life(struct bench *bench);
void group_nodes_maps(struct bench *bench);
void group_nodes_clshm(struct bench *bench);
void group_nodes_sisci(struct bench *bench);
void group_nodes_sisci_messages(struct bench *bench);
void group_nodes_sisci_stores(struct bench *bench);
void group_nodes_sisci_connect(struct bench *bench);

#endif
