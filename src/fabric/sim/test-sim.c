/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/sim/sim.h"

#include <stdio.h>
#include "base/clock.h"
#include "fabric/test-suite.h"
#include "wire/message.h"
#include "wire/status.h"

#define DELAY (10 * NSEC_PER_USEC)

struct sim_home {
	Sim *sim;
	struct fabric_path_options options;
	int stream;
	_Atomic uint64_t others_done[8];
	FabricPath *others[8];
	unsigned int n_others;
};

static int repair(void *userdata, FabricPath *path)
{
	struct home *home = userdata;
	struct sim_home *s = home->insides;
	int with = atomic_load(&home->repair_with);

	if (with)
		return with;
	atomic_fetch_add(&home->repairs, 1);
	fabric_target_detach(home->target, CONNECTION);
	s->stream = sim_stream(s->sim);
	assert_int_equal(fabric_target_attach(home->target, CONNECTION, s->stream, &home->done), 0);
	assert_int_equal(fabric_path_resume(path, s->stream, atomic_load(&home->done)), 0);
	return 0;
}

static void begin(struct home *home, const struct fabric_path_options *options)
{
	struct sim_options world = {.seed = 1, .delay_min = DELAY, .delay_max = 3 * DELAY};
	struct sim_home *s = calloc(1, sizeof(*s));

	home->insides = s;
	s->options = *options;
	s->options.repair = repair;
	assert_int_equal(sim_new(&world, &s->sim), 0);
	assert_int_equal(sim_target_new(s->sim, &home_ops, home, &home->target), 0);
	s->stream = sim_stream(s->sim);
	assert_int_equal(fabric_target_attach(home->target, CONNECTION, s->stream, &home->done), 0);
	assert_int_equal(sim_path_new(s->sim, s->stream, &s->options, &home->path), 0);
}

static void end(struct home *home)
{
	struct sim_home *s = home->insides;

	fabric_path_free(home->path);
	for (unsigned int i = 0; i < s->n_others; i++)
		fabric_path_free(s->others[i]);
	fabric_target_free(home->target);
	sim_free(s->sim);
	free(s);
}

static FabricPath *connect_path(struct home *home, uint64_t connection)
{
	struct sim_home *s = home->insides;
	int stream = sim_stream(s->sim);

	assert_int_equal(fabric_target_attach(
				 home->target, connection, stream, &s->others_done[s->n_others]),
		0);
	assert_int_equal(sim_path_new(s->sim, stream, &s->options, &s->others[s->n_others]), 0);
	return s->others[s->n_others++];
}

static void cut(struct home *home)
{
	struct sim_home *s = home->insides;

	sim_stream_break(s->sim, s->stream);
}

static const struct fixture_ops sim_fixture = {
	.name = "sim", .begin = begin, .end = end, .connect = connect_path, .cut = cut};

/* --- what only a clock of one's own can show --- */

static int setup(void **state)
{
	struct home *home = calloc(1, sizeof(*home));

	home_begin(home, &sim_fixture, 16384, true);
	*state = home;
	return 0;
}

static int teardown(void **state)
{
	home_end(*state);
	free(*state);
	return 0;
}

static Sim *sim_of(struct home *home)
{
	return ((struct sim_home *)home->insides)->sim;
}

static void nothing_arrives_before_its_time(void **state)
{
	struct home *home = *state;
	uint64_t value = 7, start = sim_now(sim_of(home));

	assert_int_equal(fabric_put(home->path, &home->user, 0, &value, 8, 8, FABRIC_SPAN), 0);
	assert_int_equal(fabric_flush(home->path), 0);
	sim_advance(sim_of(home), DELAY - 1);
	assert_int_equal(home->memory[0], 0);
	sim_advance(sim_of(home), 2 * DELAY + 1);
	assert_int_equal(home->memory[0], 7);
	assert_int_equal(fabric_put(home->path, &home->user, 0, &value, 8, 8, 0), 0);
	assert_true(sim_now(sim_of(home)) - start >= 5 * DELAY);
}

static void a_cut_that_heals_loses_nothing(void **state)
{
	struct home *home = *state;
	uint64_t value = 7;

	assert_int_equal(fabric_put(home->path, &home->user, 0, &value, 8, 8, FABRIC_SPAN), 0);
	assert_int_equal(fabric_flush(home->path), 0);
	sim_cut(sim_of(home));
	sim_advance(sim_of(home), NSEC_PER_SEC);
	assert_int_equal(home->memory[0], 0);
	sim_heal(sim_of(home));
	assert_int_equal(fabric_collect(home->path, &home->user), 0);
	assert_int_equal(home->memory[0], 7);
	assert_int_equal(atomic_load(&home->repairs), 0);
}

static void a_cut_that_stays_times_out(void **state)
{
	struct home *home = *state;
	uint64_t value = 7, start;

	sim_cut(sim_of(home));
	start = sim_now(sim_of(home));
	assert_int_equal(fabric_put(home->path, &home->user, 0, &value, 8, 8, 0), STATUS_TIMED_OUT);
	assert_int_equal(sim_now(sim_of(home)) - start, 5 * NSEC_PER_SEC);
	assert_int_equal(fabric_get(home->path, &home->user, 0, &value, 8, 8), STATUS_TIMED_OUT);
}

/* Everything once, however much is lost; an atomic whose answer is lost says so. */
static void whatever_is_lost_all_is_done_once(void **state)
{
	struct home *home = *state;
	uint64_t word = 0, old, value;
	unsigned int signals = 0, broken = 0;

	sim_set_loss(sim_of(home), 20000);
	for (uint64_t i = 0; i < 3000; i++) {
		int r;

		assert_int_equal(
			fabric_put(home->path, &home->user, 64 + i * 8, &i, 8, 8, FABRIC_SPAN), 0);
		if (i % 3 == 0) {
			assert_int_equal(fabric_signal(home->path, &home->user, true), 0);
			signals++;
		}
		if (i % 3 == 1) {
			r = fabric_fetch_add(home->path, &home->user, 0, 8, i, &old);
			if (r)
				assert_int_equal(r, STATUS_BROKEN);
			else
				assert_int_equal(old, word);
			broken += r != 0;
			word += i;
		}
	}
	assert_int_equal(fabric_collect(home->path, &home->user), 0);
	memcpy(&value, home->memory, 8);
	assert_int_equal(value, word);
	for (uint64_t i = 0; i < 3000; i++)
		assert_memory_equal(home->memory + 64 + i * 8, &i, 8);
	assert_int_equal(atomic_load(&home->posts), signals);
	assert_true(atomic_load(&home->repairs) > 50);
	assert_true(broken > 0);
}

static uint64_t end_of_a_run(void)
{
	struct home home;
	uint64_t now;

	home_begin(&home, &sim_fixture, 16384, true);
	sim_set_loss(sim_of(&home), 10000);
	for (uint64_t i = 0; i < 500; i++)
		assert_int_equal(fabric_put(home.path, &home.user, 0, &i, 8, 8, 0), 0);
	now = sim_now(sim_of(&home));
	home_end(&home);
	return now;
}

static void the_same_calls_give_the_same_run(void **state)
{
	assert_true(end_of_a_run() == end_of_a_run());
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_arrives_before_its_time),
		TEST(a_cut_that_heals_loses_nothing),
		TEST(a_cut_that_stays_times_out),
		TEST(whatever_is_lost_all_is_done_once),
		cmocka_unit_test(the_same_calls_give_the_same_run),
	};

	return suite_run(&sim_fixture) + cmocka_run_group_tests(tests, NULL, NULL);
}
