/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs that keep the process busy until they are stopped: writers that check their own stores, a
 * pair that sends blocks to and fro and checks every byte, a loop of requests to the daemon. Each
 * runs in threads of its own and remembers the longest time that one round took.
 */
#include "agent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK	    4096u /* bytes of a round trip: request at 0, answer at BLOCK */
#define TAKEN	    0xa5u
#define WRITERS_MAX 8u

struct load {
	_Atomic bool stop;
	_Atomic uint64_t rounds, wrong, slowest_us;
	_Atomic int code; /* the first that was not expected */
	unsigned int object;
	uint64_t argument;
	unsigned int n_threads;
	pthread_t threads[WRITERS_MAX];
};

static struct load writers_load, echo_load, trips_load, requests_load;

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void count_round(struct load *l, uint64_t began)
{
	uint64_t took = now_us() - began;

	l->rounds++;
	if (took > l->slowest_us)
		l->slowest_us = took;
}

static void unexpected(struct load *l, int code)
{
	int none = 0;

	atomic_compare_exchange_strong(&l->code, &none, code);
}

static void start(struct request *q, struct load *l, unsigned int n, void *(*run)(void *))
{
	*l = (struct load){.object = object(q, 0), .argument = number(q, 1)};
	for (; l->n_threads < n && l->n_threads < WRITERS_MAX; l->n_threads++)
		if (pthread_create(&l->threads[l->n_threads], NULL, run, l))
			break;
	answer(q, l->n_threads == n ? 0 : AGENT_BAD_REQUEST, NULL);
}

/* → first unexpected code as CODE; rounds, wrong ones, longest in microseconds */
static void report(struct request *q, struct load *l)
{
	answer(q, l->code, "%llu %llu %llu", (unsigned long long)l->rounds,
		(unsigned long long)l->wrong, (unsigned long long)l->slowest_us);
}

static void stop(struct request *q, struct load *l)
{
	l->stop = true;
	for (unsigned int i = 0; i < l->n_threads; i++)
		pthread_join(l->threads[i], NULL);
	l->n_threads = 0;
	report(q, l);
}

/* writers */

/* Thread k owns the words k, k + n, … of each page and knows what it stored there last. */
static void *write_words(void *arg)
{
	static _Atomic unsigned int next;
	struct load *l = arg;
	struct buffer b = buffers[l->object];
	uint64_t n = l->argument, k = next++ % n, last = 0;
	volatile uint64_t *words = (volatile uint64_t *)b.at;

	for (uint64_t value = 1; !l->stop; value++) {
		uint64_t began = now_us();

		for (uint64_t i = k; i < b.size / 8; i += n * 64) {
			if (value > 1 && words[i] != (last ^ i))
				l->wrong++;
			words[i] = value ^ i;
		}
		last = value;
		count_round(l, began);
	}
	return NULL;
}

/* writers B N, writers_stop */
static void writers(struct request *q)
{
	start(q, &writers_load, (unsigned int)number(q, 1), write_words);
}

static void writers_stop(struct request *q)
{
	stop(q, &writers_load);
}

/* round trips */

/* The exporter: waits, answers with every byte of the request inverted, and takes the request
 * away, so that a put that is done once more is seen. */
static void *echo_run(void *arg)
{
	struct load *l = arg;
	uint8_t *at = buffers[l->object].at;

	while (!l->stop) {
		int r = rsm_intr_signal_wait(exports[l->object], 100);

		if (r == RSMERR_TIMEOUT)
			continue;
		if (!r) {
			uint64_t began = now_us();

			for (unsigned int i = 0; i < BLOCK; i++)
				at[BLOCK + i] = (uint8_t)~at[i];
			memset(at, TAKEN, BLOCK);
			r = rsm_intr_signal_post(exports[l->object], 0);
			count_round(l, began);
		}
		if (r) {
			unexpected(l, r);
			usleep(1000);
		}
	}
	return NULL;
}

static int trip(struct load *l, uint8_t seed)
{
	rsm_memseg_import_handle_t import = imports[l->object].handle;
	uint8_t out[BLOCK], in[2 * BLOCK];
	int r;

	for (unsigned int i = 0; i < BLOCK; i++)
		out[i] = (uint8_t)(seed + i * 7);
	r = rsm_memseg_import_put(import, 0, out, BLOCK);
	if (!r)
		r = rsm_intr_signal_post(import, 0);
	if (!r)
		r = rsm_intr_signal_wait(import, 10000);
	if (!r)
		r = rsm_memseg_import_get(import, 0, in, sizeof(in));
	if (r)
		return r;
	for (unsigned int i = 0; i < BLOCK; i++)
		if (in[i] != TAKEN || (in[BLOCK + i] ^ out[i]) != 0xff) {
			l->wrong++;
			break;
		}
	return 0;
}

static void *trips_run(void *arg)
{
	struct load *l = arg;

	for (uint8_t seed = 1; !l->stop; seed++) {
		uint64_t began = now_us();
		int r = trip(l, seed);

		if (r)
			unexpected(l, r);
		count_round(l, began);
		usleep(200); /* the machine is not ours alone */
	}
	return NULL;
}

/* echo X, echo_stop: buffer and export X; trips I, trips_stop: import I */
static void echo(struct request *q)
{
	start(q, &echo_load, 1, echo_run);
}

static void echo_stop(struct request *q)
{
	stop(q, &echo_load);
}

static void trips(struct request *q)
{
	start(q, &trips_load, 1, trips_run);
}

static void trips_stop(struct request *q)
{
	stop(q, &trips_load);
}

static void trips_report(struct request *q)
{
	report(q, &trips_load);
}

/* requests to the daemon */

static int request_round(struct load *l)
{
	rsm_memseg_import_handle_t import;
	void *at = NULL;
	int r, end;

	r = rsm_memseg_import_connect(
		controllers[0], 0, (rsm_memseg_id_t)l->argument, RSM_PERM_READ, &import);
	if (r)
		return r;
	r = rsm_memseg_import_map(import, &at, RSM_MAP_NONE, RSM_PERM_READ, 0, BLOCK);
	if (!r)
		r = rsm_memseg_import_unmap(import);
	end = rsm_memseg_import_disconnect(import);
	return r ? r : end;
}

static void *requests_run(void *arg)
{
	struct load *l = arg;

	while (!l->stop) {
		uint64_t began = now_us();
		int r = request_round(l);

		if (r)
			unexpected(l, r);
		count_round(l, began);
		usleep(500);
	}
	return NULL;
}

/* requests - ID, requests_stop: connect, map, unmap, disconnect, again and again */
static void requests(struct request *q)
{
	start(q, &requests_load, 1, requests_run);
}

static void requests_stop(struct request *q)
{
	stop(q, &requests_load);
}

static void requests_report(struct request *q)
{
	report(q, &requests_load);
}

const struct verb load_verbs[] = {
	{"writers", writers},
	{"writers_stop", writers_stop},
	{"echo", echo},
	{"echo_stop", echo_stop},
	{"trips", trips},
	{"trips_stop", trips_stop},
	{"trips_report", trips_report},
	{"requests", requests},
	{"requests_stop", requests_stop},
	{"requests_report", requests_report},
	{NULL, NULL},
};
