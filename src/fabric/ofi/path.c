/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path over libfabric: decides what goes by RMA, and does the rest, and what failed there, over
 * the inner path. What goes by RMA is over when the call returns; so the order of a path's
 * operations asks for one thing alone: what the inner path has collected or begun is waited for
 * first.
 *
 * A user's memory is opened by an offer of the home's, asked for at its first use. One that is
 * refused is asked for again when the inner path goes on over another stream: the home's daemon may
 * be another one. A link that went down is replaced, but not more than ten times a second.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "fabric/backend.h"
#include "fabric/ofi/link.h"
#include "wire/message.h"
#include "wire/status.h"

#define SPAN_MIN 8193u /* what the inner path keeps and collects costs less there */
#define PAUSE	 (100 * NSEC_PER_MSEC)

/* What a user has of the home's memory; FabricUser.more. */
struct window {
	struct ofi_offer offer;
	OfiLink *link;	  /* NULL: none yet, or refused */
	uint64_t refused; /* 1 + the stream during which it was; 0: it was not */
};

struct ofi_path {
	FabricPath base;
	FabricPath *inner;
	struct ofi_path_options options;
	_Atomic uint64_t begun;	  /* on the inner path, not waited for by who began it */
	_Atomic uint64_t awaited; /* so many of these are over */

	pthread_mutex_t mutex; /* what follows, and the windows */
	OfiLink *link;	       /* the latest */
	bool opening;	       /* somebody asks, or connects; the others do without */
	uint64_t stream;       /* of the inner path; from 0 */
	uint64_t unreachable;  /* 1 + the stream during which no link could be made; 0 */
	uint64_t pause_until;  /* no other link before */
	bool abandoned;
};

static _Atomic uint64_t n_operations;

uint64_t ofi_path_count(void)
{
	return atomic_load(&n_operations);
}

static struct ofi_path *ofi_path(FabricPath *path)
{
	return container_of(path, struct ofi_path, base);
}

/* --- windows --- */

static bool is_good(const struct window *w)
{
	return w->link && !ofi_link_is_down(w->link);
}

/* Whether to ask for an offer now. */
static bool may_open(struct ofi_path *p, const struct window *w)
{
	uint64_t stream = p->stream + 1;

	return !p->opening && !p->abandoned && w->refused != stream && p->unreachable != stream &&
	       clock_now() >= p->pause_until;
}

/* A link to the home's endpoint: the one that there is, or a new one; a reference. */
static int find_link(struct ofi_path *p, const struct ofi_offer *offer, OfiLink **ret_link)
{
	OfiLink *link = NULL;
	int r;

	pthread_mutex_lock(&p->mutex);
	if (p->link && !ofi_link_is_down(p->link) && ofi_link_endpoint(p->link) == offer->endpoint)
		link = ofi_link_ref(p->link);
	pthread_mutex_unlock(&p->mutex);
	if (link) {
		*ret_link = link;
		return 0;
	}
	r = ofi_link_new(offer, &p->options.path, &link);
	if (r)
		return r;
	*ret_link = link;
	return 0;
}

static void replace(OfiLink **at, OfiLink *link)
{
	ofi_link_put(*at);
	*at = link;
}

/* With the mutex, which is free meanwhile. */
static void open_window(struct ofi_path *p, struct fabric_user *user)
{
	struct window *w = user->more;
	uint64_t stream = p->stream + 1;
	struct ofi_offer offer;
	OfiLink *link;
	int asked, r = 0;

	p->opening = true;
	pthread_mutex_unlock(&p->mutex);
	asked = p->options.offer(p->options.path.userdata, user, &offer);
	if (!asked)
		r = find_link(p, &offer, &link);
	pthread_mutex_lock(&p->mutex);
	p->opening = false;
	p->pause_until = clock_now() + PAUSE;
	if (asked) {
		w->refused = stream;
	} else if (r) {
		p->unreachable = stream;
	} else {
		w->offer = offer;
		replace(&w->link, link);
		replace(&p->link, ofi_link_ref(link));
	}
}

