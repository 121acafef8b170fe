/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs for imports of other nodes: spans, scatter and gather, transfers between buffers, waiting
 * on a descriptor, and calls that are repeated until one fails, so that one of them is under way
 * whenever something dies.
 */
#include "agent.h"

#include <stdlib.h>
#include <string.h>

#define SPAN_PUTS 64u

static bool inside(const struct buffer *b, uint64_t off, uint64_t len)
{
	return b->at && off <= b->size && len <= b->size - off;
}

/* mode I MODE */
static void mode(struct request *q)
{
	answer(q,
		rsm_memseg_import_set_mode(
			imports[object(q, 0)].handle, (rsm_barrier_mode_t)number(q, 1)),
		NULL);
}

/* open I, order I, close I */
static void open_span(struct request *q)
{
	answer(q, rsm_memseg_import_open_barrier(&imports[object(q, 0)].barrier), NULL);
}

static void order_span(struct request *q)
{
	answer(q, rsm_memseg_import_order_barrier(&imports[object(q, 0)].barrier), NULL);
}

static void close_span(struct request *q)
{
	answer(q, rsm_memseg_import_close_barrier(&imports[object(q, 0)].barrier), NULL);
}

/* put_buffer I OFFSET B AT LENGTH, get_buffer I OFFSET B AT LENGTH */
static void put_buffer(struct request *q)
{
	struct buffer *b = &buffers[object(q, 2)];

	if (inside(b, number(q, 3), number(q, 4)))
		answer(q,
			rsm_memseg_import_put(imports[object(q, 0)].handle, (off_t)number(q, 1),
				b->at + number(q, 3), number(q, 4)),
			NULL);
}

static void get_buffer(struct request *q)
{
	struct buffer *b = &buffers[object(q, 2)];

	if (inside(b, number(q, 3), number(q, 4)))
		answer(q,
			rsm_memseg_import_get(imports[object(q, 0)].handle, (off_t)number(q, 1),
				b->at + number(q, 3), number(q, 4)),
			NULL);
}

/* Item k of n goes from the buffer's k-th n-th to the segment's last but k. */
static int transfer_vector(struct import *i, struct buffer *b, bool get)
{
	rsm_iovec_t items[RSM_MAX_SGIOREQS];
	size_t each = b->size / RSM_MAX_SGIOREQS;
	rsm_scat_gath_t io = {
		.io_request_count = RSM_MAX_SGIOREQS, .remote_handle = i->handle, .iovec = items};

	for (size_t k = 0; k < RSM_MAX_SGIOREQS; k++)
		items[k] = (rsm_iovec_t){.io_type = RSM_VA_TYPE,
			.local.vaddr = (caddr_t)b->at,
			.local_offset = k * each,
			.remote_offset = (RSM_MAX_SGIOREQS - 1 - k) * each,
			.transfer_length = each};
	return get ? rsm_memseg_import_getv(&io) : rsm_memseg_import_putv(&io);
}

/* putv I B, getv I B */
static void putv(struct request *q)
{
	answer(q, transfer_vector(&imports[object(q, 0)], &buffers[object(q, 1)], false), NULL);
}

static void getv(struct request *q)
{
	answer(q, transfer_vector(&imports[object(q, 0)], &buffers[object(q, 1)], true), NULL);
}

/* The kinds of calls that until repeats; the buffer is as large as the segment or smaller. */

static int once_put(struct import *i, struct buffer *b)
{
	return rsm_memseg_import_put(i->handle, 0, b->at, 8);
}

static int once_get(struct import *i, struct buffer *b)
{
	return rsm_memseg_import_get(i->handle, 0, b->at, 8);
}

static int once_large_put(struct import *i, struct buffer *b)
{
	return rsm_memseg_import_put(i->handle, 0, b->at, b->size);
}

static int once_large_get(struct import *i, struct buffer *b)
{
	return rsm_memseg_import_get(i->handle, 0, b->at, b->size);
}

static int once_putv(struct import *i, struct buffer *b)
{
	return transfer_vector(i, b, false);
}

static int once_getv(struct import *i, struct buffer *b)
{
	return transfer_vector(i, b, true);
}

static int once_span(struct import *i, struct buffer *b)
{
	size_t each = b->size / SPAN_PUTS;
	int r = rsm_memseg_import_set_mode(i->handle, RSM_BARRIER_MODE_EXPLICIT);

	if (!r)
		r = rsm_memseg_import_open_barrier(&i->barrier);
	for (size_t k = 0; !r && k < SPAN_PUTS; k++)
		r = rsm_memseg_import_put(i->handle, (off_t)(k * each), b->at + k * each, each);
	if (!r)
		r = rsm_memseg_import_order_barrier(&i->barrier);
	return r ? r : rsm_memseg_import_close_barrier(&i->barrier);
}

static int once_post(struct import *i, struct buffer *b)
{
	return rsm_intr_signal_post(i->handle, RSM_SIGPOST_NO_ACCUMULATE);
}

/* until KIND I B → first code that is not 0; how often it was 0 */
static void until(struct request *q)
{
	static const struct {
		const char *name;
		int (*once)(struct import *i, struct buffer *b);
	} kinds[] = {
		{"put", once_put},
		{"get", once_get},
		{"large_put", once_large_put},
		{"large_get", once_large_get},
		{"putv", once_putv},
		{"getv", once_getv},
		{"span", once_span},
		{"post", once_post},
	};
	unsigned long rounds = 0;
	int r;

	for (size_t k = 0; q->n == 3 && k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		if (strcmp(kinds[k].name, q->argument[0]) != 0)
			continue;
		do
			r = kinds[k].once(&imports[object(q, 1)], &buffers[object(q, 2)]);
		while (!r && ++rounds);
		answer(q, r, "%lu", rounds);
	}
}

/* wait_pollfd HANDLE MILLISECONDS → how many were ready, events */
static void wait_pollfd(struct request *q)
{
	void *handle = handle_of(q, 0);
	struct pollfd fd = {0};
	int n = -1, r = rsm_memseg_get_pollfd(handle, &fd);

	if (r) {
		answer(q, r, "none");
		return;
	}
	r = rsm_intr_signal_wait_pollfd(&fd, 1, atoi(q->argument[1]), &n);
	rsm_memseg_release_pollfd(handle);
	answer(q, r, "%d %d", n, fd.revents);
}

/* poll HANDLE MILLISECONDS → what poll(2) returned, events */
static void poll_plain(struct request *q)
{
	void *handle = handle_of(q, 0);
	struct pollfd fd = {0};
	int n, r = rsm_memseg_get_pollfd(handle, &fd);

	if (r) {
		answer(q, r, "none");
		return;
	}
	n = poll(&fd, 1, atoi(q->argument[1]));
	rsm_memseg_release_pollfd(handle);
	answer(q, 0, "%d %d", n, fd.revents);
}

const struct verb remote_verbs[] = {
	{"mode", mode},
	{"open", open_span},
	{"order", order_span},
	{"close", close_span},
	{"put_buffer", put_buffer},
	{"get_buffer", get_buffer},
	{"putv", putv},
	{"getv", getv},
	{"until", until},
	{"wait_pollfd", wait_pollfd},
	{"poll", poll_plain},
	{NULL, NULL},
};
