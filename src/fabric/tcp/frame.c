/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/tcp/frame.h"

static uint32_t size_max(unsigned int type)
{
	switch (type) {
	case FRAME_PUT:
	case FRAME_GET:
		return FRAME_BULK_MAX;
	case FRAME_BATCH:
		return FRAME_BATCH_MAX;
	case FRAME_ADD:
	case FRAME_SWAP:
		return 8;
	default:
		return 0;
	}
}

const char *frame_request_decode(const uint8_t *at, struct frame_request *ret_f)
{
	uint64_t v = frame_load64(at);
	struct frame_request f = {.type = v & 0xff,
		.width = v >> 8 & 0xff,
		.flags = v >> 16 & 0xffff,
		.size = v >> 32};

	if (f.type < FRAME_PUT || f.type > FRAME_SIGNAL)
		return "a frame of unknown type";
	if (f.flags & ~(FRAME_MORE | FRAME_CHECK | FRAME_ACCUMULATE))
		return "a frame with unknown flags";
	if (f.size > size_max(f.type))
		return "a frame that is too large";
	if (f.width > 8 || f.width & (f.width - 1))
		return "elements of an impossible width";
	if ((f.type == FRAME_ADD || f.type == FRAME_SWAP) &&
		(f.width != f.size || (f.width != 4 && f.width != 8) || f.flags & FRAME_CHECK))
		return "an atomic operation of an impossible width";
	if (f.type == FRAME_GET && f.flags & FRAME_CHECK)
		return "a get that is only checked";
	f.off = frame_load64(at + 8);
	memcpy(f.key.bytes, at + 16, FABRIC_KEY_SIZE);
	*ret_f = f;
	return NULL;
}

int frame_reply_decode(const uint8_t *at, struct frame_reply *ret_f)
{
	uint64_t v = frame_load64(at);
	struct frame_reply f = {.type = v & 0xff,
		.status = v >> 16 & 0xffff,
		.size = v >> 32,
		.number = frame_load64(at + 8)};

	if (f.type < FRAME_DONE || f.type > FRAME_DATA || v >> 8 & 0xff)
		return -EBADMSG;
	if (f.type == FRAME_FAILED ? !f.status : f.status)
		return -EBADMSG;
	if (f.type == FRAME_DONE && f.size)
		return -EBADMSG;
	*ret_f = f;
	return 0;
}
