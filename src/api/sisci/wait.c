/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/wait.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "api/sisci/call.h"
#include "base/clock.h"

#define SPIN_NS	 (20 * NSEC_PER_USEC)
#define ALONE_NS (2 * NSEC_PER_USEC) /* of it, until others on this CPU come first */
#define SLICE_NS NSEC_PER_SEC	     /* a sleeper looks again this often */

void wake_word(const _Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void wait_on_word(const _Atomic uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec ts = clock_timespec(ns);

	syscall(SYS_futex, word, FUTEX_WAIT, value, &ts, NULL, 0);
}

static bool may_spin(void)
{
	static _Atomic int cpus;
	cpu_set_t set;

	if (!cpus)
		cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	return cpus > 1;
}

struct waiting {
	struct object *object;
	_Atomic uint32_t *sleepers; /* counted there at present, else NULL */
	uint64_t end, spin_end;
};

/* The thread comes back no more. It may have been woken for something that others wait for, too. */
static void cancelled(void *p)
{
	struct waiting *w = p;
	const _Atomic uint32_t *word = atomic_load(&w->object->waiting_on);

	if (w->sleepers)
		atomic_fetch_sub(w->sleepers, 1);
	if (word)
		wake_word(word);
	atomic_fetch_sub(&w->object->n_waiting, 1);
	object_put(w->object);
}

/* The only place where the thread can be cancelled at any instruction, which changes nothing. */
static void sleep_on(struct waiting *w, const struct wait_ops *ops, const _Atomic uint32_t *word,
	uint32_t value, uint64_t ns)
{
	_Atomic uint32_t *sleepers = ops->sleepers ? ops->sleepers(w->object) : NULL;
	int type;

	if (sleepers)
		atomic_fetch_add(sleepers, 1);
	w->sleepers = sleepers;
	atomic_store(&w->object->waiting_on, word);
	call_allow_cancel();
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	pthread_testcancel();
	wait_on_word(word, value, MIN(ns, SLICE_NS));
	pthread_setcanceltype(type, NULL);
	call_forbid_cancel();
	w->sleepers = NULL;
	if (sleepers)
		atomic_fetch_sub(sleepers, 1);
}

static sci_error_t wait_until(struct waiting *w, const struct wait_ops *ops, void *arg)
{
	struct object *o = w->object;

	for (;;) {
		const _Atomic uint32_t *word = ops->word(o);
		uint32_t value = atomic_load(word);
		sci_error_t result = ops->take(o, arg);
		uint64_t now;

		if (result != WAIT_MORE)
			return result;
		if (atomic_load(&o->ended))
			return SCI_ERR_CANCELLED;
		now = clock_now();
		if (now >= w->end)
			return SCI_ERR_TIMEOUT;
		if (now < w->spin_end) {
			for (int i = 0;
				i < 50 && atomic_load_explicit(word, memory_order_relaxed) == value;
				i++)
				cpu_relax();
			/* who is to change the word may be waiting for this very CPU */
			if (now > w->spin_end - SPIN_NS + ALONE_NS)
				sched_yield();
			continue;
		}
		sleep_on(w, ops, word, value, w->end - now);
	}
}

sci_error_t object_wait(
	struct object *o, const struct wait_ops *ops, void *arg, unsigned int milliseconds)
{
	uint64_t now = milliseconds ? clock_now() : 0;
	struct waiting w = {.object = o, .spin_end = may_spin() ? now + SPIN_NS : 0};
	sci_error_t result;

	w.end = milliseconds == SCI_INFINITE_TIMEOUT ? UINT64_MAX
						     : now + milliseconds * NSEC_PER_MSEC;
	atomic_fetch_add(&o->n_waiting, 1);
	pthread_cleanup_push(cancelled, &w);
	result = wait_until(&w, ops, arg);
	pthread_cleanup_pop(false);
	atomic_fetch_sub(&o->n_waiting, 1);
	object_put(o);
	return result;
}
