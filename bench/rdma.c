/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-rdma PROVIDER ADDRESS: puts and gets through fabric/ofi beside the same operations said
 * to libfabric directly, over the same provider, between two processes of this machine; in turns.
 * The plain side does what anybody must: one operation, its completion read in a loop, memory
 * registered where the provider wants that.
 */

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "fabric/ofi/library.h"
#include "wire/message.h"

#define MEMORY	   (1ul << 20)
#define ROUNDS	   12
#define CONNECTION 1u
#define ROUND_TIME (30 * NSEC_PER_MSEC)
#define TIMES_MAX  4000u

/* Of both processes: whose turn it is, and what the home offers. */
struct shared {
	_Atomic int plain_turn;
	_Atomic bool ready;
	_Atomic uint64_t done;
	struct ofi_offer offer, plain;
};

static struct shared *shared;
static const struct provider *provider;
static const char *address;
static const struct library *library;

static void must(long r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "bench-rdma: %s: %s\n", what, strerror((int)-r));
	exit(1);
}

/* --- libfabric, plainly --- */

static struct plain {
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_eq *events;
	struct fid_av *addresses;
	struct fid_cq *queue;
	struct fid_ep *ep;
	struct fid_mr *mr;
	fi_addr_t there;
} plain;

static void plain_domain(const char *here, const struct ofi_offer *there)
{
	must(library_info(library, provider, here, there, &plain.info), "fi_getinfo");
	must(library->fabric(plain.info->fabric_attr, &plain.fabric, NULL), "fi_fabric");
	must(fi_domain(plain.fabric, plain.info, &plain.domain, NULL), "fi_domain");
}

static void plain_endpoint(struct fi_info *info)
{
	struct fi_cq_attr queue = {
		.format = FI_CQ_FORMAT_CONTEXT, .wait_obj = FI_WAIT_FD, .size = 256};
	struct fi_av_attr addresses = {.type = FI_AV_TABLE};

	must(fi_cq_open(plain.domain, &queue, &plain.queue, NULL), "fi_cq_open");
	must(fi_endpoint(plain.domain, info, &plain.ep, NULL), "fi_endpoint");
	if (provider->connected) {
		must(fi_ep_bind(plain.ep, &plain.events->fid, 0), "fi_ep_bind");
	} else {
		must(fi_av_open(plain.domain, &addresses, &plain.addresses, NULL), "fi_av_open");
		must(fi_ep_bind(plain.ep, &plain.addresses->fid, 0), "fi_ep_bind");
	}
	must(fi_ep_bind(plain.ep, &plain.queue->fid, FI_TRANSMIT | FI_RECV), "fi_ep_bind");
	must(fi_enable(plain.ep), "fi_enable");
}

static void plain_events(void)
{
	struct fi_eq_attr events = {.wait_obj = FI_WAIT_UNSPEC};

	if (provider->connected)
		must(fi_eq_open(plain.fabric, &events, &plain.events, NULL), "fi_eq_open");
}

static struct fi_info *plain_event(uint32_t wanted)
{
	struct fi_eq_cm_entry entry;
	uint32_t event;
	ssize_t n = fi_eq_sread(plain.events, &event, &entry, sizeof(entry), 5000, 0);

	must(n, "fi_eq_sread");
	must(event == wanted ? 0 : -EPROTO, "connection");
	return entry.info;
}

static void plain_register(void *memory, uint64_t access)
{
	must(fi_mr_reg(plain.domain, memory, MEMORY, access, 0, 0x5eed, 0, &plain.mr, NULL),
		"fi_mr_reg");
}

/* The home's; returns when it may be reached, or once it has been. */
static void plain_serve(void *memory)
{
	struct fid_pep *listener = NULL;
	struct fi_info *request;
	size_t size = sizeof(shared->plain.address);

	plain_domain(address, NULL);
	plain_events();
	plain_register(memory, FI_REMOTE_READ | FI_REMOTE_WRITE);
	if (provider->connected) {
		must(fi_passive_ep(plain.fabric, plain.info, &listener, NULL), "fi_passive_ep");
		must(fi_pep_bind(listener, &plain.events->fid, 0), "fi_pep_bind");
		must(fi_listen(listener), "fi_listen");
		must(fi_getname(&listener->fid, shared->plain.address, &size), "fi_getname");
	} else {
		plain_endpoint(plain.info);
		must(fi_getname(&plain.ep->fid, shared->plain.address, &size), "fi_getname");
	}
	shared->plain.address_size = (uint32_t)size;
	shared->plain.key = fi_mr_key(plain.mr);
	shared->plain.base =
		plain.info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? (uintptr_t)memory : 0;
	atomic_store(&shared->ready, true);
	if (!provider->connected)
		return;
	request = plain_event(FI_CONNREQ);
	plain_endpoint(request);
	must(fi_accept(plain.ep, NULL, 0), "fi_accept");
	plain_event(FI_CONNECTED);
}

