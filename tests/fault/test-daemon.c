/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-daemon CAUSEWAYD INJECT: each call of the serving daemon fails in turn, also those that its
 * libraries make, while a client lives the story. The daemon must go on, the same process, and
 * hold nothing for a client that is gone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node.h"
#include "trial.h"

#define LIMIT 2000u /* more calls than this are a loop */

struct kept {
	unsigned int daemon, keeper, maps;
};

static struct kept kept_by(const trial_t *trial, const node_t *node)
{
	pid_t pid = atomic_load(&trial->control->daemon_pid);

	return (struct kept){
		count_descriptors(pid), count_descriptors(node->pid), count_memfd_maps(pid)};
}

/* The client's end is noticed a moment later. */
static bool nothing_kept(const trial_t *trial, const node_t *node, struct kept before)
{
	struct kept now;

	for (int i = 0; i < 500; i++) {
		now = kept_by(trial, node);
		if (now.daemon <= before.daemon && now.keeper <= before.keeper &&
			now.maps <= before.maps)
			return true;
		usleep(2000);
	}
	printf("# descriptors: daemon %u, was %u; keeper %u, was %u; maps %u, were %u\n",
		now.daemon, before.daemon, now.keeper, before.keeper, now.maps, before.maps);
	return false;
}

static unsigned int larger(unsigned int a, unsigned int b)
{
	return a > b ? a : b;
}

static void fail_each(trial_t *trial, node_t *node, enum fault_kind kind, const char *what)
{
	struct kept now, before = {0};

	for (unsigned int n = 1; n < LIMIT; n++) {
		uint32_t starts = atomic_load(&trial->control->daemon_starts);
		bool good;

		/* What one fault leaves is not blamed on the next; a spare descriptor comes and
		 * goes. */
		now = kept_by(trial, node);
		before.daemon = larger(before.daemon, now.daemon);
		before.keeper = larger(before.keeper, now.keeper);
		before.maps = larger(before.maps, now.maps);
		good = trial_run(trial, FAULT_DAEMON, kind, n);
		if (good && atomic_load(&trial->control->count) < n)
			return;
		good &= trial_clean(trial);
		good &= nothing_kept(trial, node, before);
		if (atomic_load(&trial->control->daemon_starts) != starts) {
			printf("# the daemon died\n");
			node_said(node, true);
			good = false;
		}
		trial_tell(trial, good, what, n);
		if (atomic_load(&trial->control->count) < n)
			return;
	}
}

int main(int argc, char **argv)
{
	struct fault_control *control;
	trial_t trial;
	node_t node;
	int status;

	if (argc != 3)
		return 2;
	node_init(&node, argv[1]);
	control = control_new(node.directory);
	if (!node_start(&node, argv[2])) {
		printf("Bail out! the node does not start\n");
		return 1;
	}
	trial_init(&trial, control);
	fail_each(&trial, &node, FAULT_RESOURCES, "daemon, resources");
	fail_each(&trial, &node, FAULT_SHORTAGE, "daemon, shortage");
	fail_each(&trial, &node, FAULT_INTERRUPTION, "daemon, interruption");
	fail_each(&trial, &node, FAULT_CUT, "daemon, descriptors");
	status = trial_end(&trial);
	trial_deinit(&trial);
	node_deinit(&node);
	return status;
}
