/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is lost with a partition, a daemon or a process, and what is not: clshm.md §6. With what
 * with-cluster can do to the other nodes.
 */
#include "rig.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 20000u

static void need_three(void)
{
	EVENTUALLY(part_getcount() == 3);
	if (part_getcount() != 3)
		rig_skip("needs three partitions");
}

static partid_t partition(int n)
{
	partid_t list[MAX_PARTITIONS];

	need_three();
	NEED(part_getlist(list, MAX_PARTITIONS));
	return list[n];
}

static int segment_on(int n, int mode)
{
	return NEED(xp_shmget(rig_key_of(partition(n)), SIZE, mode));
}

static bool is_up(partid_t part)
{
	partid_t list[MAX_PARTITIONS];
	int n = part_getlist(list, MAX_PARTITIONS);

	for (int i = 0; i < n; i++)
		if (list[i] == part)
			return true;
	return false;
}

static sigjmp_buf back;

static void on_bus(int number, siginfo_t *info, void *context)
{
	siglongjmp(back, 1);
}

/* Does an access of this process raise SIGBUS? */
static bool raises_bus(volatile char *p)
{
	struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO}, before;
	bool caught = sigsetjmp(back, 1);

	if (!caught) {
		sigaction(SIGBUS, &action, &before);
		(void)*p;
	}
	sigaction(SIGBUS, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	return caught;
}

/* "the next access to the segment raises SIGBUS (uncaught, it ends the process); calls return EIO;
 * ids vanish from part_getlist" */
static void a_lost_owner_takes_its_memory_with_it(void)
{
	partid_t lost = partition(1);
	key_t key = rig_key_of(lost);
	int shmid = NEED(xp_shmget(key, SIZE, 0)), own = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid), *q = rig_attach(own), path[64];
	struct shmid_ds d;

	p[0] = 1;
	q[0] = 2;
	rig_cluster("RIG_NODE2_KILL");
	EVENTUALLY(!is_up(lost));
	EVENTUALLY(raises_bus(p));
	CHECK(raises_bus(p + rig_page()));
	CHECK(raises_bus(p + SIZE - 1));
	CHECK_EQUAL(rig_signal_of(p, false), SIGBUS);
	CHECK_EQUAL(rig_signal_of(p, true), SIGBUS);
	FAILS(xp_shmat(shmid, NULL, 0), EIO);
	FAILS(xp_shmctl(shmid, IPC_STAT, &d), EIO);
	FAILS(xp_shmctl(shmid, IPC_RMID), EIO);
	FAILS(part_getnode(shmid, path, sizeof(path)), EIO);
	FAILS(xp_shmget(key, SIZE, 0), EIO);
	snprintf(path, sizeof(path), CLSHM_IF_PART_PATH "%02x", (unsigned int)lost);
	FAILS(xp_ftok(path, 1), EINVAL);
	FAILS(part_gethostname(lost, path, sizeof(path)), EINVAL);
	CHECK_EQUAL(part_getcount(), 2);
	/* what is not lost goes on */
	CHECK_EQUAL(q[0], 2);
	q[1] = 3;
	CHECK_EQUAL(rig_attached(own), 1);
	OK(xp_shmdt(p));
	FAILS(xp_shmdt(p), EINVAL);
	/* it comes back with nothing of the old */
	rig_cluster("RIG_NODE2_START");
	EVENTUALLY(is_up(lost));
	FAILS(xp_shmat(shmid, NULL, 0), EINVAL);
	FAILS(xp_shmget(key, SIZE, 0), EINVAL);
	p = rig_attach(segment_on(1, 0));
	CHECK_EQUAL(p[0], 0);
	OK(xp_shmdt(p));
}

static void attach_and_wait(void *data)
{
	char *p = NEED((char *)xp_shmat((int)rig_hear_parent(), NULL, 0));

	p[0] = 7;
	rig_tell_parent(1);
	rig_hear_parent();
}

