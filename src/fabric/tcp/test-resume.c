/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads share a path whose connection, or target, is ended at random again and again. Each has a
 * part of the memory and knows every byte of it: everything is done exactly once, or said to be
 * lost.
 */
#include "fabric/tcp/test-fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "wire/message.h"
#include "wire/status.h"

#define THREADS 2u
#define PART	(MEMORY_SIZE / THREADS)
#define ROUNDS	1500u
#define WORD	(PART - 64) /* of the atomics; the rest is for bytes */

struct worker {
	pthread_t thread;
	struct home *home;
	struct fabric_user user;
	uint64_t seed, word;
	unsigned int signals, lost;
	bool unknown; /* a large put of a span was lost */
	bool ever_unknown;
	uint8_t *model, *buffer;
};

static uint64_t next(uint64_t *seed, uint64_t below)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (*seed >> 33) % below;
}

static size_t random_size(struct worker *w)
{
	static const size_t below[] = {9, 100, 9000, 70000, 400000};

	return 1 + next(&w->seed, below[next(&w->seed, ELEMENTS(below))]);
}

static void put(struct worker *w, unsigned int flags)
{
	size_t n = random_size(w), off = next(&w->seed, WORD - n);

	home_fill(w->model + off, n, w->seed);
	assert_int_equal(fabric_put(w->home->path, &w->user, off, w->model + off, n, 0, flags), 0);
}

static void get(struct worker *w)
{
	size_t n = random_size(w), off = next(&w->seed, WORD - n);

	memset(w->buffer, 0x55, n);
	assert_int_equal(fabric_get(w->home->path, &w->user, off, w->buffer, n, 0), 0);
	if (!w->unknown)
		assert_memory_equal(w->buffer, w->model + off, n);
}

static void vector(struct worker *w)
{
	struct fabric_piece pieces[20];
	size_t off = 0, done, n_pieces = 1 + next(&w->seed, ELEMENTS(pieces));

	for (size_t i = 0; i < n_pieces; i++) {
		size_t n = next(&w->seed, 20000);

		pieces[i] = (struct fabric_piece){.off = off, .local = w->model + off, .n = n};
		home_fill(w->model + off, n, w->seed);
		off += n + next(&w->seed, 10000);
	}
	assert_int_equal(fabric_putv(w->home->path, &w->user, pieces, n_pieces, 0, &done), 0);
	assert_int_equal(done, n_pieces);
}

/* Between two turns nothing is half done: what is lost is only the answer. */
static void add(struct worker *w)
{
	uint64_t value = next(&w->seed, 1000), old = 0;
	int r = fabric_fetch_add(w->home->path, &w->user, WORD, 8, value, &old);

	if (r == 0)
		assert_int_equal(old, w->word);
	else
		assert_int_equal(r, STATUS_BROKEN);
	w->lost += r != 0;
	w->word += value;
}

static void note_collect(struct worker *w)
{
	int r = fabric_collect(w->home->path, &w->user);

	if (r)
		assert_int_equal(r, STATUS_BROKEN);
	w->unknown |= r != 0;
	w->ever_unknown |= w->unknown;
}

/* What was lost is put again. */
static void settle(struct worker *w)
{
	note_collect(w);
	if (w->unknown)
		assert_int_equal(fabric_put(w->home->path, &w->user, 0, w->model, WORD, 0, 0), 0);
	w->unknown = false;
}

static void *work(void *userdata)
{
	struct worker *w = userdata;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		switch (next(&w->seed, 10)) {
		case 0:
			put(w, 0);
			break;
		case 1:
			settle(w);
			get(w);
			break;
		case 2:
			add(w);
			break;
		case 3:
			assert_int_equal(fabric_signal(w->home->path, &w->user, true), 0);
			w->signals++;
			break;
		case 4:
			vector(w);
			break;
		default:
			put(w, FABRIC_SPAN);
		}
	}
	settle(w);
	return NULL;
}

struct killer {
	struct home *home;
	_Atomic bool stop;
	unsigned int kills;
};

