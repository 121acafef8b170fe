/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAULT_STORY_H
#define TESTS_FAULT_STORY_H

/*
 * A program's whole life with the library: it exports and publishes, imports its own segment and
 * its partner's, puts, gets, maps, signals, and gives everything back. Each code is compared with
 * the function's manual page, and the exported memory with what was stored. A step whose need is
 * missing is left out; what exists is always given back, with a second try where the first one
 * failed. What is not as it should be is printed as a comment.
 */

#include <stdbool.h>
#include <rsmapi.h>

/* One run. clean: no code but RSM_SUCCESS is right. relieve ends the fault; called before anything
 * is tried a second time, may be NULL. True if all was as it should be. */
bool story_run(bool clean, rsm_memseg_id_t partner, void (*relieve)(void));

/* Another process that has published a segment until the caller ends it; id 0: it could not. */
typedef struct {
	pid_t pid;
	rsm_memseg_id_t id;
} story_partner_t;

story_partner_t story_partner_start(void);
void story_partner_end(const story_partner_t *partner);

/* Is the partner's segment the only one? */
bool story_alone(void);

#endif
