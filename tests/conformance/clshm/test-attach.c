/* SPDX-License-Identifier: Apache-2.0 */
/* Attaches: clshm.md §3 xp_shmat, xp_shmdt. */
#include "rig.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 10000u

static size_t whole(size_t size)
{
	return (size + rig_page() - 1) / rig_page() * rig_page();
}

static void attaches_of_one_segment_show_the_same_memory(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *a = rig_attach(shmid), *b = rig_attach(shmid);
	char *c = NEED((char *)xp_shmat(shmid, NULL, SHM_RDONLY));

	CHECK(a != b && b != c && a != c);
	CHECK_EQUAL((uintptr_t)a % (uintptr_t)SHMLBA, 0);
	strcpy(a + 5000, "to be seen");
	CHECK(!strcmp(b + 5000, "to be seen"));
	CHECK(!strcmp(c + 5000, "to be seen"));
	CHECK_EQUAL(rig_attached(shmid), 3);
	OK(xp_shmdt(b));
	OK(xp_shmdt(c));
	CHECK_EQUAL(rig_attached(shmid), 1);
	OK(xp_shmdt(a));
	CHECK_EQUAL(rig_attached(shmid), 0);
	a = rig_attach(shmid);
	CHECK(!strcmp(a + 5000, "to be seen"));
}

static void attach_what_is_said(void *data)
{
	char *p = NEED((char *)xp_shmat((int)rig_hear_parent(), NULL, 0));

	rig_tell_parent((unsigned char)p[SIZE - 1]);
	p[0] = 7;
	rig_tell_parent(1);
}

/* Ours: "any process with permission may attach a shmid it was told" */
static void a_process_may_attach_without_a_get(void)
{
	rig_peer_t peer = rig_here(attach_what_is_said, NULL);
	int shmid = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid);

	p[SIZE - 1] = 42;
	rig_tell(peer, (unsigned int)shmid);
	CHECK_EQUAL(rig_hear(peer), 42);
	rig_hear(peer);
	CHECK_EQUAL(p[0], 7);
	rig_end(peer);
}

static void whole_pages_are_attached(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *hole = rig_hole(2 * whole(SIZE));
	char *p = NEED((char *)xp_shmat(shmid, hole, 0));

	CHECK_EQUAL(rig_signal_of(p + whole(SIZE) - 1, true), 0);
	CHECK_EQUAL(rig_signal_of(p + whole(SIZE), false), SIGSEGV);
	OK(xp_shmdt(p));
	CHECK_EQUAL(rig_signal_of(p, false), SIGSEGV);
	CHECK_EQUAL(rig_signal_of(p + whole(SIZE) - 1, false), SIGSEGV);
}

static void read_only_attaches_cannot_be_written(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *p = NEED((char *)xp_shmat(shmid, NULL, SHM_RDONLY));

	CHECK_EQUAL(rig_signal_of(p, false), 0);
	CHECK_EQUAL(rig_signal_of(p, true), SIGSEGV);
	/* nor made to be written */
	CHECK(mprotect(p, rig_page(), PROT_READ | PROT_WRITE) == -1 ||
		(p[0] = 1, *(char *)xp_shmat(shmid, NULL, SHM_RDONLY) == 0));
}

static void an_address_is_taken_exactly(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *hole = rig_hole(4 * whole(SIZE)), *there = hole + rig_page();

	CHECK(xp_shmat(shmid, there, 0) == there);
	OK(xp_shmdt(there));
	CHECK(xp_shmat(shmid, there, SHM_RDONLY) == there);
	OK(xp_shmdt(there));
	CHECK(xp_shmat(shmid, there + 1, SHM_RND) == there);
	OK(xp_shmdt(there));
	CHECK(xp_shmat(shmid, there + SHMLBA - 1, SHM_RND) == there);
	OK(xp_shmdt(there));
	CHECK(xp_shmat(shmid, there, SHM_RND | SHM_RDONLY) == there);
	FAILS(xp_shmat(shmid, there + 1, 0), EINVAL);
	FAILS(xp_shmat(shmid, there + SHMLBA / 2, SHM_RDONLY), EINVAL);
	FAILS(xp_shmat(shmid, (void *)1, SHM_RND), EINVAL);
	CHECK_EQUAL(rig_attached(shmid), 1);
}

