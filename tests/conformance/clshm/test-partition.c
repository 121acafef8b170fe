/* SPDX-License-Identifier: Apache-2.0 */
/* part_…, placement and the dumps on a node that is alone: clshm.md §4. */
#include "rig.h"

#include <fcntl.h>
#include <limits.h>
#include <shmbind.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void a_lone_partition_is_the_only_one(void)
{
	partid_t list[MAX_PARTITIONS] = {77, 77};
	partid_t own = part_getid();

	CHECK(own >= 0 && own < MAX_PARTITIONS);
	CHECK_EQUAL(part_getcount(), 1);
	CHECK_EQUAL(part_getlist(list, MAX_PARTITIONS), 1);
	CHECK_EQUAL(list[0], own);
	CHECK_EQUAL(list[1], 77);
	CHECK_EQUAL(part_getlist(list, 1), 1);
	FAILS(part_getlist(list, 0), EINVAL);
	FAILS(part_getlist(list, -1), EINVAL);
	FAILS(part_getlist(list, INT_MIN), EINVAL);
	CHECK_EQUAL(part_getlist(list, INT_MAX), 1);
	FAILS(part_getlist(NULL, 64), EFAULT);
	FAILS(part_getlist(rig_nowhere(), 64), EFAULT);
	FAILS(part_getlist((partid_t *)-1, 64), EFAULT);
}

static void its_host_has_a_name(void)
{
	char name[256], again[256], host[256] = "";
	int n;

	gethostname(host, sizeof(host) - 1);
	OK(part_gethostname(part_getid(), name, sizeof(name)));
	CHECK(!strcmp(name, host));
	OK(part_gethostnames(part_getid(), again, sizeof(again)));
	CHECK(!strcmp(name, again));
	n = (int)strlen(name);
	OK(part_gethostname(part_getid(), name, n + 1));
	FAILS(part_gethostname(part_getid(), name, n), ENAMETOOLONG);
	FAILS(part_gethostname(part_getid(), name, 1), ENAMETOOLONG);
	FAILS(part_gethostname(part_getid(), name, 0), EINVAL);
	FAILS(part_gethostname(part_getid(), name, -1), EINVAL);
	FAILS(part_gethostname(part_getid(), name, INT_MIN), EINVAL);
	FAILS(part_gethostname(part_getid(), NULL, 256), EFAULT);
	FAILS(part_gethostname(part_getid(), rig_nowhere(), 256), EFAULT);
}

static void no_other_partition_has_one(void)
{
	char name[256] = "untouched";

	for (int part = -128; part < 128; part++)
		if (part != part_getid())
			FAILS(part_gethostname((partid_t)part, name, sizeof(name)), EINVAL);
	CHECK(!strcmp(name, "untouched"));
}

static void an_id_tells_its_partition(void)
{
	CHECK_EQUAL(part_getpart(rig_segment(1, 0)), part_getid());
	CHECK_EQUAL(part_getpart(0x3f000001), 63);
	CHECK_EQUAL(part_getpart(1), 0);
	FAILS(part_getpart(0), EINVAL);
	FAILS(part_getpart(-1), EINVAL);
	FAILS(part_getpart(INT_MIN), EINVAL);
	FAILS(part_getpart(INT_MAX), EINVAL);
	FAILS(part_getpart(0x40000001), EINVAL);
	FAILS(part_getpart(0x01000000), EINVAL);
}

/* placement */

static int first_node(void)
{
	FILE *f = fopen("/sys/devices/system/node/has_memory", "r");
	int node = -1;

	if (!f || fscanf(f, "%d", &node) != 1)
		node = -1;
	if (f)
		fclose(f);
	if (node < 0)
		rig_skip("a kernel without NUMA");
	return node;
}

