/* SPDX-License-Identifier: Apache-2.0 */
#include "sniffer.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include "bench.h"

int sniffer_open(void)
{
	int sniffer = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));

	if (sniffer < 0)
		bench_fail("a packet socket: %m");
	return sniffer;
}

/* A TCP packet that is not only an acknowledgement: payload, or SYN. */
static bool says_something(const uint8_t *packet, size_t size)
{
	size_t ip = (packet[0] & 15u) * 4u, tcp;

	if (size < 40 || packet[0] >> 4 != 4 || packet[9] != IPPROTO_TCP || ip + 20 > size)
		return false;
	tcp = (packet[ip + 12] >> 4) * 4u;
	return packet[ip + 13] & 2 || size > ip + tcp;
}

unsigned int sniffer_round_trips(int sniffer)
{
	struct sockaddr_ll from;
	socklen_t from_size = sizeof(from);
	uint8_t packet[4096];
	unsigned int n = 0;
	bool out = false;
	ssize_t size;

	while ((size = recvfrom(sniffer, packet, sizeof(packet), MSG_DONTWAIT, (void *)&from,
			&from_size)) > 0) {
		if (!says_something(packet, (size_t)size))
			continue;
		n += out && from.sll_pkttype != PACKET_OUTGOING;
		out = from.sll_pkttype == PACKET_OUTGOING;
	}
	return n;
}
