/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/ofi/target.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include "base/cleanup.h"
#include "base/clock.h"

#define SPIN	 NSEC_PER_MSEC /* sleeping and waking are all that shows what guests do */
#define SLICE_MS 100	       /* for a provider that needs us: should a wake-up be lost */

/* --- saying --- */

static void __attribute__((format(printf, 2, 3))) say(OfiTarget *t, const char *format, ...)
{
	uint64_t now = clock_now();
	char sentence[256];
	va_list args;

	if (!t->options.say || (t->said && now - t->said < NSEC_PER_SEC))
		return;
	t->said = now;
	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	t->options.say(t->options.userdata, sentence);
}

static void say_registration(OfiTarget *t, uint64_t size, int error)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur != RLIM_INFINITY)
		say(t,
			"a segment of %llu bytes cannot be registered for RDMA (%s), its importers "
			"use "
			"tcp; locked memory is limited to %llu bytes: LimitMEMLOCK=infinity in the "
			"unit, "
			"or ulimit -l unlimited",
			(unsigned long long)size, strerror(-error),
			(unsigned long long)limit.rlim_cur);
	else
		say(t,
			"a segment of %llu bytes cannot be registered for RDMA (%s), its importers "
			"use "
			"tcp",
			(unsigned long long)size, strerror(-error));
}

/* --- the tables --- */

static struct guest *find_guest(const OfiTarget *t, uint64_t number)
{
	struct guest *g;

	list_for_each (g, &t->guests, link)
		if (g->number == number)
			return g;
	return NULL;
}

static struct list *bucket_of(OfiTarget *t, const struct fabric_key *key)
{
	return &t->exposures[key->bytes[0] % EXPOSURE_BUCKETS];
}

static struct exposure *find_exposure(OfiTarget *t, const struct fabric_key *key)
{
	struct exposure *e;

	list_for_each (e, bucket_of(t, key), bucket)
		if (!memcmp(&e->key, key, sizeof(*key)))
			return e;
	return NULL;
}

static bool is_busy(const struct guest *g)
{
	const struct exposure *e;

	list_for_each (e, &g->exposures, link)
		if (e->busy)
			return true;
	return false;
}

static void answer(OfiTarget *t, struct wish *w, int r, const struct ofi_offer *offer)
{
	list_unlink(&w->link);
	t->options.offered(t->options.userdata, w->asked, r, offer);
	free(w);
}

/* Those of this guest's, or for this key. */
static void cancel_wishes(OfiTarget *t, uint64_t connection, const struct fabric_key *key)
{
	struct wish *w, *next;

	list_for_each_safe (w, next, &t->wishes, link)
		if (key ? !memcmp(&w->key, key, sizeof(*key)) : w->region.connection == connection)
			answer(t, w, -ECANCELED, NULL);
}

void ofi_target_detach(OfiTarget *t, uint64_t connection)
{
	struct guest *g;

	pthread_mutex_lock(&t->mutex);
	cancel_wishes(t, connection, NULL);
	while ((g = find_guest(t, connection)) && is_busy(g))
		pthread_cond_wait(&t->changed, &t->mutex);
	if (g)
		ofi_guest_free(t, g);
	pthread_mutex_unlock(&t->mutex);
	eventfd_write(t->wake, 1); /* not to sleep on its queue */
}

void ofi_target_revoke(OfiTarget *t, const struct fabric_key *key)
{
	struct exposure *e;

	pthread_mutex_lock(&t->mutex);
	cancel_wishes(t, 0, key);
	while ((e = find_exposure(t, key)) && e->busy)
		pthread_cond_wait(&t->changed, &t->mutex);
	if (e)
		ofi_exposure_free(t, e);
	pthread_mutex_unlock(&t->mutex);
}

void ofi_target_count(OfiTarget *t, uint64_t *ret_bytes, uint32_t *ret_keys)
{
	pthread_mutex_lock(&t->mutex);
	*ret_bytes = t->n_bytes;
	*ret_keys = t->n_keys;
	pthread_mutex_unlock(&t->mutex);
}

/* --- offers --- */