static void a_placed_keys_memory_is_on_its_node(void)
{
	char expected[64], path[64] = "";
	int node = first_node(), shmid;
	key_t key = rig_key();

	OK(part_setpmo(key, node, __PMO_MLD));
	shmid = NEED(xp_shmget(key, 16 * rig_page(), 0));
	memset(rig_attach(shmid), 1, 16 * rig_page());
	OK(part_getnode(shmid, path, sizeof(path)));
	snprintf(expected, sizeof(expected), "/sys/devices/system/node/node%d", node);
	CHECK(!strcmp(path, expected));
	FAILS(part_getnode(shmid, path, (int)strlen(expected)), ENAMETOOLONG);
	OK(part_getnode(shmid, path, (int)strlen(expected) + 1));
	FAILS(part_getnode(shmid, path, 0), EINVAL);
	FAILS(part_getnode(shmid, path, -1), EINVAL);
	FAILS(part_getnode(shmid, NULL, 64), EFAULT);
	FAILS(part_getnode(shmid, rig_nowhere(), 64), EFAULT);
}

static void memory_that_nobody_touched_is_on_no_node(void)
{
	int shmid = rig_segment(16 * rig_page(), 0);
	char path[64];

	first_node();
	FAILS(part_getnode(shmid, path, sizeof(path)), EINVAL);
	FAILS(part_getnode(-1, path, sizeof(path)), EINVAL);
	FAILS(part_getnode(0, path, sizeof(path)), EINVAL);
	FAILS(part_getnode(INT_MAX, path, sizeof(path)), EINVAL);
	FAILS(part_getnode(shmid + 0x1000, path, sizeof(path)), EINVAL);
}

static void placement_is_for_keys_without_a_segment(void)
{
	int node = first_node();
	key_t key = rig_key();

	OK(part_setpmo(key, node, __PMO_MLD));
	OK(part_setpmo(key, 0, __PMO_ANY));
	OK(part_setpmo(key, -1, __PMO_ANY));
	FAILS(part_setpmo(key, -1, __PMO_MLD), EINVAL);
	FAILS(part_setpmo(key, INT_MIN, __PMO_MLD), EINVAL);
	FAILS(part_setpmo(key, INT_MAX, __PMO_MLD), EINVAL);
	FAILS(part_setpmo(key, 1023, __PMO_MLD), EINVAL);
	FAILS(part_setpmo(key, 1024, __PMO_MLD), EINVAL);
	for (int type = -2; type < 10; type++)
		if (type != __PMO_ANY && type != __PMO_MLD)
			FAILS(part_setpmo(key, node, (pmo_type_t)type), EINVAL);
	FAILS(part_setpmo(-1, node, __PMO_MLD), EINVAL);
	FAILS(part_setpmo(0, node, __PMO_MLD), EINVAL);
	FAILS(part_setpmo(INT_MIN, node, __PMO_MLD), EINVAL);
	FAILS(part_setpmo(0x3f000001, node, __PMO_MLD), EINVAL);
	FAILS(part_setpmo(key + 0x1000, node, __PMO_MLD), EINVAL);
	OK(xp_shmget(key, 1, 0));
	FAILS(part_setpmo(key, node, __PMO_MLD), EINVAL);
	FAILS(part_setpmo(key, 0, __PMO_ANY), EINVAL);
}

static void segments_are_bound_by_the_policies_of_shmbind(void)
{
	static const int policies[] = {0, MEM_FIRSTREF, MEM_STRIPE, MEM_MOSTFREE,
		MEM_FIRSTREF | MEM_HARDBIND, MEM_STRIPE | MEM_SOFTBIND};
	unsigned long mask = 1ul << first_node();
	char path[64];

	for (size_t i = 0; i < sizeof(policies) / sizeof(*policies); i++) {
		int shmid = rig_segment(16 * rig_page(), 0);
		char *p;

		OK(xp_shmbind(shmid, policies[i], &mask, 64));
		p = rig_attach(shmid);
		memset(p, 1, 16 * rig_page());
		OK(part_getnode(shmid, path, sizeof(path)));
		OK(xp_shmdt(p));
		OK(xp_shmctl(shmid, IPC_RMID));
	}
}