/* The user's window for these rights, with a reference to its link. False: the inner path does it.
 */
static bool enter(
	struct ofi_path *p, struct fabric_user *user, uint32_t rights, struct window *ret_window)
{
	struct window *w = user->more;
	bool good;

	pthread_mutex_lock(&p->mutex);
	if (unlikely(!is_good(w)) && may_open(p, w))
		open_window(p, user);
	good = is_good(w) && !p->abandoned && (w->offer.rights & rights) == rights;
	if (good) {
		*ret_window = *w;
		ofi_link_ref(w->link);
	}
	pthread_mutex_unlock(&p->mutex);
	return good;
}

/* --- operations --- */

/* What has been begun on the inner path before is over when it returns. */
static int await_inner(struct ofi_path *p)
{
	uint64_t begun = atomic_load(&p->begun);
	int r;

	if (likely(begun == atomic_load(&p->awaited)))
		return 0;
	r = p->inner->ops->order(p->inner, NULL);
	if (!r)
		atomic_store(&p->awaited, begun);
	return r;
}

static bool are_within(const struct ofi_offer *offer, const struct fabric_piece *pieces, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!range_within(pieces[i].off, pieces[i].n, offer->size))
			return false;
	return true;
}

/* False: nothing is known to be done. */
static bool run(struct ofi_path *p, struct fabric_user *user, bool put,
	const struct fabric_piece *pieces, size_t n)
{
	struct window w;
	bool done;

	if (!enter(p, user, put ? WIRE_WRITE : WIRE_READ, &w))
		return false;
	done = are_within(&w.offer, pieces, n) && !await_inner(p) &&
	       !ofi_link_run(w.link, &w.offer, put, pieces, n);
	ofi_link_put(w.link);
	if (done)
		atomic_fetch_add_explicit(&n_operations, 1, memory_order_relaxed);
	return done;
}

static void note_begun(struct ofi_path *p, unsigned int flags)
{
	if (flags & FABRIC_SPAN)
		atomic_fetch_add_explicit(&p->begun, 1, memory_order_release);
}

static int put(FabricPath *path, struct fabric_user *user, uint64_t off, const void *src, size_t n,
	unsigned int width, unsigned int flags)
{
	const struct fabric_piece piece = {.off = off, .local = (void *)src, .n = n};
	struct ofi_path *p = ofi_path(path);
	bool bulk = !width && n && (!(flags & FABRIC_SPAN) || n >= SPAN_MIN);
	int r;

	if (bulk && flags & FABRIC_AT_ONCE)
		return -EAGAIN;
	if (bulk && run(p, user, true, &piece, 1))
		return 0;
	r = p->inner->ops->put(p->inner, user, off, src, n, width, flags);
	note_begun(p, flags);
	return r;
}

static int get(FabricPath *path, struct fabric_user *user, uint64_t off, void *dst, size_t n,
	unsigned int width)
{
	const struct fabric_piece piece = {.off = off, .local = dst, .n = n};
	struct ofi_path *p = ofi_path(path);

	if (!width && n && run(p, user, false, &piece, 1))
		return 0;
	return p->inner->ops->get(p->inner, user, off, dst, n, width);
}

static int putv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, unsigned int flags, size_t *ret_done)
{
	struct ofi_path *p = ofi_path(path);
	int r;

	if (!(flags & FABRIC_SPAN) && n_pieces && run(p, user, true, pieces, n_pieces)) {
		*ret_done = n_pieces;
		return 0;
	}
	r = p->inner->ops->putv(p->inner, user, pieces, n_pieces, flags, ret_done);
	note_begun(p, flags);
	return r;
}

static int getv(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
	size_t n_pieces, size_t *ret_done)
{
	struct ofi_path *p = ofi_path(path);

	if (n_pieces && run(p, user, false, pieces, n_pieces)) {
		*ret_done = n_pieces;
		return 0;
	}
	return p->inner->ops->getv(p->inner, user, pieces, n_pieces, ret_done);
}

/* --- what is the inner path's --- */

