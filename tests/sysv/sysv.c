/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs for System V shared memory count on, said once and built twice (calls.h). Each line
 * of output is an observation; both builds must print the same. What the two contracts do not have
 * in common is not asked for: attaching a removed segment, a get with a smaller size, a get by a
 * removed key.
 */

#include <errno.h>
#include <pthread.h>
#include <grp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "calls.h"

#define SIZE   10000u
#define NOBODY 65534
#define OTHER  31415 /* a user and group of nobody's */

static const char *error_name(int error)
{
	/* the one who is told that a segment is gone need not be told why */
	return error == EIDRM ? strerrorname_np(EINVAL) : strerrorname_np(error);
}

static void say(const char *what, long value)
{
	printf("%s: %ld\n", what, value);
	fflush(stdout);
}

static void say_result(const char *what, long result)
{
	printf("%s: %s\n", what, result == -1 ? error_name(errno) : "done");
	fflush(stdout);
}

#define RESULT(call)	  say_result(#call, (long)(call))
#define VALUE(expression) say(#expression, (long)(expression))

static void *must_attach(int id, int flags)
{
	void *p = shmat(id, NULL, flags);

	if (p == (void *)-1) {
		printf("cannot attach %d: %s\n", flags, strerror(errno));
		exit(1);
	}
	return p;
}

static int must_get(size_t size, int mode)
{
	int id = shmget(new_key(), size, IPC_CREAT | mode);

	if (id == -1) {
		printf("no segment of %zu: %s\n", size, strerror(errno));
		exit(1);
	}
	return id;
}

static struct shmid_ds status(int id)
{
	struct shmid_ds s = {0};

	if (shmctl(id, IPC_STAT, &s))
		say_result("IPC_STAT", -1);
	return s;
}

/* The end of a process may be noticed a moment later. */
static long attached_soon(int id, unsigned long n)
{
	for (int i = 0; i < 2000 && status(id).shm_nattch != n; i++)
		usleep(2000);
	return (long)status(id).shm_nattch;
}

static int in_child(void (*work)(int id, void *at), int id, void *at)
{
	pid_t child = fork();
	int state;

	if (child == 0) {
		work(id, at);
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, &state, 0);
	return WIFSIGNALED(state) ? -WTERMSIG(state) : WEXITSTATUS(state);
}

/* --- get --- */

static void getting(void)
{
	key_t key = new_key();
	int id = shmget(key, SIZE, IPC_CREAT | IPC_EXCL | 0640);

	VALUE(id != -1);
	VALUE(shmget(key, SIZE, 0640) == id);
	VALUE(shmget(key, SIZE, IPC_CREAT | 0640) == id);
	RESULT(shmget(key, SIZE, IPC_CREAT | IPC_EXCL | 0640));
	RESULT(shmget(key, SIZE + 4096, 0640));
	RESULT(shmget(new_key(), 0, IPC_CREAT | 0600));
	VALUE(status(id).shm_segsz);
	VALUE(status(id).shm_perm.mode & 0777);
	VALUE(status(id).shm_perm.uid == geteuid() && status(id).shm_perm.cuid == geteuid());
	VALUE(status(id).shm_perm.gid == getegid() && status(id).shm_perm.cgid == getegid());
	VALUE(status(id).shm_cpid == getpid());
	VALUE(status(id).shm_lpid);
	VALUE(status(id).shm_nattch);
	VALUE(status(id).shm_atime);
	VALUE(status(id).shm_dtime);
	VALUE(labs(status(id).shm_ctime - time(NULL)) <= 1);
	RESULT(shmctl(id, IPC_RMID, NULL));
	RESULT(shmctl(id, IPC_RMID, NULL));
	RESULT(shmctl(id, IPC_STAT, &(struct shmid_ds){0}));
	VALUE(shmat(id, NULL, 0) == (void *)-1);
}

/* --- attach --- */

static void reads(int id, void *at)
{
	*(volatile char *)at;
}

static void writes(int id, void *at)
{
	*(volatile char *)at = 1;
}

static bool all_zero(const char *p, size_t n)
{
	return !p[0] && !memcmp(p, p + 1, n - 1);
}

