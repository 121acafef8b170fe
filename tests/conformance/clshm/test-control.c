/* SPDX-License-Identifier: Apache-2.0 */
/* xp_shmctl: clshm.md §3. */
#include "rig.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SIZE 10000u

static void stat_tells_how_a_segment_was_made(void)
{
	time_t before = time(NULL);
	key_t key = rig_key();
	int shmid = NEED(xp_shmget(key, SIZE, 0640));
	struct shmid_ds d = rig_state(shmid);

	CHECK_EQUAL(d.shm_perm.__key, key);
	CHECK_EQUAL(d.shm_perm.uid, geteuid());
	CHECK_EQUAL(d.shm_perm.gid, getegid());
	CHECK_EQUAL(d.shm_perm.cuid, geteuid());
	CHECK_EQUAL(d.shm_perm.cgid, getegid());
	CHECK_EQUAL(d.shm_perm.mode, 0640);
	CHECK_EQUAL(d.shm_segsz, SIZE);
	CHECK_EQUAL(d.shm_nattch, 0);
	CHECK_EQUAL(d.shm_atime, 0);
	CHECK_EQUAL(d.shm_dtime, 0);
	CHECK(d.shm_ctime >= before && d.shm_ctime <= time(NULL));
	CHECK_EQUAL(d.shm_cpid, getpid());
	CHECK_EQUAL(d.shm_lpid, 0);
}

static void attach_what_is_said(void *data)
{
	char *p = NEED((char *)xp_shmat((int)rig_hear_parent(), NULL, 0));

	rig_tell_parent(1);
	rig_hear_parent();
	OK(xp_shmdt(p));
	rig_tell_parent(1);
	rig_hear_parent();
}

static void stat_tells_of_attaches_and_detaches(void)
{
	rig_peer_t peer = rig_here(attach_what_is_said, NULL);
	int shmid = rig_segment(SIZE, 0);
	time_t before = time(NULL);
	char *p = rig_attach(shmid);

	CHECK_EQUAL(rig_state(shmid).shm_lpid, getpid());
	CHECK(rig_state(shmid).shm_atime >= before);
	CHECK_EQUAL(rig_state(shmid).shm_dtime, 0);
	rig_tell(peer, (unsigned int)shmid);
	rig_hear(peer);
	CHECK_EQUAL(rig_attached(shmid), 2);
	CHECK_EQUAL(rig_state(shmid).shm_lpid, peer.pid);
	OK(xp_shmdt(p));
	CHECK_EQUAL(rig_attached(shmid), 1);
	CHECK_EQUAL(rig_state(shmid).shm_lpid, getpid());
	CHECK(rig_state(shmid).shm_dtime >= before);
	rig_tell(peer, 1);
	rig_hear(peer);
	EVENTUALLY(rig_attached(shmid) == 0);
	CHECK_EQUAL(rig_state(shmid).shm_lpid, peer.pid);
	CHECK_EQUAL(rig_state(shmid).shm_cpid, getpid());
	rig_end(peer);
}

static void set_changes_owner_group_and_mode(void)
{
	int shmid = rig_segment(SIZE, 0600);
	struct shmid_ds d = rig_state(shmid), after;

	d.shm_perm.mode = 0444;
	/* these are not for setting */
	d.shm_segsz = 1;
	d.shm_nattch = 77;
	d.shm_cpid = 1;
	d.shm_perm.cuid = 4;
	OK(xp_shmctl(shmid, IPC_SET, &d));
	after = rig_state(shmid);
	CHECK_EQUAL(after.shm_perm.mode, 0444);
	CHECK_EQUAL(after.shm_segsz, SIZE);
	CHECK_EQUAL(after.shm_nattch, 0);
	CHECK_EQUAL(after.shm_cpid, getpid());
	CHECK_EQUAL(after.shm_perm.cuid, geteuid());
	/* only nine bits count */
	d.shm_perm.mode = 0xfe00 | 0640;
	OK(xp_shmctl(shmid, IPC_SET, &d));
	CHECK_EQUAL(rig_state(shmid).shm_perm.mode, 0640);
}

