/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/test-suite.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "fabric/test-claims.h"
#include "wire/message.h"
#include "wire/status.h"

static const struct fixture_ops *fixture;
static bool with_claims;

/* --- the home --- */

static void count_post(void *userdata, void *region, bool accumulate)
{
	struct home *home = userdata;

	assert_ptr_equal(region, home);
	atomic_fetch_add(&home->posts, 1);
	atomic_fetch_add(&home->accumulated, accumulate);
}

static void note_closed(void *userdata, uint64_t connection, const char *reason)
{
	struct home *home = userdata;

	snprintf(home->reason, sizeof(home->reason), "%s", reason ? reason : "");
	atomic_fetch_add(&home->closed, 1);
}

static size_t claim(void *userdata, void *coherent, uint64_t off, size_t n, bool write)
{
	return claims_claim(coherent, off, n, write);
}

static void unclaim(void *userdata, void *coherent, uint64_t off, size_t n)
{
	claims_unclaim(coherent, off, n);
}

const struct fabric_target_ops home_ops = {
	.post = count_post, .closed = note_closed, .claim = claim, .unclaim = unclaim};

int home_check(void *userdata)
{
	return atomic_load(&((struct home *)userdata)->check_with);
}

struct fabric_key home_grant(
	struct home *home, uint64_t connection, uint64_t offset, uint64_t size, uint32_t rights)
{
	struct fabric_region region = {.base = home->memory + offset,
		.fd = -1,
		.size = size,
		.rights = rights,
		.connection = connection,
		.userdata = home};
	struct fabric_key key;

	if (home->claims) {
		struct claims_part *part = home->parts[home->n_keys] = calloc(1, sizeof(*part));

		*part = (struct claims_part){home->claims, offset};
		region.base = claims_memory(home->claims) + offset;
		region.coherent = part;
	}
	home_fill(&key, sizeof(key), home->n_keys + 1);
	assert_true(home->n_keys < KEYS_MAX);
	home->keys[home->n_keys] = key;
	home->regions[home->n_keys++] = region;
	assert_int_equal(fabric_target_grant(home->target, &key, &region), 0);
	assert_int_equal(fabric_target_grant(home->target, &key, &region), -EEXIST);
	return key;
}

void home_grant_again(struct home *home)
{
	for (unsigned int i = 0; i < home->n_keys; i++)
		assert_int_equal(
			fabric_target_grant(home->target, &home->keys[i], &home->regions[i]), 0);
}

void home_add_user(
	struct home *home, FabricPath *path, struct fabric_user *user, struct fabric_key key)
{
	*user = (struct fabric_user){.key = key};
	assert_int_equal(fabric_path_add_user(path, user), 0);
}

void home_fill(void *to, size_t n, uint64_t seed)
{
	uint8_t *at = to;

	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		at[i] = (uint8_t)(seed >> 56);
	}
}

static void begin_home(struct home *home, const struct fixture_ops *ops, size_t span_buffer,
	bool spin, bool coherent)
{
	struct fabric_path_options options = {.check = home_check,
		.userdata = home,
		.stall = 5000000000u,
		.spin = spin,
		.span_buffer = span_buffer};

	memset(home, 0, sizeof(*home));
	home->ops = ops;
	home->memory_fd = memfd_create("home", MFD_CLOEXEC);
	assert_int_equal(ftruncate(home->memory_fd, MEMORY_SIZE), 0);
	home->memory =
		mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, home->memory_fd, 0);
	assert_ptr_not_equal(home->memory, MAP_FAILED);
	home->claims = coherent ? claims_new(home->memory_fd) : NULL;
	ops->begin(home, &options);
	home_add_user(home, home->path, &home->user,
		home_grant(home, CONNECTION, 0, MEMORY_SIZE, WIRE_READ | WIRE_WRITE));
}

void home_begin(struct home *home, const struct fixture_ops *ops, size_t span_buffer, bool spin)
{
	begin_home(home, ops, span_buffer, spin, false);
}

void home_begin_coherent(
	struct home *home, const struct fixture_ops *ops, size_t span_buffer, bool spin)
{
	begin_home(home, ops, span_buffer, spin, true);
}

