/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIFE 20 /* s */

static unsigned int n_bad;

/* Runs part in a child; its code is the child's exit status. True if that is 0. */
static bool in_child(trial_t *trial, int (*part)(trial_t *trial))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int code;

		alarm(LIFE);
		code = part(trial);
		fflush(stdout);
		_exit(code);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("# the program %s\n",
			WTERMSIG(status) == SIGALRM ? "hangs" : strsignal(WTERMSIG(status)));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int clean_story(trial_t *trial)
{
	return !(story_run(true, trial->partner.id, NULL) && story_alone());
}

static int measure(trial_t *trial)
{
	/* through the control file, which is shared */
	if (!story_run(true, trial->partner.id, NULL) || clean_story(trial))
		return 1;
	trial->control->n = count_descriptors(getpid());
	trial->control->count = count_memfd_maps(getpid());
	return 0;
}

void trial_init(trial_t *trial, struct fault_control *control)
{
	*trial = (trial_t){.control = control};
	setvbuf(stdout, NULL, _IOLBF, 0);
	trial->partner = story_partner_start();
	if (!trial->partner.id || !in_child(trial, measure)) {
		printf("Bail out! the story does not work without faults\n");
		exit(1);
	}
	trial->descriptors = control->n;
	trial->maps = control->count;
}

void trial_deinit(trial_t *trial)
{
	story_partner_end(&trial->partner);
}

static bool nothing_kept(const trial_t *trial)
{
	unsigned int descriptors = count_descriptors(getpid()), maps = count_memfd_maps(getpid());

	if (descriptors > trial->descriptors)
		printf("# %u descriptors are left over\n", descriptors - trial->descriptors);
	if (maps > trial->maps)
		printf("# %u maps are left over\n", maps - trial->maps);
	return descriptors <= trial->descriptors && maps <= trial->maps;
}

static struct fault_control *armed;

static void relieve(void)
{
	atomic_store(&armed->target, FAULT_NOBODY);
}

static int faulty_story(trial_t *trial)
{
	struct fault_control *c = trial->control;
	bool good;

	armed = c;
	c->pid = getpid();
	atomic_store(&c->target, trial->target);
	good = story_run(false, trial->partner.id, relieve);
	atomic_store(&c->target, FAULT_NOBODY);
	if (!story_run(true, trial->partner.id, NULL) || !story_alone()) {
		printf("# … in the story after the fault\n");
		good = false;
	}
	return !(nothing_kept(trial) && good);
}

bool trial_run(trial_t *trial, enum fault_target target, enum fault_kind kind, unsigned int n)
{
	struct fault_control *c = trial->control;
	bool good;

	c->n = n;
	c->kind = kind;
	trial->target = target;
	strcpy(c->call, "?");
	atomic_store(&c->count, 0);
	good = in_child(trial, faulty_story);
	atomic_store(&c->target, FAULT_NOBODY);
	return good;
}

bool trial_clean(trial_t *trial)
{
	return in_child(trial, clean_story);
}

void trial_tell(trial_t *trial, bool good, const char *what, unsigned int n)
{
	const struct fault_control *c = trial->control;

	if (!good) {
		printf("# %s in %s at", c->call, c->object);
		for (unsigned int i = 0; i < FAULT_FRAMES && c->offsets[i]; i++)
			printf(" 0x%llx", (unsigned long long)c->offsets[i]);
		printf("\n");
		n_bad++;
	}
	printf("%sok %u - %s: call %u, %s, fails\n", good ? "" : "not ", ++trial->n_lines, what, n,
		c->call);
}

int trial_end(const trial_t *trial)
{
	printf("1..%u\n", trial->n_lines);
	return n_bad ? 1 : 0;
}
