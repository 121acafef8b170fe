/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_HOSTS_H
#define BENCH_HOSTS_H

/*
 * Two hosts made of network namespaces that have no name: this process and a partner, joined by a
 * pair of veth; both end with their processes. The partner, on the first CPU, serves memory over
 * our fabric and, beside it, over plain TCP as simple as can be: a header of 24 bytes, the data,
 * an answer of 16. We are pinned to the last CPU.
 */

#include "fabric/fabric.h"

#define HOSTS_MEMORY (4u << 20)

struct hosts {
	int channel;
	int bare; /* the plain connection */
	bool spin;
	FabricPath *path;
	struct fabric_user user;
	char congestion[16];
};

enum bare_type {
	BARE_PUT,
	BARE_GET,
};

/* spin: both ends look for some time before they sleep; else they sleep at once. */
void hosts_begin(struct hosts *hosts, bool spin);

/* One operation over the plain connection; for a stream of puts many may be said before their
 * answers are heard. */
void bare_put(struct hosts *hosts, const void *src, size_t n);
void bare_get(struct hosts *hosts, void *dst, size_t n);
void bare_say_put(struct hosts *hosts, const void *src, size_t n);
void bare_hear(struct hosts *hosts, void *to, size_t n);

#endif
