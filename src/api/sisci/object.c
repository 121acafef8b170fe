/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/object.h"

#include <time.h>
#include "api/sisci/dispatch.h"
#include "api/sisci/wait.h"
#include "api/sisci/work.h"
#include "wire/status.h"

/* All live objects of this process; emptied in a forked child, whose handles are stale then. */
static struct {
	pthread_mutex_t lock;
	struct list objects;
	bool atfork;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .objects = {&all.objects, &all.objects}};

static void fork_prepare(void)
{
	pthread_mutex_lock(&all.lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&all.lock);
}

/* What the objects have stays with the parent; their memory here is given up. */
static void fork_child(void)
{
	struct object *o;

	list_for_each (o, &all.objects, all)
		(void)cw_handle_retire(o->handle);
	list_init(&all.objects);
	pthread_mutex_init(&all.lock, NULL);
	dispatch_fork_child();
	work_fork_child();
}

static void enter(struct object *o)
{
	pthread_mutex_lock(&all.lock);
	if (!all.atfork)
		all.atfork = pthread_atfork(fork_prepare, fork_parent, fork_child) == 0;
	list_append(&all.objects, &o->all);
	pthread_mutex_unlock(&all.lock);
}

int object_new(struct object *o, enum sisci_kind kind, struct object *desc)
{
	int r;

	o->kind = kind;
	o->refs = 1;
	list_init(&o->all);
	if (desc && !object_use(desc))
		return STATUS_BAD_HANDLE;
	pthread_mutex_init(&o->lock, NULL);
	r = cw_handle_new(CW_SISCI, o, &o->handle);
	if (r < 0) {
		pthread_mutex_destroy(&o->lock);
		if (desc)
			object_unuse(desc);
		return r;
	}
	if (desc)
		object_ref(desc);
	o->desc = desc;
	enter(o);
	return 0;
}

bool object_use(struct object *o)
{
	uint32_t n = atomic_load(&o->n_users);

	do
		if (n & OBJECT_ENDING)
			return false;
	while (!atomic_compare_exchange_weak(&o->n_users, &n, n + 1));
	return true;
}

void object_unuse(struct object *o)
{
	atomic_fetch_sub(&o->n_users, 1);
}

bool object_begin_end(struct object *o)
{
	uint32_t none = 0;

	return atomic_compare_exchange_strong(&o->n_users, &none, OBJECT_ENDING);
}

void *object_get(const void *handle, enum sisci_kind kind)
{
	struct object *o = cw_enter((cw_handle)(uintptr_t)handle, CW_SISCI);

	if (!o)
		return NULL;
	if (o->kind == kind)
		object_ref(o);
	else
		o = NULL;
	cw_leave();
	return o;
}

void object_ref(struct object *o)
{
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
}

void object_put(struct object *o)
{
	struct object *desc;

	if (!o || atomic_fetch_sub(&o->refs, 1) != 1)
		return;
	desc = o->desc;
	pthread_mutex_destroy(&o->lock);
	o->release(o);
	object_put(desc);
}

/* Who sleeps may have looked before it ended: so until all of them have left. */
static void wake_waiters(struct object *o)
{
	const struct timespec nap = {.tv_nsec = 50000};
	const _Atomic uint32_t *word;

	for (unsigned int i = 0; atomic_load(&o->n_waiting) && i < 20000; i++) {
		word = atomic_load(&o->waiting_on);
		if (word)
			wake_word(word);
		nanosleep(&nap, NULL);
	}
}

bool object_end(struct object *o)
{
	if (!cw_handle_retire(o->handle))
		return false;
	pthread_mutex_lock(&all.lock);
	list_unlink(&o->all);
	pthread_mutex_unlock(&all.lock);
	atomic_fetch_or(&o->n_users, OBJECT_ENDING);
	atomic_store(&o->ended, true);
	wake_waiters(o);
	dispatch_remove(o);
	if (o->end)
		o->end(o);
	if (o->desc)
		object_unuse(o->desc);
	object_put(o);
	return true;
}

/* The youngest one that is older than before; NULL: the youngest of all. */
static struct object *older(struct object *before)
{
	struct list *at;
	struct object *o = NULL;

	pthread_mutex_lock(&all.lock);
	at = before && !list_empty(&before->all) ? before->all.prev : all.objects.prev;
	if (at != &all.objects) {
		o = list_entry(at, struct object, all);
		object_ref(o);
	}
	pthread_mutex_unlock(&all.lock);
	return o;
}

sci_error_t object_remove(const void *handle, enum sisci_kind kind)
{
	_cleanup_object_ struct object *o = object_get(handle, kind);

	return o && object_end(o) ? SCI_ERR_OK : SCI_ERR_ILLEGAL_PARAMETER;
}

void object_for_each(void (*visit)(struct object *o, void *data), void *data)
{
	struct object *o = older(NULL), *next;

	while (o) {
		next = older(o);
		visit(o, data);
		object_put(o);
		o = next;
	}
}
