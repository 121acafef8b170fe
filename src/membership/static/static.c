/* SPDX-License-Identifier: Apache-2.0 */
#include "membership/static/static.h"

#include <string.h>
#include "base/error.h"
#include "membership/private.h"

static int by_number(const void *a, const void *b)
{
	uint32_t x = ((const struct member *)a)->node, y = ((const struct member *)b)->node;

	return x < y ? -1 : x > y;
}

static int check_numbers(const Membership *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (!m->members[i].node || (i > 0 && m->members[i].node == m->members[i - 1].node))
			return -EINVAL;
	return 0;
}

int membership_static_new(
	const struct member *members, uint32_t n_members, Membership **ret_membership)
{
	_cleanup_(membership_free_p) Membership *m =
		calloc(1, sizeof(*m) + n_members * sizeof(m->members[0]));
	int r;

	if (!m)
		return -ENOMEM;
	for (; m->n < n_members; m->n++) {
		m->members[m->n] = members[m->n];
		m->members[m->n].host = strdup(members[m->n].host);
		if (!m->members[m->n].host)
			return -ENOMEM;
	}
	if (m->n > 0)
		qsort(m->members, m->n, sizeof(m->members[0]), by_number);
	r = check_numbers(m);
	if (r < 0)
		return r;
	*ret_membership = take_ptr(m);
	return 0;
}
