/* SPDX-License-Identifier: Apache-2.0 */
#include "client/coherent.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "client/link-private.h"
#include "client/route.h"

#define SLICE (10 * NSEC_PER_MSEC)

DEFINE_CLEANUP(struct cw_import *, cw_import_put);

/* An older daemon has none of these words, nor maps that need them. */
static bool has_words(const struct cw_link *link)
{
	return link->status_page->head.size >= offsetof(struct wire_status_page, export_coherent) +
						       sizeof(link->status_page->export_coherent);
}

/* watched maps */

static int request_watch(struct cw_link *link, uint32_t slot)
{
	struct wire_message m = {.type = WIRE_MAP_WATCH};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));

	if (!reply)
		return -ENOMEM;
	m.map_watch.slot = slot;
	return cw_link_call(link, &m, NULL, 0, reply);
}

static bool must_watch(const struct cw_link *link, enum wire_side side, uint32_t index)
{
	if (!has_words(link))
		return false;
	/* behind the entry in the client page: the daemon sets the word and then looks there */
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load(side == WIRE_SIDE_EXPORT ? &link->status_page->export_coherent[index]
						    : &link->status_page->import_coherent[index]);
}

int coherent_watch(
	struct cw_link *link, uint32_t slot, enum wire_side side, uint32_t index, bool always)
{
	return always || must_watch(link, side, index) ? request_watch(link, slot) : 0;
}

bool coherent_is_export(const struct cw_link *link, uint32_t index)
{
	return must_watch(link, WIRE_SIDE_EXPORT, index);
}

int coherent_memory(struct cw_link *link, uint32_t index, bool *ret_read_only, int *ret_fd)
{
	struct wire_message m = {.type = WIRE_IMPORT_MEMORY};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	m.import_memory.import = index;
	r = cw_link_call_for_fd(link, &m, reply);
	if (r)
		return r;
	*ret_read_only = reply->message.import_memory_reply.flags & WIRE_IMPORT_READONLY;
	*ret_fd = reply->fds[0];
	return 0;
}

int coherent_hold(struct cw_link *link, uint32_t segment, bool hold)
{
	struct wire_message m = {.type = WIRE_SEGMENT_HOLD};
	_cleanup_free_ struct cw_reply *reply = NULL;
	int r;

	if (!has_words(link))
		return 0;
	m.segment_hold.segment = segment;
	m.segment_hold.hold = hold;
	if (!hold)
		return cw_link_post(link, &m);
	reply = malloc(sizeof(*reply));
	r = reply ? cw_link_call(link, &m, NULL, 0, reply) : -ENOMEM;
	/* a daemon that cannot is one that has nothing to hold */
	return r == STATUS_NOT_SUPPORTED && !coherent_is_export(link, segment) ? 0 : r;
}

int cw_import_advise(
	cw_handle handle, uint32_t advice, uint64_t offset, uint64_t length, uint64_t value)
{
	struct wire_message m = {.type = WIRE_ADVISE};
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(handle);
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!import)
		return STATUS_BAD_HANDLE;
	if (!reply)
		return -ENOMEM;
	r = cw_import_ready(import);
	if (r || !import->remote)
		return r;
	if (!atomic_load(&import->map))
		return STATUS_WRONG_STATE;
	m.advise.import = import->index;
	m.advise.advice = advice;
	m.advise.offset = offset;
	m.advise.length = length;
	m.advise.value = value;
	return cw_link_call(import->link, &m, NULL, 0, reply);
}

/* losses */

uint32_t coherent_discards(const struct cw_link *link, uint32_t index)
{
	return has_words(link) ? atomic_load(&link->status_page->discards[index]) : 0;
}

static uint64_t boottime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* What the map has shown is true up to now; or the daemon, which may be stopped or dead, has not
 * said so: then it is waited for, until it has or until the import is over. */
static int wait_for_lease(struct cw_import *import)
{
	const _Atomic uint64_t *lease = &import->link->status_page->leases[import->index];
	uint64_t end = 0, word;

	while ((word = atomic_load(lease)) && boottime() > word && cw_import_connected(import)) {
		if (!end)
			end = clock_now() + link_request_timeout();
		if (clock_now() > end ||
			(cw_link_suspect(import->link) && cw_link_is_lost(import->link)))
			return STATUS_NODE_LOST;
		(void)route_sleep(import->status, WIRE_IMPORT_CONNECTED, SLICE);
	}
	return 0;
}

int cw_import_believe(struct cw_import *import, bool take)
{
	uint32_t discards, seen;
	int r;

	if (!has_words(import->link))
		return 0;
	r = wait_for_lease(import);
	if (!r && !cw_import_connected(import))
		r = cw_import_check(import);
	if (r)
		return r;
	seen = atomic_load_explicit(&import->discards, memory_order_relaxed);
	discards = coherent_discards(import->link, import->index);
	if (likely(discards == seen))
		return 0;
	if (take)
		atomic_store(&import->discards, discards);
	return STATUS_NODE_LOST;
}
