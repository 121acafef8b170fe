/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_HOSTS_H
#define BENCH_HOSTS_H

/*
 * Two hosts made of network namespaces that have no name: this process and a partner, joined by a
 * pair of veth; both end with their processes. The partner, on the first CPU, serves memory over
 * our fabric and, beside it, over plain TCP (bare.h). We are pinned to the last CPU.
 */

#include "bare.h"
#include "fabric/fabric.h"

#define HOSTS_MEMORY (4u << 20)

struct hosts {
	int channel;
	bool spin;
	struct bare bare;
	FabricPath *path;
	struct fabric_user user;
	char congestion[16];
};

/* spin: both ends look for some time before they sleep; else they sleep at once. */
void hosts_begin(struct hosts *hosts, bool spin);

#endif
