/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CLSHM_PARTITIONS_H
#define API_CLSHM_PARTITIONS_H

#include "wire/message.h"

/* Those that are up, ascending. */
struct partitions {
	unsigned int n;
	struct wire_shm_partition list[WIRE_SHM_PARTITIONS];
};

/* Results as session_ask(). */
int partitions_get(struct partitions *ret_partitions);

#endif
