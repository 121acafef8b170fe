/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/data-tls.h"

#include <assert.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/cleanup.h"
#include "base/error.h"

struct DataTls {
	struct data_tls_options options;
	uint8_t secret[PEER_KEY_SIZE];
	PeerTls *tls;
	sd_event_source *io;
};

/* The kernel */

static const char ulp[] = "tls";

/* A socket that is not connected is refused only if there is something to refuse it. */
bool data_tls_kernel_can(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	return setsockopt(fd, IPPROTO_TCP, TCP_ULP, ulp, sizeof(ulp) - 1) == 0 || errno == ENOTCONN;
}

static int set_direction(int fd, const PeerTls *tls, bool receiving)
{
	struct tls12_crypto_info_aes_gcm_128 info = {
		.info = {.version = TLS_1_3_VERSION, .cipher_type = TLS_CIPHER_AES_GCM_128}};
	struct peer_tls_keys keys;
	int r = peer_tls_get_keys(tls, receiving, &keys);

	if (r < 0)
		return r;
	static_assert(sizeof(info.key) == sizeof(keys.key), "AES-128");
	static_assert(sizeof(info.salt) + sizeof(info.iv) == sizeof(keys.iv), "the nonce");
	memcpy(info.key, keys.key, sizeof(info.key));
	memcpy(info.salt, keys.iv, sizeof(info.salt));
	memcpy(info.iv, keys.iv + sizeof(info.salt), sizeof(info.iv));
	memcpy(info.rec_seq, keys.number, sizeof(info.rec_seq));
	if (setsockopt(fd, SOL_TLS, receiving ? TLS_RX : TLS_TX, &info, sizeof(info)) < 0)
		r = negative_errno();
	explicit_bzero(&info, sizeof(info));
	explicit_bzero(&keys, sizeof(keys));
	return r;
}

static int hand_over(const DataTls *t)
{
	int r;

	if (setsockopt(t->options.fd, IPPROTO_TCP, TCP_ULP, ulp, sizeof(ulp) - 1) < 0)
		return errno == ENOENT ? -EOPNOTSUPP : negative_errno();
	r = set_direction(t->options.fd, t->tls, false);
	if (r == 0)
		r = set_direction(t->options.fd, t->tls, true);
	return r == -ENOENT ? -EOPNOTSUPP : r; /* no such cipher */
}

/* The handshake */

static int advance(DataTls *t)
{
	int r = peer_tls_handshake(t->tls);

	if (r == 0)
		return hand_over(t);
	if (r == -EAGAIN && sd_event_source_set_io_events(
				    t->io, peer_tls_wants_write(t->tls) ? EPOLLOUT : EPOLLIN) < 0)
		return -ENOMEM;
	return r;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	DataTls *t = userdata;
	int r = advance(t);

	if (r == -EAGAIN)
		return 0;
	t->io = sd_event_source_disable_unref(t->io);
	t->options.done(t->options.userdata, r);
	return 0;
}

static bool find_secret(void *userdata, uint32_t node, uint8_t ret_key[PEER_KEY_SIZE])
{
	const DataTls *t = userdata;

	if (node != t->options.peer)
		return false;
	memcpy(ret_key, t->secret, PEER_KEY_SIZE);
	return true;
}

/* Life */

void data_tls_free(DataTls *t)
{
	if (!t)
		return;
	sd_event_source_disable_unref(t->io);
	peer_tls_free(t->tls);
	explicit_bzero(t->secret, sizeof(t->secret));
	free(t);
}
DEFINE_CLEANUP(DataTls *, data_tls_free);

int data_tls_begin(const struct data_tls_options *options, DataTls **ret_tls)
{
	_cleanup_(data_tls_free_p) DataTls *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->options = *options;
	memcpy(t->secret, options->secret, sizeof(t->secret));
	t->options.secret = t->secret;
	if (options->dialled)
		r = peer_tls_new_dialler(
			options->fd, options->self, options->peer, t->secret, &t->tls);
	else
		r = peer_tls_new_acceptor(options->fd, options->self, find_secret, t, &t->tls);
	if (r == 0)
		r = peer_tls_set_data(t->tls);
	if (r == 0) /* who dials speaks first */
		r = sd_event_add_io(options->event, &t->io, options->fd,
			options->dialled ? EPOLLOUT : EPOLLIN, on_io, t);
	if (r < 0)
		return r;
	*ret_tls = take_ptr(t);
	return 0;
}
