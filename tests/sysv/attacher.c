/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of a partition that does what its standard input says, a line a call, and answers with
 * a line: "ok [VALUE…]" or the name of errno. Numbers are decimal. It ends with its input.
 */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xp_shm.h>

#define SLOTS 8192

static char *slots[SLOTS]; /* what is attached */
static sigjmp_buf trouble;

static void on_sigbus(int signal)
{
	siglongjmp(trouble, 1);
}

static char *slot(long i)
{
	if (i < 0 || i >= SLOTS || !slots[i])
		exit(3);
	return slots[i];
}

static int first_free(void)
{
	int i = 0;

	while (i < SLOTS && slots[i])
		i++;
	if (i == SLOTS)
		exit(3);
	return i;
}

static void answer(long result)
{
	if (result == -1)
		printf("%s\n", strerrorname_np(errno));
	else
		printf("ok %ld\n", result);
}

static void do_key(const long *a)
{
	char path[64];

	snprintf(path, sizeof(path), CLSHM_IF_PART_PATH "%02lx", (unsigned long)a[0]);
	answer(xp_ftok(a[0] < 0 ? NULL : path, CLSHM_IF_ID_DEFAULT));
}

static void do_get(const long *a)
{
	answer(xp_shmget((key_t)a[0], (size_t)a[1], (int)a[2]));
}

static void do_attach(const long *a)
{
	void *p = xp_shmat((int)a[0], NULL, (int)a[1]);
	int i = first_free();

	if (p == (void *)-1) {
		answer(-1);
		return;
	}
	slots[i] = p;
	answer(i);
}

static void do_detach(const long *a)
{
	int r = xp_shmdt(slot(a[0]));

	if (r == 0)
		slots[a[0]] = NULL;
	answer(r);
}

static void do_control(const long *a)
{
	answer(xp_shmctl((int)a[0], (int)a[1], NULL));
}

static void do_stat(const long *a)
{
	struct shmid_ds s;

	if (xp_shmctl((int)a[0], IPC_STAT, &s))
		answer(-1);
	else
		printf("ok %lu %zu %o %u %d %d\n", s.shm_nattch, s.shm_segsz, s.shm_perm.mode,
			s.shm_perm.uid, s.shm_cpid, s.shm_lpid);
}

/* Of words, atomically; SIGBUS is an answer. */
static void do_add(const long *a)
{
	_Atomic uint64_t *word = (_Atomic uint64_t *)slot(a[0]) + a[1];

	if (sigsetjmp(trouble, 1))
		puts("SIGBUS");
	else
		answer((long)(atomic_fetch_add(word, (uint64_t)a[2]) + (uint64_t)a[2]));
}

static void do_list(const long *a)
{
	partid_t list[MAX_PARTITIONS];
	int n = part_getlist(list, MAX_PARTITIONS);

	if (n == -1) {
		answer(-1);
		return;
	}
	printf("ok");
	for (int i = 0; i < n; i++)
		printf(" %d", list[i]);
	putchar('\n');
}

/* A child that has what we have, and waits for its end. */
static void do_fork(const long *a)
{
	pid_t child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	answer(child);
}

static void do_end_child(const long *a)
{
	kill((pid_t)a[0], SIGKILL);
	answer(waitpid((pid_t)a[0], NULL, 0));
}

static const struct {
	const char *name;
	void (*run)(const long *arguments);
} verbs[] = {{"key", do_key}, {"get", do_get}, {"attach", do_attach}, {"detach", do_detach},
	{"control", do_control}, {"stat", do_stat}, {"add", do_add}, {"list", do_list},
	{"fork", do_fork}, {"end-child", do_end_child}};

int main(void)
{
	struct sigaction action = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER};
	char line[256], verb[16];
	long a[4];

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGBUS, &action, NULL);
	while (fgets(line, sizeof(line), stdin)) {
		memset(a, 0, sizeof(a));
		if (sscanf(line, "%15s %ld %ld %ld %ld", verb, &a[0], &a[1], &a[2], &a[3]) < 1)
			return 2;
		for (unsigned int i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
			if (!strcmp(verb, verbs[i].name))
				verbs[i].run(a);
	}
	return 0;
}