static void plain_reach(void *memory)
{
	plain_domain(NULL, &shared->plain);
	plain_events();
	plain_endpoint(plain.info);
	plain_register(memory, FI_READ | FI_WRITE);
	if (provider->connected) {
		must(fi_connect(plain.ep, plain.info->dest_addr, NULL, 0), "fi_connect");
		plain_event(FI_CONNECTED);
	} else if (fi_av_insert(plain.addresses, shared->plain.address, 1, &plain.there, 0, NULL) !=
		   1) {
		must(-EIO, "fi_av_insert");
	}
}

static void plain_do(bool put, void *memory, size_t n)
{
	static struct fi_context2 context;
	struct iovec here = {memory, n};
	struct fi_rma_iov far = {.addr = shared->plain.base, .len = n, .key = shared->plain.key};
	void *descriptor = fi_mr_desc(plain.mr);
	bool inject = put && provider->progresses && n <= plain.info->tx_attr->inject_size;
	struct fi_msg_rma message = {.msg_iov = &here,
		.desc = &descriptor,
		.iov_count = 1,
		.addr = plain.there,
		.rma_iov = &far,
		.rma_iov_count = 1,
		.context = &context};
	struct fi_cq_entry entry;
	ssize_t r;

	do {
		r = put ? fi_writemsg(plain.ep, &message,
				  FI_COMPLETION | provider->complete | (inject ? FI_INJECT : 0))
			: fi_readmsg(plain.ep, &message, FI_COMPLETION);
		if (r == -FI_EAGAIN)
			fi_cq_read(plain.queue, NULL, 0);
	} while (r == -FI_EAGAIN);
	must(r, "fi_writemsg or fi_readmsg");
	while ((r = fi_cq_read(plain.queue, &entry, 1)) == -FI_EAGAIN)
		;
	must(r, "fi_cq_read");
}

/* --- the home --- */

static void on_post(void *userdata, void *region, bool accumulate)
{
}

static void on_closed(void *userdata, uint64_t connection, const char *reason)
{
}

static void on_offered(void *userdata, void *asked, int result, const struct ofi_offer *offer)
{
	must(result, "the offer");
	shared->offer = *offer;
	atomic_store((_Atomic bool *)asked, true);
}

static void *run_target(void *target)
{
	fabric_target_run(target);
	return NULL;
}

static void open_targets(uint8_t *memory, int stream)
{
	static const struct fabric_target_ops ops = {.post = on_post, .closed = on_closed};
	const struct fabric_target_options options = {.spin = 20 * NSEC_PER_USEC};
	const struct ofi_target_options rdma = {
		.kind = provider->kind, .address = address, .offered = on_offered};
	const struct fabric_region region = {.base = memory,
		.fd = -1,
		.size = MEMORY,
		.rights = WIRE_READ | WIRE_WRITE,
		.connection = CONNECTION};
	const struct fabric_key key = {{1}};
	_Atomic bool offered = false;
	char why[OFI_WHY_SIZE] = "";
	FabricTarget *target;
	pthread_t thread;
	OfiTarget *ofi;

	must(fabric_target_new(&options, &ops, NULL, &target), "target");
	must(fabric_target_attach(target, CONNECTION, stream, &shared->done), "attach");
	must(fabric_target_grant(target, &key, &region), "grant");
	must(-pthread_create(&thread, NULL, run_target, target), "thread");
	if (ofi_target_new(&rdma, why, &ofi) < 0) {
		fprintf(stderr, "bench-rdma: %s\n", why);
		exit(1);
	}
	must(ofi_target_offer(ofi, &key, &region, &offered), "offer");
	while (!atomic_load(&offered))
		usleep(1000);
}