/* Ours: "refuses to map over existing mappings" */
static void what_is_there_stays(void)
{
	int shmid = rig_segment(3 * rig_page(), 0);
	char *p = mmap(
		NULL, 7 * rig_page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED_TRUE(p != MAP_FAILED);
	munmap(p, 3 * rig_page());
	munmap(p + 4 * rig_page(), 3 * rig_page());
	p[3 * rig_page()] = 9;
	for (unsigned int page = 1; page <= 3; page++)
		FAILS(xp_shmat(shmid, p + page * rig_page(), 0), EINVAL);
	CHECK_EQUAL(p[3 * rig_page()], 9);
	CHECK(xp_shmat(shmid, p, 0) == p);
	CHECK(xp_shmat(shmid, p + 4 * rig_page(), 0) == p + 4 * rig_page());
	FAILS(xp_shmat(shmid, p, 0), EINVAL);
	FAILS(xp_shmat(shmid, p + rig_page(), SHM_RDONLY), EINVAL);
	CHECK_EQUAL(rig_attached(shmid), 2);
	CHECK_EQUAL(p[3 * rig_page()], 9);
}

static void remap_replaces_what_is_there(void)
{
	int shmid = rig_segment(2 * rig_page(), 0);
	char *seen = rig_attach(shmid);
	char *p = mmap(
		NULL, 3 * rig_page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED_TRUE(p != MAP_FAILED);
	memset(p, 9, 3 * rig_page());
	CHECK(xp_shmat(shmid, p, SHM_REMAP) == p);
	CHECK_EQUAL(p[0], 0);
	CHECK_EQUAL(p[2 * rig_page()], 9);
	p[1] = 5;
	CHECK_EQUAL(seen[1], 5);
	OK(xp_shmdt(p));
	CHECK_EQUAL(rig_signal_of(p, false), SIGSEGV);
	CHECK_EQUAL(p[2 * rig_page()], 9);
	CHECK(xp_shmat(shmid, p, SHM_REMAP) == p);
	FAILS(xp_shmat(shmid, NULL, SHM_REMAP), EINVAL);
	FAILS(xp_shmat(shmid, p + 1, SHM_REMAP), EINVAL);
	FAILS(xp_shmat(shmid, (void *)1, SHM_REMAP | SHM_RND), EINVAL);
}

/* What is replaced whole is detached. */
static void remap_over_attaches_detaches_them(void)
{
	int small = rig_segment(rig_page(), 0), large = rig_segment(4 * rig_page(), 0);
	char *hole = rig_hole(8 * rig_page()), *a, *b;

	a = NEED((char *)xp_shmat(small, hole, 0));
	b = NEED((char *)xp_shmat(small, hole + 2 * rig_page(), 0));
	CHECK(xp_shmat(large, hole, SHM_REMAP) == hole);
	CHECK_EQUAL(rig_attached(small), 0);
	CHECK_EQUAL(rig_attached(large), 1);
	FAILS(xp_shmdt(b), EINVAL);
	/* a part of one cannot go */
	FAILS(xp_shmat(large, hole + rig_page(), SHM_REMAP), EINVAL);
	FAILS(xp_shmat(small, hole + rig_page(), SHM_REMAP), EINVAL);
	a[4 * rig_page() - 1] = 1;
	CHECK(xp_shmat(large, hole, SHM_REMAP | SHM_RDONLY) == hole);
	CHECK_EQUAL(rig_attached(large), 1);
	CHECK_EQUAL(hole[4 * rig_page() - 1], 1);
	OK(xp_shmdt(hole));
	CHECK_EQUAL(rig_attached(large), 0);
}

static void other_flags_are_invalid(void)
{
	int shmid = rig_segment(SIZE, 0);
	static const int flags[] = {SHM_EXEC, 1, IPC_CREAT, 0x40000000, INT_MIN, -1};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		FAILS(xp_shmat(shmid, NULL, flags[i]), EINVAL);
	CHECK_EQUAL(rig_attached(shmid), 0);
}

static void bad_addresses_are_invalid(void)
{
	int shmid = rig_segment(SIZE, 0);
	const uintptr_t page = rig_page();
	const uintptr_t addresses[] = {page, -page, -2 * page, UINTPTR_MAX, UINTPTR_MAX / 2 + 1,
		(uintptr_t)1 << 47, ((uintptr_t)1 << 47) - page};

	for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
		char *p = xp_shmat(shmid, (void *)addresses[i], 0);

		CHECK(p == (char *)-1 && (errno == EINVAL || errno == ENOMEM));
		p = xp_shmat(shmid, (void *)(addresses[i] & -page), SHM_REMAP);
		CHECK(p == (char *)-1 ? errno == EINVAL || errno == ENOMEM : xp_shmdt(p) == 0);
	}
	CHECK_EQUAL(rig_attached(shmid), 0);
}

static void ids_that_nobody_has_are_invalid(void)
{
	int shmid = rig_segment(SIZE, 0);
	const int ids[] = {0, -1, INT_MIN, INT_MAX, 1, shmid + 0x100000, -shmid, 0x3f000001,
		0x40000001, shmid & ~0xffffff};

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		FAILS(xp_shmat(ids[i], NULL, 0), EINVAL);
}

static void detach_takes_only_what_attach_gave(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid), stack;

	FAILS(xp_shmdt(NULL), EINVAL);
	FAILS(xp_shmdt((void *)-1), EINVAL);
	FAILS(xp_shmdt(p + 1), EINVAL);
	FAILS(xp_shmdt(p + rig_page()), EINVAL);
	FAILS(xp_shmdt(p - rig_page()), EINVAL);
	FAILS(xp_shmdt(&stack), EINVAL);
	FAILS(xp_shmdt(rig_nowhere()), EINVAL);
	p[0] = 1;
	OK(xp_shmdt(p));
	FAILS(xp_shmdt(p), EINVAL);
}

