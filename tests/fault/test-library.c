/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-library CAUSEWAYD INJECT: each call of the libraries out of this program fails in turn: for
 * lack of something, alone or with all that follow, and, where there is such a thing, with EINTR.
 * Each packet that brings descriptors comes without them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node.h"
#include "trial.h"

#define LIMIT 2000u /* more calls than this are a loop */

static void fail_each(trial_t *trial, enum fault_kind kind, const char *what)
{
	for (unsigned int n = 1; n < LIMIT; n++) {
		bool good = trial_run(trial, FAULT_PROCESS, kind, n);

		if (good && atomic_load(&trial->control->count) < n)
			return;
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
	if (!getenv("LD_PRELOAD")) { /* from here on with inject before the C library */
		char directory[DIRECTORY_MAX];

		directory_new(directory);
		control_new(directory);
		setenv("LD_PRELOAD", argv[2], 1);
		setenv("FAULT_DIRECTORY", directory, 1);
		execv("/proc/self/exe", argv);
		return 1;
	}
	unsetenv("LD_PRELOAD");
	control = control_new(getenv("FAULT_DIRECTORY"));
	unlink(getenv("FAULT_CONTROL"));
	rmdir(getenv("FAULT_DIRECTORY"));
	node_init(&node, argv[1]);
	if (!node_start(&node, NULL)) {
		printf("Bail out! the node does not start\n");
		return 1;
	}
	trial_init(&trial, control);
	fail_each(&trial, FAULT_RESOURCES, "library, resources");
	fail_each(&trial, FAULT_SHORTAGE, "library, shortage");
	fail_each(&trial, FAULT_INTERRUPTION, "library, interruption");
	fail_each(&trial, FAULT_CUT, "library, descriptors");
	status = trial_end(&trial);
	trial_deinit(&trial);
	node_deinit(&node);
	return status;
}