static _Noreturn void home(int stream)
{
	uint8_t *memory =
		mmap(NULL, 2 * MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct fi_cq_entry entry;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memset(memory, 1, 2 * MEMORY);
	open_targets(memory, stream);
	plain_serve(memory + MEMORY);
	for (;;) {
		if (!atomic_load_explicit(&shared->plain_turn, memory_order_relaxed) ||
			provider->progresses)
			usleep(500);
		else
			fi_cq_read(plain.queue, &entry, 1);
	}
}

/* --- measuring --- */

static uint64_t times[TIMES_MAX];

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double by_ratio[ROUNDS];

static int by_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static FabricPath *path;
static struct fabric_user user;

static void ours_do(bool put, void *memory, size_t n)
{
	must(put ? fabric_put(path, &user, 0, memory, n, 0, 0)
		 : fabric_get(path, &user, 0, memory, n, 0),
		"put or get");
}

/* µs in the median */
static double round_of(bool ours, bool put, void *memory, size_t n)
{
	uint64_t begin, end = 0;
	unsigned int k = 0;

	atomic_store(&shared->plain_turn, !ours);
	usleep(2000);
	begin = clock_now();
	for (; k < TIMES_MAX && end < begin + ROUND_TIME; k++) {
		uint64_t since = clock_now();

		if (ours)
			ours_do(put, memory, n);
		else
			plain_do(put, memory, n);
		end = clock_now();
		times[k] = end - since;
	}
	qsort(times, k, sizeof(times[0]), by_value);
	return (double)times[k / 2] / 1e3;
}

static void row(bool put, void *memory, size_t n)
{
	double bare[ROUNDS], ours[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		bare[i] = round_of(false, put, memory, n);
		ours[i] = round_of(true, put, memory, n);
		by_ratio[i] = ours[i] / bare[i];
	}
	qsort(bare, ROUNDS, sizeof(bare[0]), by_double);
	qsort(ours, ROUNDS, sizeof(ours[0]), by_double);
	qsort(by_ratio, ROUNDS, sizeof(by_ratio[0]), by_double);
	printf("%s %8zu  %10.2f  %10.2f  %6.3f  (%.3f … %.3f)\n", put ? "put" : "get", n,
		bare[ROUNDS / 2], ours[ROUNDS / 2], ours[ROUNDS / 2] / bare[ROUNDS / 2],
		by_ratio[1], by_ratio[ROUNDS - 2]);
	fflush(stdout);
}

static int offer(void *userdata, const struct fabric_user *of, struct ofi_offer *ret_offer)
{
	*ret_offer = shared->offer;
	return 0;
}

static void open_path(int stream)
{
	const struct ofi_path_options options = {
		.path = {.stall = 10 * NSEC_PER_SEC, .spin = true, .span_buffer = 16384},
		.offer = offer};

	must(ofi_path_new(stream, &options, &path), "path");
	user.key = (struct fabric_key){{1}};
	must(fabric_path_add_user(path, &user), "user");
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {8, 512, 4096, 65536, MEMORY};
	uint64_t before;
	void *memory;
	int pair[2];

	provider = argc == 3 ? provider_named(argv[1]) : NULL;
	if (!provider) {
		fprintf(stderr, "Usage: bench-rdma verbs|test-tcp|test-tcp-rxm ADDRESS\n");
		return 2;
	}
	address = argv[2];
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
	if (fork() == 0) {
		close(pair[0]);
		must(library_need(&library), "libfabric");
		home(pair[1]);
	}
	close(pair[1]);
	must(library_need(&library), "libfabric");
	while (!atomic_load(&shared->ready))
		usleep(1000);
	memory = aligned_alloc(4096, MEMORY);
	memset(memory, 1, MEMORY);
	atomic_store(&shared->plain_turn, 1);
	plain_reach(memory);
	plain_do(true, memory, 8);
	open_path(pair[0]);
	ours_do(true, memory, 8);
	before = ofi_path_count();
	printf("provider %s of libfabric %s at %s: µs in the median, %d rounds by turns\n"
	       "         bytes       plain        ours   ratio  (without the extremes)\n",
		provider->name, ofi_version(), address, ROUNDS);
	for (int put = 1; put >= 0; put--)
		for (size_t i = 0; i < ELEMENTS(sizes); i++)
			row(put, memory, sizes[i]);
	must(ofi_path_count() > before ? 0 : -ENODATA, "nothing went by RDMA");
	return 0;
}
