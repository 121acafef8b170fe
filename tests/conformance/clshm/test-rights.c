/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users and modes: clshm.md §3 "checked by effective uid/gid as in System V (EACCES)", "only owner,
 * creator or a privileged user may remove or change (EPERM)". Needs root to be others.
 */
#include "rig.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE  10000u
#define OWNER 31415
#define OTHER 27182

static void need_root(void)
{
	if (geteuid() != 0)
		rig_skip("needs root to be other users");
}

/* A process that makes a segment with a mode, tells key and id, and waits. */
struct maker {
	uid_t uid;
	gid_t gid;
	int mode;
};

static void make_segment(void *data)
{
	const struct maker *m = data;
	key_t key;

	rig_become(m->uid, m->gid);
	key = rig_key();
	rig_tell_parent((unsigned int)key);
	rig_tell_parent((unsigned int)NEED(xp_shmget(key, SIZE, m->mode)));
	rig_hear_parent();
}

struct made {
	rig_peer_t maker;
	key_t key;
	int shmid;
};

static struct made make(uid_t uid, gid_t gid, int mode)
{
	struct maker m = {uid, gid, mode};
	struct made made;

	need_root();
	made.maker = rig_here(make_segment, &m);
	made.key = (key_t)rig_hear(made.maker);
	made.shmid = (int)rig_hear(made.maker);
	return made;
}

/* What somebody may: 0 or the errno of each. */
struct may {
	uid_t uid;
	gid_t gid;
	int read, write, stat;
};

static void try_one(const char *what, int got, int error)
{
	char text[128];

	if (got == (error ? -1 : 0) && (!error || errno == error))
		return;
	snprintf(text, sizeof(text), "%s by %u:%u: %s, should be %s", what, geteuid(), getegid(),
		got ? strerrorname_np(errno) : "done", error ? strerrorname_np(error) : "done");
	rig_failed(__FILE__, __LINE__, text);
}

static int attach(int shmid, int flags)
{
	return xp_shmat(shmid, NULL, flags) == (void *)-1 ? -1 : 0;
}

static const struct made *segment;

static void try_all(void *data)
{
	const struct may *m = data;
	struct shmid_ds d;

	rig_become(m->uid, m->gid);
	try_one("read", attach(segment->shmid, SHM_RDONLY), m->read);
	try_one("write", attach(segment->shmid, 0), m->write);
	try_one("stat", xp_shmctl(segment->shmid, IPC_STAT, &d), m->stat);
	try_one("get to read", xp_shmget(segment->key, SIZE, 0444) == -1 ? -1 : 0, m->read);
	try_one("get to write", xp_shmget(segment->key, SIZE, 0666) == -1 ? -1 : 0, m->write);
	try_one("get", xp_shmget(segment->key, SIZE, 0) == -1 ? -1 : 0, 0);
}

static void expect(int mode, struct may may)
{
	struct made made = make(OWNER, OWNER, mode);

	segment = &made;
	rig_in_child(try_all, &may);
	rig_end(made.maker);
}

static void the_owner_has_the_rights_of_the_first_digit(void)
{
	expect(0600, (struct may){OWNER, OTHER, 0, 0, 0});
	expect(0400, (struct may){OWNER, OWNER, 0, EACCES, 0});
	expect(0466, (struct may){OWNER, OWNER, 0, EACCES, 0});
	expect(0066, (struct may){OWNER, OWNER, EACCES, EACCES, EACCES});
}

static void the_group_has_the_rights_of_the_second_digit(void)
{
	expect(0660, (struct may){OTHER, OWNER, 0, 0, 0});
	expect(0640, (struct may){OTHER, OWNER, 0, EACCES, 0});
	expect(0606, (struct may){OTHER, OWNER, EACCES, EACCES, EACCES});
	expect(0600, (struct may){OTHER, OWNER, EACCES, EACCES, EACCES});
}

static void others_have_the_rights_of_the_third_digit(void)
{
	expect(0666, (struct may){OTHER, OTHER, 0, 0, 0});
	expect(0664, (struct may){OTHER, OTHER, 0, EACCES, 0});
	expect(0660, (struct may){OTHER, OTHER, EACCES, EACCES, EACCES});
	expect(0602, (struct may){OTHER, OTHER, EACCES, EACCES, EACCES});
	expect(0, (struct may){OTHER, OTHER, EACCES, EACCES, EACCES});
}

