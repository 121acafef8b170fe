/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/message.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Writer: at is NULL once something did not fit. */
static uint8_t *put_bytes(uint8_t *at, const uint8_t *end, const void *p, size_t n)
{
	if (!at || (size_t)(end - at) < n)
		return NULL;
	memcpy(at, p, n);
	return at + n;
}

static uint8_t *put_u32(uint8_t *at, const uint8_t *end, uint32_t v)
{
	v = htole32(v);
	return put_bytes(at, end, &v, sizeof(v));
}

static uint8_t *put_u64(uint8_t *at, const uint8_t *end, uint64_t v)
{
	v = htole64(v);
	return put_bytes(at, end, &v, sizeof(v));
}

/*
 * Reader: a field that lies wholly beyond end was not known to the sender and reads as zero, a
 * field that end cuts in two makes at NULL.
 */
static const uint8_t *get_bytes(const uint8_t *at, const uint8_t *end, void *p, size_t n)
{
	memset(p, 0, n);
	if (!at || at == end)
		return at;
	if ((size_t)(end - at) < n)
		return NULL;
	memcpy(p, at, n);
	return at + n;
}

static const uint8_t *get_u32(const uint8_t *at, const uint8_t *end, uint32_t *ret)
{
	at = get_bytes(at, end, ret, sizeof(*ret));
	*ret = le32toh(*ret);
	return at;
}

static const uint8_t *get_u64(const uint8_t *at, const uint8_t *end, uint64_t *ret)
{
	at = get_bytes(at, end, ret, sizeof(*ret));
	*ret = le64toh(*ret);
	return at;
}

static const uint8_t *get_text(const uint8_t *at, const uint8_t *end, char *p, size_t n)
{
	at = get_bytes(at, end, p, n);
	p[n - 1] = 0;
	return at;
}

#define MESSAGE(NAME, name, number)                                                                \
	static uint8_t *put_##name(uint8_t *at, const uint8_t *end, const struct wire_##name *m)   \
	{                                                                                          \
		(void)end;                                                                         \
		(void)m;
#define RECORD(name)                                                                               \
	uint8_t *wire_put_##name(uint8_t *at, const uint8_t *end, const struct wire_##name *m)     \
	{
#define U32(f)	       at = put_u32(at, end, m->f);
#define U64(f)	       at = put_u64(at, end, m->f);
#define TEXT(f, size)  at = put_bytes(at, end, m->f, size);
#define BYTES(f, size) at = put_bytes(at, end, m->f, size);
#define END(name)                                                                                  \
	return at;                                                                                 \
	}
#include "wire/message.def"
#undef MESSAGE
#undef RECORD
#undef U32
#undef U64
#undef TEXT
#undef BYTES
#undef END

#define MESSAGE(NAME, name, number)                                                                \
	static const uint8_t *get_##name(                                                          \
		const uint8_t *at, const uint8_t *end, struct wire_##name *m)                      \
	{                                                                                          \
		(void)end;                                                                         \
		(void)m;
#define RECORD(name)                                                                               \
	const uint8_t *wire_get_##name(                                                            \
		const uint8_t *at, const uint8_t *end, struct wire_##name *m)                      \
	{                                                                                          \
		if (!at || at == end)                                                              \
			return NULL;
#define U32(f)	       at = get_u32(at, end, &m->f);
#define U64(f)	       at = get_u64(at, end, &m->f);
#define TEXT(f, size)  at = get_text(at, end, m->f, size);
#define BYTES(f, size) at = get_bytes(at, end, m->f, size);
#define END(name)                                                                                  \
	return at;                                                                                 \
	}
#include "wire/message.def"
#undef MESSAGE
#undef RECORD
#undef U32
#undef U64
#undef TEXT
#undef BYTES
#undef END

#define RECORD(name)
#define U32(f)
#define U64(f)
#define TEXT(f, size)
#define BYTES(f, size)
#define END(name)

static uint8_t *put_body(uint8_t *at, const uint8_t *end, const struct wire_message *m)
{
	switch (m->type) {
#define MESSAGE(NAME, name, number)                                                                \
	case number:                                                                               \
		return put_##name(at, end, &m->name);
#include "wire/message.def"
#undef MESSAGE
	}
	return NULL;
}

static int get_body(const uint8_t *at, const uint8_t *end, struct wire_message *m)
{
	switch (m->type) {
#define MESSAGE(NAME, name, number)                                                                \
	case number:                                                                               \
		return get_##name(at, end, &m->name) ? 0 : -EBADMSG;
#include "wire/message.def"
#undef MESSAGE
	}
	return -EOPNOTSUPP;
}

const char *wire_type_name(uint32_t type)
{
	switch (type) {
#define MESSAGE(NAME, name, number)                                                                \
	case number:                                                                               \
		return #NAME;
#include "wire/message.def"
#undef MESSAGE
	}
	return NULL;
}

ssize_t wire_encode(const struct wire_message *m, void *buf, size_t size)
{
	uint8_t *start = buf, *end = start + size, *body, *tail, *at;

	if (!wire_type_name(m->type))
		return -EINVAL;
	if (size < WIRE_HEADER_SIZE)
		return -EMSGSIZE;
	body = start + WIRE_HEADER_SIZE;
	tail = put_body(body, end, m);
	at = tail;
	if (m->tail_size)
		at = put_bytes(at, end, m->tail, m->tail_size);
	if (!at || at - start > WIRE_PACKET_MAX)
		return -EMSGSIZE;
	put_u32(start, end, (uint32_t)(at - start));
	put_u32(start + 4, end, m->type | (uint32_t)(tail - body) << 16);
	put_u64(start + 8, end, m->serial);
	put_u32(start + 16, end, m->status);
	put_u32(start + 20, end, m->flags);
	return at - start;
}

int wire_decode(const void *packet, size_t len, struct wire_message *ret_message)
{
	const uint8_t *start = packet, *end = start + len, *body;
	uint32_t size, type_and_body;

	if (len < WIRE_HEADER_SIZE || len > WIRE_PACKET_MAX)
		return -EBADMSG;
	memset(ret_message, 0, sizeof(*ret_message));
	get_u32(start, end, &size);
	get_u32(start + 4, end, &type_and_body);
	get_u64(start + 8, end, &ret_message->serial);
	get_u32(start + 16, end, &ret_message->status);
	get_u32(start + 20, end, &ret_message->flags);
	ret_message->type = (uint16_t)type_and_body;
	body = start + WIRE_HEADER_SIZE;
	if (size != len || type_and_body >> 16 > (size_t)(end - body))
		return -EBADMSG;
	ret_message->tail = body + (type_and_body >> 16);
	ret_message->tail_size = (size_t)(end - (const uint8_t *)ret_message->tail);
	return get_body(body, ret_message->tail, ret_message);
}
