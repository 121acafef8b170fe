/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_OFI_OFI_H
#define FABRIC_OFI_OFI_H

/*
 * RDMA through libfabric: bulk put and get by the network adapter, beside a data connection of our
 * own that stays. That one carries signals, atomics, elements and spans, knows who is who, and is
 * what everything goes over where this does not: an operation that fails here for whatever reason
 * is done again there, and what comes of it there is its result. So nothing here decides on rights
 * or tells of errors; the adapter only refuses.
 *
 * The home has a protection domain for each guest (its number is that of the guest's connection),
 * in which memory is registered once for each key: a key of another guest's opens nothing. Who
 * connects shows a ticket that the home gave through the control connection (where the provider
 * has connections; else each guest has an endpoint of its own).
 *
 * libfabric.so.1 is loaded on first use. Only providers whose hardware checks keys are taken:
 * libfabric's own check, for the others, can be passed by lengths that wrap (until 2.6.0).
 */

#include "fabric/fabric.h"

enum ofi_kind {
	OFI_NONE = 0,
	OFI_VERBS = 1,
	OFI_EFA = 2,
	OFI_CXI = 3,
	OFI_TEST_RDM = 64, /* tcp;ofi_rxm: does not check keys as it must */
	OFI_TEST_MSG = 65, /* tcp: the same */
};

/* auto, off, or a provider's name; of those for tests only the name. -EINVAL */
int ofi_kind_parse(const char *name, enum ofi_kind *ret_kind, bool *ret_auto);
const char *ofi_kind_name(enum ofi_kind kind);

/* Looks, without libfabric, for hardware that one of the providers is for: the first; OFI_NONE. */
enum ofi_kind ofi_hardware(void);

/* libfabric's version as it says it, "1.17"; "" as long as it is not loaded. */
const char *ofi_version(void);

/* --- what a home offers a guest --- */

#define OFI_ADDRESS_MAX 64u
#define OFI_TICKET_SIZE 16u

struct ofi_offer {
	uint32_t kind;
	uint64_t endpoint; /* which of the home's it is; never the same again */
	uint32_t address_size;
	uint8_t address[OFI_ADDRESS_MAX];
	uint8_t ticket[OFI_TICKET_SIZE];
	uint64_t key, base, size;
	uint32_t rights; /* WIRE_READ | WIRE_WRITE */
};

/* --- the initiator --- */

struct ofi_path_options {
	struct fabric_path_options path;
	/* What opens this user's memory; called without any lock of the path's, at its first put or
	 * get and when the last offer is not good any more, by one thread at a time. Whatever is
	 * not 0: nothing does, until the path goes on over another stream. */
	int (*offer)(void *userdata, const struct fabric_user *user, struct ofi_offer *ret_offer);
};

/* As fabric_tcp_path_new(). */
int ofi_path_new(int fd, const struct ofi_path_options *options, FabricPath **ret_path);

/* Operations that went by RDMA, of all paths of the process: for tests and figures. */
uint64_t ofi_path_count(void);

/* --- the target --- */

typedef struct OfiTarget OfiTarget;

struct ofi_target_options {
	enum ofi_kind kind;
	const char *address; /* one of this host's, in numbers, that the adapter has */
	/* In the target's thread. Something that people should know, at most once a second. */
	void (*say)(void *userdata, const char *sentence);
	/* What an ofi_target_offer() came to; in the target's thread, or in that of who revokes. */
	void (*offered)(void *userdata, void *asked, int result, const struct ofi_offer *offer);
	void *userdata;
};

/* Loads libfabric and starts a thread. The options' strings are copied. On failure why, if not
 * NULL, has a sentence with the remedy. */
#define OFI_WHY_SIZE 240u
int ofi_target_new(
	const struct ofi_target_options *options, char why[OFI_WHY_SIZE], OfiTarget **ret_target);
/* NULL is fine. Offers that were not answered are, with -ECANCELED. */
void ofi_target_free(OfiTarget *target);

/*
 * Registers region->base, which must stay mapped until revoke returns, under this key for the
 * guest region->connection if it is not yet, and answers with offered(asked), from which nothing
 * here may be called. Large memory takes its time there; no caller of anything waits for it but
 * revoke and detach of the same. -ENOMEM
 *
 * The result of offered(): 0, or -errno: what is wrong has been said.
 */
int ofi_target_offer(OfiTarget *target, const struct fabric_key *key,
	const struct fabric_region *region, void *asked);

/* When it returns the adapter reads and writes nothing behind the key any more. Unknown keys are
 * fine. What had been asked for it is answered with -ECANCELED. */
void ofi_target_revoke(OfiTarget *target, const struct fabric_key *key);
/* The guest is gone, with all its keys. */
void ofi_target_detach(OfiTarget *target, uint64_t connection);

/* How much memory is registered, and for how many keys. */
void ofi_target_count(OfiTarget *target, uint64_t *ret_bytes, uint32_t *ret_keys);

#endif
