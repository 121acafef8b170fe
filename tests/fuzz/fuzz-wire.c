/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets. What decodes encodes again, to a packet that decodes to the same; and the tail, read as
 * any kind of record, never yields more than it holds.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include "wire/message.h"

#define MESSAGE(NAME, name, number)
#define RECORD(name)                                                                               \
	static void read_##name(const struct wire_message *m)                                      \
	{                                                                                          \
		const uint8_t *at = m->tail, *end = at + m->tail_size;                             \
		uint8_t once[sizeof(struct wire_##name)], again[sizeof(once)];                     \
		struct wire_##name record, copy;                                                   \
                                                                                                   \
		while (at && (at = wire_get_##name(at, end, &record))) {                           \
			uint8_t *stop = wire_put_##name(once, once + sizeof(once), &record);       \
                                                                                                   \
			MUST(at <= end && stop);                                                   \
			MUST(wire_get_##name(once, stop, &copy) == stop);                          \
			MUST(wire_put_##name(again, again + sizeof(again), &copy));                \
			MUST(!memcmp(once, again, (size_t)(stop - once)));                         \
		}                                                                                  \
	}
#define U32(f)
#define U64(f)
#define TEXT(f, size)
#define BYTES(f, size)
#define END(name)
#include "wire/message.def"
#undef RECORD

static void read_tail(const struct wire_message *m)
{
#define RECORD(name) read_##name(m);
#include "wire/message.def"
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t once[WIRE_PACKET_MAX], again[WIRE_PACKET_MAX];
	struct wire_message m, copy;
	ssize_t n, o;
	int r = wire_decode(data, size, &m);

	MUST(r == 0 || r == -EBADMSG || r == -EOPNOTSUPP);
	if (r)
		return 0;
	MUST(wire_type_name(m.type));
	MUST(m.tail_size <= size &&
		(!m.tail_size || ((const uint8_t *)m.tail >= data &&
					 (const uint8_t *)m.tail + m.tail_size <= data + size)));
	read_tail(&m);
	n = wire_encode(&m, once, sizeof(once));
	if (n == -EMSGSIZE) /* a sender that knows fewer fields may have had a longer tail */
		return 0;
	MUST(n > 0);
	MUST(wire_decode(once, (size_t)n, &copy) == 0);
	o = wire_encode(&copy, again, sizeof(again));
	MUST(o == n && !memcmp(once, again, (size_t)n));
	return 0;
}
