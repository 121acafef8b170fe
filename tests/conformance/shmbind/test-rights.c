/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may bind: who has read and write permission, by the kernel's rule for IPC, which mbind(2)
 * itself does not ask for. And what a program may not notice of a call.
 */
#include "rig.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	 ((size_t)sysconf(_SC_PAGESIZE))
#define STRANGER 12345u

static struct mask nodes;

struct
try {
	int id, policy;
	bool bad_mask;
};

/* The errno of a call; 0: it was done. */
static int bind_one(void *data)
{
	struct try *t = data;

	errno = 0;
	if (shmbind(t->id, t->policy, t->bad_mask ? NULL : nodes.bits, MASK_BITS) == 0)
		return 0;
	return errno;
}

static int get_one(void *data)
{
	struct try *t = data;
	struct mask m;
	int policy;

	return shmbind_get(t->id, &policy, m.bits, MASK_BITS) == 0 ? 0 : errno;
}

static int prepare(void **state)
{
	nodes = memory_nodes();
	return 0;
}

static int segment_of(unsigned int uid, unsigned int gid, int mode)
{
	int id = new_segment(4 * PAGE, 0600);
	struct shmid_ds d = state_of(id);

	d.shm_perm.uid = uid;
	d.shm_perm.gid = gid;
	d.shm_perm.mode = (unsigned short)mode;
	assert_int_equal(shmctl(id, IPC_SET, &d), 0);
	return id;
}

static void expect(int id, int bind, int get)
{
	struct shmid_ds before = state_of(id);
	struct try t = {.id = id};

	assert_int_equal(in_child(STRANGER, bind_one, &t), bind);
	if (bind)
		assert_untouched(id, &before);
	assert_int_equal(state_of(id).shm_nattch, 0);
	/* so that there is something to get */
	assert_int_equal(shmbind(id, 0, nodes.bits, MASK_BITS), 0);
	assert_int_equal(in_child(STRANGER, get_one, &t), get);
}

static void strangers_need_the_rights_of_others(void **state)
{
	need_root();
	need_policies();
	expect(segment_of(0, 0, 0600), EPERM, EPERM);
	expect(segment_of(0, 0, 0660), EPERM, EPERM);
	expect(segment_of(0, 0, 0604), EPERM, 0);
	expect(segment_of(0, 0, 0602), EPERM, EPERM);
	expect(segment_of(0, 0, 0606), 0, 0);
}

static void members_of_the_group_need_its_rights(void **state)
{
	need_root();
	need_policies();
	expect(segment_of(0, STRANGER, 0640), EPERM, 0);
	expect(segment_of(0, STRANGER, 0660), 0, 0);
	expect(segment_of(0, STRANGER, 0606), EPERM, EPERM);
}

static void owners_need_rights_too(void **state)
{
	need_root();
	need_policies();
	expect(segment_of(STRANGER, 0, 0600), 0, 0);
	expect(segment_of(STRANGER, 0, 0400), EPERM, 0);
	expect(segment_of(STRANGER, 0, 0200), EPERM, EPERM);
	expect(segment_of(STRANGER, 0, 0066), EPERM, EPERM);
}

static void rights_come_after_the_mask_and_before_the_state(void **state)
{
	struct try t = {.bad_mask = true};
	char *p;

	need_root();
	t.id = segment_of(0, 0, 0600);
	assert_int_equal(in_child(STRANGER, bind_one, &t), EFAULT);
	t.bad_mask = false;
	p = shmat(t.id, NULL, 0);
	p[0] = 1;
	assert_int_equal(in_child(STRANGER, bind_one, &t), EPERM);
	shmdt(p);
}

static int n_children_ended;

static void on_child(int signal)
{
	n_children_ended++;
}

static size_t count_of(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Of segments: the C library may have got others for itself. */
static size_t count_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	size_t n = 0;

	while (fgets(line, sizeof(line), f))
		n += strstr(line, "/SYSV") != NULL;
	fclose(f);
	return n;
}

static void the_program_sees_no_child_thread_descriptor_or_map(void **state)
{
	int id = new_segment(64 * PAGE, 0600);
	size_t fds;

	need_policies();
	signal(SIGCHLD, on_child);
	/* whatever a first call leaves is left by then */
	assert_int_equal(shmbind(new_segment(PAGE, 0600), MEM_COMMIT, nodes.bits, MASK_BITS), 0);
	fds = count_of("/proc/self/fd");
	assert_int_equal(
		shmbind(id, MEM_STRIPE | MEM_HARDBIND | MEM_COMMIT, nodes.bits, MASK_BITS), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(n_children_ended, 0);
	assert_int_equal(count_of("/proc/self/task"), 3); /* ., .. and one thread */
	assert_int_equal(count_of("/proc/self/fd"), fds);
	assert_int_equal(count_maps(), 0);
	assert_int_equal(state_of(id).shm_nattch, 0);
	signal(SIGCHLD, SIG_DFL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, remove_segments)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(strangers_need_the_rights_of_others),
		TEST(members_of_the_group_need_its_rights),
		TEST(owners_need_rights_too),
		TEST(rights_come_after_the_mask_and_before_the_state),
		TEST(the_program_sees_no_child_thread_descriptor_or_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
