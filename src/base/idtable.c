/* SPDX-License-Identifier: Apache-2.0 */
#include "base/idtable.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"

void idtable_init(struct idtable *t, uint32_t limit)
{
	*t = (struct idtable){.limit = limit};
}

void idtable_deinit(struct idtable *t)
{
	free(t->slots);
	t->slots = NULL;
	t->n_slots = t->n_used = t->lowest = 0;
}

static int idtable_grow(struct idtable *t, uint32_t needed)
{
	uint64_t n = t->n_slots ? (uint64_t)t->n_slots * 2 : 8;
	void **slots;

	n = MIN(MAX(n, needed), (uint64_t)t->limit);
	slots = reallocarray(t->slots, n, sizeof(void *));
	if (!slots)
		return -ENOMEM;
	memset(slots + t->n_slots, 0, (n - t->n_slots) * sizeof(void *));
	t->slots = slots;
	t->n_slots = n;
	return 0;
}

static void idtable_put(struct idtable *t, uint32_t index, void *object)
{
	assert(object);
	t->slots[index] = object;
	t->n_used++;
	if (index == t->lowest)
		t->lowest++;
}

int idtable_add(struct idtable *t, void *object, uint32_t *ret_index)
{
	uint32_t i = t->lowest;
	int r;

	while (i < t->n_slots && t->slots[i])
		i++;
	if (i >= t->limit)
		return -ENOSPC;
	if (i >= t->n_slots) {
		r = idtable_grow(t, i + 1);
		if (r < 0)
			return r;
	}
	t->lowest = i;
	idtable_put(t, i, object);
	*ret_index = i;
	return 0;
}

int idtable_add_at(struct idtable *t, uint32_t index, void *object)
{
	int r;

	if (index >= t->limit)
		return -ERANGE;
	if (idtable_get(t, index))
		return -EEXIST;
	if (index >= t->n_slots) {
		r = idtable_grow(t, index + 1);
		if (r < 0)
			return r;
	}
	idtable_put(t, index, object);
	return 0;
}

void idtable_remove(struct idtable *t, uint32_t index)
{
	assert(idtable_get(t, index));
	t->slots[index] = NULL;
	t->n_used--;
	t->lowest = MIN(t->lowest, index);
}
