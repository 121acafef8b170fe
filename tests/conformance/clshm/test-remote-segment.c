/* SPDX-License-Identifier: Apache-2.0 */
/* Segments of other partitions: clshm.md §1, §3, §4 on three partitions, of which this is the
 * first. */
#include "rig.h"

#include <pthread.h>
#include <sched.h>
#include <shmbind.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 10000u

static void need_three(void)
{
	if (part_getcount() != 3)
		rig_skip("needs three partitions");
}

/* The nth partition that is up. */
static partid_t partition(int n)
{
	partid_t list[MAX_PARTITIONS];

	need_three();
	NEED(part_getlist(list, MAX_PARTITIONS));
	return list[n];
}

static int segment_on(int n, size_t size, int mode)
{
	return NEED(xp_shmget(rig_key_of(partition(n)), size, mode));
}

/* partitions */

/* Root of one partition is nobody on the others; other users are the same. */
static void become_the_same_user(void)
{
	if (geteuid() == 0)
		rig_become(31415, 31415);
}

static void tell_what_is_up(void *data)
{
	partid_t list[MAX_PARTITIONS];
	int n = NEED(part_getlist(list, MAX_PARTITIONS));

	rig_tell_parent((unsigned int)part_getid());
	for (int i = 0; i < n; i++)
		rig_tell_parent((unsigned int)list[i]);
}

static void all_partitions_see_all(void)
{
	rig_peer_t there[] = {
		rig_there(2, tell_what_is_up, NULL), rig_there(3, tell_what_is_up, NULL)};
	char name[256];

	CHECK_EQUAL(part_getid(), partition(0));
	for (int i = 0; i < 2; i++) {
		CHECK_EQUAL(rig_hear(there[i]), (unsigned int)partition(i + 1));
		for (int n = 0; n < 3; n++)
			CHECK_EQUAL(rig_hear(there[i]), (unsigned int)partition(n));
		rig_end(there[i]);
	}
	CHECK(partition(0) < partition(1) && partition(1) < partition(2));
	for (int n = 0; n < 3; n++) {
		OK(part_gethostname(partition(n), name, sizeof(name)));
		CHECK(name[0]);
	}
	FAILS(part_gethostname(63, name, sizeof(name)), EINVAL);
	FAILS(part_getlist((partid_t[2]){0}, 2), EINVAL);
}

static void keys_of_partitions_that_are_not_up_cannot_be_made(void)
{
	need_three();
	FAILS(xp_ftok("/hw/clshm/partition/3f", 1), EINVAL);
	FAILS(xp_ftok("/hw/clshm/partition/00", 1), EINVAL);
	FAILS(xp_ftok("/hw/clshm/partition/04", 1), EINVAL);
	FAILS(xp_shmget(0x3f000001, 1, 0), EINVAL);
	FAILS(xp_shmget(0x00000001, 1, 0), EINVAL);
	FAILS(xp_shmat(0x3f000001, NULL, 0), EINVAL);
	FAILS(xp_shmat(0x00000001, NULL, 0), EINVAL);
	FAILS(xp_shmctl(0x3f000001, IPC_RMID), EINVAL);
}

/* keys and segments */

static void a_path_names_the_owner(void)
{
	for (int n = 0; n < 3; n++) {
		key_t key = rig_key_of(partition(n));
		int shmid = NEED(xp_shmget(key, SIZE, 0640));
		struct shmid_ds d = rig_state(shmid);

		CHECK_EQUAL(KEY_TO_PARTITION(key), partition(n));
		CHECK_EQUAL(SHMID_TO_PARTITION(shmid), partition(n));
		CHECK_EQUAL(part_getpart(shmid), partition(n));
		CHECK_EQUAL(d.shm_perm.__key, key);
		CHECK_EQUAL(d.shm_segsz, SIZE);
		CHECK_EQUAL(d.shm_perm.mode, 0640);
		CHECK_EQUAL(d.shm_cpid, getpid());
		CHECK_EQUAL(xp_shmget(key, SIZE, 0), shmid);
		FAILS(xp_shmget(key, SIZE + 1, 0), EINVAL);
		FAILS(xp_shmget(key, SIZE, IPC_CREAT | IPC_EXCL), EEXIST);
		FAILS(xp_shmget(key + 0x1000, SIZE, 0), EINVAL);
		OK(xp_shmctl(shmid, IPC_RMID));
		FAILS(xp_shmget(key, SIZE, 0), EINVAL);
		FAILS(xp_shmctl(shmid, IPC_RMID), EINVAL);
		FAILS(xp_shmat(shmid, NULL, 0), EINVAL);
	}
}

