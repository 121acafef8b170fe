/* SPDX-License-Identifier: Apache-2.0 */
#include "hosts.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench.h"
#include "wire/message.h"

#define CONNECTION 1u
#define ADDRESS	   "10.77.0.1"

static const struct fabric_key key = {{1, 2, 3, 4}};
static _Atomic uint64_t done;
static uint8_t *memory;

static void command(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void command(const char *format, ...)
{
	char line[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (system(line))
		bench_fail("failed: %s", line);
}

/* --- the serving host --- */

static void post(void *userdata, void *region, bool accumulate)
{
}

static void closed(void *userdata, uint64_t connection, const char *reason)
{
}

static void serve_fabric(int fd, bool spin)
{
	static const struct fabric_target_ops ops = {.post = post, .closed = closed};
	struct fabric_target_options options = {
		.spin = spin ? BARE_SPIN : 0, .frame_timeout = 2000000000};
	struct fabric_region region = {.base = memory,
		.fd = -1,
		.size = HOSTS_MEMORY,
		.rights = WIRE_READ | WIRE_WRITE,
		.connection = CONNECTION};
	FabricTarget *target;

	if (fabric_target_new(&options, &ops, NULL, &target) ||
		fabric_target_attach(target, CONNECTION, fd, &done) ||
		fabric_target_grant(target, &key, &region))
		bench_fail("the target could not be made");
	fabric_target_run(target);
}

static void other_host(int channel, void *context)
{
	struct hosts *hosts = context;
	uint16_t port;
	int listener;

	bench_pin_process(getpid(), bench_cpu(0));
	if (unshare(CLONE_NEWNET))
		bench_fail("unshare: %m");
	memory = bench_memfd(HOSTS_MEMORY, &listener);
	bench_send(channel, 0);
	bench_receive(channel); /* the link is there */
	command("ip address add " ADDRESS "/24 dev there && ip link set there up");
	listener = bare_listen(&port);
	bench_send(channel, port);
	bare_serve(bare_accept(listener), hosts->spin, memory);
	serve_fabric(bare_accept(listener), hosts->spin);
}

/* --- this host --- */

void hosts_begin(struct hosts *hosts, bool spin)
{
	struct fabric_path_options options = {.spin = spin, .span_buffer = 16384};
	struct bench_partner partner;
	socklen_t size = sizeof(hosts->congestion);
	uint16_t port;
	int fd;

	*hosts = (struct hosts){.spin = spin, .user = {.key = key}};
	partner = bench_partner(other_host, hosts);
	hosts->channel = partner.channel;
	bench_receive(hosts->channel); /* it has its namespace */
	if (unshare(CLONE_NEWNET))
		bench_fail("a network namespace of one's own: %m");
	command("ip link add here type veth peer name there netns %d && "
		"ip address add 10.77.0.2/24 dev here && ip link set here up",
		(int)partner.pid);
	bench_send(hosts->channel, 0);
	port = (uint16_t)bench_receive(hosts->channel);
	bench_pin_process(getpid(), bench_cpu(1));
	hosts->bare = (struct bare){bare_connect(ADDRESS, port), spin};
	fd = bare_connect(ADDRESS, port);
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, hosts->congestion, &size);
	if (fabric_tcp_path_new(fd, &options, &hosts->path) ||
		fabric_path_add_user(hosts->path, &hosts->user))
		bench_fail("no path");
}
