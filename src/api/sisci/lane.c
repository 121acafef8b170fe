/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/lane.h"

#include <string.h>
#include "base/error.h"

#define RECORD_HEAD 8u

static uint64_t record_size(uint32_t length)
{
	return RECORD_HEAD + (length + 7u) / 8 * 8;
}

bool lane_find(uint32_t lane, uint64_t head, uint64_t tail, uint64_t count, uint64_t taken,
	uint32_t length, struct lane_place *ret_place)
{
	uint64_t size = lane_size(lane), need = record_size(length), at = head % size;
	struct lane_place place = {.at = at};

	if (count - taken >= LANE_QUEUE_MAX)
		return false;
	if (need > size - at) {
		place.skip = size - at;
		place.at = 0;
	}
	place.next = head + place.skip + need;
	if (place.next - tail > size)
		return false;
	*ret_place = place;
	return true;
}

/* The record at tail, if it can be one. Returns its length and where the next one is. */
static int read_record(const uint8_t *records, uint64_t size, uint64_t tail, uint64_t head,
	void *to, uint64_t *ret_next)
{
	uint64_t at = tail % size;
	uint32_t length;

	if (head - tail < RECORD_HEAD || at % 8 || size - at < RECORD_HEAD)
		return -1;
	length = __atomic_load_n((const uint32_t *)(records + at), __ATOMIC_RELAXED);
	if (length == LANE_SKIP) {
		tail += size - at;
		at = 0;
		if (head - tail < RECORD_HEAD || head - tail > size)
			return -1;
		length = __atomic_load_n((const uint32_t *)records, __ATOMIC_RELAXED);
	}
	if (length > LANE_MESSAGE_MAX || record_size(length) > head - tail ||
		!range_within(at, record_size(length), size))
		return -1;
	memcpy(to, records + at + RECORD_HEAD, length);
	*ret_next = tail + record_size(length);
	return (int)length;
}

/* The lane's next message; -1: none. */
static int take_from(struct lane_area *area, uint32_t lane, void *to)
{
	uint64_t head = atomic_load_explicit(&area->heads[lane].position, memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&area->tails[lane].position, memory_order_relaxed);
	uint64_t size = lane_size(lane), next;
	int length = -1;

	if (head == tail)
		return -1;
	if (head - tail <= size)
		length = read_record(
			(uint8_t *)area + lane_offset(lane), size, tail, head, to, &next);
	if (length < 0) {
		/* nonsense: all of it goes */
		atomic_store(&area->tails[lane].count, atomic_load(&area->heads[lane].count));
		atomic_store_explicit(&area->tails[lane].position, head, memory_order_release);
		return -1;
	}
	atomic_fetch_add(&area->tails[lane].count, 1);
	atomic_store_explicit(&area->tails[lane].position, next, memory_order_release);
	return length;
}

int lane_take(struct lane_area *area, uint32_t *at, void *to)
{
	for (uint32_t i = 0; i < LANES; i++) {
		uint32_t lane = (*at + i) % LANES;
		int length = take_from(area, lane, to);

		if (length >= 0) {
			*at = (lane + 1) % LANES;
			return length;
		}
	}
	return -1;
}