void home_end(struct home *home)
{
	fabric_path_remove_user(home->path, &home->user);
	home->ops->end(home);
	for (unsigned int i = 0; i < home->n_keys; i++)
		free(home->parts[i]);
	claims_free(home->claims);
	munmap(home->memory, MEMORY_SIZE);
	close(home->memory_fd);
}

static int begin(void **state)
{
	struct home *home = calloc(1, sizeof(*home));

	begin_home(home, fixture, 16384, true, with_claims);
	if (with_claims)
		claims_set_chance(home->claims, home->target);
	*state = home;
	return 0;
}

static int end(void **state)
{
	home_end(*state);
	free(*state);
	return 0;
}

static uint8_t ours[MEMORY_SIZE], back[MEMORY_SIZE];

/* --- the tests --- */

static void a_put_is_there_when_it_returns(void **state)
{
	static const size_t sizes[] = {0, 1, 7, 8, 4096, 8191, 8192, 8193, 65535, 65536, 65537,
		200000, 1 << 20, MEMORY_SIZE};
	struct home *home = *state;

	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		size_t n = sizes[i], off = (MEMORY_SIZE - n) / 2;

		home_fill(ours, n, i + 1);
		assert_int_equal(fabric_put(home->path, &home->user, off, ours, n, 0, 0), 0);
		assert_memory_equal(home->memory + off, ours, n);
		memset(back, 0, n);
		assert_int_equal(fabric_get(home->path, &home->user, off, back, n, 0), 0);
		assert_memory_equal(back, ours, n);
	}
}

static void elements_of_every_width_arrive(void **state)
{
	struct home *home = *state;

	for (unsigned int width = 1; width <= 8; width *= 2)
		for (size_t n = width; n <= 300000; n = n * 5 + width) {
			home_fill(ours, n, n);
			assert_int_equal(
				fabric_put(home->path, &home->user, 64, ours, n, width, 0), 0);
			assert_memory_equal(home->memory + 64, ours, n);
			memset(back, 0, n);
			assert_int_equal(
				fabric_get(home->path, &home->user, 64, back, n, width), 0);
			assert_memory_equal(back, ours, n);
		}
	assert_int_equal(fabric_put(home->path, &home->user, 0, ours, 3, 3, 0), -EINVAL);
	assert_int_equal(fabric_get(home->path, &home->user, 0, ours, 16, 16), -EINVAL);
	assert_int_equal(fabric_put(home->path, &home->user, 4, ours, 8, 8, 0), STATUS_BAD_OFFSET);
	assert_int_equal(fabric_get(home->path, &home->user, 0, ours, 10, 4), STATUS_BAD_OFFSET);
}

static void atomics_return_what_was_there(void **state)
{
	struct home *home = *state;
	uint64_t old = 0, value;

	value = UINT64_MAX;
	memcpy(home->memory + 16, &value, 8);
	assert_int_equal(fabric_fetch_add(home->path, &home->user, 16, 8, 3, &old), 0);
	assert_true(old == UINT64_MAX);
	memcpy(&value, home->memory + 16, 8);
	assert_int_equal(value, 2);
	assert_int_equal(fabric_fetch_add(home->path, &home->user, 20, 4, 5, &old), 0);
	assert_int_equal(old, 0);
	assert_int_equal(fabric_compare_swap(home->path, &home->user, 20, 4, 6, 9, &old), 0);
	assert_int_equal(old, 5);
	assert_int_equal(fabric_compare_swap(home->path, &home->user, 20, 4, 5, 9, &old), 0);
	assert_int_equal(old, 5);
	memcpy(&value, home->memory + 16, 8);
	assert_true(value == (9ull << 32 | 2));
	old = 77;
	assert_int_equal(
		fabric_fetch_add(home->path, &home->user, 2, 4, 1, &old), STATUS_BAD_OFFSET);
	assert_int_equal(fabric_fetch_add(home->path, &home->user, 0, 2, 1, &old), -EINVAL);
	assert_int_equal(old, 77);
}

