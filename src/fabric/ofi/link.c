/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/ofi/link.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "fabric/ofi/library.h"

#define SLOTS	     32u		  /* under way at a time */
#define BUFFER_SIZE  32768u		  /* of a slot, where local memory must be registered */
#define PIECE_MAX    (1u << 20)		  /* elsewhere: others come in between */
#define SPIN	     (20 * NSEC_PER_USEC) /* and as long as these bytes should take: */
#define BYTES_A_NSEC 4u
#define SPIN_MAX     NSEC_PER_MSEC
#define SLICE	     (100 * NSEC_PER_MSEC)
#define CONNECTING   (3 * NSEC_PER_SEC)
#define COMPLETIONS  16
#define LOOKS	     16u /* at the queue, before others may have the mutex */

struct operation;

/* Something under way. */
struct slot {
	struct fi_context2 context; /* first: what the queue gives back */
	struct slot *next;	    /* in link->free */
	struct operation *operation;
	uint8_t *buffer;
	void *into; /* a get's destination, to which the buffer is copied */
	size_t n;
};

struct operation {
	unsigned int under_way; /* under the link's mutex */
	uint64_t spin_until;	/* its waiter sleeps from then on */
};

struct OfiLink {
	const struct library *library;
	const struct provider *provider;
	struct fabric_path_options options;
	uint64_t endpoint;
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_eq *events; /* of a connection */
	struct fid_av *addresses;
	struct fid_cq *queue;
	struct fid_ep *ep;
	fi_addr_t there;
	int queue_fd;
	size_t inject; /* a put up to this takes the caller's memory as it is */

	uint8_t *buffers; /* NULL: local memory need not be registered */
	struct fid_mr *buffers_mr;

	_Atomic unsigned int refs;
	_Atomic bool down;
	pid_t owner;
	pthread_mutex_t mutex; /* what follows, and posting */
	pthread_cond_t changed;
	bool reading; /* somebody has the queue */
	uint64_t progress;
	struct slot *free;
	struct slot slots[SLOTS];
};

/* --- beginning and end --- */

static void close_all(OfiLink *l)
{
	CLOSE(l->ep);
	CLOSE(l->queue);
	CLOSE(l->addresses);
	CLOSE(l->events);
	CLOSE(l->buffers_mr);
	CLOSE(l->domain);
	CLOSE(l->fabric);
	if (l->info)
		l->library->freeinfo(l->info);
	l->info = NULL;
}

static void link_free(OfiLink *l)
{
	if (l->owner == getpid()) {
		close_all(l);
		if (l->buffers)
			munmap(l->buffers, (size_t)SLOTS * BUFFER_SIZE);
		pthread_cond_destroy(&l->changed);
		pthread_mutex_destroy(&l->mutex);
	}
	free(l);
}
DEFINE_CLEANUP(OfiLink *, link_free);

OfiLink *ofi_link_ref(OfiLink *l)
{
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	return l;
}

void ofi_link_put(OfiLink *l)
{
	if (l && atomic_fetch_sub(&l->refs, 1) == 1)
		link_free(l);
}

uint64_t ofi_link_endpoint(const OfiLink *l)
{
	return l->endpoint;
}

bool ofi_link_is_down(const OfiLink *l)
{
	return atomic_load_explicit(&l->down, memory_order_relaxed);
}

static int open_buffers(OfiLink *l)
{
	size_t size = (size_t)SLOTS * BUFFER_SIZE;
	void *p;

	if (!(l->info->domain_attr->mr_mode & FI_MR_LOCAL))
		return 0;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return negative_errno();
	madvise(p, size, MADV_DONTFORK);
	l->buffers = p;
	for (unsigned int i = 0; i < SLOTS; i++)
		l->slots[i].buffer = l->buffers + (size_t)i * BUFFER_SIZE;
	return ofi_error(
		fi_mr_reg(l->domain, p, size, FI_READ | FI_WRITE, 0, 0, 0, &l->buffers_mr, NULL));
}

