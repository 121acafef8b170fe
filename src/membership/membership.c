/* SPDX-License-Identifier: Apache-2.0 */
#include "membership/membership.h"

#include "membership/private.h"

void membership_free(Membership *m)
{
	if (!m)
		return;
	for (uint32_t i = 0; i < m->n; i++)
		free((char *)m->members[i].host);
	free(m);
}

uint32_t membership_count(const Membership *m)
{
	return m->n;
}

/* How many have a number of at most this. */
static uint32_t count_up_to(const Membership *m, uint32_t node)
{
	uint32_t low = 0, high = m->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (m->members[middle].node <= node)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct member *membership_find(const Membership *m, uint32_t node)
{
	uint32_t n = count_up_to(m, node);

	return n > 0 && m->members[n - 1].node == node ? &m->members[n - 1] : NULL;
}

const struct member *membership_next(const Membership *m, uint32_t above)
{
	uint32_t n = count_up_to(m, above);

	return n < m->n ? &m->members[n] : NULL;
}
