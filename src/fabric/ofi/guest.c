/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/ofi/target.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/cleanup.h"
#include "wire/message.h"

/* A target of RMA sends and receives nothing; but there is no endpoint without queues. */
#define QUEUE 16u

static int random_bytes(void *to, size_t n)
{
	return getrandom(to, n, 0) == (ssize_t)n ? 0 : -EIO;
}

static int open_queue(const OfiTarget *t, struct guest *g)
{
	struct fi_cq_attr attributes = {.format = FI_CQ_FORMAT_CONTEXT,
		.size = QUEUE,
		.wait_obj = t->provider->progresses ? FI_WAIT_NONE : FI_WAIT_FD};
	long r = fi_cq_open(g->domain, &attributes, &g->queue, NULL);

	if (!r && !t->provider->progresses)
		r = fi_control(&g->queue->fid, FI_GETWAIT, &g->queue_fd);
	return ofi_error(r);
}

/* An endpoint that has no connections: this guest's alone, at an address that only it is told. */
static int open_endpoint(const OfiTarget *t, struct guest *g)
{
	struct fi_av_attr addresses = {.type = FI_AV_TABLE};
	size_t size = sizeof(g->address);
	long r = fi_av_open(g->domain, &addresses, &g->addresses, NULL);

	if (!r)
		r = fi_endpoint(g->domain, t->info, &g->ep, NULL);
	if (!r)
		r = fi_ep_bind(g->ep, &g->addresses->fid, 0);
	if (!r)
		r = fi_ep_bind(g->ep, &g->queue->fid, FI_TRANSMIT | FI_RECV);
	if (!r)
		r = fi_enable(g->ep);
	if (!r)
		r = fi_getname(&g->ep->fid, g->address, &size);
	g->address_size = (uint32_t)size;
	return ofi_error(r);
}

static int open_all(OfiTarget *t, struct guest *g)
{
	int r = ofi_error(fi_domain(t->fabric, t->info, &g->domain, NULL));

	if (!r)
		r = open_queue(t, g);
	if (!r && !t->provider->connected)
		r = open_endpoint(t, g);
	if (!r && t->provider->connected) {
		memcpy(g->address, t->listener_address, sizeof(g->address));
		g->address_size = t->listener_address_size;
	}
	return r;
}

void ofi_exposure_free(OfiTarget *t, struct exposure *e)
{
	if (e->mr) {
		t->n_bytes -= e->region.size;
		t->n_keys--;
	}
	CLOSE(e->mr);
	list_unlink(&e->link);
	list_unlink(&e->bucket);
	free(e);
}

void ofi_guest_free(OfiTarget *t, struct guest *g)
{
	struct exposure *e, *next;

	CLOSE(g->ep);
	list_for_each_safe (e, next, &g->exposures, link)
		ofi_exposure_free(t, e);
	CLOSE(g->queue);
	CLOSE(g->addresses);
	CLOSE(g->domain);
	list_unlink(&g->link);
	free(g);
}

int ofi_guest_new(OfiTarget *t, uint64_t number, struct guest **ret_guest)
{
	struct guest *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->number = number;
	g->queue_fd = -1;
	list_init(&g->exposures);
	list_init(&g->link);
	r = random_bytes(g->ticket, sizeof(g->ticket));
	if (!r)
		r = random_bytes(&g->endpoint, sizeof(g->endpoint));
	if (!r)
		r = open_all(t, g);
	if (r) {
		ofi_guest_free(t, g);
		return r;
	}
	list_append(&t->guests, &g->link);
	*ret_guest = g;
	return 0;
}

int ofi_guest_accept(OfiTarget *t, struct guest *g, struct fi_info *request)
{
	long r;

	CLOSE(g->ep);
	r = fi_endpoint(g->domain, request, &g->ep, g);
	if (!r)
		r = fi_ep_bind(g->ep, &t->events->fid, 0);
	if (!r)
		r = fi_ep_bind(g->ep, &g->queue->fid, FI_TRANSMIT | FI_RECV);
	if (!r)
		r = fi_enable(g->ep);
	if (!r)
		r = fi_accept(g->ep, NULL, 0);
	if (r)
		CLOSE(g->ep);
	return ofi_error(r);
}

bool ofi_guest_progress(struct guest *g)
{
	struct fi_cq_entry entry;
	struct fi_cq_err_entry error = {0};
	ssize_t n = fi_cq_read(g->queue, &entry, 1);

	if (n == -FI_EAVAIL)
		fi_cq_readerr(g->queue, &error, 0);
	return n != -FI_EAGAIN;
}

/* --- memory --- */

int ofi_expose(const OfiTarget *t, const struct guest *g, struct exposure *e)
{
	int mode = t->info->domain_attr->mr_mode;
	uint64_t access = (e->region.rights & WIRE_READ ? FI_REMOTE_READ : 0) |
			  (e->region.rights & WIRE_WRITE ? FI_REMOTE_WRITE : 0);
	uint64_t key = 0;
	int r = mode & FI_MR_PROV_KEY ? 0 : random_bytes(&key, sizeof(key));

	if (!r && t->info->domain_attr->mr_key_size < sizeof(key) && !(mode & FI_MR_PROV_KEY))
		key &= (1ull << 8 * t->info->domain_attr->mr_key_size) - 1;
	if (!r)
		r = ofi_error(fi_mr_reg(g->domain, e->region.base, e->region.size, access, 0, key,
			0, &e->mr, NULL));
	if (!r && mode & FI_MR_ENDPOINT) {
		r = ofi_error(fi_mr_bind(e->mr, &g->ep->fid, 0));
		if (!r)
			r = ofi_error(fi_mr_enable(e->mr));
	}
	if (r) {
		CLOSE(e->mr);
		return r;
	}
	e->offered_key = fi_mr_key(e->mr);
	e->base = mode & FI_MR_VIRT_ADDR ? (uintptr_t)e->region.base : 0;
	return 0;
}