static int open_endpoint(OfiLink *l)
{
	struct fi_cq_attr queue = {
		.format = FI_CQ_FORMAT_CONTEXT, .wait_obj = FI_WAIT_FD, .size = 2 * SLOTS};
	struct fi_eq_attr events = {.wait_obj = FI_WAIT_FD};
	struct fi_av_attr addresses = {.type = FI_AV_TABLE};
	long r = fi_cq_open(l->domain, &queue, &l->queue, NULL);

	if (!r)
		r = fi_endpoint(l->domain, l->info, &l->ep, NULL);
	if (!r && l->provider->connected)
		r = fi_eq_open(l->fabric, &events, &l->events, NULL);
	if (!r && l->provider->connected)
		r = fi_ep_bind(l->ep, &l->events->fid, 0);
	if (!r && !l->provider->connected)
		r = fi_av_open(l->domain, &addresses, &l->addresses, NULL);
	if (!r && !l->provider->connected)
		r = fi_ep_bind(l->ep, &l->addresses->fid, 0);
	if (!r)
		r = fi_ep_bind(l->ep, &l->queue->fid, FI_TRANSMIT | FI_RECV);
	if (!r)
		r = fi_enable(l->ep);
	if (!r)
		r = fi_control(&l->queue->fid, FI_GETWAIT, &l->queue_fd);
	return ofi_error(r);
}

/* --- connecting --- */

/* 0: connected; -EAGAIN: nothing has happened */
static int take_event(OfiLink *l, int timeout)
{
	struct fi_eq_cm_entry entry;
	struct fi_eq_err_entry error = {0};
	uint32_t event;
	ssize_t n = timeout ? fi_eq_sread(l->events, &event, &entry, sizeof(entry), timeout, 0)
			    : fi_eq_read(l->events, &event, &entry, sizeof(entry), 0);

	if (n == -FI_EAGAIN || n == -FI_ETIMEDOUT || n == -FI_EINTR)
		return -EAGAIN;
	if (n == -FI_EAVAIL) {
		fi_eq_readerr(l->events, &error, 0);
		return error.err ? -error.err : -EIO;
	}
	if (n < 0)
		return ofi_error(n);
	return event == FI_CONNECTED ? 0 : -ECONNREFUSED;
}

static int connect_ep(OfiLink *l, const struct ofi_offer *offer)
{
	uint64_t end = clock_now() + CONNECTING;
	int r = ofi_error(
		fi_connect(l->ep, l->info->dest_addr, offer->ticket, sizeof(offer->ticket)));

	if (r)
		return r;
	do {
		r = take_event(l, (int)(SLICE / NSEC_PER_MSEC));
		if (r == -EAGAIN && l->options.check && l->options.check(l->options.userdata))
			r = -ECONNABORTED;
		if (r == -EAGAIN && clock_now() >= end)
			r = -ETIMEDOUT;
	} while (r == -EAGAIN);
	return r;
}

static int reach(OfiLink *l, const struct ofi_offer *offer)
{
	if (l->provider->connected)
		return connect_ep(l, offer);
	return fi_av_insert(l->addresses, offer->address, 1, &l->there, 0, NULL) == 1
		       ? 0
		       : -EHOSTUNREACH;
}

static int open_all(OfiLink *l, const struct ofi_offer *offer)
{
	int r = library_info(l->library, l->provider, NULL, offer, &l->info);

	if (!r)
		r = ofi_error(l->library->fabric(l->info->fabric_attr, &l->fabric, NULL));
	if (!r)
		r = ofi_error(fi_domain(l->fabric, l->info, &l->domain, NULL));
	if (!r)
		r = open_buffers(l);
	if (!r)
		r = open_endpoint(l);
	if (!r)
		r = reach(l, offer);
	return r;
}

int ofi_link_new(const struct ofi_offer *offer, const struct fabric_path_options *options,
	OfiLink **ret_link)
{
	const struct provider *provider = provider_of((enum ofi_kind)offer->kind);
	_cleanup_(link_free_p) OfiLink *l = calloc(1, sizeof(*l));
	int r;

	if (!provider)
		return -ENODEV;
	if (!l)
		return -ENOMEM;
	l->provider = provider;
	l->owner = getpid();
	l->options = *options;
	l->endpoint = offer->endpoint;
	l->queue_fd = -1;
	atomic_init(&l->refs, 1);
	pthread_mutex_init(&l->mutex, NULL);
	pthread_cond_init(&l->changed, NULL);
	for (unsigned int i = 0; i < SLOTS; i++) {
		l->slots[i].next = l->free;
		l->free = &l->slots[i];
	}
	r = library_need(&l->library);
	if (!r)
		r = open_all(l, offer);
	if (r)
		return r;
	l->inject = MIN(l->info->tx_attr->inject_size, (size_t)BUFFER_SIZE);
	*ret_link = take_ptr(l);
	return 0;
}