static void attaching(void)
{
	int id = must_get(SIZE, 0600);
	char *a = must_attach(id, 0), *b = must_attach(id, 0), *c = must_attach(id, SHM_RDONLY);

	VALUE(all_zero(a, SIZE));
	VALUE((uintptr_t)a % 4096);
	VALUE(a != b && b != c);
	strcpy(a + 5000, "to be seen");
	VALUE(strcmp(b + 5000, "to be seen"));
	VALUE(strcmp(c + 5000, "to be seen"));
	VALUE(status(id).shm_nattch);
	VALUE(status(id).shm_lpid == getpid());
	VALUE(labs(status(id).shm_atime - time(NULL)) <= 1);
	VALUE(in_child(reads, id, c));
	VALUE(in_child(writes, id, c));
	VALUE(in_child(writes, id, b));
	VALUE(attached_soon(id, 3));
	RESULT(shmdt(b));
	RESULT(shmdt(b));
	RESULT(shmdt(a + 4096));
	RESULT(shmdt(a + 1));
	RESULT(shmdt(NULL));
	VALUE(in_child(reads, id, b));
	VALUE(status(id).shm_nattch);
	VALUE(labs(status(id).shm_dtime - time(NULL)) <= 1);
	VALUE(strcmp(a + 5000, "to be seen"));
	RESULT(shmdt(a));
	RESULT(shmdt(c));
	VALUE(status(id).shm_nattch);
	a = must_attach(id, 0);
	VALUE(strcmp(a + 5000, "to be seen"));
	RESULT(shmdt(a));
	RESULT(shmctl(id, IPC_RMID, NULL));
}

static void places(void)
{
	int id = must_get(SIZE, 0600);
	char *hole = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at;

	VALUE(shmat(id, hole, 0) == (void *)-1 && errno == EINVAL);
	VALUE(shmat(id, hole + 100, 0) == (void *)-1 && errno == EINVAL);
	VALUE(shmat(id, hole, SHM_REMAP) == hole);
	VALUE(in_child(writes, id, hole));
	VALUE(in_child(reads, id, hole + 12288));
	VALUE(in_child(writes, id, hole + 12288));
	VALUE(shmat(id, NULL, SHM_REMAP) == (void *)-1 && errno == EINVAL);
	RESULT(shmdt(hole));
	munmap(hole, 1 << 20);
	VALUE(shmat(id, hole, 0) == hole);
	RESULT(shmdt(hole));
	at = shmat(id, hole + 100, SHM_RND);
	VALUE(at == hole);
	RESULT(shmdt(at));
	VALUE(shmat(id, hole + 100, 0) == (void *)-1 && errno == EINVAL);
	RESULT(shmctl(id, IPC_RMID, NULL));
}

/* --- life --- */

static void child_looks(int id, void *at)
{
	VALUE(status(id).shm_nattch);
	VALUE(strcmp(at, "inherited"));
	strcpy(at, "given back");
	VALUE(shmdt(at));
	VALUE(status(id).shm_nattch);
}

static void child_leaves(int id, void *at)
{
	strcpy(at, "left");
}

static void child_is_killed(int id, void *at)
{
	must_attach(id, 0);
	VALUE(status(id).shm_nattch);
	raise(SIGKILL);
}

static void child_executes(int id, void *at)
{
	execl("/bin/true", "true", NULL);
}

static void families(void)
{
	int id = must_get(SIZE, 0600);
	char *a = must_attach(id, 0);

	strcpy(a, "inherited");
	VALUE(in_child(child_looks, id, a));
	VALUE(strcmp(a, "given back"));
	VALUE(attached_soon(id, 1));
	VALUE(in_child(child_leaves, id, a));
	VALUE(strcmp(a, "left"));
	VALUE(attached_soon(id, 1));
	VALUE(in_child(child_is_killed, id, a));
	VALUE(attached_soon(id, 1));
	VALUE(in_child(child_executes, id, a));
	VALUE(attached_soon(id, 1));
	RESULT(shmdt(a));
	RESULT(shmctl(id, IPC_RMID, NULL));
}

static void removing(void)
{
	int id = must_get(SIZE, 0600);
	char *a = must_attach(id, 0);

	strcpy(a, "still here");
	RESULT(shmctl(id, IPC_RMID, NULL));
	VALUE(strcmp(a, "still here"));
	VALUE(in_child(writes, id, a + 100));
	VALUE(a[100]);
	pid_t child = fork();

	if (child == 0) {
		usleep(20000); /* its parent has it no more */
		VALUE(strcmp(a, "still here"));
		RESULT(shmdt(a));
		_exit(0);
	}
	RESULT(shmdt(a));
	waitpid(child, NULL, 0);
	for (int i = 0; i < 2000 && shmctl(id, IPC_STAT, &(struct shmid_ds){0}) == 0; i++)
		usleep(2000);
	RESULT(shmctl(id, IPC_STAT, &(struct shmid_ds){0}));
	VALUE(shmat(id, NULL, 0) == (void *)-1);
}

/* --- rights --- */

static void become(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		exit(9);
}

static void tries_all(int id)
{
	void *p;

	RESULT(shmctl(id, IPC_STAT, &(struct shmid_ds){0}));
	p = shmat(id, NULL, SHM_RDONLY);
	say_result("attach to read", (long)p);
	p = shmat(id, NULL, 0);
	say_result("attach to write", (long)p);
	RESULT(shmctl(id, IPC_SET, &(struct shmid_ds){.shm_perm.mode = 0777}));
	RESULT(shmctl(id, IPC_RMID, NULL));
}

