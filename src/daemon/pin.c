/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/pin.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "placement/admission.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define STEP	  (1u << 20)
#define AGAIN_IN  1000 /* ms, when there was no memory */
#define LEFT_FREE (64ull << 20)

struct pin {
	int link, memory;
	struct pin_order order;
	char *map;
	struct topology topology;
	struct nodeset nodes; /* where pages may come from */
};

static int receive_order(struct pin *p)
{
	int fds[FD_PACKET_MAX];
	unsigned int n_fds = 0;
	ssize_t n = fd_recv(p->link, &p->order, sizeof(p->order), fds, &n_fds, 0);

	if (n != sizeof(p->order) || n_fds != 1) {
		fd_close_many(fds, n_fds);
		return n < 0 ? (int)n : -EBADMSG;
	}
	p->memory = fds[0];
	return 0;
}

static void be_killed_first(void)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "1000", 4) < 0)
		errno = 0;
}

static int begin(struct pin *p)
{
	void *map;
	int r;

	r = receive_order(p);
	if (r == 0)
		r = topology_read("", &p->topology);
	if (r < 0)
		return r;
	p->nodes = nodeset_get_bytes(p->order.nodes);
	if (nodeset_empty(&p->nodes))
		p->nodes = p->topology.memory;
	map = mmap(NULL, p->order.size, PROT_READ, MAP_SHARED, p->memory, 0);
	if (map == MAP_FAILED)
		return negative_errno();
	p->map = map;
	(void)madvise(map, p->order.size, MADV_DONTDUMP);
	return mlock2(map, p->order.size, MLOCK_ONFAULT) < 0 ? negative_errno() : 0;
}

static bool has_memory(struct pin *p)
{
	struct claim claim = {
		{.order = PLACE_FIRSTREF, .hard = true, .nodes = p->nodes}, STEP + LEFT_FREE};

	return topology_refresh(&p->topology, "") == 0 && admission_allows(&claim, 1, &p->topology);
}

static bool is_over(const struct pin *p, int ms)
{
	struct pollfd poll_link = {.fd = p->link};

	return poll(&poll_link, 1, ms) > 0;
}

/* Each page that comes in is locked by that. */
static void bring_in(struct pin *p)
{
	uint64_t at = 0, n;

	while (at < p->order.size) {
		n = MIN(p->order.size - at, STEP);
		if (is_over(p, 0))
			return;
		if (has_memory(p) && madvise(p->map + at, n, MADV_POPULATE_READ) == 0)
			at += n;
		else if (is_over(p, AGAIN_IN))
			return;
	}
}

int pin_run(int link)
{
	static struct pin p;

	prctl(PR_SET_NAME, "causeway-pin");
	be_killed_first();
	p.link = link;
	if (begin(&p) < 0)
		return EXIT_FAILURE;
	bring_in(&p);
	(void)is_over(&p, -1);
	return EXIT_SUCCESS;
}
