/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting: whoever waits and finds the reader's role free reads until it has what it waits for; the
 * others sleep, each on its own condition, until that is done for them or the role falls to them.
 * check() and repair() are called with the mutex free; a thread that calls check() may have the
 * gate, if it stands in the middle of a frame.
 */
#include "fabric/tcp/path.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "wire/status.h"

#define SPIN  (20 * NSEC_PER_USEC)
#define SLICE NSEC_PER_SEC /* check() is asked that often */
#define HALF  (100 * NSEC_PER_USEC)

enum step {
	STEP_DONE,
	STEP_READ, /* the role is ours */
	STEP_MEND,
	STEP_ENDED,
	STEP_LATE,
};

static bool is_done(const struct tcp_path *p, const struct path_op *op)
{
	return path_acked(p) >= atomic_load_explicit(&op->last, memory_order_relaxed);
}

static void wake_all(struct tcp_path *p)
{
	struct path_op *op;

	list_for_each (op, &p->waiting, waiting)
		pthread_cond_signal(&op->wake);
	pthread_cond_broadcast(&p->changed);
}

void path_op_begin(struct tcp_path *p, struct path_op *op)
{
	pthread_cond_init(&op->wake, NULL);
	atomic_init(&op->last, 0);
	op->status = 0;
	op->failed = 0;
	op->asleep = false;
	pthread_mutex_lock(&p->mutex);
	list_append(&p->waiting, &op->waiting);
	pthread_mutex_unlock(&p->mutex);
}

bool path_take_role(struct tcp_path *p)
{
	bool taken;

	pthread_mutex_lock(&p->mutex);
	taken = !p->reading;
	p->reading = true;
	pthread_mutex_unlock(&p->mutex);
	return taken;
}

void path_leave_role(struct tcp_path *p)
{
	struct path_op *op;

	pthread_mutex_lock(&p->mutex);
	p->reading = false;
	if (path_state(p) != PATH_UP)
		wake_all(p);
	else
		list_for_each (op, &p->waiting, waiting)
			if (op->asleep && !is_done(p, op)) {
				pthread_cond_signal(&op->wake);
				break;
			}
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->mutex);
}

static void leave_state(struct tcp_path *p, int state, int why)
{
	pthread_mutex_lock(&p->mutex);
	if (path_state(p) < state) {
		p->ended = why;
		atomic_store_explicit(&p->state, state, memory_order_release);
		shutdown(p->fd, SHUT_RDWR); /* whoever is in it comes out */
	}
	wake_all(p);
	pthread_mutex_unlock(&p->mutex);
}

void path_broke(struct tcp_path *p)
{
	leave_state(p, PATH_BROKEN, 0);
}

void path_end(struct tcp_path *p, int why)
{
	leave_state(p, PATH_ENDED, why);
}

/* Returns true if the caller has to do it. */
static bool begin_mending(struct tcp_path *p)
{
	bool ours;

	pthread_mutex_lock(&p->mutex);
	while (path_state(p) == PATH_BROKEN && p->mending)
		pthread_cond_wait(&p->changed, &p->mutex);
	ours = path_state(p) == PATH_BROKEN;
	p->mending |= ours;
	pthread_mutex_unlock(&p->mutex);
	return ours;
}

int path_mend(struct tcp_path *p)
{
	int r;

	if (begin_mending(p)) {
		r = p->options.repair ? p->options.repair(p->options.userdata, &p->base)
				      : STATUS_BROKEN;
		if (r)
			path_end(p, r);
		pthread_mutex_lock(&p->mutex);
		p->mending = false;
		wake_all(p);
		pthread_mutex_unlock(&p->mutex);
	}
	return path_state(p) == PATH_ENDED ? p->ended : 0;
}

static int slice_left(const struct tcp_path *p, const struct patience *patience, uint64_t now)
{
	uint64_t left = SLICE;

	if (p->options.stall)
		left = MIN(left, patience->since + p->options.stall - now);
	return (int)(left / NSEC_PER_MSEC) + 1;
}

static void ask(struct tcp_path *p, struct patience *patience, uint64_t now)
{
	int r = 0;

	if (p->options.stall && now - patience->since >= p->options.stall) {
		path_end(p, STATUS_TIMED_OUT);
		return;
	}
	if (now - patience->checked < SLICE)
		return;
	patience->checked = now;
	if (p->options.check)
		r = p->options.check(p->options.userdata);
	if (r)
		path_end(p, r);
}

/* Notes what has moved, and asks whether it makes sense to go on. Returns the time. */
static uint64_t note_progress(struct tcp_path *p, struct patience *patience)
{
	uint64_t progress = atomic_load_explicit(&p->progress, memory_order_relaxed);
	uint64_t now = clock_now();

	if (!patience->since || patience->progress != progress) {
		patience->progress = progress;
		patience->since = now;
		patience->half = false;
		if (!patience->checked)
			patience->checked = now;
	}
	return now;
}

