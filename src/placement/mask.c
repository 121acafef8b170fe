/* SPDX-License-Identifier: Apache-2.0 */
#include "placement/mask.h"

#include <string.h>
#include "base/usercopy.h"
#include "base/error.h"

#define CHUNK 512u /* longs copied at a time */

static size_t words_of(int length)
{
	return ((size_t)length + NODESET_WORD_BITS - 1) / NODESET_WORD_BITS;
}

/* Bits above the length are nobody's. */
static unsigned long valid_bits(size_t word, int length)
{
	size_t left = (size_t)length - word * NODESET_WORD_BITS;

	return left >= NODESET_WORD_BITS ? ~0ul : (1ul << left) - 1;
}

int mask_read(const unsigned long *mask, int length, struct nodeset *ret_set, bool *ret_beyond)
{
	unsigned long chunk[CHUNK];
	struct nodeset set = {0};
	bool beyond = false;
	size_t words = words_of(length);
	int r;

	for (size_t at = 0; at < words; at += CHUNK) {
		size_t n = MIN(words - at, (size_t)CHUNK);

		r = user_read(chunk, mask + at, n * sizeof(*chunk));
		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++) {
			unsigned long bits = chunk[i] & valid_bits(at + i, length);

			if (at + i < NODESET_WORDS)
				set.bits[at + i] = bits;
			else
				beyond = beyond || bits;
		}
	}
	*ret_set = set;
	*ret_beyond = beyond;
	return 0;
}

int mask_write(unsigned long *mask, int length, const struct nodeset *set)
{
	static const unsigned long zeros[CHUNK];
	size_t words = words_of(length), n = MIN(words, (size_t)NODESET_WORDS);
	int r;

	if (length < (int)NODES_MAX && nodeset_next(set, (unsigned int)length) < NODES_MAX)
		return -EINVAL;
	r = user_write(mask, set->bits, n * sizeof(*mask));
	for (size_t at = n; at < words && r == 0; at += CHUNK)
		r = user_write(mask + at, zeros, MIN(words - at, (size_t)CHUNK) * sizeof(*mask));
	return r;
}