static void make_key_of_first(void *data)
{
	rig_tell_parent((unsigned int)rig_key_of((partid_t)rig_hear_parent()));
	rig_hear_parent();
}

static void unused_keys_of_another_partitions_process_end_with_it(void)
{
	rig_peer_t there = rig_there(2, make_key_of_first, NULL);
	key_t key;

	rig_tell(there, (unsigned int)partition(0));
	key = (key_t)rig_hear(there);
	rig_kill(there);
	/* a get would make its segment */
	EVENTUALLY(part_setpmo(key, 0, __PMO_ANY) == -1 && errno == EINVAL);
	FAILS(xp_shmget(key, 1, 0), EINVAL);
}

/* memory */

static void serve_memory(void *data)
{
	char *p;

	become_the_same_user();
	p = rig_attach((int)rig_hear_parent());
	rig_tell_parent((unsigned char)p[SIZE - 1]);
	memset(p, 7, SIZE);
	rig_tell_parent(1);
	rig_hear_parent();
	CHECK_EQUAL(p[100], 8);
	OK(xp_shmdt(p));
	rig_tell_parent(1);
}

static void stores_are_seen_on_all_partitions(void)
{
	rig_peer_t there[] = {rig_there(2, serve_memory, NULL), rig_there(3, serve_memory, NULL),
		rig_there(2, serve_memory, NULL), rig_there(3, serve_memory, NULL),
		rig_there(2, serve_memory, NULL), rig_there(3, serve_memory, NULL)};

	become_the_same_user();
	for (int n = 0; n < 3; n++) {
		int shmid = segment_on(n, SIZE, 0);
		char *p = rig_attach(shmid);

		CHECK_EQUAL(p[0], 0);
		for (int i = 2 * n; i < 2 * n + 2; i++) {
			p[SIZE - 1] = (char)(40 + i);
			rig_tell(there[i], (unsigned int)shmid);
			CHECK_EQUAL(rig_hear(there[i]), 40 + i);
			rig_hear(there[i]);
			CHECK_EQUAL(p[0], 7);
			CHECK_EQUAL(p[SIZE - 1], 7);
			CHECK_EQUAL(rig_attached(shmid), 2);
			p[100] = 8;
			rig_tell(there[i], 1);
			rig_hear(there[i]);
			EVENTUALLY(rig_attached(shmid) == 1);
			rig_end(there[i]);
		}
		OK(xp_shmdt(p));
		EVENTUALLY(rig_attached(shmid) == 0);
		OK(xp_shmctl(shmid, IPC_RMID));
	}
}

static void count_attaches(void *data)
{
	unsigned int shmid;

	become_the_same_user();
	while ((shmid = rig_hear_parent()))
		rig_tell_parent((unsigned int)rig_attached((int)shmid));
}

/* What a process has attached or detached is counted, whoever is asked, when the call returns. */
static void counts_are_right_at_once(void)
{
	rig_peer_t owner = rig_there(2, count_attaches, NULL),
		   other = rig_there(3, count_attaches, NULL);
	int shmid;

	become_the_same_user();
	shmid = segment_on(1, SIZE, 0);
	for (int i = 0; i < 200; i++) {
		char *p = rig_attach(shmid);

		p[i] = 1;
		rig_tell(i % 2 ? owner : other, (unsigned int)shmid);
		CHECK_EQUAL(rig_hear(i % 2 ? owner : other), 1);
		OK(xp_shmdt(p));
		rig_tell(i % 2 ? owner : other, (unsigned int)shmid);
		CHECK_EQUAL(rig_hear(i % 2 ? owner : other), 0);
	}
	/* the latter has the former's pipe, too */
	rig_end(other);
	rig_end(owner);
}

