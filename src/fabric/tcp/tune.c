/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/fabric.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define NAME_MAX_LENGTH 16u /* the kernel's TCP_CA_NAME_MAX */

static void set(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

/* The first of the words that the kernel has. */
static void choose_congestion(int fd, const char *words)
{
	while (*(words += strspn(words, " \t"))) {
		size_t n = strcspn(words, " \t");

		if (n < NAME_MAX_LENGTH &&
			setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, words, (socklen_t)n) == 0)
			return;
		words += n;
	}
}

void fabric_tcp_tune(int fd, unsigned int user_timeout, const char *congestion)
{
	int seconds = (int)MAX(user_timeout / 3000, 1u);

	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	/* each covers what the other does not: data under way, and none */
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
	if (user_timeout)
		set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)user_timeout);
	if (congestion)
		choose_congestion(fd, congestion);
}
