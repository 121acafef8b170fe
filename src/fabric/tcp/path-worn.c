/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaving a stream whose keys have encrypted enough: when everything that was said has been
 * answered, it counts as broken, and what comes with another stream has nothing to say again.
 */
#include "fabric/tcp/path.h"

#define LOOK_EVERY 1024u /* requests, each of which is 17 records or less */

static uint64_t look_after(const struct tcp_path *p)
{
	return MAX(MIN((uint64_t)LOOK_EVERY, p->options.records / 32), 1u);
}

void path_worn_begin(struct tcp_path *p)
{
	p->look_at = UINT64_MAX;
	if (p->options.records && fabric_tcp_is_encrypted(p->fd))
		p->look_at = path_said(p) + look_after(p);
}

bool path_is_worn(struct tcp_path *p)
{
	if (likely(path_said(p) < p->look_at))
		return false;
	p->look_at = path_said(p) + look_after(p);
	return fabric_tcp_records(p->fd) >= p->options.records;
}

/* The pieces of an operation that goes on are not answered one by one: a request without effect
 * behind the last of them makes the target answer. */
static void say_nothing(struct tcp_path *p)
{
	struct flight f = {.frame = {.type = FRAME_SIGNAL, .flags = FRAME_CHECK}};
	uint8_t head[FRAME_REQUEST_SIZE];
	struct iovec iov = {head, sizeof(head)};

	frame_request_encode(head, &f.frame);
	path_add_flight(p, NULL, &f);
	path_write(p, &iov, 1, 0);
}

void path_retire(struct tcp_path *p)
{
	uint64_t said = path_said(p);

	if (said > path_acked(p) && path_flight(p, said)->frame.flags & FRAME_MORE)
		say_nothing(p);
	path_drain(p);
	path_broke(p);
}
