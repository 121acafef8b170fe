/* SPDX-License-Identifier: Apache-2.0 */
/* Segments of keys: clshm.md §3 xp_shmget. */
#include "rig.h"

#include <limits.h>
#include <unistd.h>

static void the_first_get_makes_the_segment_and_later_ones_find_it(void)
{
	key_t key = rig_key();
	int shmid = NEED(xp_shmget(key, 10000, 0));

	CHECK(shmid > 0);
	CHECK_EQUAL(SHMID_TO_PARTITION(shmid), part_getid());
	CHECK_EQUAL(xp_shmget(key, 10000, 0), shmid);
	CHECK_EQUAL(xp_shmget(key, 10000, IPC_CREAT), shmid);
	CHECK_EQUAL(xp_shmget(key, 10000, IPC_CREAT | 0600), shmid);
}

static void get_what_is_said(void *data)
{
	key_t key = (key_t)rig_hear_parent();

	rig_tell_parent((unsigned int)NEED(xp_shmget(key, 4711, 0)));
}

static void every_process_finds_it(void)
{
	rig_peer_t peer = rig_here(get_what_is_said, NULL);
	key_t key = rig_key();
	int shmid = NEED(xp_shmget(key, 4711, 0));

	rig_tell(peer, (unsigned int)key);
	CHECK_EQUAL(rig_hear(peer), (unsigned int)shmid);
	rig_end(peer);
}

/* "First call anywhere allocates": not the maker of the key alone. */
static void another_process_may_be_the_first(void)
{
	rig_peer_t peer = rig_here(get_what_is_said, NULL);
	key_t key = rig_key();
	int shmid;

	rig_tell(peer, (unsigned int)key);
	shmid = (int)rig_hear(peer);
	rig_end(peer);
	CHECK_EQUAL(xp_shmget(key, 4711, 0), shmid);
}

static void all_must_give_the_same_size(void)
{
	key_t key = rig_key();
	int shmid = NEED(xp_shmget(key, 10000, 0));

	FAILS(xp_shmget(key, 9999, 0), EINVAL);
	FAILS(xp_shmget(key, 10001, 0), EINVAL);
	/* the same pages, but not the same size */
	FAILS(xp_shmget(key, 3 * rig_page(), 0), EINVAL);
	FAILS(xp_shmget(key, 1, IPC_CREAT), EINVAL);
	FAILS(xp_shmget(key, 0, 0), EINVAL);
	CHECK_EQUAL(xp_shmget(key, 10000, 0), shmid);
	CHECK_EQUAL(rig_state(shmid).shm_segsz, 10000);
}

static void bad_sizes_make_nothing(void)
{
	key_t key = rig_key();

	FAILS(xp_shmget(key, 0, 0), EINVAL);
	CHECK(xp_shmget(key, SIZE_MAX, 0) == -1);
	CHECK(xp_shmget(key, SIZE_MAX / 2 + 1, 0) == -1);
	CHECK(xp_shmget(key, (size_t)1 << 60, 0) == -1);
	OK(xp_shmget(key, 1, 0));
}

static void keys_that_nobody_made_are_invalid(void)
{
	key_t key = rig_key();
	const key_t keys[] = {0, -1, INT_MIN, INT_MAX, 1, key + 0x100000, 0x3f000001, 0x3fffffff,
		0x40000001, 0x7f000001, -key, key & ~0xffffff};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		FAILS(xp_shmget(keys[i], 4096, IPC_CREAT | 0600), EINVAL);
}

static void removed_keys_are_invalid_at_once(void)
{
	key_t key = rig_key();
	int shmid = NEED(xp_shmget(key, 4096, 0));

	CHECK_EQUAL(xp_shmget(key, 4096, 0), shmid);
	OK(xp_shmctl(shmid, IPC_RMID));
	FAILS(xp_shmget(key, 4096, 0), EINVAL);
	FAILS(xp_shmget(key, 4096, IPC_CREAT), EINVAL);
	FAILS(xp_shmget(key, 4096, IPC_CREAT | IPC_EXCL), EINVAL);
}

static void remove_what_is_said(void *data)
{
	int shmid = (int)rig_hear_parent();

	OK(xp_shmctl(shmid, IPC_RMID));
	rig_tell_parent(1);
}

/* What a process knows of a key ends when another one removes it. */
static void a_key_that_another_process_removed_is_invalid_at_once(void)
{
	rig_peer_t peer = rig_here(remove_what_is_said, NULL);
	key_t key = rig_key();
	int shmid = NEED(xp_shmget(key, 4096, 0));

	for (int i = 0; i < 10; i++)
		CHECK_EQUAL(xp_shmget(key, 4096, 0), shmid);
	rig_tell(peer, (unsigned int)shmid);
	rig_hear(peer);
	FAILS(xp_shmget(key, 4096, 0), EINVAL);
	rig_end(peer);
}