static void pieces_are_carried_out_from_the_first(void **state)
{
	struct home *home = *state;
	struct fabric_piece pieces[100];
	size_t done;

	home_fill(ours, MEMORY_SIZE, 3);
	for (size_t i = 0; i < ELEMENTS(pieces); i++)
		pieces[i] = (struct fabric_piece){
			.off = i * 20000, .local = ours + i * 20000, .n = i * i * 2};
	assert_int_equal(fabric_putv(home->path, &home->user, pieces, 100, 0, &done), 0);
	assert_int_equal(done, 100);
	for (size_t i = 0; i < ELEMENTS(pieces); i++) {
		assert_memory_equal(home->memory + i * 20000, ours + i * 20000, i * i * 2);
		pieces[i].local = back + i * 20000;
	}
	assert_int_equal(fabric_getv(home->path, &home->user, pieces, 100, &done), 0);
	assert_int_equal(done, 100);
	for (size_t i = 0; i < ELEMENTS(pieces); i++)
		assert_memory_equal(back + i * 20000, ours + i * 20000, i * i * 2);
	pieces[70].off = MEMORY_SIZE;
	pieces[43].off = UINT64_MAX - 10;
	assert_int_equal(
		fabric_getv(home->path, &home->user, pieces, 100, &done), STATUS_BAD_OFFSET);
	assert_int_equal(done, 43);
	assert_int_equal(
		fabric_putv(home->path, &home->user, pieces, 100, 0, &done), STATUS_BAD_OFFSET);
	assert_int_equal(done, 43);
	assert_int_equal(fabric_putv(home->path, &home->user, pieces, 0, 0, &done), 0);
	assert_int_equal(done, 0);
}

static void what_is_not_allowed_says_why(void **state)
{
	struct home *home = *state;
	struct fabric_user readable, writable, unknown, others;
	uint64_t old;
	uint8_t byte = 1;

	home_add_user(
		home, home->path, &readable, home_grant(home, CONNECTION, 4096, 8192, WIRE_READ));
	home_add_user(
		home, home->path, &writable, home_grant(home, CONNECTION, 4096, 8192, WIRE_WRITE));
	home_add_user(home, home->path, &others,
		home_grant(home, CONNECTION + 1, 4096, 8192, WIRE_READ | WIRE_WRITE));
	home_add_user(home, home->path, &unknown, (struct fabric_key){{1, 2, 3}});

	assert_int_equal(fabric_get(home->path, &readable, 0, &byte, 1, 0), 0);
	assert_int_equal(fabric_put(home->path, &readable, 0, &byte, 1, 0, 0), STATUS_DENIED);
	assert_int_equal(fabric_fetch_add(home->path, &readable, 0, 8, 1, &old), STATUS_DENIED);
	assert_int_equal(fabric_put(home->path, &writable, 0, &byte, 1, 0, 0), 0);
	assert_int_equal(fabric_get(home->path, &writable, 0, &byte, 1, 0), STATUS_DENIED);
	assert_int_equal(fabric_get(home->path, &writable, 0, back, 100000, 0), STATUS_BAD_OFFSET);
	assert_int_equal(fabric_signal(home->path, &readable, true), 0);
	assert_int_equal(fabric_put(home->path, &unknown, 0, &byte, 1, 0, 0), STATUS_BAD_HANDLE);
	assert_int_equal(fabric_signal(home->path, &unknown, true), STATUS_BAD_HANDLE);
	assert_int_equal(fabric_put(home->path, &others, 0, &byte, 1, 0, 0), STATUS_BAD_HANDLE);
	assert_int_equal(fabric_get(home->path, &others, 0, back, 8192, 0), STATUS_BAD_HANDLE);
	assert_int_equal(atomic_load(&home->posts), 1);

	fabric_path_remove_user(home->path, &readable);
	fabric_path_remove_user(home->path, &writable);
	fabric_path_remove_user(home->path, &others);
	fabric_path_remove_user(home->path, &unknown);
}

