/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NODES_H
#define BENCH_NODES_H

/*
 * The two nodes of `causeway cluster start --netns`, each in a network namespace of its own, joined
 * by a bridge; BENCH_CLUSTER is their directory. A group's process becomes a program of node 1, its
 * partner one of node 2. Node 2 and its programs are pinned to the first CPU, node 1 and its
 * programs to the last one, but for what must see several CPUs to spin: that is pinned later.
 */

#include <rsmapi.h>
#include "bare.h"
#include "bench.h"

#define NODES_MEMORY  (4u << 20)
#define NODES_ADDRESS "10.1.0.2" /* of node 2 */

/* This process is a program of that node from here on; before the library is first called. */
void node_enter(unsigned int node);
rsmapi_controller_handle_t node_controller(void);
rsm_memseg_import_handle_t node_import(unsigned int node, rsm_memseg_id_t id);
/* A published segment of this size, everybody's, on the node of this process. */
rsm_memseg_id_t node_export(size_t size, rsm_memseg_export_handle_t *ret_handle);
/* Keeper and daemon. */
unsigned int node_processes(unsigned int node, pid_t ret_pids[2]);
/* Daemons whose data threads are to spin must see several CPUs when these begin: at the first
 * import from the node. */
void nodes_pin(bool pinned);

/* A program on node 2 that exports NODES_MEMORY, serves it over plain TCP, too, and sleeps; an
 * import of it and two plain connections here. */
struct nodes {
	rsm_memseg_id_t id;
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
	struct bare awake, asleep;
};
void nodes_begin(struct nodes *nodes);
/* The import and its barrier; false: it cannot be reached. */
bool nodes_import(struct nodes *nodes);

/* Programs of node 1 whose other half runs on node 2; name NULL at the end. */
struct nodes_peer {
	const char *name;
	struct bench_peer *peer;
};
const struct nodes_peer *nodes_peers(void);
struct bench_peer *nodes_mpi(void); /* Open MPI alone */

#endif
