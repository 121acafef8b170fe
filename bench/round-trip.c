/* SPDX-License-Identifier: Apache-2.0 */
#include "round-trip.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET 64u

static void send_answer(int socket, int fd)
{
	char packet[PACKET] = {0}, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec data = {packet, sizeof(packet)};
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != PACKET)
		bench_fail("sendmsg: %m");
}

static void serve(int channel, void *context)
{
	struct round_trip *trip = context;
	struct epoll_event event = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC), fd;
	char packet[PACKET];

	munmap(bench_memfd(trip->size, &fd), trip->size);
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, trip->server, &event))
		bench_fail("epoll_ctl: %m");
	for (;;) {
		if (epoll_wait(epoll, &event, 1, -1) != 1)
			continue;
		if (recv(trip->server, packet, sizeof(packet), MSG_DONTWAIT) != PACKET)
			_exit(0);
		send_answer(trip->server, fd);
	}
}

void round_trip_begin(struct round_trip *trip, size_t size)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		bench_fail("socketpair: %m");
	*trip = (struct round_trip){.client = pair[0], .server = pair[1], .size = size};
	trip->partner = bench_partner(serve, trip);
}

int round_trip_make(struct round_trip *trip)
{
	char packet[PACKET] = {0}, control[CMSG_SPACE(sizeof(int))];
	struct iovec data = {packet, sizeof(packet)};
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	if (send(trip->client, packet, sizeof(packet), MSG_NOSIGNAL) != PACKET ||
		recvmsg(trip->client, &message, MSG_CMSG_CLOEXEC) != PACKET)
		bench_fail("bare round trip: %m");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

void round_trip_work(void *context, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		close(round_trip_make(context));
}

void round_trip_place(const struct round_trip *trip, int cpu)
{
	static pid_t node[2];
	static unsigned int n;

	if (!n)
		n = bench_node(node);
	bench_pin_process(trip->partner.pid, cpu);
	for (unsigned int i = 0; i < n; ++i)
		bench_pin_process(node[i], cpu);
}