static void no_range_reaches_outside(void **state)
{
	static const struct {
		uint64_t off;
		size_t n;
	} bad[] = {{8192, 1}, {8191, 2}, {0, 8193}, {UINT64_MAX, 1}, {UINT64_MAX - 7, 8},
		{UINT64_MAX - 4095, 8192}, {1ull << 63, 8}, {1ull << 48, 8}, {(1ull << 48) - 8, 8},
		{8193, 0}, {4096, 1 << 20}};
	struct home *home = *state;
	struct fabric_user user;

	home_add_user(home, home->path, &user,
		home_grant(home, CONNECTION, 65536, 8192, WIRE_READ | WIRE_WRITE));
	memset(ours, 0xff, sizeof(ours));
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		uint64_t off = bad[i].off;
		size_t n = bad[i].n;

		assert_int_equal(
			fabric_put(home->path, &user, off, ours, n, 0, 0), STATUS_BAD_OFFSET);
		assert_int_equal(fabric_get(home->path, &user, off, back, n, 0), STATUS_BAD_OFFSET);
		assert_int_equal(fabric_put(home->path, &user, off, ours, n, 0, FABRIC_SPAN), 0);
		if (n)
			assert_int_equal(fabric_collect(home->path, &user), STATUS_BAD_OFFSET);
	}
	for (size_t i = 0; i < MEMORY_SIZE; i++)
		if (!range_within(i - 65536, 1, 8192))
			assert_int_equal(home->memory[i], 0);
	fabric_path_remove_user(home->path, &user);
}

static void a_span_collects(void **state)
{
	struct home *home = *state;
	uint64_t value;

	home_fill(ours, MEMORY_SIZE, 9);
	for (size_t off = 0; off < 600000; off += 8)
		assert_int_equal(
			fabric_put(home->path, &home->user, off, ours + off, 8, 8, FABRIC_SPAN), 0);
	for (size_t off = MEMORY_SIZE - 40; off > 700000; off -= 1000)
		assert_int_equal(
			fabric_put(home->path, &home->user, off, ours + off, 33, 0, FABRIC_SPAN),
			0);
	assert_int_equal(fabric_order(home->path, &home->user), 0);
	assert_memory_equal(home->memory, ours, 600000);
	for (size_t off = MEMORY_SIZE - 40; off > 700000; off -= 1000)
		assert_memory_equal(home->memory + off, ours + off, 33);
	/* a later put of the same span wins */
	for (value = 0; value < 1000; value++)
		assert_int_equal(
			fabric_put(home->path, &home->user, 8, &value, 8, 8, FABRIC_SPAN), 0);
	assert_int_equal(fabric_get(home->path, &home->user, 8, &value, 8, 8), 0);
	assert_int_equal(value, 999);
	assert_int_equal(fabric_collect(home->path, &home->user), 0);
}

static void a_span_takes_every_size(void **state)
{
	struct home *home = *state;

	for (size_t n = 1; n <= MEMORY_SIZE; n = n * 3 + 1) {
		home_fill(ours, n, n);
		assert_int_equal(
			fabric_put(home->path, &home->user, 0, ours, n, 0, FABRIC_SPAN), 0);
		assert_int_equal(fabric_collect(home->path, &home->user), 0);
		assert_memory_equal(home->memory, ours, n);
	}
	home_fill(ours, 1 << 20, 5);
	assert_int_equal(fabric_put(home->path, &home->user, 8, ours, 1 << 20, 8, FABRIC_SPAN), 0);
	assert_int_equal(fabric_order(home->path, &home->user), 0);
	assert_memory_equal(home->memory + 8, ours, 1 << 20);
}

static void failures_of_a_span_reach_their_user(void **state)
{
	struct home *home = *state;
	struct fabric_user readable, small;
	uint64_t value = 5;

	home_add_user(
		home, home->path, &readable, home_grant(home, CONNECTION, 0, 4096, WIRE_READ));
	home_add_user(home, home->path, &small,
		home_grant(home, CONNECTION, 0, 4096, WIRE_READ | WIRE_WRITE));
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(fabric_put(home->path, &small, i * 8, &i, 8, 8, FABRIC_SPAN), 0);
		if (i % 10 == 0)
			assert_int_equal(
				fabric_put(home->path, &readable, 0, &value, 8, 8, FABRIC_SPAN), 0);
		if (i % 7 == 0)
			assert_int_equal(fabric_put(home->path, &home->user, 8192 + i * 8, &i, 8, 8,
						 FABRIC_SPAN),
				0);
	}
	assert_int_equal(fabric_collect(home->path, &small), STATUS_BAD_OFFSET);
	assert_int_equal(fabric_collect(home->path, &small), 0);
	assert_int_equal(fabric_collect(home->path, &readable), STATUS_DENIED);
	assert_int_equal(fabric_collect(home->path, &home->user), 0);
	memcpy(&value, home->memory + 4088, 8);
	assert_int_equal(value, 511);
	memcpy(&value, home->memory + 8192 + 994 * 8, 8);
	assert_int_equal(value, 994);
	fabric_path_remove_user(home->path, &small);
	fabric_path_remove_user(home->path, &readable);
}