static void exclusive_gets_fail_the_second_time(void)
{
	key_t key = rig_key();
	int shmid = NEED(xp_shmget(key, 4096, IPC_CREAT | IPC_EXCL));

	FAILS(xp_shmget(key, 4096, IPC_CREAT | IPC_EXCL), EEXIST);
	FAILS(xp_shmget(key, 4096, IPC_EXCL), EEXIST);
	CHECK_EQUAL(xp_shmget(key, 4096, 0), shmid);
	FAILS(xp_shmget(key, 4096, IPC_EXCL), EEXIST);
}

static void other_flags_are_invalid(void)
{
	key_t key = rig_key();
	static const int flags[] = {SHM_RDONLY, SHM_RND, SHM_REMAP, 04000, 0x40000000, INT_MIN, -1};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		FAILS(xp_shmget(key, 4096, flags[i]), EINVAL);
	OK(xp_shmget(key, 4096, 0));
}

static void the_mode_is_the_low_nine_bits_and_0600_if_there_are_none(void)
{
	static const int modes[] = {0, 0600, 0640, 0666, 0777, 0400, 0004};

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		int shmid = rig_segment(4096, IPC_CREAT | modes[i]);

		CHECK_EQUAL(rig_state(shmid).shm_perm.mode & 0777, modes[i] ? modes[i] : 0600);
		OK(xp_shmctl(shmid, IPC_RMID));
	}
}

static void memory_is_zero_and_belongs_to_one_segment(void)
{
	for (int round = 0; round < 3; round++) {
		int shmid = rig_segment(10 * rig_page(), 0);
		char *p = rig_attach(shmid);
		size_t n = 10 * rig_page(), set = 0;

		for (size_t i = 0; i < n; i++)
			set += p[i] != 0;
		CHECK_EQUAL(set, 0);
		for (size_t i = 0; i < n; i++)
			p[i] = (char)i;
		OK(xp_shmctl(shmid, IPC_RMID));
		OK(xp_shmdt(p));
	}
}

/* "ids are not reused until the 24-bit space has gone round" */
static void ids_do_not_come_again(void)
{
	int before = 0;

	for (int i = 0; i < 50; i++) {
		int shmid = rig_segment(1, 0);

		CHECK(shmid != before);
		before = shmid;
		OK(xp_shmctl(shmid, IPC_RMID));
		FAILS(xp_shmctl(shmid, IPC_RMID), EINVAL);
		FAILS(xp_shmat(shmid, NULL, 0), EINVAL);
	}
}

/* Known keys are answered without a system call that could wait: many in no time. */
static void known_keys_are_answered_at_once(void)
{
	key_t keys[100];
	int shmids[100];
	int64_t begin;

	for (int i = 0; i < 100; i++) {
		keys[i] = rig_key();
		shmids[i] = NEED(xp_shmget(keys[i], 4096, 0));
		CHECK_EQUAL(xp_shmget(keys[i], 4096, 0), shmids[i]);
	}
	begin = rig_now();
	for (int round = 0; round < 1000; round++)
		for (int i = 0; i < 100; i++)
			if (xp_shmget(keys[i], 4096, 0) != shmids[i])
				CHECK(!"another one");
	/* 1.5 us each is what is promised; sanitizers and other tests are not in it */
	CHECK(rig_now() - begin < 5000);
	for (int i = 0; i < 100; i++)
		OK(xp_shmctl(shmids[i], IPC_RMID));
	for (int i = 0; i < 100; i++)
		FAILS(xp_shmget(keys[i], 4096, 0), EINVAL);
}

static const rig_test_t tests[] = {
	TEST(the_first_get_makes_the_segment_and_later_ones_find_it),
	TEST(every_process_finds_it),
	TEST(another_process_may_be_the_first),
	TEST(all_must_give_the_same_size),
	TEST(bad_sizes_make_nothing),
	TEST(keys_that_nobody_made_are_invalid),
	TEST(removed_keys_are_invalid_at_once),
	TEST(a_key_that_another_process_removed_is_invalid_at_once),
	TEST(exclusive_gets_fail_the_second_time),
	TEST(other_flags_are_invalid),
	TEST(the_mode_is_the_low_nine_bits_and_0600_if_there_are_none),
	TEST(memory_is_zero_and_belongs_to_one_segment),
	TEST(ids_do_not_come_again),
	TEST(known_keys_are_answered_at_once),
};

RIG_MAIN(tests)
