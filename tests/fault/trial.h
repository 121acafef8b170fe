/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAULT_TRIAL_H
#define TESTS_FAULT_TRIAL_H

/* One fault: a new process lives the story while a call fails, and then again while none does. */

#include <stdbool.h>
#include "control.h"
#include "node.h"
#include "story.h"

typedef struct {
	struct fault_control *control;
	story_partner_t partner;
	/* What a process has after two stories in which nothing failed. */
	unsigned int descriptors, maps;
	unsigned int n_lines; /* of TAP */
	enum fault_target target;
} trial_t;

void trial_init(trial_t *trial, struct fault_control *control);
void trial_deinit(trial_t *trial);

/* Arms target, lives the story, disarms and lives it once more; true if all was as it should be.
 * control->count tells whether there was an n-th call. */
bool trial_run(trial_t *trial, enum fault_target target, enum fault_kind kind, unsigned int n);
/* A story in which nothing fails, in a process of its own. */
bool trial_clean(trial_t *trial);

/* Prints the line of TAP, and where the call was if it is bad. */
void trial_tell(trial_t *trial, bool good, const char *what, unsigned int n);
/* Plan and exit status. */
int trial_end(const trial_t *trial);

#endif