static void rmid_takes_id_and_key_at_once(void)
{
	key_t key = rig_key();
	int shmid = NEED(xp_shmget(key, SIZE, 0));
	struct shmid_ds d;

	OK(xp_shmctl(shmid, IPC_RMID));
	FAILS(xp_shmctl(shmid, IPC_RMID), EINVAL);
	FAILS(xp_shmctl(shmid, IPC_STAT, &d), EINVAL);
	FAILS(xp_shmctl(shmid, IPC_AUTORMID), EINVAL);
	FAILS(xp_shmget(key, SIZE, 0), EINVAL);
	FAILS(xp_shmat(shmid, NULL, 0), EINVAL);
}

static void a_removed_segment_that_others_have_says_so(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid);
	struct shmid_ds d;

	OK(xp_shmctl(shmid, IPC_RMID));
	FAILS(xp_shmctl(shmid, IPC_RMID), EIDRM);
	FAILS(xp_shmctl(shmid, IPC_STAT, &d), EIDRM);
	memset(&d, 0, sizeof(d));
	FAILS(xp_shmctl(shmid, IPC_SET, &d), EIDRM);
	FAILS(xp_shmctl(shmid, IPC_AUTORMID), EIDRM);
	FAILS(xp_shmctl(shmid, SHM_LOCK), EIDRM);
	OK(xp_shmdt(p));
	FAILS(xp_shmctl(shmid, IPC_STAT, &d), EINVAL);
}

static void autormid_removes_after_the_last_detach(void)
{
	key_t key = rig_key();
	int shmid = NEED(xp_shmget(key, SIZE, 0));
	char *a = rig_attach(shmid), *b = rig_attach(shmid);

	OK(xp_shmctl(shmid, IPC_AUTORMID));
	OK(xp_shmctl(shmid, IPC_AUTORMID));
	OK(xp_shmdt(a));
	CHECK_EQUAL(rig_attached(shmid), 1);
	/* it is not removed yet */
	a = rig_attach(shmid);
	OK(xp_shmdt(b));
	CHECK_EQUAL(xp_shmget(key, SIZE, 0), shmid);
	OK(xp_shmdt(a));
	FAILS(xp_shmat(shmid, NULL, 0), EINVAL);
	FAILS(xp_shmget(key, SIZE, 0), EINVAL);
}

static void autormid_before_the_first_attach_waits_for_it(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *p;

	OK(xp_shmctl(shmid, IPC_AUTORMID));
	CHECK_EQUAL(rig_attached(shmid), 0);
	p = rig_attach(shmid);
	OK(xp_shmdt(p));
	FAILS(xp_shmat(shmid, NULL, 0), EINVAL);
}

static void autormid_after_the_last_detach_removes_at_once(void)
{
	int shmid = rig_segment(SIZE, 0);

	OK(xp_shmdt(rig_attach(shmid)));
	OK(xp_shmctl(shmid, IPC_AUTORMID));
	FAILS(xp_shmat(shmid, NULL, 0), EINVAL);
	FAILS(xp_shmctl(shmid, IPC_AUTORMID), EINVAL);
}

static void without_autormid_the_last_detach_removes_nothing(void)
{
	int shmid = rig_segment(SIZE, 0);
	char *p = rig_attach(shmid);

	p[0] = 11;
	OK(xp_shmdt(p));
	CHECK_EQUAL(*rig_attach(shmid), 11);
}

static void attach_and_wait(void *data)
{
	NEED(xp_shmat((int)rig_hear_parent(), NULL, 0));
	rig_tell_parent(1);
	rig_hear_parent();
}

static void autormid_is_done_when_the_last_process_is_killed(void)
{
	rig_peer_t peer = rig_here(attach_and_wait, NULL);
	int shmid = rig_segment(SIZE, 0);

	rig_tell(peer, (unsigned int)shmid);
	rig_hear(peer);
	OK(xp_shmctl(shmid, IPC_AUTORMID));
	CHECK_EQUAL(rig_attached(shmid), 1);
	rig_kill(peer);
	EVENTUALLY(rig_is_gone(shmid));
}

