/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/fabric.h"

#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* What the kernel tells of a stream that it encrypts. The keys were given to it by the daemons. */

static uint64_t records_of(int fd, int direction)
{
	struct tls12_crypto_info_aes_gcm_128 info = {0};
	socklen_t size = sizeof(info);
	uint64_t n = 0;

	if (getsockopt(fd, SOL_TLS, direction, &info, &size) < 0)
		return 0;
	for (unsigned int i = 0; i < sizeof(info.rec_seq); i++)
		n = n << 8 | info.rec_seq[i];
	explicit_bzero(&info, sizeof(info));
	return n;
}

bool fabric_tcp_is_encrypted(int fd)
{
	char name[16] = "";
	socklen_t size = sizeof(name) - 1;

	return getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &size) == 0 && !strcmp(name, "tls");
}

uint64_t fabric_tcp_records(int fd)
{
	uint64_t sent = records_of(fd, TLS_TX), received = records_of(fd, TLS_RX);

	return MAX(sent, received);
}
