/* SPDX-License-Identifier: Apache-2.0 */
#include "placement/admission.h"

/* Each node of a stripe must hold its own part; all others share one sum. */
static bool is_striped(const struct claim *c)
{
	return c->placement.order == PLACE_STRIPE && c->placement.hard;
}

static uint64_t part_of_stripe(const struct claim *c)
{
	unsigned int n = nodeset_count(&c->placement.nodes);

	return c->bytes / n + (c->bytes % n > 0);
}

/* The most that c may take from these nodes. */
static uint64_t may_take(const struct claim *c, const struct nodeset *nodes)
{
	uint64_t part, sum = 0;
	unsigned int node;

	if (!nodeset_meets(&c->placement.nodes, nodes))
		return 0;
	if (!is_striped(c))
		return c->bytes;
	part = part_of_stripe(c);
	nodeset_for_each (&c->placement.nodes, node)
		if (nodeset_has(nodes, node))
			sum += part;
	return sum;
}

static bool fits(const struct claim *claims, size_t n_claims, const struct nodeset *nodes,
	const struct topology *t)
{
	uint64_t have = 0, wanted = 0;
	unsigned int node;

	nodeset_for_each (nodes, node)
		have += node < t->n ? t->nodes[node].available : 0;
	for (size_t i = 0; i < n_claims && wanted <= have; i++)
		wanted += may_take(&claims[i], nodes);
	return wanted <= have;
}

/* Node by node where that is how it is filled. */
static bool claim_fits(const struct claim *c, const struct claim *claims, size_t n_claims,
	const struct topology *t)
{
	unsigned int node;

	if (!is_striped(c))
		return fits(claims, n_claims, &c->placement.nodes, t);
	nodeset_for_each (&c->placement.nodes, node) {
		struct nodeset one = nodeset_of(node);

		if (!fits(claims, n_claims, &one, t))
			return false;
	}
	return true;
}

bool admission_allows(const struct claim *claims, size_t n_claims, const struct topology *t)
{
	if (!claims[0].placement.hard)
		return true;
	for (size_t i = 0; i < n_claims; i++) {
		const struct claim *c = &claims[i];

		/* Those whom the new one does not touch are no worse off than before. */
		if (c->placement.hard && c->bytes > 0 &&
			nodeset_meets(&c->placement.nodes, &claims[0].placement.nodes) &&
			!claim_fits(c, claims, n_claims, t))
			return false;
	}
	return true;
}