static void watch(struct tcp_path *p, struct patience *patience)
{
	ask(p, patience, note_progress(p, patience));
}

void path_poll(struct tcp_path *p, struct patience *patience, short events, uint64_t end)
{
	uint64_t now = note_progress(p, patience);
	struct pollfd pollfd = {.fd = p->fd, .events = events};
	int left = slice_left(p, patience, now);

	if (p->options.spin && now - patience->since < SPIN) {
		cpu_relax();
		return;
	}
	/* half a record, which poll() of Linux 6.1 takes for something */
	if (unlikely(patience->half))
		usleep(HALF / NSEC_PER_USEC);
	if (unlikely(end != UINT64_MAX))
		left = now < end ? (int)MIN((uint64_t)left, (end - now) / NSEC_PER_MSEC + 1) : 0;
	patience->half = poll(&pollfd, 1, left) > 0 && pollfd.revents & POLLIN;
	ask(p, patience, clock_now());
}

/* Until woken, or until end. */
static void sleep_for(struct tcp_path *p, struct path_op *op, uint64_t end)
{
	struct timespec ts = clock_timespec(end);

	op->asleep = true;
	if (likely(end == UINT64_MAX))
		pthread_cond_wait(&op->wake, &p->mutex);
	else
		pthread_cond_clockwait(&op->wake, &p->mutex, CLOCK_MONOTONIC, &ts);
	op->asleep = false;
}

static bool is_late(uint64_t end)
{
	return unlikely(end != UINT64_MAX) && clock_now() >= end;
}

static enum step next_step(struct tcp_path *p, struct path_op *op, uint64_t end)
{
	for (;;) {
		int state = path_state(p);

		if (is_done(p, op))
			return STEP_DONE;
		if (state == PATH_BROKEN)
			return STEP_MEND;
		if (!p->reading && state == PATH_ENDED)
			return STEP_ENDED;
		if (!p->reading) {
			p->reading = true;
			return STEP_READ;
		}
		if (is_late(end))
			return STEP_LATE;
		sleep_for(p, op, end);
	}
}

/* At least once, then until done or late. */
static enum step read_until_done(
	struct tcp_path *p, struct path_op *op, struct patience *patience, uint64_t end)
{
	enum step step = STEP_READ;

	while (!is_done(p, op) && path_state(p) == PATH_UP) {
		int r = path_read(p);

		if (r < 0)
			path_broke(p);
		else if (r == 0 && is_late(end))
			step = STEP_LATE;
		else if (r == 0)
			path_poll(p, patience, POLLIN, end);
		if (step == STEP_LATE)
			break;
	}
	path_leave_role(p);
	return step;
}

int path_op_until(struct tcp_path *p, struct path_op *op, struct patience *patience, uint64_t end)
{
	enum step step;

	do {
		pthread_mutex_lock(&p->mutex);
		step = next_step(p, op, end);
		if (step == STEP_DONE || step == STEP_ENDED)
			list_unlink(&op->waiting);
		pthread_mutex_unlock(&p->mutex);
		if (step == STEP_READ)
			step = read_until_done(p, op, patience, end);
		else if (step == STEP_MEND)
			path_mend(p);
	} while (step == STEP_READ || step == STEP_MEND);
	if (step == STEP_LATE) {
		watch(p, patience);
		return -EAGAIN;
	}
	pthread_cond_destroy(&op->wake);
	return step == STEP_ENDED ? p->ended : 0;
}

int path_op_end(struct tcp_path *p, struct path_op *op)
{
	struct patience patience = {0};

	return path_op_until(p, op, &patience, UINT64_MAX);
}

void path_drain(struct tcp_path *p)
{
	struct patience patience = {0};
	struct path_op op;
	enum step step;

	path_op_begin(p, &op);
	atomic_store_explicit(&op.last, path_said(p), memory_order_relaxed);
	do {
		pthread_mutex_lock(&p->mutex);
		step = next_step(p, &op, UINT64_MAX);
		if (step != STEP_READ)
			list_unlink(&op.waiting);
		pthread_mutex_unlock(&p->mutex);
		if (step == STEP_READ)
			read_until_done(p, &op, &patience, UINT64_MAX);
	} while (step == STEP_READ);
	pthread_cond_destroy(&op.wake);
}

int path_wait(struct tcp_path *p, uint64_t number)
{
	struct path_op op;

	if (path_acked(p) >= number)
		return 0;
	path_op_begin(p, &op);
	atomic_store_explicit(&op.last, number, memory_order_relaxed);
	return path_op_end(p, &op);
}
