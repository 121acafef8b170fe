/* SPDX-License-Identifier: Apache-2.0 */
#include "nodes.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *socket_of(unsigned int node)
{
	static char path[256];
	const char *dir = getenv("BENCH_CLUSTER");

	if (!dir)
		bench_fail("BENCH_CLUSTER is not set: bench/run starts the nodes");
	snprintf(path, sizeof(path), "%s/%u/socket", dir, node);
	return path;
}

unsigned int node_processes(unsigned int node, pid_t ret_pids[2])
{
	unsigned int n;

	setenv("CAUSEWAY_SOCKET", socket_of(node), 1);
	n = bench_node(ret_pids);
	if (!n)
		bench_fail("node %u does not run", node);
	return n;
}

static void pin_node(unsigned int node, int cpu)
{
	pid_t pids[2];
	unsigned int n = node_processes(node, pids);

	for (unsigned int i = 0; i < n; i++)
		bench_pin_process(pids[i], cpu);
}

void nodes_pin(bool pinned)
{
	pin_node(2, pinned ? bench_cpu(0) : -1);
	pin_node(1, pinned ? bench_cpu(1) : -1);
}

static const char *network_of(unsigned int node)
{
	static char path[64];
	pid_t pids[2];

	node_processes(node, pids);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pids[0]);
	return path;
}

void node_enter(unsigned int node)
{
	int fd = open(network_of(node), O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		bench_fail("the network of node %u: %m", node);
	close(fd);
}

rsmapi_controller_handle_t node_controller(void)
{
	static rsmapi_controller_handle_t controller;
	char name[] = "tcp0";

	if (!controller)
		bench_rsm(rsm_get_controller(name, &controller), "rsm_get_controller");
	return controller;
}

rsm_memseg_import_handle_t node_import(unsigned int node, rsm_memseg_id_t id)
{
	rsm_memseg_import_handle_t import;

	bench_rsm(rsm_memseg_import_connect(node_controller(), node, id, RSM_PERM_RDWR, &import),
		"rsm_memseg_import_connect");
	return import;
}

static rsm_memseg_id_t export_memory(void *memory, size_t size, rsm_memseg_export_handle_t *ret)
{
	/* root of another node is nobody here */
	rsmapi_access_entry_t everybody[3] = {{.ae_node = 1, .ae_permission = 0666},
		{.ae_node = 2, .ae_permission = 0666}, {.ae_node = 3, .ae_permission = 0666}};
	rsm_memseg_id_t id = 0;

	bench_rsm(rsm_memseg_export_create(node_controller(), ret, memory, size, 0),
		"rsm_memseg_export_create");
	bench_rsm(rsm_memseg_export_publish(*ret, &id, everybody, 3), "rsm_memseg_export_publish");
	return id;
}

rsm_memseg_id_t node_export(size_t size, rsm_memseg_export_handle_t *ret_handle)
{
	return export_memory(bench_memory(size), size, ret_handle);
}

static void serve(int channel, void *context)
{
	rsm_memseg_export_handle_t handle;
	void *memory = bench_memory(NODES_MEMORY);
	uint16_t port;
	int listener;

	node_enter(2);
	bench_pin_process(getpid(), bench_cpu(0));
	bench_send(channel, export_memory(memory, NODES_MEMORY, &handle));
	listener = bare_listen(&port);
	bench_send(channel, port);
	bare_serve(bare_accept(listener), true, memory);
	bare_serve(bare_accept(listener), false, memory);
	for (;;)
		pause();
}

bool nodes_import(struct nodes *nodes)
{
	if (rsm_memseg_import_connect(
		    node_controller(), 2, nodes->id, RSM_PERM_RDWR, &nodes->import))
		return false;
	bench_rsm(rsm_memseg_import_init_barrier(nodes->import, RSM_BAR_DEFAULT, &nodes->barrier),
		"rsm_memseg_import_init_barrier");
	return true;
}

void nodes_begin(struct nodes *nodes)
{
	struct bench_partner partner = bench_partner(serve, NULL);
	uint16_t port;

	nodes_pin(false);
	node_enter(1);
	nodes->id = (rsm_memseg_id_t)bench_receive(partner.channel);
	port = (uint16_t)bench_receive(partner.channel);
	nodes->awake = (struct bare){bare_connect(NODES_ADDRESS, port), true};
	nodes->asleep = (struct bare){bare_connect(NODES_ADDRESS, port), false};
	if (!nodes_import(nodes))
		bench_fail("node 2 cannot be reached");
	nodes_pin(true);
	bench_pin_process(getpid(), bench_cpu(1));
}

/* --- other libraries --- */

static void prepare_peers(void)
{
	pid_t pids[2];

	setenv("PEER_NETWORK", network_of(2), 1);
	setenv("PEER_ADDRESS", NODES_ADDRESS, 1);
	node_processes(1, pids); /* its socket in our environment again */
	setenv("UCX_TLS", "tcp", 1);
	setenv("UCX_NET_DEVICES", "eth0", 1);
	setenv("UCX_TCP_TX_SEG_SIZE", "512k", 1);
	setenv("UCX_TCP_RX_SEG_SIZE", "1m", 1);
}

const struct nodes_peer *nodes_peers(void)
{
	static struct nodes_peer peers[5];
	int cpu = bench_cpu(1);

	prepare_peers();
	peers[0] = (struct nodes_peer){"libfabric net", bench_peer_ofi("net", cpu)};
	peers[1] = (struct nodes_peer){"libfabric tcp;ofi_rxm", bench_peer_ofi("tcp;ofi_rxm", cpu)};
	peers[2] = (struct nodes_peer){"UCX tcp", bench_peer_ucx(cpu)};
	peers[3] = (struct nodes_peer){"Open MPI", bench_peer_mpi_nodes(cpu)};
	return peers;
}

struct bench_peer *nodes_mpi(void)
{
	prepare_peers();
	return bench_peer_mpi_nodes(bench_cpu(1));
}
