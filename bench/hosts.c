/* SPDX-License-Identifier: Apache-2.0 */
#include "hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench.h"
#include "wire/message.h"

#define SPIN	   50000u /* ns that either server looks after its last operation */
#define CONNECTION 1u
#define ADDRESS	   "10.77.0.1"
#define CONGESTION "cubic reno"

struct bare_head {
	uint64_t type, off, n;
};
#define ANSWER_SIZE 16u

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

/* --- plain TCP, either end --- */

/* All n bytes, looking for some time before it sleeps if it is to spin. 0 at the end. */
static int receive(int fd, void *to, size_t n, bool spin)
{
	uint8_t *at = to;
	uint64_t until = 0;

	while (n) {
		ssize_t r = recv(fd, at, n, spin ? MSG_DONTWAIT : 0);
		struct pollfd pollfd = {.fd = fd, .events = POLLIN};

		if (r > 0) {
			at += r;
			n -= (size_t)r;
			until = 0;
			continue;
		}
		if (r == 0 || errno != EAGAIN)
			return 0;
		if (!until)
			until = bench_now() + SPIN;
		else if (bench_now() > until)
			poll(&pollfd, 1, -1);
	}
	return 1;
}

static void send_two(int fd, const void *head, size_t head_size, const void *data, size_t n)
{
	struct iovec iov[2] = {{(void *)head, head_size}, {(void *)data, n}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = n ? 2 : 1};
	ssize_t sent = sendmsg(fd, &m, MSG_NOSIGNAL);

	if (sent < 0 || (size_t)sent != head_size + n)
		bench_fail("plain TCP: sent %zd: %m", sent);
}

static void serve_bare(int fd, bool spin)
{
	static const uint8_t answer[ANSWER_SIZE];
	struct bare_head head;

	while (receive(fd, &head, sizeof(head), spin)) {
		if (head.type == BARE_PUT) {
			receive(fd, memory + head.off, head.n, spin);
			send_two(fd, answer, sizeof(answer), NULL, 0);
		} else {
			send_two(fd, answer, sizeof(answer), memory + head.off, head.n);
		}
	}
}

void bare_say_put(struct hosts *hosts, const void *src, size_t n)
{
	struct bare_head head = {.type = BARE_PUT, .n = n};

	send_two(hosts->bare, &head, sizeof(head), src, n);
}

void bare_hear(struct hosts *hosts, void *to, size_t n)
{
	uint8_t answer[ANSWER_SIZE];

	if (!receive(hosts->bare, answer, sizeof(answer), hosts->spin) ||
		(n && !receive(hosts->bare, to, n, hosts->spin)))
		bench_fail("plain TCP: the other host is gone");
}

void bare_put(struct hosts *hosts, const void *src, size_t n)
{
	bare_say_put(hosts, src, n);
	bare_hear(hosts, NULL, 0);
}

void bare_get(struct hosts *hosts, void *dst, size_t n)
{
	struct bare_head head = {.type = BARE_GET, .n = n};

	send_two(hosts->bare, &head, sizeof(head), NULL, 0);
	bare_hear(hosts, dst, n);
}

/* --- the serving host --- */

struct serving {
	int fd;
	bool spin;
};

static void *run_bare(void *userdata)
{
	struct serving *s = userdata;

	serve_bare(s->fd, s->spin);
	return NULL;
}

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
		.spin = spin ? SPIN : 0, .frame_timeout = 2000000000};
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

static int listen_there(uint64_t *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (void *)&address, size) || listen(fd, 2) ||
		getsockname(fd, (void *)&address, &size))
		bench_fail("listen: %m");
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static int accept_one(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		bench_fail("accept: %m");
	fabric_tcp_tune(fd, 10000, CONGESTION);
	return fd;
}

static void other_host(int channel, void *context)
{
	struct hosts *hosts = context;
	struct serving bare = {.spin = hosts->spin};
	pthread_t thread;
	uint64_t port;
	int listener;

	bench_pin_process(getpid(), bench_cpu(0));
	if (unshare(CLONE_NEWNET))
		bench_fail("unshare: %m");
	memory = bench_memfd(HOSTS_MEMORY, &listener);
	bench_send(channel, 0);
	bench_receive(channel); /* the link is there */
	command("ip address add " ADDRESS "/24 dev there && ip link set there up");
	listener = listen_there(&port);
	bench_send(channel, port);
	bare.fd = accept_one(listener);
	if (pthread_create(&thread, NULL, run_bare, &bare))
		bench_fail("pthread_create: %m");
	serve_fabric(accept_one(listener), hosts->spin);
}

/* --- this host --- */

static int connect_there(uint64_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, ADDRESS, &address.sin_addr);
	fabric_tcp_tune(fd, 10000, CONGESTION);
	if (fd < 0 || connect(fd, (void *)&address, sizeof(address)))
		bench_fail("connect: %m");
	return fd;
}

void hosts_begin(struct hosts *hosts, bool spin)
{
	struct fabric_path_options options = {.spin = spin, .span_buffer = 16384};
	struct bench_partner partner;
	socklen_t size = sizeof(hosts->congestion);
	uint64_t port;
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
	port = bench_receive(hosts->channel);
	bench_pin_process(getpid(), bench_cpu(1));
	hosts->bare = connect_there(port);
	fd = connect_there(port);
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, hosts->congestion, &size);
	if (fabric_tcp_path_new(fd, &options, &hosts->path) ||
		fabric_path_add_user(hosts->path, &hosts->user))
		bench_fail("no path");
}