/* "its attaches are dropped everywhere, AUTORMID is evaluated; others continue" */
static void a_lost_partition_is_detached_everywhere(void)
{
	rig_peer_t two = rig_there(2, attach_and_wait, NULL);
	rig_peer_t also = rig_there(2, attach_and_wait, NULL);
	rig_peer_t three = rig_there(3, attach_and_wait, NULL);
	partid_t lost = partition(1);
	int kept = segment_on(2, 0666), left = rig_segment(SIZE, 0666);
	char *p = rig_attach(kept);

	rig_tell(two, (unsigned int)kept);
	rig_tell(three, (unsigned int)kept);
	rig_tell(also, (unsigned int)left);
	rig_hear(two);
	rig_hear(three);
	rig_hear(also);
	OK(xp_shmctl(left, IPC_AUTORMID));
	CHECK_EQUAL(rig_attached(left), 1);
	CHECK_EQUAL(rig_attached(kept), 3);
	rig_cluster("RIG_NODE2_KILL");
	EVENTUALLY(rig_is_gone(left));
	EVENTUALLY(rig_attached(kept) == 2);
	p[1] = 1;
	CHECK_EQUAL(p[1], 1);
	rig_kill(two);
	rig_kill(also);
	rig_end(three);
	EVENTUALLY(rig_attached(kept) == 1);
	rig_cluster("RIG_NODE2_START");
	EVENTUALLY(is_up(lost));
}

/* "after a restart segments, keys, attach counts and AUTORMID marks are as before" */
static void a_restarted_daemon_has_what_it_had(void)
{
	rig_peer_t two = rig_there(2, attach_and_wait, NULL);
	key_t key, unused, other_key;
	int shmid, other;
	struct shmid_ds before, after;
	char *p, *q;

	need_three();
	key = rig_key();
	unused = rig_key();
	other_key = rig_key_of(partition(1));
	shmid = NEED(xp_shmget(key, SIZE, 0666));
	other = NEED(xp_shmget(other_key, SIZE, 0666));
	p = rig_attach(shmid);
	q = rig_attach(other);
	OK(xp_shmctl(shmid, IPC_AUTORMID));
	rig_tell(two, (unsigned int)shmid);
	rig_hear(two);
	p[1] = 11;
	q[1] = 12;
	before = rig_state(shmid);
	rig_cluster("RIG_NODE1_RESTART");
	p[2] = 13;
	after = rig_state(shmid);
	CHECK(!memcmp(&before, &after, sizeof(before)));
	CHECK_EQUAL(after.shm_nattch, 2);
	CHECK_EQUAL(p[0], 7);
	CHECK_EQUAL(p[1], 11);
	CHECK_EQUAL(q[1], 12);
	CHECK_EQUAL(xp_shmget(key, SIZE, 0), shmid);
	OK(xp_shmget(unused, SIZE, 0));
	CHECK(rig_key() != unused);
	rig_cluster("RIG_NODE2_RESTART");
	CHECK_EQUAL(q[1], 12);
	q[2] = 14;
	CHECK_EQUAL(xp_shmget(other_key, SIZE, 0), other);
	EVENTUALLY(rig_attached(other) == 1);
	rig_end(two);
	EVENTUALLY(rig_attached(shmid) == 1);
	OK(xp_shmdt(p));
	EVENTUALLY(rig_is_gone(shmid));
	EVENTUALLY(part_getcount() == 3);
	OK(xp_shmdt(q));
	EVENTUALLY(rig_attached(other) == 0);
	CHECK_EQUAL(*(rig_attach(other) + 2), 14);
}

/* A child that is made while its parent's owner is lost. */
static void a_fork_with_lost_memory_is_bounded(void)
{
	partid_t lost = partition(1);
	char *p = rig_attach(segment_on(1, 0)), *q = rig_attach(rig_segment(SIZE, 0));
	int64_t begin;

	p[0] = 1;
	rig_cluster("RIG_NODE2_KILL");
	begin = rig_now();
	CHECK_EQUAL(rig_signal_of(q, true), 0);
	CHECK(rig_now() - begin < 12000);
	EVENTUALLY(!is_up(lost));
	begin = rig_now();
	CHECK_EQUAL(rig_signal_of(q, true), 0);
	CHECK(rig_now() - begin < 1000);
	rig_cluster("RIG_NODE2_START");
	EVENTUALLY(is_up(lost));
}

static const rig_test_t tests[] = {
	TEST(a_restarted_daemon_has_what_it_had),
	TEST(a_lost_partition_is_detached_everywhere),
	TEST(a_lost_owner_takes_its_memory_with_it),
	TEST(a_fork_with_lost_memory_is_bounded),
};

RIG_MAIN(tests)
