/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_DISPATCH_H
#define SISCI_DISPATCH_H

/*
 * Callbacks: one thread of the process runs them all, begun with the first, all signals blocked. It
 * sleeps on the words of all objects that have callbacks (futex_waitv), and on one of its own.
 *
 * For one object they come one after the other and in order. None begins after object_end() or
 * after one has returned SCI_CALLBACK_CANCEL. A callback may call everything, also what ends its
 * own object.
 */

#include "api/sisci/object.h"

struct dispatch_ops {
	/* The word to sleep on; as in wait.h. NULL: the object is only looked at after
	 * dispatch_kick(). */
	const _Atomic uint32_t *(*word)(struct object *o);
	_Atomic uint32_t *(*sleepers)(struct object *o); /* NULL: none are counted */
	/* Takes one event and runs its callback, without any lock. *ret_action: what that returned.
	 * False: there was none. */
	bool (*run)(struct object *o, sci_callback_action_t *ret_action);
};

/* From now on; the thread is started if need be. Before the program has the handle. -ENOMEM or what
 * pthread_create() says, negative. */
int dispatch_add(struct object *o, const struct dispatch_ops *ops);
/* Part of object_end(). */
void dispatch_remove(struct object *o);
/* Something has happened to an object whose word does not tell. Any thread. */
void dispatch_kick(void);
/* Is this the thread that runs callbacks? */
bool dispatch_is_self(void);

void dispatch_fork_child(void);

#endif
