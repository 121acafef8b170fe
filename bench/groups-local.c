/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

const char bench_what[] = "local";

const struct bench_group bench_groups[] = {
	{"elements", group_elements, "put64 and get64, posted"},
	{"bulk", group_bulk, "put and get of 4 KiB to 256 MiB beside memcpy"},
	{"mapped", group_mapped, "loads and stores through a map"},
	{"signals", group_signals, "round trips of signals"},
	{"vector", group_vector, "putv and getv of 16 entries beside put and get"},
	{"events", group_events, "wait_pollfd over 64 descriptors beside poll"},
	{"crowd", group_crowd, "1,000 importers of one segment"},
	{"requests", group_requests, "connect and create beside bare round trips"},
	{"adoption", group_adoption, "adopting 1 GiB"},
	{"many", group_many, "10,000 segments"},
	{"pages", group_pages, "pages that a daemon of this node gives and takes"},
	{"sisci", group_sisci, "SISCI: copies, stores, triggers"},
	{"clshm", group_clshm, "clshm beside System V: attach, get, loads and stores"},
	{"idle", group_idle, "the daemon at rest"},
	{0},
};