int ofi_target_offer(
	OfiTarget *t, const struct fabric_key *key, const struct fabric_region *region, void *asked)
{
	struct wish *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->key = *key;
	w->region = *region;
	w->asked = asked;
	pthread_mutex_lock(&t->mutex);
	list_append(&t->wishes, &w->link);
	pthread_mutex_unlock(&t->mutex);
	eventfd_write(t->wake, 1);
	return 0;
}

static int add_exposure(
	OfiTarget *t, struct guest *g, const struct wish *w, struct exposure **ret_exposure)
{
	struct exposure *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	e->key = w->key;
	e->region = w->region;
	e->busy = true;
	list_append(&g->exposures, &e->link);
	list_append(bucket_of(t, &e->key), &e->bucket);
	pthread_mutex_unlock(&t->mutex);
	r = ofi_expose(t, g, e);
	pthread_mutex_lock(&t->mutex);
	e->busy = false;
	pthread_cond_broadcast(&t->changed);
	if (r) {
		ofi_exposure_free(t, e);
		say_registration(t, w->region.size, r);
		return r;
	}
	t->n_bytes += e->region.size;
	t->n_keys++;
	*ret_exposure = e;
	return 0;
}

static int grant_wish(OfiTarget *t, const struct wish *w, struct ofi_offer *ret_offer)
{
	struct guest *g = find_guest(t, w->region.connection);
	struct exposure *e = find_exposure(t, &w->key);
	int r = 0;

	if (!g)
		r = ofi_guest_new(t, w->region.connection, &g);
	if (r) {
		say(t, "no endpoint for RDMA can be made (%s): importers use tcp", strerror(-r));
		return r;
	}
	if (!e)
		r = add_exposure(t, g, w, &e);
	if (r)
		return r;
	*ret_offer = (struct ofi_offer){
		.kind = t->provider->kind,
		.endpoint = g->endpoint,
		.address_size = g->address_size,
		.key = e->offered_key,
		.base = e->base,
		.size = e->region.size,
		.rights = e->region.rights,
	};
	memcpy(ret_offer->address, g->address, sizeof(ret_offer->address));
	memcpy(ret_offer->ticket, g->ticket, sizeof(ret_offer->ticket));
	return 0;
}

/* With the mutex, which is free while memory is registered. */
static void grant_wishes(OfiTarget *t)
{
	struct ofi_offer offer;
	struct wish *w;

	while (!t->stop && (w = list_first(&t->wishes, struct wish, link))) {
		int r;

		list_unlink(&w->link); /* nobody cancels it any more */
		r = grant_wish(t, w, &offer);
		answer(t, w, r, r ? NULL : &offer);
	}
}

/* --- connections --- */

static struct guest *find_ticket(const OfiTarget *t, const uint8_t *ticket)
{
	struct guest *g, *found = NULL;

	list_for_each (g, &t->guests, link) {
		uint8_t difference = 0;

		for (unsigned int i = 0; i < OFI_TICKET_SIZE; i++)
			difference |= g->ticket[i] ^ ticket[i];
		if (!difference)
			found = g;
	}
	return found;
}

static void on_request(OfiTarget *t, struct fi_info *request, const uint8_t *data, size_t size)
{
	struct guest *g = size >= OFI_TICKET_SIZE ? find_ticket(t, data) : NULL;
	int r;

	if (!g) {
		say(t, "somebody who wants RDMA has no ticket for it, and is refused");
		fi_reject(t->listener, request->handle, NULL, 0);
	} else {
		r = ofi_guest_accept(t, g, request);
		if (r)
			say(t, "a connection for RDMA cannot be accepted: %s", strerror(-r));
	}
	t->library->freeinfo(request);
}

/* The endpoint of an event; its guest has another one by now, or none. */
static struct guest *guest_of(const OfiTarget *t, const struct fid *fid)
{
	struct guest *g;

	list_for_each (g, &t->guests, link)
		if (g->ep && &g->ep->fid == fid)
			return g;
	return NULL;
}

static void end_connection(OfiTarget *t, const struct fid *fid)
{
	struct guest *g = guest_of(t, fid);

	if (g)
		CLOSE(g->ep);
}

