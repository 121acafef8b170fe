/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_OFI_LINK_H
#define FABRIC_OFI_LINK_H

/*
 * The initiator's endpoint to one home. A link that had any trouble is down for good: all that is
 * under way on it fails, what was done of it nobody knows, and nothing is read or written here any
 * more once the calls have returned.
 *
 * Where the provider wants local memory registered (FI_MR_LOCAL) everything passes buffers of our
 * own: registering the caller's costs more than copying, pins it, and a fork would tear it apart.
 *
 * Thread safe. Who waits and finds the queue free reads it for all; the others sleep.
 */

#include "fabric/ofi/ofi.h"

typedef struct OfiLink OfiLink;

/* May take some seconds. -errno */
int ofi_link_new(const struct ofi_offer *offer, const struct fabric_path_options *options,
	OfiLink **ret_link);
OfiLink *ofi_link_ref(OfiLink *link);
/* NULL is fine. In a forked child nothing of the parent's is touched. */
void ofi_link_put(OfiLink *link);

uint64_t ofi_link_endpoint(const OfiLink *link);
bool ofi_link_is_down(const OfiLink *link);

/* The pieces lie within the offered memory. 0: all is done. -EIO: the link is down. */
int ofi_link_run(OfiLink *link, const struct ofi_offer *offer, bool put,
	const struct fabric_piece *pieces, size_t n_pieces);

#endif