static void locked_segments_say_so(void)
{
	int shmid = rig_segment(64 * rig_page(), 0);
	char *p = rig_attach(shmid);

	if (geteuid() != 0)
		rig_skip("needs root to lock as much as it likes");
	p[0] = 1;
	OK(xp_shmctl(shmid, SHM_LOCK));
	CHECK_EQUAL(rig_state(shmid).shm_perm.mode, 0600 | SHM_LOCKED);
	OK(xp_shmctl(shmid, SHM_LOCK));
	p[63 * rig_page()] = 2;
	OK(xp_shmctl(shmid, SHM_UNLOCK));
	CHECK_EQUAL(rig_state(shmid).shm_perm.mode, 0600);
	OK(xp_shmctl(shmid, SHM_UNLOCK));
	CHECK_EQUAL(p[0], 1);
	CHECK_EQUAL(rig_attached(shmid), 1);
}

static void pointers_are_looked_at(void)
{
	int shmid = rig_segment(SIZE, 0);
	struct shmid_ds *none = rig_nowhere();
	char *page = mmap(NULL, 2 * rig_page(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct shmid_ds *const bad[] = {
		NULL, (void *)1, (void *)8, (void *)-1, (void *)(INTPTR_MAX - 7), none};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		FAILS(xp_shmctl(shmid, IPC_STAT, bad[i]), EFAULT);
		FAILS(xp_shmctl(shmid, IPC_SET, bad[i]), EFAULT);
	}
	/* half of it is there, or it cannot be written */
	NEED_TRUE(mprotect(page + rig_page(), rig_page(), PROT_NONE) == 0);
	FAILS(xp_shmctl(shmid, IPC_STAT, (struct shmid_ds *)page), EFAULT);
	FAILS(xp_shmctl(shmid, IPC_SET, (struct shmid_ds *)(page + rig_page() - 8)), EFAULT);
	CHECK_EQUAL(rig_state(shmid).shm_perm.mode, 0600);
}

static void other_commands_are_invalid(void)
{
	int shmid = rig_segment(SIZE, 0);
	static const int commands[] = {
		3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 16, 99, -1, INT_MIN, INT_MAX};
	struct shmid_ds d;

	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		FAILS(xp_shmctl(shmid, commands[i], &d), EINVAL);
	OK(xp_shmctl(shmid, IPC_STAT, &d));
}

static void ids_that_nobody_has_are_invalid(void)
{
	int shmid = rig_segment(SIZE, 0);
	const int ids[] = {0, -1, INT_MIN, INT_MAX, 1, shmid + 0x100000, -shmid, 0x3f000001,
		0x40000001, shmid & ~0xffffff};
	static const int commands[] = {
		IPC_RMID, IPC_SET, IPC_STAT, IPC_AUTORMID, SHM_LOCK, SHM_UNLOCK};
	struct shmid_ds d;

	memset(&d, 0, sizeof(d));
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		for (size_t c = 0; c < sizeof(commands) / sizeof(*commands); c++)
			FAILS(xp_shmctl(ids[i], commands[c], &d), EINVAL);
}

static const rig_test_t tests[] = {
	TEST(stat_tells_how_a_segment_was_made),
	TEST(stat_tells_of_attaches_and_detaches),
	TEST(set_changes_owner_group_and_mode),
	TEST(rmid_takes_id_and_key_at_once),
	TEST(a_removed_segment_that_others_have_says_so),
	TEST(autormid_removes_after_the_last_detach),
	TEST(autormid_before_the_first_attach_waits_for_it),
	TEST(autormid_after_the_last_detach_removes_at_once),
	TEST(without_autormid_the_last_detach_removes_nothing),
	TEST(autormid_is_done_when_the_last_process_is_killed),
	TEST(locked_segments_say_so),
	TEST(pointers_are_looked_at),
	TEST(other_commands_are_invalid),
	TEST(ids_that_nobody_has_are_invalid),
};

RIG_MAIN(tests)
