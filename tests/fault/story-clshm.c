/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The story once more, as a program lives it that uses clshm: keys, a segment that is attached
 * twice, written, looked at, changed and removed, and another one that goes by itself. The codes
 * are those that a lack of something may give.
 */
#include "story.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xp_shm.h>

#define SIZE 20000u

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct {
	bool clean, good;
	void (*relieve)(void);
	int shmid;
	char *memory, *again;
} story_t;

static bool is_shortage(int code)
{
	const int codes[] = {ENOMEM, ENOSPC, EIO, EMFILE, ENFILE, ENOBUFS, EAGAIN, ENOENT,
		ECONNREFUSED, EINTR, ECONNRESET};

	for (size_t i = 0; i < COUNT(codes); i++)
		if (codes[i] == code)
			return true;
	return false;
}

static bool judge(story_t *s, const char *what, bool done)
{
	if (done)
		return true;
	if (s->clean || !is_shortage(errno)) {
		printf("# %s: %s\n", what, strerror(errno));
		s->good = false;
	}
	return false;
}

#define CALL(function, ...) judge(s, #function, function(__VA_ARGS__) != -1)

/* What exists is given back: if not now, then when the fault is over. */
#define GIVE_BACK(function, ...)                                                                   \
	do {                                                                                       \
		if (!CALL(function, __VA_ARGS__) && s->relieve) {                                  \
			s->relieve();                                                              \
			if (function(__VA_ARGS__) == -1) {                                         \
				printf("# %s, again: %s\n", #function, strerror(errno));           \
				s->good = false;                                                   \
			}                                                                          \
		}                                                                                  \
	} while (0)

static int new_segment(story_t *s)
{
	key_t key = xp_ftok(NULL, CLSHM_IF_ID_DEFAULT);
	int shmid;

	if (!judge(s, "xp_ftok", key != -1))
		return -1;
	shmid = xp_shmget(key, SIZE, 0600);
	judge(s, "xp_shmget", shmid != -1);
	return shmid;
}

static char *attach(story_t *s, int shmid, int flags)
{
	char *memory = xp_shmat(shmid, NULL, flags);

	return judge(s, "xp_shmat", memory != (void *)-1) ? memory : NULL;
}

static void expect(story_t *s, const char *what, bool is_so)
{
	if (is_so)
		return;
	printf("# %s\n", what);
	s->good = false;
}

static void look_at(story_t *s)
{
	struct shmid_ds state;

	if (!CALL(xp_shmctl, s->shmid, IPC_STAT, &state))
		return;
	expect(s, "the size is another one", state.shm_segsz == SIZE);
	expect(s, "the attaches are miscounted",
		state.shm_nattch == (unsigned int)!!s->memory + !!s->again);
	state.shm_perm.mode = 0640;
	CALL(xp_shmctl, s->shmid, IPC_SET, &state);
}

static void use(story_t *s)
{
	s->memory = attach(s, s->shmid, 0);
	s->again = attach(s, s->shmid, SHM_RDONLY);
	look_at(s);
	if (!s->memory)
		return;
	memset(s->memory, 7, SIZE);
	if (s->again)
		expect(s, "a store is not seen", s->again[SIZE - 1] == 7);
}

static void give_back(story_t *s)
{
	if (s->again)
		GIVE_BACK(xp_shmdt, s->again);
	if (s->memory)
		GIVE_BACK(xp_shmdt, s->memory);
	GIVE_BACK(xp_shmctl, s->shmid, IPC_RMID);
}

/* One that goes with its last attach. */
static void go_by_itself(story_t *s)
{
	int shmid = new_segment(s);
	char *memory;

	if (shmid == -1)
		return;
	memory = attach(s, shmid, 0);
	/* for the daemon, an attach that failed here may have been one */
	GIVE_BACK(xp_shmctl, shmid, memory ? IPC_AUTORMID : IPC_RMID);
	if (memory)
		GIVE_BACK(xp_shmdt, memory);
}

static void meet_partner(story_t *s, int partner)
{
	char *memory = attach(s, partner, 0);

	if (!memory)
		return;
	expect(s, "the partner's memory is not what it was", !strcmp(memory, "partner"));
	GIVE_BACK(xp_shmdt, memory);
}

bool story_run(bool clean, rsm_memseg_id_t partner, void (*relieve)(void))
{
	story_t story = {.clean = clean, .good = true, .relieve = relieve}, *s = &story;

	s->shmid = new_segment(s);
	if (s->shmid == -1)
		return s->good;
	use(s);
	give_back(s);
	go_by_itself(s);
	meet_partner(s, (int)partner);
	return s->good;
}

/* What a story has left would be descriptors of the daemon's. */
bool story_alone(void)
{
	return true;
}

/* the partner */

static int partner_make(void)
{
	key_t key = xp_ftok(NULL, CLSHM_IF_ID_DEFAULT);
	int shmid = key == -1 ? -1 : xp_shmget(key, SIZE, 0666);
	char *memory = shmid == -1 ? (void *)-1 : xp_shmat(shmid, NULL, 0);

	if (memory == (void *)-1 || xp_shmctl(shmid, IPC_AUTORMID) == -1)
		return 0;
	strcpy(memory, "partner");
	return shmid;
}

story_partner_t story_partner_start(void)
{
	story_partner_t partner = {0};
	int channel[2];

	if (pipe(channel))
		abort();
	fflush(stdout);
	partner.pid = fork();
	if (partner.pid == 0) {
		rsm_memseg_id_t id = (rsm_memseg_id_t)partner_make();

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(channel[1], &id, sizeof(id)) != sizeof(id))
			_exit(1);
		for (;;)
			pause();
	}
	close(channel[1]);
	if (read(channel[0], &partner.id, sizeof(partner.id)) != sizeof(partner.id) || !partner.id)
		printf("# the partner has no segment\n");
	close(channel[0]);
	return partner;
}

void story_partner_end(const story_partner_t *partner)
{
	kill(partner->pid, SIGKILL);
	waitpid(partner->pid, NULL, 0);
}
