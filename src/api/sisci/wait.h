/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_WAIT_H
#define SISCI_WAIT_H

/*
 * Waiting for something to happen to an object: a short spin where there are two processors, then a
 * futex. Signals do not end it; pthread_cancel() does, of either type, without leaving anything
 * behind; the end of the object does (SCI_ERR_CANCELLED).
 */

#include "api/sisci/object.h"

#define WAIT_MORE ((sci_error_t)-1) /* of take(): nothing yet */

struct wait_ops {
	/* Takes what is waited for: SCI_ERR_OK or another code that ends the wait, or WAIT_MORE.
	 * Never sleeps; takes no lock that it does not give back. */
	sci_error_t (*take)(struct object *o, void *arg);
	/* The word that changes when take() is worth another try, good as long as o is. Read before
	 * take(). */
	const _Atomic uint32_t *(*word)(struct object *o);
	/* NULL, or around each sleep: who changes the word wakes only those who are counted. */
	_Atomic uint32_t *(*sleepers)(struct object *o);
};

/* milliseconds: SCI_INFINITE_TIMEOUT, or until SCI_ERR_TIMEOUT; 0: one look. The caller holds a
 * reference to o, which is given back here: a cancelled thread comes back no more. */
sci_error_t object_wait(
	struct object *o, const struct wait_ops *ops, void *arg, unsigned int milliseconds);

/* One sleep on a word, for who does not wait on an object. Ends at once if it is not value, at a
 * wake-up, a signal, or after ns. */
void wait_on_word(const _Atomic uint32_t *word, uint32_t value, uint64_t ns);
void wake_word(const _Atomic uint32_t *word);

#endif
