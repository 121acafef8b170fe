/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_OFI_TEST_FIXTURE_H
#define FABRIC_OFI_TEST_FIXTURE_H

/*
 * Homes for the suite whose memory is also reached by RMA: over libfabric's tcp, of both kinds of
 * endpoint; or by the adapter that the environment names, OFI_PROVIDER (as Rdma=) at OFI_ADDRESS.
 */

#include "fabric/ofi/ofi.h"
#include "fabric/test-suite.h"

extern const struct fixture_ops ofi_rdm_fixture, ofi_msg_fixture, ofi_adapter_fixture;

/* What the home offers for this key, as to a guest of this connection. 0, or -errno. */
int ofi_home_offer(struct home *home, uint64_t connection, const struct fabric_key *key,
	struct ofi_offer *ret_offer);
OfiTarget *ofi_home_target(struct home *home);
/* From now on nothing is offered. */
void ofi_home_refuse(struct home *home);

#endif