static void signals_come_after_the_data(void **state)
{
	struct home *home = *state;
	uint64_t value = 42;

	assert_int_equal(fabric_put(home->path, &home->user, 0, &value, 8, 8, FABRIC_SPAN), 0);
	assert_int_equal(fabric_put(home->path, &home->user, 8, &value, 8, 8, FABRIC_SPAN), 0);
	assert_int_equal(fabric_signal(home->path, &home->user, true), 0);
	assert_int_equal(atomic_load(&home->posts), 1);
	assert_int_equal(atomic_load(&home->accumulated), 1);
	assert_memory_equal(home->memory + 8, &value, 8);
	assert_int_equal(fabric_signal(home->path, &home->user, false), 0);
	assert_int_equal(atomic_load(&home->posts), 2);
	assert_int_equal(atomic_load(&home->accumulated), 1);
}

static void a_revoked_key_is_remembered_as_such(void **state)
{
	struct home *home = *state;
	struct fabric_user user;
	struct fabric_key unknown = {{9}};
	size_t done;

	home_add_user(home, home->path, &user,
		home_grant(home, CONNECTION, 0, MEMORY_SIZE, WIRE_READ | WIRE_WRITE));
	memset(ours, 1, MEMORY_SIZE);
	assert_int_equal(fabric_put(home->path, &user, 0, ours, MEMORY_SIZE, 0, 0), 0);
	fabric_target_revoke(home->target, &user.key);
	fabric_target_revoke(home->target, &user.key);
	fabric_target_revoke(home->target, &unknown);
	memset(ours, 2, MEMORY_SIZE);
	assert_int_equal(fabric_put(home->path, &user, 0, ours, 8, 0, 0), STATUS_REVOKED);
	assert_int_equal(fabric_put(home->path, &user, 0, ours, 100000, 0, 0), STATUS_REVOKED);
	assert_int_equal(fabric_get(home->path, &user, 0, back, 100000, 0), STATUS_REVOKED);
	assert_int_equal(fabric_signal(home->path, &user, true), STATUS_REVOKED);
	assert_int_equal(fabric_put(home->path, &user, 0, ours, 8, 8, FABRIC_SPAN), 0);
	assert_int_equal(fabric_put(home->path, &user, 0, ours, 1 << 20, 0, FABRIC_SPAN), 0);
	assert_int_equal(fabric_collect(home->path, &user), STATUS_REVOKED);
	assert_int_equal(
		fabric_putv(home->path, &user,
			&(struct fabric_piece){.off = 0, .local = ours, .n = 100}, 1, 0, &done),
		STATUS_REVOKED);
	for (size_t i = 0; i < MEMORY_SIZE; i++)
		assert_int_equal(home->memory[i], 1);
	/* the others go on */
	assert_int_equal(fabric_put(home->path, &home->user, 0, ours, 8, 0, 0), 0);
	fabric_path_remove_user(home->path, &user);
}

static void traffic_is_counted_by_key(void **state)
{
	struct home *home = *state;
	struct fabric_traffic t;
	uint64_t old;
	size_t done;
	struct fabric_piece pieces[3] = {{0, ours, 100}, {4096, ours, 10000}, {1 << 20, ours, 8}};

	assert_int_equal(fabric_put(home->path, &home->user, 0, ours, 8, 0, 0), 0);
	assert_int_equal(fabric_put(home->path, &home->user, 0, ours, 1 << 20, 0, 0), 0);
	assert_int_equal(fabric_putv(home->path, &home->user, pieces, 3, 0, &done), 0);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(
			fabric_put(home->path, &home->user, i * 8, &i, 8, 8, FABRIC_SPAN), 0);
	assert_int_equal(fabric_get(home->path, &home->user, 0, ours, 200000, 0), 0);
	assert_int_equal(fabric_fetch_add(home->path, &home->user, 0, 8, 1, &old), 0);
	assert_int_equal(fabric_signal(home->path, &home->user, true), 0);
	assert_int_equal(fabric_target_traffic(home->target, &home->user.key, &t), 0);
	if (fixture->one_sided) {
		assert_in_range(t.puts, 100 + 1, 2 + 3 + 100 + 1);
		assert_in_range(t.gets, 1, 1 + 1);
	} else {
		assert_int_equal(t.puts, 2 + 3 + 100 + 1);
		assert_int_equal(t.put_bytes, 8 + (1 << 20) + 10108 + 800 + 8);
		assert_int_equal(t.gets, 1 + 1);
		assert_int_equal(t.get_bytes, 200000 + 8);
	}
	assert_int_equal(t.posts, 1);
	assert_int_equal(
		fabric_target_traffic(home->target, &(struct fabric_key){{1}}, &t), -ENOENT);
}

