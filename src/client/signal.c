/* SPDX-License-Identifier: Apache-2.0 */
#include "client/signal.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "client/pollfd.h"
#include "client/remote.h"
#include "client/route.h"
#include "client/side.h"
#include "wire/status.h"

#define SPIN_NS	 (20 * NSEC_PER_USEC)
#define LONG_NS	 NSEC_PER_MSEC
#define SLICE_NS NSEC_PER_SEC /* a sleeper looks this often whether the node is still there */

static void futex_wake_one(const _Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* posting */

/* Of another node's import, that does not accumulate: this node's daemon takes it over. */
static void post_once(const struct side *s, uint32_t index)
{
	struct wire_cell *c = &s->cells[index];

	if (!(atomic_load(&c->word) & WIRE_CELL_LOOK) && !atomic_exchange(&c->once, 1))
		side_poke(s, index);
}

/* True if a pipe was asked to be filled. */
static bool post_cell(const struct side *s, uint32_t index, bool accumulate)
{
	struct wire_cell *c = &s->cells[index];
	uint32_t w = atomic_load(&c->word), has_pipe = atomic_load(&c->has_pipe);

	if (unlikely(has_pipe == WIRE_CELL_GUEST) && !accumulate) {
		post_once(s, index);
		return false;
	}
	do {
		uint32_t count = w & WIRE_CELL_COUNT;

		/* LOOK: its owner's connection is over, and stays so */
		if (w & WIRE_CELL_LOOK || count == WIRE_CELL_COUNT || (count && !accumulate))
			return false;
	} while (!atomic_compare_exchange_weak(&c->word, &w, w + 1));
	if (atomic_load(&c->sleepers))
		futex_wake_one(&c->word);
	has_pipe = atomic_load(&c->has_pipe);
	if (likely(!has_pipe) || w & WIRE_CELL_COUNT)
		return false;
	side_poke(s, index);
	return has_pipe != WIRE_CELL_GUEST;
}

/* The importers' cells that may be in use; more than there are is harmless, but not beyond the map.
 */
static uint32_t n_cells(const struct cw_export *export)
{
	uint32_t n = atomic_load_explicit(
		&export->link->status_page->exports[export->index].n_cells, memory_order_acquire);

	return MIN(n, WIRE_CELLS_MAX);
}

static void count_post(const struct side *s)
{
	if (s->import)
		wire_count(&atomic_load(&s->import->traffic)->posts, 1);
	else
		wire_count(&s->link->client_page->export_posts[s->export->index], 1);
}

static bool post_importers(const struct side *s, bool accumulate)
{
	bool poked = false;

	for (uint32_t i = 1, n = n_cells(s->export); i < n; i++)
		poked |= post_cell(s, i, accumulate);
	return poked;
}

int cw_signal_post(cw_handle handle, bool accumulate)
{
	struct side s;
	bool poked = false;
	int r = side_open(handle, &s);

	if (r)
		return r;
	r = side_state(&s);
	if (!r && s.export)
		poked = post_importers(&s, accumulate);
	else if (!r && s.import->remote)
		r = remote_signal(s.import, accumulate);
	else if (!r)
		poked = post_cell(&s, 0, accumulate);
	if (unlikely(poked))
		side_flush(&s);
	if (!r)
		count_post(&s);
	side_close(&s);
	return r;
}

/* waiting */

static bool may_spin(void)
{
	static _Atomic int cpus;
	cpu_set_t set;

	if (!cpus)
		cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	return cpus > 1;
}

/*
 * Sleeps until the cell's word is not w, or for a slice of the time. Posters, the daemon and
 * whoever ends the handle wake us; only the loss of the whole node must be looked for. The wait
 * always has a timeout: without one the kernel would restart it behind a handler that was set with
 * SA_RESTART.
 */
static int sleep_on(struct wire_cell *c, uint32_t w, uint64_t end)
{
	uint64_t now = clock_now();
	struct timespec ts = clock_timespec(now >= end ? 0 : MIN(end - now, SLICE_NS));
	int r = 0;

	atomic_fetch_add(&c->sleepers, 1);
	if (syscall(SYS_futex, &c->word, FUTEX_WAIT, w, &ts, NULL, 0) < 0)
		r = negative_errno();
	atomic_fetch_sub(&c->sleepers, 1);
	return r == -ETIMEDOUT && clock_now() < end ? 0 : r;
}

/* The thread's last wait that slept was a long one: it would spin for nothing, on a CPU that the
 * others whom the same signal wakes may need. Far above the time of a wake-up, so that quick
 * exchanges are found out also while both sides sleep. */
static __thread bool waited_long;

static int wait_side(const struct side *s, uint64_t timeout_ns)
{
	struct wire_cell *c = &s->cells[s->own];
	uint64_t now = timeout_ns ? clock_now() : 0, end, spin_end;

	if (__builtin_add_overflow(now, timeout_ns, &end))
		end = UINT64_MAX;
	spin_end = may_spin() && !waited_long ? now + SPIN_NS : 0;
	for (;;) {
		uint32_t w = atomic_load(&c->word);
		int r;

		if (side_take(s))
			return 0;
		r = side_state(s);
		if (r)
			return r;
		if (!timeout_ns)
			return STATUS_TIMED_OUT;
		if (clock_now() < spin_end) {
			for (int i = 0;
				i < 50 && atomic_load_explicit(&c->word, memory_order_relaxed) == w;
				i++)
				cpu_relax();
			continue;
		}
		r = sleep_on(c, w, end);
		waited_long = clock_now() - now > LONG_NS;
		if (r == -EINTR)
			return side_take(s) ? 0 : STATUS_INTERRUPTED;
		if (r == -ETIMEDOUT)
			return side_take(s) ? 0 : STATUS_TIMED_OUT;
		if (r < 0 && r != -EAGAIN)
			return r;
	}
}

int cw_signal_wait(cw_handle handle, uint64_t timeout_ns)
{
	struct side s;
	int r = side_open(handle, &s);

	if (r)
		return r;
	route_flush_all();
	r = wait_side(&s, timeout_ns);
	cw_pollfd_settle(&s);
	side_close(&s);
	return r;
}

int cw_signal_cell(cw_handle handle, struct wire_cell **ret_cell)
{
	struct side s;
	int r = side_open(handle, &s);

	if (r)
		return r;
	*ret_cell = s.cells + s.own;
	side_close(&s);
	return 0;
}