static void each_way_of_attaching_works_for_other_partitions(void)
{
	int shmid = segment_on(1, SIZE, 0);
	char *hole = rig_hole(8 * rig_page()), *a, *b;

	a = NEED((char *)xp_shmat(shmid, hole + 1, SHM_RND));
	CHECK(a == hole);
	FAILS(xp_shmat(shmid, hole, 0), EINVAL);
	b = NEED((char *)xp_shmat(shmid, hole + 4 * rig_page(), SHM_RDONLY));
	a[SIZE - 1] = 5;
	CHECK_EQUAL(b[SIZE - 1], 5);
	CHECK_EQUAL(rig_signal_of(b, true), SIGSEGV);
	CHECK(xp_shmat(shmid, hole, SHM_REMAP) == hole);
	CHECK_EQUAL(a[SIZE - 1], 5);
	EVENTUALLY(rig_attached(shmid) == 2);
	OK(xp_shmdt(a));
	OK(xp_shmdt(b));
	FAILS(xp_shmdt(a), EINVAL);
	EVENTUALLY(rig_attached(shmid) == 0);
}

/* together */

struct shared {
	_Atomic unsigned int count;
	pthread_spinlock_t spin;
	unsigned int under_spin;
	pthread_mutex_t mutex;
	unsigned int under_mutex;
	pthread_rwlock_t rwlock;
	unsigned int under_rwlock;
	_Atomic unsigned int ready;
};

#define ROUNDS 300u

static void count_with_atomics(struct shared *s)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		atomic_fetch_add(&s->count, 1);
		pthread_spin_lock(&s->spin);
		s->under_spin++;
		pthread_spin_unlock(&s->spin);
	}
}

static void count_under_mutex(struct shared *s)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&s->mutex);
		s->under_mutex++;
		pthread_mutex_unlock(&s->mutex);
	}
}

/* One in four writes; who reads sees no half of it. */
static void count_under_rwlock(struct shared *s)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		if (i % 4) {
			pthread_rwlock_rdlock(&s->rwlock);
			CHECK_EQUAL(s->under_rwlock % 2, 0);
		} else {
			pthread_rwlock_wrlock(&s->rwlock);
			s->under_rwlock++;
			sched_yield();
			s->under_rwlock++;
		}
		pthread_rwlock_unlock(&s->rwlock);
	}
}

static void (*count)(struct shared *s);

/* From the moment on that all are there. */
static void count_with_others(struct shared *s)
{
	atomic_fetch_add(&s->ready, 1);
	while (atomic_load(&s->ready) < 3)
		sched_yield();
	count(s);
}

static void count_there(void *data)
{
	struct shared *s = NEED((struct shared *)xp_shmat((int)rig_hear_parent(), NULL, 0));

	count_with_others(s);
	rig_tell_parent(1);
}

static struct shared *count_everywhere(void (*how)(struct shared *s))
{
	rig_peer_t there[2];
	pthread_mutexattr_t attributes;
	pthread_rwlockattr_t rw_attributes;
	struct shared *s;
	int shmid;

	count = how;
	there[0] = rig_there(2, count_there, NULL);
	there[1] = rig_there(3, count_there, NULL);
	shmid = segment_on(1, sizeof(*s), 0);
	s = (struct shared *)rig_attach(shmid);
	pthread_spin_init(&s->spin, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&s->mutex, &attributes);
	pthread_rwlockattr_init(&rw_attributes);
	pthread_rwlockattr_setpshared(&rw_attributes, PTHREAD_PROCESS_SHARED);
	pthread_rwlock_init(&s->rwlock, &rw_attributes);
	for (int i = 0; i < 2; i++)
		rig_tell(there[i], (unsigned int)shmid);
	count_with_others(s);
	for (int i = 0; i < 2; i++) {
		rig_hear(there[i]);
		rig_end(there[i]);
	}
	return s;
}

/* §1: "plain loads, stores, CPU atomics and process-shared pthread locks work in it, also when the
 * owner is another host" */
static void atomics_work_between_partitions(void)
{
	struct shared *s = count_everywhere(count_with_atomics);

	CHECK_EQUAL(s->count, 3 * ROUNDS);
	CHECK_EQUAL(s->under_spin, 3 * ROUNDS);
}

static void mutexes_work_between_partitions(void)
{
	struct shared *s = count_everywhere(count_under_mutex);

	CHECK_EQUAL(s->under_mutex, 3 * ROUNDS);
}

static void rwlocks_work_between_partitions(void)
{
	struct shared *s = count_everywhere(count_under_rwlock);

	CHECK_EQUAL(s->under_rwlock, 3 * ROUNDS / 4 * 2);
}

/* life */

static void attach_and_wait(void *data)
{
	NEED(xp_shmat((int)rig_hear_parent(), NULL, 0));
	rig_tell_parent(1);
	rig_hear_parent();
}