/* --- the queue --- */

static void mark_down(OfiLink *l)
{
	atomic_store(&l->down, true);
	pthread_cond_broadcast(&l->changed);
}

static void complete_locked(OfiLink *l, struct slot *s)
{
	if (s->into)
		memcpy(s->into, s->buffer, s->n);
	s->operation->under_way--;
	s->operation = NULL;
	s->next = l->free;
	l->free = s;
	l->progress++;
}

/* One look at the queue. Returns whether there was something; with the mutex. */
static bool look_locked(OfiLink *l)
{
	struct fi_cq_entry entries[COMPLETIONS];
	ssize_t n = fi_cq_read(l->queue, entries, COMPLETIONS);

	for (ssize_t i = 0; i < n; i++)
		complete_locked(l, entries[i].op_context);
	if (n < 0 && n != -FI_EAGAIN)
		mark_down(l); /* which of them failed, and why, is found out over the other way */
	return n > 0;
}

/* Sleeps until the queue has something, or for a slice; without the mutex. */
static void sleep_for_queue(OfiLink *l)
{
	struct fid *fids[] = {&l->queue->fid};
	struct pollfd pollfd = {.fd = l->queue_fd, .events = POLLIN};

	if (fi_trywait(l->fabric, fids, 1) == FI_SUCCESS)
		poll(&pollfd, 1, (int)(SLICE / NSEC_PER_MSEC));
}

/* The home has closed the connection, as the adapter may find out only much later. */
static bool is_shut(OfiLink *l)
{
	return l->events && take_event(l, 0) != -EAGAIN;
}

struct patience {
	uint64_t progress, since, checked;
};

/* Whether it makes sense to go on; asked when some time has passed. */
static bool has_patience(OfiLink *l, struct patience *p, bool is_reader)
{
	uint64_t now = clock_now();

	if (p->progress != l->progress || !p->since) {
		p->progress = l->progress;
		p->since = now;
	}
	if (l->options.stall && now - p->since >= l->options.stall)
		return false;
	if (now - p->checked < SLICE)
		return true;
	p->checked = now;
	return !(is_reader && is_shut(l)) &&
	       !(l->options.check && l->options.check(l->options.userdata));
}

/* A pause between looks at the queue; with the reader's role, without the mutex. */
static bool pause_reading(OfiLink *l, struct patience *patience, uint64_t spin_until)
{
	if (clock_now() < spin_until)
		return true;
	sleep_for_queue(l);
	return has_patience(l, patience, true);
}

/* With the reader's role and the mutex: until it is done, or the link is down. */
static void read_until(
	OfiLink *l, bool (*done)(OfiLink *l, struct operation *op), struct operation *op)
{
	struct patience patience = {.progress = l->progress, .checked = clock_now()};
	unsigned int looks = 0;

	while (!done(l, op) && !ofi_link_is_down(l)) {
		bool go_on;

		if (look_locked(l)) {
			pthread_cond_broadcast(&l->changed);
			continue;
		}
		if (++looks % LOOKS)
			continue;
		pthread_mutex_unlock(&l->mutex);
		go_on = pause_reading(l, &patience, op->spin_until);
		pthread_mutex_lock(&l->mutex);
		if (!go_on)
			mark_down(l);
	}
}

/* With the mutex. -EIO: the link is down. */
static int wait_until(
	OfiLink *l, bool (*done)(OfiLink *l, struct operation *op), struct operation *op)
{
	while (!done(l, op) && !ofi_link_is_down(l)) {
		if (l->reading) {
			pthread_cond_wait(&l->changed, &l->mutex);
			continue;
		}
		l->reading = true;
		read_until(l, done, op);
		l->reading = false;
		pthread_cond_broadcast(&l->changed);
	}
	return ofi_link_is_down(l) ? -EIO : 0;
}

static bool has_slot(OfiLink *l, struct operation *op)
{
	return l->free;
}

static bool is_over(OfiLink *l, struct operation *op)
{
	return !op->under_way;
}

/* --- operations --- */