static void bad_bindings_are_refused(void)
{
	static const int policies[] = {MEM_FIRSTREF | MEM_STRIPE, MEM_STRIPE | MEM_MOSTFREE,
		MEM_HARDBIND | MEM_SOFTBIND, 64, -1, INT_MIN, 0x10000};
	unsigned long mask[16] = {1ul << first_node()}, none[16] = {0}, absent[16] = {0};
	int shmid = rig_segment(16 * rig_page(), 0);

	absent[15] = 1ul << 63;
	for (size_t i = 0; i < sizeof(policies) / sizeof(*policies); i++)
		FAILS(xp_shmbind(shmid, policies[i], mask, 64), EINVAL);
	FAILS(xp_shmbind(shmid, 0, mask, 0), EINVAL);
	FAILS(xp_shmbind(shmid, 0, mask, -1), EINVAL);
	FAILS(xp_shmbind(shmid, 0, mask, INT_MIN), EINVAL);
	FAILS(xp_shmbind(shmid, 0, none, 1024), EINVAL);
	FAILS(xp_shmbind(shmid, 0, absent, 1024), EINVAL);
	FAILS(xp_shmbind(shmid, 0, NULL, 64), EFAULT);
	FAILS(xp_shmbind(shmid, 0, rig_nowhere(), 64), EFAULT);
	FAILS(xp_shmbind(-1, 0, mask, 64), EINVAL);
	FAILS(xp_shmbind(0, 0, mask, 64), EINVAL);
	FAILS(xp_shmbind(INT_MAX, 0, mask, 64), EINVAL);
	FAILS(xp_shmbind(shmid + 0x1000, 0, mask, 64), EINVAL);
	OK(xp_shmbind(shmid, 0, mask, 1024));
	/* "before the first attach" */
	OK(xp_shmdt(rig_attach(shmid)));
	FAILS(xp_shmbind(shmid, 0, mask, 64), EINVAL);
}

/* the dumps: to standard error, whatever that is */

static size_t size_of_dump(void (*dump)(void), const char *word)
{
	char text[65536];
	FILE *f = tmpfile();
	int saved = dup(STDERR_FILENO);
	ssize_t n;

	NEED_TRUE(f && saved >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
	errno = 4711;
	dump();
	CHECK_EQUAL(errno, 4711);
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = pread(fileno(f), text, sizeof(text) - 1, 0);
	fclose(f);
	if (n < 0)
		return 0;
	text[n] = 0;
	CHECK(strstr(text, word));
	return (size_t)n;
}

static void fail(void)
{
	xp_shmdt(NULL);
	errno = 4711;
}

static void dumps_say_what_there_is(void)
{
	int shmid = rig_segment(4711, 0640);
	char word[32];

	rig_attach(shmid);
	snprintf(word, sizeof(word), "%#x", (unsigned int)shmid);
	CHECK(size_of_dump(dump_usr_state, word) > 0);
	CHECK(size_of_dump(dump_daem_state, word) > 0);
	CHECK(size_of_dump(dump_all_state, "4711") > 0);
	OK(xp_shmctl(shmid, IPC_RMID));
	CHECK(size_of_dump(dump_usr_state, word) > 0);
	set_debug_level(1);
	CHECK(size_of_dump(fail, "xp_shmdt") > 0);
	set_debug_level(0);
	CHECK(size_of_dump(fail, "") == 0);
	set_debug_level(INT_MIN);
	CHECK(size_of_dump(fail, "") == 0);
}

static const rig_test_t tests[] = {
	TEST(a_lone_partition_is_the_only_one),
	TEST(its_host_has_a_name),
	TEST(no_other_partition_has_one),
	TEST(an_id_tells_its_partition),
	TEST(a_placed_keys_memory_is_on_its_node),
	TEST(memory_that_nobody_touched_is_on_no_node),
	TEST(placement_is_for_keys_without_a_segment),
	TEST(segments_are_bound_by_the_policies_of_shmbind),
	TEST(bad_bindings_are_refused),
	TEST(dumps_say_what_there_is),
};

RIG_MAIN(tests)
