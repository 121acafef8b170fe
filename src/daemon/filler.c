/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/filler.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "placement/apply.h"
#include "placement/kernel.h"

/* Milliseconds between looks: while pages come, and at most when none have come for longer and
 * longer. A thousand looks at the same number of pages make a step. */
#define LOOK_BUSY 1
#define LOOK_IDLE 50

/* A lead that is worth a system call. */
#define LEAD_BYTES (64u * 4096)

struct filler {
	int link, memory;
	struct filler_order order;
	struct placement placement;
	char *map;
	int meminfo[NODES_MAX]; /* of the nodes in the set */
	unsigned int node;	/* chosen last */
	int64_t blocks;		/* when last looked at */
	unsigned int quiet;	/* looks since that number changed */
};

const char *filler_reason_text(uint32_t reason)
{
	switch (reason) {
	case FILLER_FULL:
		return "all pages are there";
	case FILLER_REMOVED:
		return "it was removed";
	case FILLER_FAILED:
		return "free memory cannot be followed";
	default:
		return "?";
	}
}

static int receive_order(struct filler *f)
{
	int fds[FD_PACKET_MAX];
	unsigned int n_fds = 0;
	ssize_t n = fd_recv(f->link, &f->order, sizeof(f->order), fds, &n_fds, 0);

	if (n != sizeof(f->order) || n_fds != 1) {
		fd_close_many(fds, n_fds);
		return n < 0 ? (int)n : -EBADMSG;
	}
	f->memory = fds[0];
	f->placement = (struct placement){.order = PLACE_MOSTFREE,
		.hard = f->order.hard,
		.nodes = nodeset_get_bytes(f->order.nodes)};
	return nodeset_empty(&f->placement.nodes) ? -EBADMSG : 0;
}

static int open_all(struct filler *f)
{
	unsigned int node;
	char path[64];
	void *p;

	nodeset_for_each (&f->placement.nodes, node) {
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/meminfo", node);
		f->meminfo[node] = open(path, O_RDONLY | O_CLOEXEC);
		if (f->meminfo[node] < 0)
			return negative_errno();
	}
	p = mmap(NULL, f->order.size, PROT_READ | PROT_WRITE, MAP_SHARED, f->memory, 0);
	if (p == MAP_FAILED)
		return negative_errno();
	f->map = p;
	return 0;
}

/* "Node 0 MemFree:  1234 kB" */
static uint64_t free_on(const struct filler *f, unsigned int node)
{
	unsigned long long kb;
	const char *at;
	char text[512];
	ssize_t n = pread(f->meminfo[node], text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strstr(text, "MemFree:");
	return at && sscanf(at, "MemFree: %llu", &kb) == 1 ? kb * 1024 : 0;
}

static unsigned int choose(const struct filler *f)
{
	uint64_t most = free_on(f, f->node) + LEAD_BYTES;
	unsigned int node, best = f->node;

	nodeset_for_each (&f->placement.nodes, node) {
		uint64_t bytes = free_on(f, node);

		if (bytes > most) {
			most = bytes;
			best = node;
		}
	}
	return best;
}

static bool is_removed(const struct filler *f)
{
	struct shmid_ds d;

	return f->order.shmid >= 0 && shmctl(f->order.shmid, IPC_STAT, &d) < 0 &&
	       (errno == EINVAL || errno == EIDRM);
}

/* How long to sleep, or -1 with the reason to end in *ret_reason. */
static int look(struct filler *f, uint32_t *ret_reason)
{
	unsigned int node;
	struct stat st;

	if (is_removed(f) || fstat(f->memory, &st) < 0) {
		*ret_reason = FILLER_REMOVED;
		return -1;
	}
	if ((uint64_t)st.st_blocks * 512 >= f->order.size) {
		*ret_reason = FILLER_FULL;
		return -1;
	}
	f->quiet = st.st_blocks == f->blocks ? f->quiet + 1 : 0;
	f->blocks = st.st_blocks;
	node = choose(f);
	/* the policy is this map's already, only its home changes */
	if (node != f->node && kernel_set_home(f->map, f->order.size, node) < 0) {
		*ret_reason = FILLER_FAILED;
		return -1;
	}
	f->node = node;
	return MIN(LOOK_BUSY + (int)MIN(f->quiet / 1000, 1000u), LOOK_IDLE);
}

/* Until there is nothing to follow; 0: the node ended. */
static uint32_t follow(struct filler *f)
{
	struct pollfd p = {.fd = f->link};
	uint32_t reason = 0;
	int sleep;

	while ((sleep = look(f, &reason)) >= 0)
		if (poll(&p, 1, sleep) > 0)
			break;
	return reason;
}

static int begin(struct filler *f)
{
	int r;

	r = receive_order(f);
	if (r == 0)
		r = open_all(f);
	if (r < 0)
		return r;
	f->node = nodeset_next(&f->placement.nodes, 0);
	f->node = choose(f);
	return placement_prefer(&f->placement, f->map, f->order.size, f->node);
}

int filler_run(int link)
{
	static struct filler f;
	struct filler_end end = {.reason = FILLER_FAILED};

	prctl(PR_SET_NAME, "causeway-fill");
	f.link = link;
	f.memory = -1;
	end.error = begin(&f);
	if (end.error == 0)
		end.reason = follow(&f);
	if (end.reason && send(link, &end, sizeof(end), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return EXIT_FAILURE;
	return end.error ? EXIT_FAILURE : EXIT_SUCCESS;
}
