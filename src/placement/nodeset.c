/* SPDX-License-Identifier: Apache-2.0 */
#include "placement/nodeset.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct nodeset nodeset_of(unsigned int node)
{
	struct nodeset s = {0};

	nodeset_add(&s, node);
	return s;
}

unsigned int nodeset_count(const struct nodeset *s)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < NODESET_WORDS; i++)
		n += (unsigned int)__builtin_popcountl(s->bits[i]);
	return n;
}

bool nodeset_empty(const struct nodeset *s)
{
	return nodeset_next(s, 0) == NODES_MAX;
}

bool nodeset_equal(const struct nodeset *a, const struct nodeset *b)
{
	return !memcmp(a, b, sizeof(*a));
}

bool nodeset_meets(const struct nodeset *a, const struct nodeset *b)
{
	for (unsigned int i = 0; i < NODESET_WORDS; i++)
		if (a->bits[i] & b->bits[i])
			return true;
	return false;
}

bool nodeset_within(const struct nodeset *inner, const struct nodeset *outer)
{
	for (unsigned int i = 0; i < NODESET_WORDS; i++)
		if (inner->bits[i] & ~outer->bits[i])
			return false;
	return true;
}

void nodeset_unite(struct nodeset *s, const struct nodeset *other)
{
	for (unsigned int i = 0; i < NODESET_WORDS; i++)
		s->bits[i] |= other->bits[i];
}

unsigned int nodeset_next(const struct nodeset *s, unsigned int node)
{
	for (; node < NODES_MAX; node = (node / NODESET_WORD_BITS + 1) * NODESET_WORD_BITS) {
		unsigned long rest = s->bits[node / NODESET_WORD_BITS] >> node % NODESET_WORD_BITS;

		if (rest)
			return node + (unsigned int)__builtin_ctzl(rest);
	}
	return NODES_MAX;
}

static int parse_node(const char **at, unsigned int *ret_node)
{
	unsigned int node = 0;

	if (!isdigit((unsigned char)**at))
		return -EINVAL;
	for (; isdigit((unsigned char)**at); ++*at) {
		node = node * 10 + (unsigned int)(**at - '0');
		if (node >= NODES_MAX)
			return -ERANGE;
	}
	*ret_node = node;
	return 0;
}

/* "N" or "N-M" */
static int parse_span(const char **at, struct nodeset *s)
{
	unsigned int first, last;
	int r;

	r = parse_node(at, &first);
	if (r < 0)
		return r;
	last = first;
	if (**at == '-') {
		++*at;
		r = parse_node(at, &last);
		if (r < 0)
			return r;
	}
	if (last < first)
		return -EINVAL;
	for (; first <= last; first++)
		nodeset_add(s, first);
	return 0;
}

int nodeset_parse(const char *text, struct nodeset *ret_set)
{
	struct nodeset s = {0};
	const char *at = text;
	int r;

	while (*at && !isspace((unsigned char)*at)) {
		r = parse_span(&at, &s);
		if (r < 0)
			return r;
		if (*at == ',' && isdigit((unsigned char)at[1]))
			at++;
		else if (*at && !isspace((unsigned char)*at))
			return -EINVAL;
	}
	if (at[strspn(at, " \t\n")])
		return -EINVAL;
	*ret_set = s;
	return 0;
}

char *nodeset_format(const struct nodeset *s, char buf[NODESET_TEXT_MAX])
{
	unsigned int first, last;
	char *at = buf;

	*buf = '\0';
	for (first = nodeset_next(s, 0); first < NODES_MAX; first = nodeset_next(s, last + 1)) {
		for (last = first; last + 1 < NODES_MAX && nodeset_has(s, last + 1);)
			last++;
		at += sprintf(at, at == buf ? "%u" : ",%u", first);
		if (last > first)
			at += sprintf(at, "-%u", last);
	}
	return buf;
}

void nodeset_put_bytes(const struct nodeset *s, uint8_t bytes[NODESET_BYTES])
{
	unsigned int node;

	memset(bytes, 0, NODESET_BYTES);
	nodeset_for_each (s, node)
		bytes[node / 8] |= (uint8_t)(1u << node % 8);
}

struct nodeset nodeset_get_bytes(const uint8_t bytes[NODESET_BYTES])
{
	struct nodeset s = {0};

	for (unsigned int node = 0; node < NODES_MAX; node++)
		if (bytes[node / 8] >> node % 8 & 1)
			nodeset_add(&s, node);
	return s;
}
