/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_IDTABLE_H
#define BASE_IDTABLE_H

/*
 * Table from small index to pointer. Indices are handed out lowest first and reused after a free;
 * lookups are one bounds check and one load. Not thread safe. An embedder that shows indices to
 * others adds a generation of its own.
 */

#include <stddef.h>
#include <stdint.h>

struct idtable {
	void **slots;
	uint32_t n_slots; /* allocated */
	uint32_t n_used;  /* slots that hold an object */
	uint32_t lowest;  /* no free slot below this one */
	uint32_t limit;	  /* indices stay below */
};

void idtable_init(struct idtable *t, uint32_t limit);
void idtable_deinit(struct idtable *t);

/* Puts object at the lowest free index. Errors: -ENOSPC (limit), -ENOMEM. */
int idtable_add(struct idtable *t, void *object, uint32_t *ret_index);

/* Puts object at index. Errors: -EEXIST, -ERANGE (limit), -ENOMEM. */
int idtable_add_at(struct idtable *t, uint32_t index, void *object);

void idtable_remove(struct idtable *t, uint32_t index);

static inline void *idtable_get(const struct idtable *t, uint32_t index)
{
	return index < t->n_slots ? t->slots[index] : NULL;
}

/* Visits the used slots in order of index; the current object may be removed in the body. */
#define idtable_for_each(t, index, object)                                                         \
	for ((index) = 0; (index) < (t)->n_slots; (index)++)                                       \
		if (((object) = (t)->slots[index]))

#endif