static void a_cut_is_mended_and_all_is_done(void **state)
{
	struct home *home = *state;
	uint64_t old, sum = 0, value;

	home_fill(ours, MEMORY_SIZE, 17);
	for (uint64_t i = 0; i < 40; i++) {
		size_t n = 1 + (i * 7919) % 150000, off = i * 100000;

		if (i % 4 == 0)
			fixture->cut(home);
		for (size_t j = 0; j < 64; j++)
			assert_int_equal(fabric_put(home->path, &home->user, off + j * 8,
						 ours + off + j * 8, 8, 8, FABRIC_SPAN),
				0);
		if (i % 4 == 1)
			fixture->cut(home);
		assert_int_equal(fabric_put(home->path, &home->user, off, ours + off, n, 0, 0), 0);
		if (i % 4 == 2)
			fixture->cut(home);
		assert_int_equal(fabric_get(home->path, &home->user, off, back, n, 0), 0);
		assert_memory_equal(back, ours + off, n);
		if (i % 4 == 3)
			fixture->cut(home);
		assert_int_equal(
			fabric_fetch_add(home->path, &home->user, MEMORY_SIZE - 8, 8, i, &old), 0);
		assert_int_equal(old, sum);
		sum += i;
	}
	memcpy(&value, home->memory + MEMORY_SIZE - 8, 8);
	assert_int_equal(value, sum);
	assert_int_equal(fabric_collect(home->path, &home->user), 0);
	assert_in_range(atomic_load(&home->repairs), 30, 40);
}

static void who_cannot_mend_says_why_for_good(void **state)
{
	struct home *home = *state;
	uint64_t value = 1;

	atomic_store(&home->repair_with, STATUS_NODE_LOST);
	fixture->cut(home);
	assert_int_equal(fabric_put(home->path, &home->user, 0, &value, 8, 0, 0), STATUS_NODE_LOST);
	assert_int_equal(fabric_put(home->path, &home->user, 0, &value, 8, 0, 0), STATUS_NODE_LOST);
	assert_int_equal(fabric_get(home->path, &home->user, 0, &value, 8, 0), STATUS_NODE_LOST);
	assert_int_equal(
		fabric_fetch_add(home->path, &home->user, 0, 8, 1, &value), STATUS_NODE_LOST);
	assert_int_equal(fabric_signal(home->path, &home->user, true), STATUS_NODE_LOST);
	assert_int_equal(fabric_order(home->path, &home->user), STATUS_NODE_LOST);
	assert_int_equal(fabric_collect(home->path, &home->user), STATUS_NODE_LOST);
	assert_int_equal(value, 1);
	assert_int_equal(home->memory[0], 0);
}

int suite_run(const struct fixture_ops *ops)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_put_is_there_when_it_returns),
		TEST(elements_of_every_width_arrive),
		TEST(atomics_return_what_was_there),
		TEST(pieces_are_carried_out_from_the_first),
		TEST(what_is_not_allowed_says_why),
		TEST(no_range_reaches_outside),
		TEST(a_span_collects),
		TEST(a_span_takes_every_size),
		TEST(failures_of_a_span_reach_their_user),
		TEST(signals_come_after_the_data),
		TEST(a_revoked_key_is_remembered_as_such),
		TEST(traffic_is_counted_by_key),
		TEST(a_cut_is_mended_and_all_is_done),
		TEST(who_cannot_mend_says_why_for_good),
	};
	char name[64];
	int failed;

	fixture = ops;
	failed = cmocka_run_group_tests_name(ops->name, tests, NULL, NULL);
	if (ops->one_sided)
		return failed;
	with_claims = true;
	snprintf(name, sizeof(name), "%s, coherent", ops->name);
	return failed + cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
