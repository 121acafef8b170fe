/* SPDX-License-Identifier: Apache-2.0 */
#include "agent-afar.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is said is short, and never twice without an answer: it comes in one piece. */
static int pass(int from, int to)
{
	char said[64];
	ssize_t n = recv(from, said, sizeof(said), 0);

	return n > 0 && send(to, said, (size_t)n, MSG_NOSIGNAL) == n ? 0 : -1;
}

static void relay(int channel, int wire)
{
	struct pollfd ends[2] = {{.fd = channel, .events = POLLIN}, {.fd = wire, .events = POLLIN}};

	for (;;) {
		poll(ends, 2, -1);
		if (ends[0].revents && pass(channel, wire) < 0)
			return;
		if (ends[1].revents && pass(wire, channel) < 0)
			return;
	}
}

static struct sockaddr_in address_of(const char *host, const char *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	inet_pton(AF_INET, host, &address.sin_addr);
	return address;
}

void agent_afar_relay(int channel, const char *where)
{
	int wire = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in address;
	char host[64], port[16];

	if (sscanf(where, "%63s %15s", host, port) != 2)
		_exit(1);
	address = address_of(host, port);
	if (connect(wire, (struct sockaddr *)&address, sizeof(address)) < 0)
		_exit(1);
	setsockopt(wire, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	relay(channel, wire);
	_exit(0);
}

static _Noreturn void hold(int wire, void (*agent)(int channel))
{
	int channels[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channels) < 0)
		_exit(1);
	pid = fork();
	if (pid == 0) {
		close(channels[0]);
		close(wire);
		agent(channels[1]);
	}
	close(channels[1]);
	relay(channels[0], wire);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	_exit(0);
}

void agent_afar_serve(const char *port, void (*agent)(int channel))
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in address = address_of("0.0.0.0", port);

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(s, 16) < 0)
		exit(1);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int wire = accept4(s, NULL, NULL, SOCK_CLOEXEC);

		if (wire >= 0 && fork() == 0) {
			signal(SIGCHLD, SIG_DFL);
			setsockopt(wire, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			hold(wire, agent);
		}
		close(wire);
	}
}