static bool take_event(OfiTarget *t)
{
	union {
		struct fi_eq_cm_entry cm; /* data follow */
		uint8_t bytes[sizeof(struct fi_eq_cm_entry) + 256];
	} entry;
	struct fi_eq_err_entry error = {0};
	uint32_t event;
	ssize_t n = fi_eq_read(t->events, &event, &entry, sizeof(entry), 0);

	if (n == -FI_EAVAIL) {
		if (fi_eq_readerr(t->events, &error, 0) > 0 && error.fid)
			end_connection(t, error.fid);
		return true;
	}
	if (n < (ssize_t)sizeof(entry.cm))
		return false;
	if (event == FI_CONNREQ)
		on_request(t, entry.cm.info, entry.cm.data, (size_t)n - sizeof(entry.cm));
	else if (event == FI_SHUTDOWN)
		end_connection(t, entry.cm.fid);
	return true;
}

/* --- the thread --- */

/* With the mutex. Returns whether there was anything. */
static bool serve(OfiTarget *t)
{
	bool busy = false;
	struct guest *g;

	grant_wishes(t);
	while (t->events && take_event(t))
		busy = true;
	if (t->provider->progresses)
		return busy;
	list_for_each (g, &t->guests, link)
		busy |= ofi_guest_progress(g);
	return busy;
}

struct looks {
	struct pollfd *polls;
	struct fid **fids;
	size_t n, room;
};

static int make_room(struct looks *l, size_t room)
{
	struct pollfd *polls;
	struct fid **fids;

	if (room <= l->room)
		return 0;
	polls = reallocarray(l->polls, room, sizeof(*polls));
	if (!polls)
		return -ENOMEM;
	l->polls = polls;
	fids = reallocarray(l->fids, room, sizeof(*fids));
	if (!fids)
		return -ENOMEM;
	l->fids = fids;
	l->room = room;
	return 0;
}

static void look_at(struct looks *l, int fd, struct fid *fid)
{
	l->polls[l->n] = (struct pollfd){.fd = fd, .events = POLLIN};
	l->fids[l->n++] = fid;
}

/* What is to be slept on; the first has no fid. False: not now. */
static bool prepare_sleep(OfiTarget *t, struct looks *l)
{
	size_t n = 2;
	struct guest *g;

	list_for_each (g, &t->guests, link)
		n++;
	if (make_room(l, n) < 0)
		return false;
	l->n = 0;
	look_at(l, t->wake, NULL);
	if (t->events)
		look_at(l, t->events_fd, &t->events->fid);
	list_for_each (g, &t->guests, link)
		if (g->queue_fd >= 0)
			look_at(l, g->queue_fd, &g->queue->fid);
	return l->n == 1 || fi_trywait(t->fabric, l->fids + 1, (int)l->n - 1) == FI_SUCCESS;
}

/* Returns whether somebody wants something: what a guest reads and writes shows nowhere else. */
static bool sleep_for_any(OfiTarget *t, struct looks *l)
{
	eventfd_t value;
	int n = poll(l->polls, l->n, t->provider->progresses ? -1 : SLICE_MS);

	if (l->polls[0].revents)
		(void)eventfd_read(t->wake, &value);
	return n > 0;
}

static void *run(void *userdata)
{
	OfiTarget *t = userdata;
	struct looks looks = {0};
	uint64_t spin_until = 0;
	bool busy = true;

	pthread_mutex_lock(&t->mutex);
	while (!t->stop) {
		bool sleep;

		busy |= serve(t);
		if (busy)
			spin_until = clock_now() + SPIN;
		sleep = !busy && clock_now() >= spin_until && list_empty(&t->wishes) &&
			prepare_sleep(t, &looks);
		pthread_mutex_unlock(&t->mutex);
		busy = sleep && sleep_for_any(t, &looks);
		pthread_mutex_lock(&t->mutex);
	}
	pthread_mutex_unlock(&t->mutex);
	free(looks.polls);
	free(looks.fids);
	return NULL;
}

/* --- beginning and end --- */