static void as_other(int id, void *at)
{
	become(OTHER, OTHER);
	tries_all(id);
}

static void as_group(int id, void *at)
{
	become(OTHER, NOBODY);
	tries_all(id);
}

static void as_owner(int id, void *at)
{
	become(NOBODY, OTHER);
	RESULT(shmctl(id, IPC_STAT, &(struct shmid_ds){0}));
	say_result("attach to write", (long)shmat(id, NULL, 0));
	RESULT(shmctl(id, IPC_SET,
		&(struct shmid_ds){.shm_perm = {.mode = 0, .uid = NOBODY, .gid = OTHER}}));
	say_result("attach to read", (long)shmat(id, NULL, SHM_RDONLY));
	RESULT(shmctl(id, IPC_RMID, NULL));
}

static void rights(void)
{
	static const int modes[] = {0600, 0640, 0604, 0660, 0606, 0666, 0444, 0000};

	if (geteuid() != 0)
		return;
	for (unsigned int i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		int id = must_get(SIZE, modes[i]);
		struct shmid_ds s = {.shm_perm = {.uid = 0, .gid = NOBODY, .mode = modes[i]}};

		say("mode", modes[i]);
		RESULT(shmctl(id, IPC_SET, &s));
		VALUE(status(id).shm_perm.gid);
		VALUE(status(id).shm_perm.mode & 0777);
		in_child(as_other, id, NULL);
		in_child(as_group, id, NULL);
		s.shm_perm.uid = NOBODY;
		s.shm_perm.mode = modes[i] | 0600;
		RESULT(shmctl(id, IPC_SET, &s));
		VALUE(status(id).shm_perm.cuid == 0);
		in_child(as_owner, id, NULL);
		RESULT(shmctl(id, IPC_RMID, NULL));
	}
}

/* --- bad arguments --- */

static void nonsense(void)
{
	static const int ids[] = {-1, 0x7fffffff, (int)0x80000000};
	int id = must_get(SIZE, 0600);

	for (unsigned int i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		VALUE(shmat(ids[i], NULL, 0) == (void *)-1 && (errno == EINVAL || errno == EIDRM));
		RESULT(shmctl(ids[i], IPC_RMID, NULL));
		RESULT(shmctl(ids[i], IPC_STAT, &(struct shmid_ds){0}));
	}
	RESULT(shmctl(id, IPC_STAT, (void *)8));
	RESULT(shmctl(id, IPC_SET, (void *)8));
	RESULT(shmctl(id, 4711, NULL));
	RESULT(shmctl(id, -1, NULL));
	VALUE(shmat(id, (void *)-4096, 0) == (void *)-1);
	VALUE(status(id).shm_nattch);
	RESULT(shmctl(id, IPC_RMID, NULL));
}

/* --- together --- */

struct shared {
	pthread_mutex_t mutex;
	_Atomic uint64_t count;
	uint64_t guarded;
};

static void counts(int id, void *at)
{
	struct shared *s = at;

	for (int i = 0; i < 10000; i++) {
		atomic_fetch_add(&s->count, 1);
		pthread_mutex_lock(&s->mutex);
		s->guarded++;
		pthread_mutex_unlock(&s->mutex);
	}
}

static void together(void)
{
	int id = must_get(sizeof(struct shared), 0600);
	struct shared *s = must_attach(id, 0);
	pthread_mutexattr_t a;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&s->mutex, &a);
	for (int i = 0; i < 4; i++) {
		pid_t child = fork();

		if (child == 0) {
			counts(id, s);
			_exit(0);
		}
	}
	counts(id, s);
	while (wait(NULL) > 0)
		;
	VALUE(s->count);
	VALUE(s->guarded);
	VALUE(attached_soon(id, 1));
	RESULT(shmctl(id, IPC_RMID, NULL));
	RESULT(shmdt(s));
}

static void *attaches(void *data)
{
	int id = *(int *)data;

	for (int i = 0; i < 200; i++) {
		_Atomic uint64_t *p = must_attach(id, 0);

		atomic_fetch_add(p, 1);
		shmdt((void *)p);
	}
	return NULL;
}

static void threads(void)
{
	int id = must_get(SIZE, 0600);
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, attaches, &id);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	VALUE(status(id).shm_nattch);
	VALUE(*(uint64_t *)must_attach(id, SHM_RDONLY));
	RESULT(shmctl(id, IPC_RMID, NULL));
}

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {{"getting", getting}, {"attaching", attaching}, {"places", places},
	{"families", families}, {"removing", removing}, {"rights", rights}, {"nonsense", nonsense},
	{"together", together}, {"threads", threads}};

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	for (unsigned int i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (strcmp(argv[1], parts[i].name))
			continue;
		parts[i].run();
		return 0;
	}
	return 2;
}
