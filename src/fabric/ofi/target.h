/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_OFI_TARGET_H
#define FABRIC_OFI_TARGET_H

/*
 * The target's insides: target.c has the tables, the requests and the thread; guest.c a guest's
 * protection domain with its endpoint and what is registered there.
 *
 * The mutex is around everything but a registration under way, whose window is marked: who wants it
 * away waits for that.
 */

#include <pthread.h>
#include "base/list.h"
#include "fabric/ofi/library.h"

/* Of one key. */
struct exposure {
	struct list link;   /* in guest->exposures */
	struct list bucket; /* in target->exposures */
	struct fabric_key key;
	struct fabric_region region;
	struct fid_mr *mr;
	uint64_t offered_key, base;
	bool busy; /* the thread registers it just now */
};

struct guest {
	struct list link; /* in target->guests */
	uint64_t number;  /* of its data connection */
	uint64_t endpoint;
	uint8_t ticket[OFI_TICKET_SIZE];
	struct fid_domain *domain;
	struct fid_cq *queue;
	struct fid_av *addresses;
	struct fid_ep *ep; /* where the provider has connections: once there is one */
	int queue_fd;	   /* -1: the target need not look */
	uint32_t address_size;
	uint8_t address[OFI_ADDRESS_MAX];
	struct list exposures;
};

/* An offer that has been asked for. */
struct wish {
	struct list link;
	struct fabric_key key;
	struct fabric_region region;
	void *asked;
};

#define EXPOSURE_BUCKETS 256u

struct OfiTarget {
	const struct library *library;
	const struct provider *provider;
	struct ofi_target_options options;
	char *address;
	pthread_t thread;
	bool running;
	int wake;
	pthread_mutex_t mutex;
	pthread_cond_t changed; /* an exposure is not busy any more */
	bool stop;
	uint64_t said; /* when something was said */
	struct list guests, wishes;
	struct list exposures[EXPOSURE_BUCKETS];
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_eq *events;
	struct fid_pep *listener;
	int events_fd;
	uint32_t listener_address_size;
	uint8_t listener_address[OFI_ADDRESS_MAX];
	uint64_t n_bytes;
	uint32_t n_keys;
};

/* All with the mutex. */
int ofi_guest_new(OfiTarget *t, uint64_t number, struct guest **ret_guest);
void ofi_guest_free(OfiTarget *t, struct guest *g);
/* Somebody asks to be connected, and showed this guest's ticket. -errno */
int ofi_guest_accept(OfiTarget *t, struct guest *g, struct fi_info *request);
/* Looks whether its connection wants anything of us. */
bool ofi_guest_progress(struct guest *g);

void ofi_exposure_free(OfiTarget *t, struct exposure *e);

/* Without the mutex, the exposure being busy. -errno */
int ofi_expose(const OfiTarget *t, const struct guest *g, struct exposure *e);

#endif
