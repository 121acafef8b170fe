/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_LINK_H
#define CLIENT_LINK_H

/*
 * A link is one socket to a daemon with the pages that came with it. Exports and imports hold a
 * reference to the link they were made over; the process has one current link, replaced only when a
 * node was lost or after fork. A link that is not current any more serves memory already mapped,
 * and nothing else.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/list.h"
#include "client/connection.h"
#include "wire/shared.h"

#define LINK_ONEWAY_MAX	  32u /* one-way requests that no answer has confirmed yet */
#define LINK_ONEWAY_SIZE  64u
#define LINK_GIVEN_UP_MAX 16u

struct cw_link {
	_Atomic uint32_t refs;
	struct list all;	/* every link of the process */
	_Atomic bool lost;	/* keeper and daemon are gone */
	_Atomic bool inherited; /* made by the parent process: its socket is closed here */
	int sock;
	int uffd_device; /* lent /dev/userfaultfd, or -1 */
	/* given to the daemon; ours is kept so that its death wakes nobody, until the node is lost:
	 * -1 */
	_Atomic int uffd;
	_Atomic bool uffd_tried;
	uid_t uid; /* as which we introduced ourselves */
	gid_t gid;
	struct cw_node node;
	const struct wire_node_page *node_page;
	const struct wire_status_page *status_page;
	struct wire_client_page *client_page;

	/* under map_lock */
	pthread_mutex_t map_lock;
	uint32_t *free_maps;
	uint32_t n_free_maps, max_free_maps;

	/* under lock */
	pthread_mutex_t lock; /* one request at a time */
	uint64_t serial;
	uint64_t given_up[LINK_GIVEN_UP_MAX]; /* calls that timed out, the oldest forgotten first */
	uint32_t n_given_up;
	uint32_t starts; /* of the daemon, as last seen */
	uint32_t n_oneway;
	struct {
		uint16_t len;
		uint8_t packet[LINK_ONEWAY_SIZE];
	} oneway[LINK_ONEWAY_MAX];
};

/* The current link with a reference, opened if need be. STATUS_NO_DAEMON, STATUS_VERSION. */
CW_EXPORT int cw_link_get(struct cw_link **ret_link);
CW_EXPORT struct cw_link *cw_link_ref(struct cw_link *link);
CW_EXPORT void cw_link_put(struct cw_link *link);

/* cw_call() and cw_post() over this link. STATUS_NODE_LOST, STATUS_FORKED. */
CW_EXPORT int cw_link_call(struct cw_link *link, struct wire_message *request, const int *fds,
	unsigned int n_fds, struct cw_reply *ret_reply);
CW_EXPORT int cw_link_post(struct cw_link *link, struct wire_message *request);
/* A call that is answered with one descriptor: ret_reply->fds[0]. STATUS_VERSION: with none, or
 * several. */
int cw_link_call_for_fd(
	struct cw_link *link, struct wire_message *request, struct cw_reply *ret_reply);

/* Makes this process's userfaultfd known to the daemon, once; failing is no error: the memory just
 * cannot be mapped by other nodes. */
CW_EXPORT void cw_link_watch(struct cw_link *link);

/* True if the node is gone: asked when the lock word says that the daemon died. Costs a poll(2). */
CW_EXPORT bool cw_link_is_lost(struct cw_link *link);

static inline uint32_t cw_link_alive_word(const struct cw_link *link)
{
	return atomic_load_explicit(&link->node_page->alive, memory_order_relaxed);
}

/* One load: false while the daemon lives. */
static inline bool cw_link_suspect(const struct cw_link *link)
{
	return cw_link_alive_word(link) & 0x40000000u; /* FUTEX_OWNER_DIED */
}

/* wire_node_page.shm_changes; false: a daemon that does not count them. */
static inline bool cw_link_shm_changes(const struct cw_link *link, uint64_t *ret_n)
{
	const struct wire_node_page *page = link->node_page;

	if (page->head.size < offsetof(struct wire_node_page, shm_changes) + sizeof(*ret_n))
		return false;
	*ret_n = atomic_load_explicit(&page->shm_changes, memory_order_acquire);
	return true;
}

/* A slot of the client page for a map. Slots are given before the map is made, so that running out
 * of them undoes nothing. -ENOSPC, -ENOMEM. */
CW_EXPORT int cw_link_map_reserve(struct cw_link *link, uint32_t *ret_slot);
CW_EXPORT void cw_link_map_set(struct cw_link *link, uint32_t slot, const void *address,
	uint64_t length, uint64_t offset, uint32_t side, uint32_t index);
CW_EXPORT void cw_link_map_clear(struct cw_link *link, uint32_t slot);

/* In a forked child: the current link becomes an inherited one. */
void cw_link_fork_prepare(void);
void cw_link_fork_parent(void);
void cw_link_fork_child(void);

#endif