/* With the mutex; what is given back is the provider's code. */
static ssize_t post(OfiLink *l, const struct ofi_offer *offer, bool put, uint64_t off, void *local,
	size_t n, struct slot *s)
{
	bool inject = put && l->buffers && n <= l->inject;
	struct iovec here = {l->buffers && !inject ? s->buffer : local, n};
	struct fi_rma_iov far = {.addr = offer->base + off, .len = n, .key = offer->key};
	void *descriptor = l->buffers_mr ? fi_mr_desc(l->buffers_mr) : NULL;
	struct fi_msg_rma message = {
		.msg_iov = &here,
		.desc = l->buffers_mr ? &descriptor : NULL,
		.iov_count = 1,
		.addr = l->there,
		.rma_iov = &far,
		.rma_iov_count = 1,
		.context = &s->context,
	};

	s->into = !put && l->buffers ? local : NULL;
	s->n = n;
	if (!put)
		return fi_readmsg(l->ep, &message, FI_COMPLETION);
	if (l->buffers && !inject)
		memcpy(s->buffer, local, n);
	return fi_writemsg(
		l->ep, &message, FI_COMPLETION | l->provider->complete | (inject ? FI_INJECT : 0));
}

/* The provider has no room, or is still connecting. */
static ssize_t post_again(OfiLink *l, const struct ofi_offer *offer, bool put, uint64_t off,
	void *local, size_t n, struct slot *s)
{
	struct patience patience = {.progress = l->progress, .checked = clock_now()};
	ssize_t r;

	do {
		bool go_on;

		if (look_locked(l))
			pthread_cond_broadcast(&l->changed);
		pthread_mutex_unlock(&l->mutex);
		sched_yield();
		go_on = has_patience(l, &patience, false);
		pthread_mutex_lock(&l->mutex);
		if (!go_on || ofi_link_is_down(l))
			return -FI_ECANCELED;
		r = post(l, offer, put, off, local, n, s);
	} while (r == -FI_EAGAIN);
	return r;
}

static int begin_piece(OfiLink *l, const struct ofi_offer *offer, bool put,
	const struct fabric_piece *piece, struct operation *operation)
{
	struct slot *s;
	ssize_t r;

	if (wait_until(l, has_slot, operation))
		return -EIO;
	s = l->free;
	l->free = s->next;
	s->operation = operation;
	operation->under_way++;
	r = post(l, offer, put, piece->off, piece->local, piece->n, s);
	if (unlikely(r == -FI_EAGAIN))
		r = post_again(l, offer, put, piece->off, piece->local, piece->n, s);
	if (likely(!r))
		return 0;
	mark_down(l);
	return -EIO;
}

static int begin_pieces(OfiLink *l, const struct ofi_offer *offer, bool put,
	const struct fabric_piece *pieces, size_t n_pieces, struct operation *operation)
{
	size_t most = l->buffers ? BUFFER_SIZE : MIN(PIECE_MAX, l->info->ep_attr->max_msg_size);
	int r = 0;

	for (size_t i = 0; !r && i < n_pieces; i++)
		for (size_t at = 0; !r && at < pieces[i].n; at += most) {
			struct fabric_piece piece = {.off = pieces[i].off + at,
				.local = (uint8_t *)pieces[i].local + at,
				.n = MIN(pieces[i].n - at, most)};

			r = begin_piece(l, offer, put, &piece, operation);
		}
	return r;
}

/* Nobody reads the queue any more: with the endpoint the adapter lets go of everybody's memory. */
static void bury_locked(OfiLink *l)
{
	while (l->reading)
		pthread_cond_wait(&l->changed, &l->mutex);
	CLOSE(l->ep);
}

static uint64_t spin_end(const OfiLink *l, const struct fabric_piece *pieces, size_t n_pieces)
{
	uint64_t n = 0;

	if (!l->options.spin)
		return 0;
	for (size_t i = 0; i < n_pieces; i++)
		n += pieces[i].n;
	return clock_now() + SPIN + MIN(n / BYTES_A_NSEC, SPIN_MAX);
}

int ofi_link_run(OfiLink *l, const struct ofi_offer *offer, bool put,
	const struct fabric_piece *pieces, size_t n_pieces)
{
	struct operation operation = {.spin_until = spin_end(l, pieces, n_pieces)};
	int r = -EIO;

	pthread_mutex_lock(&l->mutex);
	if (!ofi_link_is_down(l))
		r = begin_pieces(l, offer, put, pieces, n_pieces, &operation);
	if (!r)
		r = wait_until(l, is_over, &operation);
	if (r)
		bury_locked(l);
	pthread_mutex_unlock(&l->mutex);
	return r;
}
