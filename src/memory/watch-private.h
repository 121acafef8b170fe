/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_WATCH_PRIVATE_H
#define MEMORY_WATCH_PRIVATE_H

/* What operations on mappers need of the watch: whether all changes are known, and for how long the
 * process may keep them waiting. By the holder. */

#include "memory/watch.h"

enum watch_settled {
	WATCH_SETTLED,
	WATCH_CHANGED, /* there are changes to be taken */
	WATCH_READING, /* in a moment it is known */
};

/* After an operation that the kernel would have refused while the process waits for a change to be
 * read. */
enum watch_settled watch_settled(Watch *watch);

void watch_set_gone(Watch *watch);

/* One operation, which may take several attempts: the time that it waits, and that passes until it
 * is called again, is charged. */
struct watch_trial {
	uint64_t from;
	unsigned int n;
};

void watch_trial_begin(Watch *watch, struct watch_trial *trial);
/* Waits a little; false: no credit is left. */
bool watch_trial_again(Watch *watch, struct watch_trial *trial);
void watch_trial_done(Watch *watch, const struct watch_trial *trial);
/* It is to be called again, after the changes; false: no credit is left. */
bool watch_trial_changed(Watch *watch, const struct watch_trial *trial);

#endif