static void killed_processes_of_other_partitions_are_detached(void)
{
	rig_peer_t two = rig_there(2, attach_and_wait, NULL),
		   three = rig_there(3, attach_and_wait, NULL);
	int shmid = segment_on(1, SIZE, 0);
	char *p = rig_attach(shmid);

	rig_tell(two, (unsigned int)shmid);
	rig_tell(three, (unsigned int)shmid);
	rig_hear(two);
	rig_hear(three);
	CHECK_EQUAL(rig_attached(shmid), 3);
	rig_kill(three);
	EVENTUALLY(rig_attached(shmid) == 2);
	rig_kill(two);
	EVENTUALLY(rig_attached(shmid) == 1);
	p[0] = 1;
	OK(xp_shmctl(shmid, IPC_AUTORMID));
	OK(xp_shmdt(p));
	EVENTUALLY(rig_is_gone(shmid));
}

static void auto_removal_waits_for_all_partitions(void)
{
	rig_peer_t three = rig_there(3, attach_and_wait, NULL);
	int shmid = segment_on(1, SIZE, 0);
	char *p = rig_attach(shmid);

	rig_tell(three, (unsigned int)shmid);
	rig_hear(three);
	OK(xp_shmctl(shmid, IPC_AUTORMID));
	OK(xp_shmdt(p));
	EVENTUALLY(rig_attached(shmid) == 1);
	OK(xp_shmdt(rig_attach(shmid)));
	rig_end(three);
	EVENTUALLY(rig_is_gone(shmid));
}

static void remove_and_use(void *data)
{
	int shmid = (int)rig_hear_parent();
	char *p = rig_attach(shmid);

	OK(xp_shmctl(shmid, IPC_RMID));
	rig_tell_parent(1);
	rig_hear_parent();
	CHECK_EQUAL(p[0], 3);
	p[1] = 4;
	rig_tell_parent(1);
	rig_hear_parent();
}

/* "key and id vanish everywhere at once; those attached keep the memory" */
static void removal_is_everywhere_and_memory_stays(void)
{
	rig_peer_t three = rig_there(3, remove_and_use, NULL);
	key_t key = rig_key_of(partition(1));
	int shmid = NEED(xp_shmget(key, SIZE, 0));
	char *p = rig_attach(shmid);

	rig_tell(three, (unsigned int)shmid);
	rig_hear(three);
	FAILS(xp_shmget(key, SIZE, 0), EINVAL);
	FAILS(xp_shmat(shmid, NULL, 0), EIDRM);
	p[0] = 3;
	rig_tell(three, 1);
	rig_hear(three);
	CHECK_EQUAL(p[1], 4);
	OK(xp_shmdt(p));
	rig_end(three);
	EVENTUALLY(rig_is_gone(shmid));
}

static void remove_what_is_said(void *data)
{
	become_the_same_user();
	OK(xp_shmctl((int)rig_hear_parent(), IPC_RMID));
	rig_tell_parent(1);
}

/* A key of this partition that this process knows, removed from another one. */
static void what_another_partition_removes_is_not_known_any_more(void)
{
	rig_peer_t two = rig_there(2, remove_what_is_said, NULL);
	key_t key;
	int shmid;

	become_the_same_user();
	key = rig_key();
	shmid = NEED(xp_shmget(key, SIZE, 0));
	CHECK_EQUAL(xp_shmget(key, SIZE, 0), shmid);
	CHECK_EQUAL(xp_shmget(key, SIZE, 0), shmid);
	rig_tell(two, (unsigned int)shmid);
	rig_hear(two);
	FAILS(xp_shmget(key, SIZE, 0), EINVAL);
	rig_end(two);
}

static void children_inherit_what_is_of_other_partitions(void)
{
	int shmid = segment_on(1, SIZE, 0), own = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid), *q = rig_attach(own);
	int go[2];
	pid_t child;

	p[0] = 1;
	NEED_TRUE(pipe(go) == 0);
	child = fork();
	if (child == 0) {
		char byte;

		(void)!read(go[0], &byte, 1);
		p[1] = (char)(p[0] + 1);
		q[1] = 2;
		_exit(0);
	}
	CHECK_EQUAL(rig_attached(shmid), 2);
	CHECK_EQUAL(rig_attached(own), 2);
	OK(write(go[1], "", 1));
	rig_join(child);
	CHECK_EQUAL(p[1], 2);
	CHECK_EQUAL(q[1], 2);
	EVENTUALLY(rig_attached(shmid) == 1);
	/* the parent leaves first */
	child = fork();
	if (child == 0) {
		char byte;

		(void)!read(go[0], &byte, 1);
		_exit(p[1] == 2 ? 0 : 1);
	}
	OK(xp_shmdt(p));
	EVENTUALLY(rig_attached(shmid) == 1);
	OK(write(go[1], "", 1));
	rig_join(child);
	EVENTUALLY(rig_attached(shmid) == 0);
}