static void *kill_often(void *userdata)
{
	struct killer *k = userdata;
	uint64_t seed = 4;

	while (!atomic_load(&k->stop)) {
		usleep((useconds_t)next(&seed, 2000));
		tcp_home_kill(k->home);
		k->kills++;
	}
	return NULL;
}

/* The kernel's, as if it encrypted: every stream is worn whenever that is looked at. */
static bool worn;
bool __wrap_fabric_tcp_is_encrypted(int fd);
uint64_t __wrap_fabric_tcp_records(int fd);

bool __wrap_fabric_tcp_is_encrypted(int fd)
{
	return worn;
}

uint64_t __wrap_fabric_tcp_records(int fd)
{
	return worn ? UINT64_MAX : 0;
}

static void start(struct worker *w, struct home *home, unsigned int i)
{
	*w = (struct worker){.home = home, .seed = i + 1};
	w->model = calloc(1, PART);
	w->buffer = calloc(1, PART);
	home_add_user(home, home->path, &w->user,
		home_grant(home, CONNECTION, i * PART, PART, WIRE_READ | WIRE_WRITE));
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static unsigned int finish(struct worker *w, unsigned int i)
{
	uint64_t word;

	pthread_join(w->thread, NULL);
	assert_memory_equal(w->home->memory + i * PART, w->model, WORD);
	memcpy(&word, w->home->memory + i * PART + WORD, 8);
	assert_int_equal(word, w->word);
	fabric_path_remove_user(w->home->path, &w->user);
	free(w->model);
	free(w->buffer);
	return w->signals;
}

static void run_with_kills(bool reborn, bool spin)
{
	struct home home;
	struct worker workers[THREADS];
	struct killer killer = {.home = &home};
	pthread_t thread;
	unsigned int signals = 0;

	home_begin(&home, &tcp_fixture, 16384, spin);
	if (reborn)
		tcp_home_set_reborn(&home);
	for (unsigned int i = 0; i < THREADS; i++) /* no key may be granted while one is killed */
		start(&workers[i], &home, i);
	assert_int_equal(pthread_create(&thread, NULL, kill_often, &killer), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		signals += finish(&workers[i], i);
	atomic_store(&killer.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&home.posts), signals);
	assert_true(atomic_load(&home.repairs) > 0);
	print_message("%u kills, %u repairs\n", killer.kills, atomic_load(&home.repairs));
	home_end(&home);
}

static void what_is_cut_is_done_once(void **state)
{
	run_with_kills(false, true);
}

static void what_is_cut_is_done_once_by_sleepers(void **state)
{
	run_with_kills(false, false);
}

static void a_killed_target_goes_on_where_it_was(void **state)
{
	run_with_kills(true, true);
}

/* Nobody but the path itself leaves a stream here, and then nothing is under way. */
static void what_a_worn_stream_carried_is_not_lost(void **state)
{
	struct home home;
	struct worker workers[THREADS];
	unsigned int signals = 0, lost = 0;

	worn = true;
	tcp_home_set_records(1600); /* it looks every 50 requests */
	home_begin(&home, &tcp_fixture, 16384, false);
	for (unsigned int i = 0; i < THREADS; i++)
		start(&workers[i], &home, i);
	for (unsigned int i = 0; i < THREADS; i++)
		signals += finish(&workers[i], i);
	for (unsigned int i = 0; i < THREADS; i++)
		lost += workers[i].lost + workers[i].ever_unknown;
	assert_int_equal(lost, 0);
	assert_int_equal(atomic_load(&home.posts), signals);
	assert_true(atomic_load(&home.repairs) > 20);
	home_end(&home);
	tcp_home_set_records(0);
	worn = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_cut_is_done_once),
		cmocka_unit_test(what_is_cut_is_done_once_by_sleepers),
		cmocka_unit_test(a_killed_target_goes_on_where_it_was),
		cmocka_unit_test(what_a_worn_stream_carried_is_not_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
