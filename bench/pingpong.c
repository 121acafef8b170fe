/* SPDX-License-Identifier: Apache-2.0 */
#include "pingpong.h"
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include "bench.h"

#define CHUNKS 100u
#define TRIPS  200u /* in a chunk: some 20 to 100 µs, short enough to escape the scheduler */

static _Alignas(64) _Atomic uint32_t line;

static void *answer(void *unused)
{
	bench_pin(0, bench_cpu(1));
	for (uint32_t next = 1; next <= CHUNKS * TRIPS; ++next) {
		while (atomic_load_explicit(&line, memory_order_acquire) != 2 * next - 1)
			;
		atomic_store_explicit(&line, 2 * next, memory_order_release);
	}
	return unused;
}

static double measure(void)
{
	double chunks[CHUNKS];
	uint32_t next = 1;

	for (unsigned int i = 0; i < CHUNKS; ++i) {
		uint64_t start = bench_now();

		for (unsigned int j = 0; j < TRIPS; ++j, ++next) {
			atomic_store_explicit(&line, 2 * next - 1, memory_order_release);
			while (atomic_load_explicit(&line, memory_order_acquire) != 2 * next)
				;
		}
		chunks[i] = (double)(bench_now() - start) / TRIPS;
	}
	return bench_median(chunks, CHUNKS);
}

double bench_pingpong(void)
{
	cpu_set_t before;
	pthread_t thread;
	double result;

	if (bench_cpu(0) == bench_cpu(1) || sched_getaffinity(0, sizeof(before), &before))
		return NAN;
	atomic_store(&line, 0);
	if (pthread_create(&thread, NULL, answer, NULL))
		return NAN;
	bench_pin(0, bench_cpu(0));
	result = measure();
	pthread_join(thread, NULL);
	sched_setaffinity(0, sizeof(before), &before);
	return result;
}