static int listen_for(OfiTarget *t)
{
	struct fi_eq_attr events = {.wait_obj = FI_WAIT_FD};
	size_t size = sizeof(t->listener_address);
	long r = fi_eq_open(t->fabric, &events, &t->events, NULL);

	if (!r)
		r = fi_control(&t->events->fid, FI_GETWAIT, &t->events_fd);
	if (!r)
		r = fi_passive_ep(t->fabric, t->info, &t->listener, NULL);
	if (!r)
		r = fi_pep_bind(t->listener, &t->events->fid, 0);
	if (!r)
		r = fi_listen(t->listener);
	if (!r)
		r = fi_getname(&t->listener->fid, t->listener_address, &size);
	t->listener_address_size = (uint32_t)size;
	return ofi_error(r);
}

static int __attribute__((format(printf, 3, 4))) because(char *why, int r, const char *format, ...)
{
	va_list args;

	if (!why)
		return r;
	va_start(args, format);
	vsnprintf(why, OFI_WHY_SIZE, format, args);
	va_end(args);
	return r;
}

static int open_library(OfiTarget *t, char *why)
{
	uint32_t since = t->provider->since;
	int r = library_need(&t->library);

	if (r)
		return because(why, r,
			"libfabric.so.1 of version 1.17 or later cannot be loaded: install "
			"libfabric1");
	if (t->library->version() < since)
		return because(why, -ENOSYS,
			"provider %s of libfabric %s does not hold the bounds of memory: %u.%u or "
			"later "
			"is needed",
			t->provider->name, ofi_version(), FI_MAJOR(since), FI_MINOR(since));
	return 0;
}

static int open_all(OfiTarget *t, char *why)
{
	int r = open_library(t, why);

	if (r)
		return r;
	r = library_info(t->library, t->provider, t->address, NULL, &t->info);
	if (!r)
		r = ofi_error(t->library->fabric(t->info->fabric_attr, &t->fabric, NULL));
	if (!r && t->provider->connected)
		r = listen_for(t);
	return r ? because(why, r,
			   "provider %s of libfabric %s cannot be used at address %s (%s): give "
			   "this "
			   "address to the adapter's interface, or name the one it has with "
			   "RdmaAddress=",
			   t->provider->name, ofi_version(), t->address, t->library->strerror(-r))
		 : 0;
}

/* Signals are the main thread's. */
static int start_thread(OfiTarget *t)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&t->thread, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	t->running = !r;
	return r;
}

void ofi_target_free(OfiTarget *t)
{
	struct wish *w, *next_wish;
	struct guest *g, *next;

	if (!t)
		return;
	if (t->running) {
		pthread_mutex_lock(&t->mutex);
		t->stop = true;
		pthread_mutex_unlock(&t->mutex);
		eventfd_write(t->wake, 1);
		pthread_join(t->thread, NULL);
	}
	list_for_each_safe (w, next_wish, &t->wishes, link)
		answer(t, w, -ECANCELED, NULL);
	list_for_each_safe (g, next, &t->guests, link)
		ofi_guest_free(t, g);
	CLOSE(t->listener);
	CLOSE(t->events);
	CLOSE(t->fabric);
	if (t->info)
		t->library->freeinfo(t->info);
	fd_close(t->wake);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->mutex);
	free(t->address);
	free(t);
}

static OfiTarget *target_alloc(
	const struct ofi_target_options *options, const struct provider *provider)
{
	OfiTarget *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->options = *options;
	t->provider = provider;
	t->address = strdup(options->address);
	t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t->events_fd = -1;
	list_init(&t->guests);
	list_init(&t->wishes);
	for (size_t i = 0; i < EXPOSURE_BUCKETS; i++)
		list_init(&t->exposures[i]);
	pthread_mutex_init(&t->mutex, NULL);
	pthread_cond_init(&t->changed, NULL);
	return t;
}

int ofi_target_new(
	const struct ofi_target_options *options, char why[OFI_WHY_SIZE], OfiTarget **ret_target)
{
	const struct provider *provider = provider_of(options->kind);
	OfiTarget *t;
	int r;

	if (!provider)
		return because(why, -ENODEV, "there is no such provider");
	t = target_alloc(options, provider);
	if (!t || !t->address || t->wake < 0)
		r = because(why, -ENOMEM, "%s", strerror(ENOMEM));
	else
		r = open_all(t, why);
	if (!r)
		r = start_thread(t);
	if (r) {
		ofi_target_free(t);
		return r;
	}
	*ret_target = t;
	return 0;
}