/* Ours: "EIDRM after removal"; §3 IPC_RMID: "those attached keep the memory until they detach" */
static void a_removed_segment_stays_with_those_who_have_it(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *a = rig_attach(shmid), *b = rig_attach(shmid);

	a[1] = 1;
	OK(xp_shmctl(shmid, IPC_RMID));
	CHECK_EQUAL(b[1], 1);
	b[9999] = 2;
	CHECK_EQUAL(a[9999], 2);
	FAILS(xp_shmat(shmid, NULL, 0), EIDRM);
	FAILS(xp_shmat(shmid, NULL, SHM_RDONLY), EIDRM);
	OK(xp_shmdt(a));
	CHECK_EQUAL(b[9999], 2);
	FAILS(xp_shmat(shmid, NULL, 0), EIDRM);
	OK(xp_shmdt(b));
	FAILS(xp_shmat(shmid, NULL, 0), EINVAL);
}

static void a_segment_may_be_attached_many_times(void)
{
	enum { N = 1000 };
	int shmid = rig_segment(rig_page(), 0);
	static char *at[N];

	for (int i = 0; i < N; i++)
		at[i] = rig_attach(shmid);
	CHECK_EQUAL(rig_attached(shmid), N);
	at[N - 1][0] = 3;
	CHECK_EQUAL(at[0][0], 3);
	/* neither the first nor the last one first */
	for (int i = 0; i < N; i++)
		OK(xp_shmdt(at[i * 7 % N]));
	CHECK_EQUAL(rig_attached(shmid), 0);
}

static void many_segments_may_be_attached(void)
{
	enum { N = 1000 };
	static char *at[N];

	for (int i = 0; i < N; i++) {
		at[i] = rig_attach(rig_segment(1, 0));
		*(int *)at[i] = i;
	}
	for (int i = 0; i < N; i++) {
		CHECK_EQUAL(*(int *)at[i], i);
		OK(xp_shmdt(at[i]));
	}
}

struct shared {
	_Atomic unsigned int count;
	pthread_mutex_t mutex;
	unsigned int guarded;
	_Atomic bool ready;
};

#define ROUNDS 20000u

static void count_together(struct shared *s)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		atomic_fetch_add(&s->count, 1);
		pthread_mutex_lock(&s->mutex);
		s->guarded++;
		pthread_mutex_unlock(&s->mutex);
	}
}

static void count_with_parent(void *data)
{
	struct shared *s = NEED((struct shared *)xp_shmat((int)rig_hear_parent(), NULL, 0));

	count_together(s);
}

/* §1: "plain loads, stores, CPU atomics and process-shared pthread locks work in it" */
static void atomics_and_locks_work_between_processes(void)
{
	rig_peer_t peer = rig_here(count_with_parent, NULL);
	int shmid = rig_segment(sizeof(struct shared), 0);
	struct shared *s = (struct shared *)rig_attach(shmid);
	pthread_mutexattr_t shared;

	pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&s->mutex, &shared);
	rig_tell(peer, (unsigned int)shmid);
	count_together(s);
	rig_end(peer);
	CHECK_EQUAL(s->count, 2 * ROUNDS);
	CHECK_EQUAL(s->guarded, 2 * ROUNDS);
}

static const rig_test_t tests[] = {
	TEST(attaches_of_one_segment_show_the_same_memory),
	TEST(a_process_may_attach_without_a_get),
	TEST(whole_pages_are_attached),
	TEST(read_only_attaches_cannot_be_written),
	TEST(an_address_is_taken_exactly),
	TEST(what_is_there_stays),
	TEST(remap_replaces_what_is_there),
	TEST(remap_over_attaches_detaches_them),
	TEST(other_flags_are_invalid),
	TEST(bad_addresses_are_invalid),
	TEST(ids_that_nobody_has_are_invalid),
	TEST(detach_takes_only_what_attach_gave),
	TEST(a_removed_segment_stays_with_those_who_have_it),
	TEST(a_segment_may_be_attached_many_times),
	TEST(many_segments_may_be_attached),
	TEST(atomics_and_locks_work_between_processes),
};

RIG_MAIN(tests)