static void a_privileged_user_may_everything(void)
{
	expect(0600, (struct may){0, 0, 0, 0, 0});
	expect(0066, (struct may){0, 0, 0, 0, 0});
}

static void with_supplementary_group(void *data)
{
	const struct made *made = data;
	gid_t group = OWNER;

	NEED_TRUE(setgroups(1, &group) == 0 && setresgid(OTHER, OTHER, OTHER) == 0 &&
		  setresuid(OTHER, OTHER, OTHER) == 0);
	OK(attach(made->shmid, SHM_RDONLY));
	FAILS(attach(made->shmid, 0), EACCES);
}

static void supplementary_groups_count(void)
{
	struct made made = make(OWNER, OWNER, 0640);

	rig_in_child(with_supplementary_group, &made);
	rig_end(made.maker);
}

static void meddle(void *data)
{
	int shmid = *(int *)data;
	struct shmid_ds d;

	rig_become(OTHER, OWNER);
	OK(xp_shmctl(shmid, IPC_STAT, &d));
	d.shm_perm.mode = 0777;
	FAILS(xp_shmctl(shmid, IPC_SET, &d), EPERM);
	FAILS(xp_shmctl(shmid, IPC_RMID), EPERM);
	FAILS(xp_shmctl(shmid, IPC_AUTORMID), EPERM);
	FAILS(xp_shmctl(shmid, SHM_LOCK), EPERM);
	FAILS(xp_shmctl(shmid, SHM_UNLOCK), EPERM);
}

static void only_owners_change_a_segment(void)
{
	struct made made = make(OWNER, OWNER, 0666);

	rig_in_child(meddle, &made.shmid);
	CHECK_EQUAL(rig_state(made.shmid).shm_perm.mode, 0666);
	rig_end(made.maker);
}

static void give_away(void *data)
{
	int shmid = *(int *)data;
	struct shmid_ds d;

	rig_become(OWNER, OWNER);
	d = rig_state(shmid);
	d.shm_perm.uid = OTHER;
	d.shm_perm.gid = OTHER;
	d.shm_perm.mode = 0600;
	OK(xp_shmctl(shmid, IPC_SET, &d));
	/* the creator stays one */
	OK(attach(shmid, 0));
	d = rig_state(shmid);
	CHECK_EQUAL(d.shm_perm.cuid, OWNER);
	CHECK_EQUAL(d.shm_perm.uid, OTHER);
	OK(xp_shmctl(shmid, IPC_SET, &d));
}

static void remove_as_owner(void *data)
{
	int shmid = *(int *)data;

	rig_become(OTHER, OTHER);
	OK(attach(shmid, 0));
	OK(xp_shmctl(shmid, IPC_RMID));
}

static void owner_and_creator_are_two(void)
{
	struct made made = make(OWNER, OWNER, 0644);

	rig_in_child(give_away, &made.shmid);
	rig_in_child(remove_as_owner, &made.shmid);
	FAILS(xp_shmctl(made.shmid, IPC_RMID), EINVAL);
	rig_end(made.maker);
}

static void keep_and_try_again(void *data)
{
	struct made *made = data;
	char *p;

	rig_become(OTHER, OTHER);
	CHECK_EQUAL(xp_shmget(made->key, SIZE, 0666), made->shmid);
	CHECK_EQUAL(xp_shmget(made->key, SIZE, 0666), made->shmid);
	p = rig_attach(made->shmid);
	rig_tell_parent(1);
	rig_hear_parent();
	/* what it has stays */
	p[1] = p[0] + 1;
	FAILS(attach(made->shmid, 0), EACCES);
	FAILS(xp_shmget(made->key, SIZE, 0666), EACCES);
	OK(xp_shmdt(p));
	rig_tell_parent(1);
}

/* §6: "Permission taken away: no new attach" */
static void rights_that_are_taken_end_no_attach_and_allow_no_other(void)
{
	struct made made = make(OWNER, OWNER, 0666);
	rig_peer_t other = rig_here(keep_and_try_again, &made);
	char *p = rig_attach(made.shmid);
	struct shmid_ds d;

	rig_hear(other);
	d = rig_state(made.shmid);
	d.shm_perm.mode = 0600;
	OK(xp_shmctl(made.shmid, IPC_SET, &d));
	p[0] = 41;
	rig_tell(other, 1);
	rig_hear(other);
	CHECK_EQUAL(p[1], 42);
	rig_end(other);
	rig_end(made.maker);
}

