/* SPDX-License-Identifier: Apache-2.0 */
#include "api/clshm/attaches.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct {
	pthread_mutex_t lock;
	struct attach *list; /* ascending */
	unsigned int n, n_reserved, max;
} attaches = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int grow_locked(void)
{
	unsigned int max = MAX(2 * attaches.max, 16u);
	struct attach *list = reallocarray(attaches.list, max, sizeof(*list));

	if (!list)
		return -ENOMEM;
	attaches.list = list;
	attaches.max = max;
	return 0;
}

int attaches_reserve(void)
{
	int r = 0;

	pthread_mutex_lock(&attaches.lock);
	if (attaches.n + attaches.n_reserved == attaches.max)
		r = grow_locked();
	if (!r)
		attaches.n_reserved++;
	pthread_mutex_unlock(&attaches.lock);
	return r;
}

void attaches_unreserve(void)
{
	pthread_mutex_lock(&attaches.lock);
	attaches.n_reserved--;
	pthread_mutex_unlock(&attaches.lock);
}

/* The first that ends behind address. */
static unsigned int find_locked(const char *address)
{
	unsigned int low = 0, high = attaches.n;

	while (low < high) {
		unsigned int middle = (low + high) / 2;
		const struct attach *a = &attaches.list[middle];

		if ((uintptr_t)a->address + a->size <= (uintptr_t)address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void remove_locked(unsigned int at, struct attach *ret_attach)
{
	struct attach *a = &attaches.list[at];

	*ret_attach = *a;
	attaches.n--;
	memmove(a, a + 1, (attaches.n - at) * sizeof(*a));
}

void attaches_add(const struct attach *a)
{
	struct attach *at;

	pthread_mutex_lock(&attaches.lock);
	at = &attaches.list[find_locked(a->address)];
	memmove(at + 1, at, (size_t)(&attaches.list[attaches.n] - at) * sizeof(*at));
	*at = *a;
	attaches.n++;
	attaches.n_reserved--;
	pthread_mutex_unlock(&attaches.lock);
}

bool attaches_take(const void *address, struct attach *ret_attach)
{
	unsigned int at;
	bool found;

	pthread_mutex_lock(&attaches.lock);
	at = find_locked(address);
	found = at < attaches.n && attaches.list[at].address == address;
	if (found)
		remove_locked(at, ret_attach);
	pthread_mutex_unlock(&attaches.lock);
	return found;
}

static bool is_within(const struct attach *a, uintptr_t begin, size_t size)
{
	return (uintptr_t)a->address >= begin &&
	       range_within((uintptr_t)a->address - begin, a->size, size);
}

int attaches_take_within(
	const char *address, size_t size, bool *ret_found, struct attach *ret_attach)
{
	uintptr_t begin = (uintptr_t)address, end = begin + size;
	unsigned int first;
	int r = 0;

	pthread_mutex_lock(&attaches.lock);
	first = find_locked(address);
	for (unsigned int i = first;
		i < attaches.n && (uintptr_t)attaches.list[i].address < end && !r; i++)
		r = is_within(&attaches.list[i], begin, size) ? 0 : -EINVAL;
	if (!r) {
		*ret_found = first < attaches.n && (uintptr_t)attaches.list[first].address < end;
		if (*ret_found)
			remove_locked(first, ret_attach);
	}
	pthread_mutex_unlock(&attaches.lock);
	return r;
}

bool attaches_nth(unsigned int n, struct attach *ret_attach)
{
	bool found;

	pthread_mutex_lock(&attaches.lock);
	found = n < attaches.n;
	if (found)
		*ret_attach = attaches.list[n];
	pthread_mutex_unlock(&attaches.lock);
	return found;
}

/* fork */

void attaches_fork_prepare(void)
{
	pthread_mutex_lock(&attaches.lock);
}

void attaches_fork_parent(void)
{
	pthread_mutex_unlock(&attaches.lock);
}

void attaches_fork_child(void)
{
	/* by threads of the parent */
	attaches.n_reserved = 0;
	pthread_mutex_unlock(&attaches.lock);
}

unsigned int attaches_count_locked(void)
{
	return attaches.n;
}

void attaches_for_each_locked(void (*visit)(const struct attach *a))
{
	for (unsigned int i = 0; i < attaches.n; i++)
		visit(&attaches.list[i]);
}
