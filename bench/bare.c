/* SPDX-License-Identifier: Apache-2.0 */
#include "bare.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "bench.h"
#include "fabric/fabric.h"

#define ANSWER_SIZE 16u
#define WINDOW	    4u

enum bare_type {
	BARE_PUT,
	BARE_GET,
};

struct bare_head {
	uint64_t type, off, n;
};

/* --- either end --- */

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
			until = bench_now() + BARE_SPIN;
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

/* --- the serving end --- */

struct serving {
	int fd;
	bool spin;
	uint8_t *memory;
};

static void *serve(void *userdata)
{
	static const uint8_t answer[ANSWER_SIZE];
	struct serving *s = userdata;
	struct bare_head head;

	while (receive(s->fd, &head, sizeof(head), s->spin)) {
		if (head.type == BARE_PUT) {
			receive(s->fd, s->memory + head.off, head.n, s->spin);
			send_two(s->fd, answer, sizeof(answer), NULL, 0);
		} else {
			send_two(s->fd, answer, sizeof(answer), s->memory + head.off, head.n);
		}
	}
	free(s);
	return NULL;
}

void bare_serve(int fd, bool spin, uint8_t *memory)
{
	struct serving *s = malloc(sizeof(*s));
	pthread_t thread;

	if (!s)
		bench_fail("out of memory");
	*s = (struct serving){fd, spin, memory};
	if (pthread_create(&thread, NULL, serve, s))
		bench_fail("pthread_create: %m");
}

int bare_listen(uint16_t *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (void *)&address, size) || listen(fd, 4) ||
		getsockname(fd, (void *)&address, &size))
		bench_fail("listen: %m");
	*ret_port = ntohs(address.sin_port);
	return fd;
}

int bare_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		bench_fail("accept: %m");
	fabric_tcp_tune(fd, 10000, BARE_CONGESTION);
	return fd;
}

/* --- the asking end --- */

int bare_connect(const char *address, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, address, &a.sin_addr);
	fabric_tcp_tune(fd, 10000, BARE_CONGESTION);
	if (fd < 0 || connect(fd, (void *)&a, sizeof(a)))
		bench_fail("connect to %s: %m", address);
	return fd;
}

void bare_say_put(const struct bare *bare, const void *src, size_t n)
{
	struct bare_head head = {.type = BARE_PUT, .n = n};

	send_two(bare->fd, &head, sizeof(head), src, n);
}

void bare_hear(const struct bare *bare, void *to, size_t n)
{
	uint8_t answer[ANSWER_SIZE];

	if (!receive(bare->fd, answer, sizeof(answer), bare->spin) ||
		(n && !receive(bare->fd, to, n, bare->spin)))
		bench_fail("plain TCP: the other host is gone");
}

void bare_put(const struct bare *bare, const void *src, size_t n)
{
	bare_say_put(bare, src, n);
	bare_hear(bare, NULL, 0);
}

void bare_get(const struct bare *bare, void *dst, size_t n)
{
	struct bare_head head = {.type = BARE_GET, .n = n};

	send_two(bare->fd, &head, sizeof(head), NULL, 0);
	bare_hear(bare, dst, n);
}

void bare_stream(const struct bare *bare, const void *src, size_t n, unsigned long puts)
{
	for (unsigned long i = 0; i < puts; i++) {
		bare_say_put(bare, src, n);
		if (i >= WINDOW)
			bare_hear(bare, NULL, 0);
	}
	for (unsigned long i = 0; i < puts && i < WINDOW; i++)
		bare_hear(bare, NULL, 0);
}
