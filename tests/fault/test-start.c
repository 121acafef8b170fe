/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-start CAUSEWAYD INJECT: each call of a node that starts fails in turn. Either it serves all
 * the same, or it ends with a status that is not 0 and has said why.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node.h"
#include "trial.h"

#define LIMIT 2000u /* more calls than this are a loop */

static bool serves(trial_t *trial)
{
	bool good;

	trial->partner = story_partner_start();
	good = trial->partner.id && trial_clean(trial);
	story_partner_end(&trial->partner);
	return good;
}

/* One start with the n-th call failing. */
static bool start(trial_t *trial, node_t *node, const char *inject, unsigned int n)
{
	struct fault_control *c = trial->control;
	bool served, good;

	c->n = n;
	c->kind = FAULT_RESOURCES;
	atomic_store(&c->count, 0);
	atomic_store(&c->target, FAULT_WHOLE_NODE);
	served = node_start(node, inject);
	atomic_store(&c->target, FAULT_NOBODY);
	if (served) {
		good = serves(trial);
		if (!node_stop(node)) {
			printf("# it ends with status 0x%x when asked\n", node->status);
			good = false;
		}
		return good;
	}
	good = WIFEXITED(node->status) && WEXITSTATUS(node->status) && node_said(node, false);
	if (!good)
		printf("# it ends with status 0x%x and says %s\n", node->status,
			node_said(node, true) ? "this" : "nothing");
	return good;
}

int main(int argc, char **argv)
{
	unsigned int stride = argc > 3 ? (unsigned int)atoi(argv[3]) : 1;
	trial_t trial = {0};
	node_t node;
	int status;

	if (argc < 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	node_init(&node, argv[1]);
	trial.control = control_new(node.directory);
	for (unsigned int n = 1; n < LIMIT; n += stride) {
		bool good = start(&trial, &node, argv[2], n);

		if (good && atomic_load(&trial.control->count) < n)
			break;
		trial_tell(&trial, good, "start", n);
		if (atomic_load(&trial.control->count) < n)
			break;
	}
	status = trial_end(&trial);
	node_deinit(&node);
	return status;
}