/* "SHM_RDONLY maps read-only and the daemon enforces it": no descriptor or map of such a process
 * can be made to write. */
static void try_to_write(void *data)
{
	int shmid = *(int *)data;
	char path[64], *p;

	rig_become(OTHER, OTHER);
	rig_hear_parent();
	p = NEED((char *)xp_shmat(shmid, NULL, SHM_RDONLY));
	for (int fd = 3; fd < 256; fd++) {
		void *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		int again;

		if (map != MAP_FAILED)
			memset(map, 0xee, SIZE);
		(void)!pwrite(fd, "\xee", 1, 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		again = fcntl(fd, F_GETFD) == 0 ? open(path, O_RDWR | O_NONBLOCK) : -1;
		if (again >= 0) {
			(void)!pwrite(again, "\xee", 1, 0);
			close(again);
		}
	}
	if (mprotect(p, SIZE, PROT_READ | PROT_WRITE) == 0)
		memset(p, 0xee, SIZE);
	_exit(0);
}

static void who_may_only_read_cannot_write_by_any_way(void)
{
	struct made made = make(OWNER, OWNER, 0604);
	rig_peer_t other = rig_here(try_to_write, &made.shmid);
	char *p = rig_attach(made.shmid);

	p[0] = 1;
	rig_tell(other, 1);
	/* which may be the death of it */
	NEED_TRUE(waitpid(other.pid, NULL, 0) == other.pid);
	CHECK_EQUAL(p[0], 1);
	CHECK_EQUAL(p[SIZE - 1], 0);
	rig_end(made.maker);
}

/* A process that changes its user is judged by what it is now. */
static void change_users(void *data)
{
	int shmid = *(int *)data;

	OK(attach(shmid, 0));
	NEED_TRUE(setgroups(0, NULL) == 0 && setegid(OTHER) == 0 && seteuid(OTHER) == 0);
	FAILS(attach(shmid, 0), EACCES);
	NEED_TRUE(seteuid(0) == 0 && setegid(0) == 0);
	OK(attach(shmid, 0));
	NEED_TRUE(setegid(OWNER) == 0 && seteuid(OWNER) == 0);
	OK(attach(shmid, 0));
	OK(xp_shmctl(shmid, IPC_RMID));
}

static void the_effective_user_counts(void)
{
	struct made made = make(OWNER, OWNER, 0600);

	rig_in_child(change_users, &made.shmid);
	rig_end(made.maker);
}

/* Whoever made a key may not be asked: "later calls from any process". */
static void get_first(void *data)
{
	key_t key = *(key_t *)data;

	rig_become(OTHER, OTHER);
	rig_tell_parent((unsigned int)NEED(xp_shmget(key, SIZE, 0)));
}

static void who_gets_first_is_the_owner(void)
{
	key_t key;
	rig_peer_t peer;
	struct shmid_ds d;

	need_root();
	key = rig_key();
	peer = rig_here(get_first, &key);
	d = rig_state((int)rig_hear(peer));
	CHECK_EQUAL(d.shm_perm.uid, OTHER);
	CHECK_EQUAL(d.shm_perm.cuid, OTHER);
	CHECK_EQUAL(d.shm_perm.gid, OTHER);
	CHECK_EQUAL(d.shm_perm.mode, 0600);
	rig_end(peer);
}

static const rig_test_t tests[] = {
	TEST(the_owner_has_the_rights_of_the_first_digit),
	TEST(the_group_has_the_rights_of_the_second_digit),
	TEST(others_have_the_rights_of_the_third_digit),
	TEST(a_privileged_user_may_everything),
	TEST(supplementary_groups_count),
	TEST(only_owners_change_a_segment),
	TEST(owner_and_creator_are_two),
	TEST(rights_that_are_taken_end_no_attach_and_allow_no_other),
	TEST(who_may_only_read_cannot_write_by_any_way),
	TEST(the_effective_user_counts),
	TEST(who_gets_first_is_the_owner),
};

RIG_MAIN(tests)