static int atomic(FabricPath *path, struct fabric_user *user, uint64_t off, unsigned int width,
	bool compare, uint64_t expected, uint64_t value, uint64_t *ret_old)
{
	FabricPath *inner = ofi_path(path)->inner;

	return inner->ops->atomic(inner, user, off, width, compare, expected, value, ret_old);
}

static int signal_home(FabricPath *path, struct fabric_user *user, bool accumulate)
{
	FabricPath *inner = ofi_path(path)->inner;

	return inner->ops->signal(inner, user, accumulate);
}

static int flush(FabricPath *path)
{
	FabricPath *inner = ofi_path(path)->inner;

	return inner->ops->flush(inner);
}

static int order(FabricPath *path, struct fabric_user *user)
{
	FabricPath *inner = ofi_path(path)->inner;

	return inner->ops->order(inner, user);
}

static int start(FabricPath *path, struct fabric_user *user, bool put_it, uint64_t off, void *local,
	size_t n, struct fabric_started *started)
{
	struct ofi_path *p = ofi_path(path);
	int r = fabric_start(p->inner, user, put_it, off, local, n, started);

	note_begun(p, FABRIC_SPAN);
	return r;
}

static int finish(FabricPath *path, struct fabric_started *started, uint64_t timeout)
{
	return fabric_finish(ofi_path(path)->inner, started, timeout);
}

/* --- paths --- */

static int check(void *userdata)
{
	const struct fabric_path_options *o = &((struct ofi_path *)userdata)->options.path;

	return o->check ? o->check(o->userdata) : 0;
}

static int repair(void *userdata, FabricPath *inner)
{
	struct ofi_path *p = userdata;
	const struct fabric_path_options *o = &p->options.path;

	return o->repair ? o->repair(o->userdata, &p->base) : STATUS_BROKEN;
}

static int resume(FabricPath *path, int fd, uint64_t done)
{
	struct ofi_path *p = ofi_path(path);
	int r = fabric_path_resume(p->inner, fd, done);

	pthread_mutex_lock(&p->mutex);
	p->stream++;
	pthread_mutex_unlock(&p->mutex);
	return r;
}

/* --- users and paths --- */

static int add_user(FabricPath *path, struct fabric_user *user)
{
	struct ofi_path *p = ofi_path(path);
	_cleanup_free_ struct window *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	r = fabric_path_add_user(p->inner, user);
	if (!r)
		user->more = take_ptr(w);
	return r;
}

static void remove_user(FabricPath *path, struct fabric_user *user)
{
	struct window *w = user->more;

	fabric_path_remove_user(ofi_path(path)->inner, user);
	ofi_link_put(w->link);
	free(w);
}

static void abandon(FabricPath *path)
{
	struct ofi_path *p = ofi_path(path);

	pthread_mutex_init(&p->mutex, NULL);
	p->abandoned = true;
	fabric_path_abandon(p->inner);
}

static void path_free(FabricPath *path)
{
	struct ofi_path *p = ofi_path(path);

	ofi_link_put(p->link);
	fabric_path_free(p->inner);
	pthread_mutex_destroy(&p->mutex);
	free(p);
}

static const struct fabric_path_ops ops = {
	.free = path_free,
	.add_user = add_user,
	.remove_user = remove_user,
	.put = put,
	.get = get,
	.putv = putv,
	.getv = getv,
	.atomic = atomic,
	.signal = signal_home,
	.flush = flush,
	.order = order,
	.start = start,
	.finish = finish,
	.resume = resume,
	.abandon = abandon,
};

int ofi_path_new(int fd, const struct ofi_path_options *options, FabricPath **ret_path)
{
	struct fabric_path_options inner = options->path;
	struct ofi_path *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->base.ops = &ops;
	p->options = *options;
	inner.check = check;
	inner.repair = repair;
	inner.userdata = p;
	r = fabric_tcp_path_new(fd, &inner, &p->inner);
	if (r) {
		free(p);
		return r;
	}
	pthread_mutex_init(&p->mutex, NULL);
	*ret_path = &p->base;
	return 0;
}
