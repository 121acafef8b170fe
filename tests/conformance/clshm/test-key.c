/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: clshm.md §2, §3 xp_ftok, §6 "keys without a segment". */
#include "rig.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void each_call_makes_another_key_of_this_partition(void)
{
	key_t keys[64];

	for (int i = 0; i < 64; i++) {
		keys[i] = rig_key();
		CHECK(keys[i] > 0);
		CHECK_EQUAL(KEY_TO_PARTITION(keys[i]), part_getid());
		CHECK((keys[i] & 0xffffff) != 0);
		for (int j = 0; j < i; j++)
			CHECK(keys[i] != keys[j]);
	}
}

static void tell_a_key(void *data)
{
	rig_tell_parent((unsigned int)rig_key());
}

static void other_processes_get_other_keys(void)
{
	rig_peer_t peer;
	key_t mine;

	peer = rig_here(tell_a_key, NULL);
	mine = rig_key();
	CHECK((unsigned int)mine != rig_hear(peer));
	rig_end(peer);
}

static void the_path_of_this_partition_is_taken_in_both_cases(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/hw/clshm/partition/%02x", (unsigned int)part_getid());
	CHECK_EQUAL(KEY_TO_PARTITION(NEED(xp_ftok(path, 1))), part_getid());
	snprintf(path, sizeof(path), "/hw/clshm/partition/%02X", (unsigned int)part_getid());
	CHECK_EQUAL(KEY_TO_PARTITION(NEED(xp_ftok(path, 1))), part_getid());
}

static void other_ids_are_invalid(void)
{
	static const int ids[] = {0, 2, -1, 255, 0x7fffffff, -0x7fffffff - 1, 'c'};

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		FAILS(xp_ftok(NULL, ids[i]), EINVAL);
}

static void other_paths_are_invalid(void)
{
	static const char *const paths[] = {"", "/", "/etc/passwd", "/hw/clshm/partition/",
		"/hw/clshm/partition/0", "/hw/clshm/partition/000", "/hw/clshm/partition/00/",
		"/hw/clshm/partition/0g", "/hw/clshm/partition/ 0", "/hw/clshm/partition/-1",
		"/hw/clshm/partition/0x", "/hw/clshm/partition/40", "/hw/clshm/partition/ff",
		"/hw/clshm/partition/3f", "hw/clshm/partition/00", "/HW/clshm/partition/00",
		"/hw/clshm/partition//00", "/hw/clshm/partition\0/00"};
	char longest[8192];

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		FAILS(xp_ftok(paths[i], 1), EINVAL);
	memset(longest, '/', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	FAILS(xp_ftok(longest, 1), EINVAL);
}

static void a_path_may_end_where_memory_ends(void)
{
	char *p = mmap(
		NULL, 2 * rig_page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char path[64];
	size_t n;

	NEED_TRUE(p != MAP_FAILED && mprotect(p + rig_page(), rig_page(), PROT_NONE) == 0);
	n = (size_t)snprintf(
		    path, sizeof(path), "/hw/clshm/partition/%02x", (unsigned int)part_getid()) +
	    1;
	memcpy(p + rig_page() - n, path, n);
	OK(xp_ftok(p + rig_page() - n, 1));
	/* without its end */
	memcpy(p + rig_page() - n + 1, path, n - 1);
	FAILS(xp_ftok(p + rig_page() - n + 1, 1), EFAULT);
	FAILS(xp_ftok(p + rig_page(), 1), EFAULT);
	FAILS(xp_ftok((const char *)-1, 1), EFAULT);
	FAILS(xp_ftok((const char *)1, 1), EFAULT);
}

static void tell_a_key_and_wait(void *data)
{
	rig_tell_parent((unsigned int)rig_key());
	rig_hear_parent();
}

static void a_key_without_a_segment_ends_with_its_maker(void)
{
	rig_peer_t peer;
	key_t key;

	peer = rig_here(tell_a_key_and_wait, NULL);
	key = (key_t)rig_hear(peer);
	rig_kill(peer);
	/* a get would make its segment */
	EVENTUALLY(part_setpmo(key, 0, __PMO_ANY) == -1 && errno == EINVAL);
	FAILS(xp_shmget(key, 1, 0), EINVAL);
}

static void tell_a_key_with_a_segment(void *data)
{
	key_t made = rig_key();

	rig_tell_parent((unsigned int)made);
	rig_tell_parent((unsigned int)NEED(xp_shmget(made, 100, 0)));
}

static void a_key_with_a_segment_outlives_its_maker(void)
{
	rig_peer_t peer;
	key_t key;
	int shmid;

	peer = rig_here(tell_a_key_with_a_segment, NULL);
	key = (key_t)rig_hear(peer);
	shmid = (int)rig_hear(peer);
	rig_end(peer);
	CHECK_EQUAL(NEED(xp_shmget(key, 100, 0)), shmid);
}

static void make_keys_without_end(void *data)
{
	unsigned int n = 0;

	if (geteuid() == 0)
		rig_become(31415, 31415);
	while (n < 100000 && xp_ftok(NULL, 1) != -1)
		n++;
	CHECK_EQUAL(errno, ENOSPC);
	rig_tell_parent(n);
	rig_hear_parent();
}

/* Nobody can take all numbers: keys without a segment are limited, for each user. */
static void unused_keys_are_limited(void)
{
	rig_peer_t greedy = rig_here(make_keys_without_end, NULL);
	unsigned int n = rig_hear(greedy);

	CHECK(n > 1000 && n < 100000);
	if (geteuid() == 0)
		OK(xp_shmget(rig_key(), 1, 0));
	rig_kill(greedy);
	EVENTUALLY(xp_ftok(NULL, 1) != -1);
}

static const rig_test_t tests[] = {
	TEST(each_call_makes_another_key_of_this_partition),
	TEST(other_processes_get_other_keys),
	TEST(the_path_of_this_partition_is_taken_in_both_cases),
	TEST(other_ids_are_invalid),
	TEST(other_paths_are_invalid),
	TEST(a_path_may_end_where_memory_ends),
	TEST(a_key_without_a_segment_ends_with_its_maker),
	TEST(a_key_with_a_segment_outlives_its_maker),
	TEST(unused_keys_are_limited),
};

RIG_MAIN(tests)