static void keep_modes(void *data)
{
	int shmid = (int)rig_hear_parent();
	struct shmid_ds d;

	rig_become(31415, 31415);
	FAILS(xp_shmat(shmid, NULL, 0), EACCES);
	OK(xp_shmat(shmid, NULL, SHM_RDONLY));
	OK(xp_shmctl(shmid, IPC_STAT, &d));
	d.shm_perm.mode = 0666;
	FAILS(xp_shmctl(shmid, IPC_SET, &d), EPERM);
	FAILS(xp_shmctl(shmid, IPC_RMID), EPERM);
	FAILS(xp_shmctl(shmid, IPC_AUTORMID), EPERM);
}

static void modes_count_for_other_partitions_users(void)
{
	rig_peer_t three = rig_there(3, keep_modes, NULL);

	rig_tell(three, (unsigned int)segment_on(0, SIZE, 0644));
	rig_end(three);
}

static void touch_all(void *data)
{
	int shmid = (int)rig_hear_parent();

	become_the_same_user();
	memset(rig_attach(shmid), 1, SIZE);
	rig_tell_parent(1);
	rig_hear_parent();
}

static void placement_of_other_partitions(void)
{
	rig_peer_t two = rig_there(2, touch_all, NULL);
	unsigned long mask = 1, absent[16] = {0};
	char path[64];
	int shmid;
	key_t key;

	if (access("/sys/devices/system/node/node0", F_OK) < 0)
		rig_skip("a kernel without NUMA");
	become_the_same_user();
	key = rig_key_of(partition(1));
	/* "on the caller's own partition (else EINVAL)" */
	FAILS(part_setpmo(key, 0, __PMO_MLD), EINVAL);
	FAILS(part_setpmo(key, 0, __PMO_ANY), EINVAL);
	shmid = NEED(xp_shmget(key, SIZE, 0));
	absent[15] = 1ul << 63;
	FAILS(xp_shmbind(shmid, 0, absent, 1024), EINVAL);
	OK(xp_shmbind(shmid, MEM_FIRSTREF, &mask, 64));
	FAILS(part_getnode(shmid, path, sizeof(path)), EINVAL);
	rig_tell(two, (unsigned int)shmid);
	rig_hear(two);
	OK(part_getnode(shmid, path, sizeof(path)));
	CHECK(!strncmp(path, "/sys/devices/system/node/node", 29));
	FAILS(xp_shmbind(shmid, MEM_FIRSTREF, &mask, 64), EINVAL);
	rig_end(two);
}

static void all_dumps_work(void)
{
	rig_attach(segment_on(2, SIZE, 0));
	NEED_TRUE(freopen("/dev/null", "w", stderr));
	dump_usr_state();
	dump_daem_state();
	dump_all_state();
}

static const rig_test_t tests[] = {
	TEST(all_partitions_see_all),
	TEST(keys_of_partitions_that_are_not_up_cannot_be_made),
	TEST(a_path_names_the_owner),
	TEST(unused_keys_of_another_partitions_process_end_with_it),
	TEST(stores_are_seen_on_all_partitions),
	TEST(counts_are_right_at_once),
	TEST(each_way_of_attaching_works_for_other_partitions),
	TEST(atomics_work_between_partitions),
	TEST(mutexes_work_between_partitions),
	TEST(rwlocks_work_between_partitions),
	TEST(killed_processes_of_other_partitions_are_detached),
	TEST(auto_removal_waits_for_all_partitions),
	TEST(removal_is_everywhere_and_memory_stays),
	TEST(what_another_partition_removes_is_not_known_any_more),
	TEST(children_inherit_what_is_of_other_partitions),
	TEST(modes_count_for_other_partitions_users),
	TEST(placement_of_other_partitions),
	TEST(all_dumps_work),
};

RIG_MAIN(tests)
