/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/data-arrival.h"

#include <stdlib.h>
#include <string.h>
#include "daemon/data-tls.h"
#include "daemon/guest.h"
#include "daemon/log.h"
#include "daemon/manager-peer.h"

struct arrival {
	Manager *manager;
	Stranger *stranger;
	DataTls *tls;
	int fd;
	uint32_t node;
	uint8_t grant[16];
};

static void arrival_free(struct arrival *a)
{
	data_tls_free(a->tls);
	fd_close(a->fd);
	free(a);
}

void data_arrival_cut(void *arrival)
{
	arrival_free(arrival);
}

static void on_done(void *userdata, int error)
{
	struct arrival *a = userdata;

	stranger_leave(a->stranger);
	if (error < 0)
		log_limited("an encrypted data connection that says it is node %u's is refused: %s",
			a->node,
			error == -EACCES       ? "it does not know the secret of its grant"
			: error == -EOPNOTSUPP ? "this kernel has no TLS any more"
					       : strerror(-error));
	else
		guest_data_arrived(a->manager, take_fd(&a->fd), a->node, a->grant, true);
	arrival_free(a);
}

int data_arrival_begin(void *userdata, int fd, uint32_t node, const uint8_t grant[16],
	Stranger *stranger, void **ret_arrival)
{
	const Peers *peers = userdata;
	struct data_tls_options options = {
		.event = peers->manager->event,
		.fd = fd,
		.self = peers->self,
		.peer = node,
		.done = on_done,
	};
	uint8_t secret[PEER_KEY_SIZE];
	struct arrival *a;
	int r;

	if (!guest_data_secret(peers->manager, node, grant, secret)) {
		log_limited("an encrypted data connection that says it is node %u's is refused: "
			    "its grant is unknown, used or too old",
			node);
		return -EACCES;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->manager = peers->manager;
	a->stranger = stranger;
	a->node = node;
	memcpy(a->grant, grant, sizeof(a->grant));
	options.userdata = a;
	options.secret = secret;
	r = data_tls_begin(&options, &a->tls);
	explicit_bzero(secret, sizeof(secret));
	if (r < 0) {
		free(a);
		return r;
	}
	a->fd = fd;
	*ret_arrival = a;
	return 0;
}
