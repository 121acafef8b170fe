/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

const char bench_what[] = "remote";

const struct bench_group bench_groups[] = {
	{"nodes", group_nodes, "put, get and streams through the library, beside other libraries"},
	{"spans", group_nodes_spans, "many small puts in a span, vectors"},
	{"signals", group_nodes_signals, "a signal there and back"},
	{"maps", group_nodes_maps, "loads and stores on another node's memory"},
	{"sisci", group_nodes_sisci, "SISCI: DMA and SCIMemCpy beside put and get"},
	{"sisci-messages", group_nodes_sisci_messages, "SISCI: data interrupts there and back"},
	{"sisci-stores", group_nodes_sisci_stores, "SISCI: stores there and back"},
	{"sisci-connect", group_nodes_sisci_connect, "SISCI: connecting to what is not there"},
	{"clshm", group_nodes_clshm, "clshm: attach, and memory handed over by stores"},
	{"life", group_nodes_life, "connecting, a dead node, nodes at rest"},
	{"fabric", group_fabric, "operations on another host's memory, both ends awake"},
	{"asleep", group_fabric_asleep, "the same, both ends asleep in between"},
	{"batches", group_fabric_batches, "small puts collected, and vectors"},
	{0},
};
