/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/lane.h"

#include <string.h>
#include "base/error.h"

#define RECORD_HEAD 8u

static uint64_t record_size(uint32_t length)
{
	return RECORD_HEAD + ((uint64_t)length + 7) / 8 * 8;
}

/* the writer */

bool lane_writer_begin(
	struct lane_writer *w, uint32_t lane, const uint64_t head[2], const uint64_t tail[2])
{
	if (lane >= LANES || head[0] % 8 || head[0] - tail[0] > lane_size(lane))
		return false;
	*w = (struct lane_writer){
		.lane = lane, .head = head[0], .count = head[1], .tail = tail[0], .taken = tail[1]};
	/* a writer that died may have counted what it did not send */
	if (w->head == w->tail)
		w->count = w->taken;
	return true;
}

bool lane_writer_find(const struct lane_writer *w, uint32_t length, struct lane_place *ret_place)
{
	uint64_t size = lane_size(w->lane), need = record_size(length), at = w->head % size;
	struct lane_place place = {.at = at};

	if (w->count - w->taken >= LANE_QUEUE_MAX)
		return false;
	if (need > size - at) {
		place.skip = size - at;
		place.at = 0;
	}
	place.next = w->head + place.skip + need;
	if (place.next - w->tail > size)
		return false;
	*ret_place = place;
	return true;
}

/* the reader */

/* The length of the record at a place of the lane; nonsense is longer than any message. */
static uint32_t length_at(const uint8_t *records, uint64_t at)
{
	return __atomic_load_n((const uint32_t *)(records + at), __ATOMIC_RELAXED);
}

/* The record at tail, if it can be one. Returns its length and where the next one is. */
static int read_record(const uint8_t *records, uint64_t size, uint64_t tail, uint64_t head,
	void *to, uint64_t *ret_next)
{
	uint64_t at = tail % size;
	uint32_t length = length_at(records, at);

	if (length == LANE_SKIP && head - tail > size - at) {
		tail += size - at;
		at = 0;
		length = length_at(records, at);
	}
	if (length > LANE_MESSAGE_MAX || record_size(length) > head - tail ||
		!range_within(at, record_size(length), size))
		return -1;
	memcpy(to, records + at + RECORD_HEAD, length);
	*ret_next = tail + record_size(length);
	return (int)length;
}

/* The lane's next message; -1: none. */
static int take_from(struct lane_reader *r, uint32_t lane, void *to)
{
	struct lane_mark *told = &r->area->tails[lane];
	uint64_t head = atomic_load_explicit(&r->area->heads[lane].position, memory_order_acquire);
	uint64_t tail = r->tails[lane].position, next = head;
	int length = -1;

	if (likely(head == tail))
		return -1;
	if (head % 8 == 0 && head - tail <= lane_size(lane))
		length = read_record((const uint8_t *)r->area + lane_offset(lane), lane_size(lane),
			tail, head, to, &next);
	if (length >= 0) {
		r->tails[lane].count++;
	} else {
		/* nonsense: all of it goes, and positions go on where it ends */
		next = head / 8 * 8;
		atomic_store(&r->area->heads[lane].position, next);
		r->tails[lane].count = atomic_load(&r->area->heads[lane].count);
	}
	r->tails[lane].position = next;
	atomic_store_explicit(&told->count, r->tails[lane].count, memory_order_relaxed);
	atomic_store_explicit(&told->position, next, memory_order_release);
	return length;
}

int lane_reader_take(struct lane_reader *r, void *to)
{
	for (uint32_t i = 0; i < LANES; i++) {
		uint32_t lane = (r->at + i) % LANES;
		int length = take_from(r, lane, to);

		if (length >= 0) {
			r->at = (lane + 1) % LANES;
			return length;
		}
	}
	return -1;
}
