/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peer: libfabric's RDM endpoints between two processes on different nodes, the provider being the
 * argument. A write is complete when it lies in the target's memory (FI_DELIVERY_COMPLETE); the
 * target makes progress by looking at its completion queue.
 */

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include "peer-loop.h"

#define KEY    0x5eed5eed5eed5eedu
#define MEMORY (4ul << 20)
#define WINDOW 64u /* under way at a time */

struct address {
	size_t size;
	uint64_t base;
	char bytes[256];
};

static struct fid_domain *domain;
static struct fid_ep *endpoint;
static struct fid_cq *queue;
static struct fid_av *addresses;
static bool virtual_addresses;
static fi_addr_t there;
static uint64_t base;
static char *local;

static void must(long r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "libfabric: %s: %s\n", what, fi_strerror((int)-r));
	exit(1);
}

/* node: the address to be reached at, or NULL. */
static void set_up(const char *provider, const char *node)
{
	struct fi_cq_attr queue_attributes = {.format = FI_CQ_FORMAT_CONTEXT};
	struct fi_av_attr address_attributes = {.type = FI_AV_TABLE};
	struct fi_info *hints = fi_allocinfo(), *info;
	struct fid_fabric *fabric;

	hints->caps = FI_RMA | FI_MSG;
	hints->mode = FI_CONTEXT;
	hints->ep_attr->type = FI_EP_RDM;
	hints->addr_format = FI_SOCKADDR_IN;
	hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED;
	hints->fabric_attr->prov_name = strdup(provider);
	must(fi_getinfo(FI_VERSION(1, 17), node, NULL, node ? FI_SOURCE : 0, hints, &info),
		"fi_getinfo");
	virtual_addresses = info->domain_attr->mr_mode & FI_MR_VIRT_ADDR;
	must(fi_fabric(info->fabric_attr, &fabric, NULL), "fi_fabric");
	must(fi_domain(fabric, info, &domain, NULL), "fi_domain");
	must(fi_cq_open(domain, &queue_attributes, &queue, NULL), "fi_cq_open");
	must(fi_av_open(domain, &address_attributes, &addresses, NULL), "fi_av_open");
	must(fi_endpoint(domain, info, &endpoint, NULL), "fi_endpoint");
	must(fi_ep_bind(endpoint, &addresses->fid, 0), "fi_ep_bind");
	must(fi_ep_bind(endpoint, &queue->fid, FI_TRANSMIT | FI_RECV), "fi_ep_bind");
	must(fi_enable(endpoint), "fi_enable");
}

static struct fid_mr *expose(void *memory, uint64_t access, uint64_t key)
{
	struct fid_mr *region;

	must(fi_mr_reg(domain, memory, MEMORY, access, 0, key, 0, &region, NULL), "fi_mr_reg");
	return region;
}

static _Noreturn void target(const char *provider, int out)
{
	struct address own = {.size = sizeof(own.bytes)};
	char *memory = malloc(MEMORY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	peer_go_there();
	set_up(provider, getenv("PEER_ADDRESS"));
	memset(memory, 1, MEMORY);
	expose(memory, FI_REMOTE_READ | FI_REMOTE_WRITE, KEY);
	must(fi_getname(&endpoint->fid, own.bytes, &own.size), "fi_getname");
	own.base = virtual_addresses ? (uintptr_t)memory : 0;
	if (write(out, &own, sizeof(own)) != sizeof(own))
		exit(1);
	for (;;) {
		struct fi_cq_entry entry;

		if (!*peer_turn)
			usleep(500);
		fi_cq_read(queue, &entry, 1);
	}
}

/* Waits until at most `left` of *under_way are. */
static void reap(unsigned long *under_way, unsigned long left)
{
	struct fi_cq_entry entries[16];

	while (*under_way > left) {
		ssize_t n = fi_cq_read(queue, entries, 16);

		if (n > 0)
			*under_way -= (unsigned long)n;
		else if (n != -FI_EAGAIN)
			must(n, "fi_cq_read");
	}
}

static ssize_t begin(bool put, size_t size, uint64_t at, void *context)
{
	struct iovec here = {local, size};
	struct fi_rma_iov far = {.addr = at, .len = size, .key = KEY};
	struct fi_msg_rma message = {.msg_iov = &here,
		.iov_count = 1,
		.addr = there,
		.rma_iov = &far,
		.rma_iov_count = 1,
		.context = context};

	return put ? fi_writemsg(endpoint, &message, FI_DELIVERY_COMPLETE | FI_COMPLETION)
		   : fi_read(endpoint, local, size, NULL, there, at, KEY, context);
}

static void run(bool put, size_t size, unsigned long n, bool elements)
{
	static struct fi_context contexts[WINDOW];
	unsigned long under_way = 0;

	for (unsigned long i = 0; i < n; ++i) {
		uint64_t at = base + (elements ? i * 8 % PEER_WINDOW : 0);
		void *context = &contexts[i % WINDOW];
		ssize_t r;

		reap(&under_way, WINDOW - 1);
		do {
			r = begin(put, size, at, context);
			if (r == -FI_EAGAIN)
				fi_cq_read(queue, NULL, 0);
		} while (r == -FI_EAGAIN);
		must(r, "fi_write or fi_read");
		++under_way;
	}
	reap(&under_way, 0);
}

static void put64(size_t size, unsigned long n)
{
	run(true, 8, n, true);
}

static void put(size_t size, unsigned long n)
{
	run(true, size, n, false);
}

static void get(size_t size, unsigned long n)
{
	run(false, size, n, false);
}

static const struct peer_operation operations[] = {
	{"put64", put64},
	{"put", put},
	{"get", get},
	{0},
};

int main(int argc, char **argv)
{
	struct address other;
	int channel[2];

	peer_turn_begin();
	if (argc != 2 || !getenv("PEER_NETWORK") || pipe(channel))
		return 1;
	*peer_turn = 1; /* for the connection */
	switch (fork()) {
	case -1:
		return 1;
	case 0:
		target(argv[1], channel[1]);
	}
	close(channel[1]);
	if (read(channel[0], &other, sizeof(other)) != sizeof(other))
		return 1;
	set_up(argv[1], NULL);
	local = malloc(MEMORY);
	memset(local, 1, MEMORY);
	expose(local, FI_READ | FI_WRITE, KEY + 1);
	base = other.base;
	if (fi_av_insert(addresses, other.bytes, 1, &there, 0, NULL) != 1)
		return 1;
	put(8, 1);
	*peer_turn = 0;
	peer_begin();
	peer_loop(operations);
	return 0;
}
