/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/peer-tls.h"

#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include "base/error.h"

/* A node without peers has nothing to do with it: initialised by the first connection. */
GNUTLS_SKIP_GLOBAL_INIT

/* A key alone would be enough for TLS; forward secrecy needs the key exchange. */
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK"

/* AES-GCM because processors have it; one, so that both kernels get what they can do. */
#define PRIORITY_DATA PRIORITY ":-CIPHER-ALL:+AES-128-GCM:-GROUP-ALL:+GROUP-X25519"

#define EXPORTED                                                                                   \
	"EXPERIMENTAL causeway data" /* RFC 5705 wants this of labels that are not listed */

#define IDENTITY_MAX   40
#define BYTES_PER_READ (256u << 10) /* of the socket: records without content must end, too */

struct PeerTls {
	gnutls_session_t session;
	gnutls_psk_client_credentials_t dialler;
	gnutls_psk_server_credentials_t acceptor;
	peer_tls_find_key find_key;
	void *userdata;
	int fd;
	uint32_t self, peer;
	bool proved;
	size_t budget; /* bytes that may still be read: before the proof, and in one call */
	size_t unsent; /* of the record that the socket did not take whole */
	uint64_t sent;
};

/* The socket, as GnuTLS sees it */

static ssize_t pull(gnutls_transport_ptr_t userdata, void *buf, size_t size)
{
	PeerTls *t = userdata;
	ssize_t n;

	if (t->budget == 0) {
		gnutls_transport_set_errno(t->session, t->proved ? EAGAIN : EMSGSIZE);
		return -1;
	}
	n = recv(t->fd, buf, MIN(size, t->budget), MSG_DONTWAIT);
	if (n < 0)
		gnutls_transport_set_errno(t->session, errno);
	else
		t->budget -= (size_t)n;
	return n;
}

static int pull_timeout(gnutls_transport_ptr_t userdata, unsigned int ms)
{
	const PeerTls *t = userdata;
	struct pollfd p = {.fd = t->fd, .events = POLLIN};

	return poll(&p, 1, 0);
}

static ssize_t push(gnutls_transport_ptr_t userdata, const void *data, size_t size)
{
	PeerTls *t = userdata;
	ssize_t n = send(t->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		gnutls_transport_set_errno(t->session, errno);
	else
		t->sent += (uint64_t)n;
	return n;
}

/* Identities */

static void identity_encode(char identity[IDENTITY_MAX], uint32_t from, uint32_t to)
{
	snprintf(identity, IDENTITY_MAX, "causeway:%u:%u", from, to);
}

static bool identity_decode(const gnutls_datum_t *identity, uint32_t self, uint32_t *ret_from)
{
	char text[IDENTITY_MAX], exact[IDENTITY_MAX];
	uint32_t from;

	if (identity->size >= sizeof(text))
		return false;
	memcpy(text, identity->data, identity->size);
	text[identity->size] = '\0';
	if (sscanf(text, "causeway:%" SCNu32, &from) != 1)
		return false;
	identity_encode(exact, from, self);
	if (strlen(exact) != identity->size || memcmp(exact, identity->data, identity->size))
		return false;
	*ret_from = from;
	return true;
}

/* Who is not known is given a key that nobody has, so that it cannot tell. */
static int on_identity(
	gnutls_session_t session, const gnutls_datum_t *identity, gnutls_datum_t *key)
{
	PeerTls *t = gnutls_session_get_ptr(session);
	uint32_t from = 0;

	key->data = gnutls_malloc(PEER_KEY_SIZE);
	if (!key->data)
		return -1;
	key->size = PEER_KEY_SIZE;
	if (identity_decode(identity, t->self, &from) && t->find_key(t->userdata, from, key->data))
		t->peer = from;
	else if (getrandom(key->data, key->size, 0) != (ssize_t)key->size)
		return -1;
	return 0;
}

/* Life */

static int error_of(int r)
{
	switch (r) {
	case GNUTLS_E_AGAIN:
	case GNUTLS_E_INTERRUPTED:
		return -EAGAIN;
	case GNUTLS_E_MEMORY_ERROR:
		return -ENOMEM;
	case GNUTLS_E_PUSH_ERROR:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PREMATURE_TERMINATION:
		return -ECONNRESET;
	default:
		return -EPROTO;
	}
}

static int tls_new(int fd, uint32_t self, unsigned int flags, PeerTls **ret_tls)
{
	_cleanup_(peer_tls_free_p) PeerTls *t = NULL;
	static bool begun;
	int r;

	if (!begun && gnutls_global_init() < 0)
		return -ENOMEM;
	begun = true;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->fd = fd;
	t->self = self;
	t->budget = PEER_TLS_STRANGER_BYTES;
	r = gnutls_init(
		&t->session, flags | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);
	if (r < 0) {
		t->session = NULL;
		return error_of(r);
	}
	r = gnutls_priority_set_direct(t->session, PRIORITY, NULL);
	if (r < 0)
		return error_of(r);
	gnutls_session_set_ptr(t->session, t);
	gnutls_transport_set_ptr(t->session, t);
	gnutls_transport_set_pull_function(t->session, pull);
	gnutls_transport_set_pull_timeout_function(t->session, pull_timeout);
	gnutls_transport_set_push_function(t->session, push);
	*ret_tls = take_ptr(t);
	return 0;
}

int peer_tls_new_dialler(
	int fd, uint32_t self, uint32_t peer, const uint8_t key[PEER_KEY_SIZE], PeerTls **ret_tls)
{
	_cleanup_(peer_tls_free_p) PeerTls *t = NULL;
	const gnutls_datum_t secret = {(unsigned char *)key, PEER_KEY_SIZE};
	char identity[IDENTITY_MAX];
	int r;

	r = tls_new(fd, self, GNUTLS_CLIENT, &t);
	if (r < 0)
		return r;
	t->peer = peer;
	identity_encode(identity, self, peer);
	r = gnutls_psk_allocate_client_credentials(&t->dialler);
	if (r == 0)
		r = gnutls_psk_set_client_credentials(
			t->dialler, identity, &secret, GNUTLS_PSK_KEY_RAW);
	if (r == 0)
		r = gnutls_credentials_set(t->session, GNUTLS_CRD_PSK, t->dialler);
	if (r < 0)
		return error_of(r);
	*ret_tls = take_ptr(t);
	return 0;
}

int peer_tls_new_acceptor(
	int fd, uint32_t self, peer_tls_find_key find_key, void *userdata, PeerTls **ret_tls)
{
	_cleanup_(peer_tls_free_p) PeerTls *t = NULL;
	int r;

	r = tls_new(fd, self, GNUTLS_SERVER, &t);
	if (r < 0)
		return r;
	t->find_key = find_key;
	t->userdata = userdata;
	r = gnutls_psk_allocate_server_credentials(&t->acceptor);
	if (r < 0)
		return error_of(r);
	gnutls_psk_set_server_credentials_function2(t->acceptor, on_identity);
	r = gnutls_credentials_set(t->session, GNUTLS_CRD_PSK, t->acceptor);
	if (r < 0)
		return error_of(r);
	*ret_tls = take_ptr(t);
	return 0;
}

int peer_tls_set_data(PeerTls *t)
{
	int r = gnutls_priority_set_direct(t->session, PRIORITY_DATA, NULL);

	return r < 0 ? error_of(r) : 0;
}

void peer_tls_free(PeerTls *t)
{
	if (!t)
		return;
	if (t->session)
		gnutls_deinit(t->session);
	if (t->dialler)
		gnutls_psk_free_client_credentials(t->dialler);
	if (t->acceptor)
		gnutls_psk_free_server_credentials(t->acceptor);
	free(t);
}

/* Handshake */

/* What the priorities demand was agreed on; without it the other has proved nothing. */
static bool is_proved(const PeerTls *t)
{
	gnutls_kx_algorithm_t kx = gnutls_kx_get(t->session);

	return t->peer && gnutls_protocol_get_version(t->session) == GNUTLS_TLS1_3 &&
	       (kx == GNUTLS_KX_ECDHE_PSK || kx == GNUTLS_KX_DHE_PSK) &&
	       !gnutls_session_is_resumed(t->session);
}

/* A wrong key shows as a message that does not verify, here or there. */
static int handshake_error(int r)
{
	switch (r) {
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
	case GNUTLS_E_DECRYPTION_FAILED:
	case GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER:
	case GNUTLS_E_ERROR_IN_FINISHED_PACKET:
	case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
		return -EACCES;
	default:
		return error_of(r);
	}
}

int peer_tls_handshake(PeerTls *t)
{
	int r;

	do
		r = gnutls_handshake(t->session);
	while (r < 0 && r != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(r));
	if (r == GNUTLS_E_AGAIN)
		return -EAGAIN;
	if (r < 0) {
		/* so that the other knows why, if it can be sent */
		gnutls_alert_send_appropriate(t->session, r);
		return handshake_error(r);
	}
	if (!is_proved(t))
		return -EACCES;
	t->proved = true;
	return 0;
}

bool peer_tls_wants_write(const PeerTls *t)
{
	return t->unsent > 0 || (!t->proved && gnutls_record_get_direction(t->session) == 1);
}

uint32_t peer_tls_peer(const PeerTls *t)
{
	return t->peer;
}

/* Keys */

int peer_tls_export(const PeerTls *t, const uint8_t context[16], uint8_t ret_key[PEER_KEY_SIZE])
{
	int r = gnutls_prf_rfc5705(t->session, strlen(EXPORTED), EXPORTED, 16,
		(const char *)context, PEER_KEY_SIZE, (char *)ret_key);

	return r < 0 ? error_of(r) : 0;
}

int peer_tls_get_keys(const PeerTls *t, bool receiving, struct peer_tls_keys *ret_keys)
{
	gnutls_datum_t mac, iv, key;
	struct peer_tls_keys keys;

	if (gnutls_cipher_get(t->session) != GNUTLS_CIPHER_AES_128_GCM ||
		gnutls_record_check_pending(t->session) > 0 ||
		gnutls_record_get_state(t->session, receiving, &mac, &iv, &key, keys.number) < 0)
		return -EPROTO;
	if (iv.size != sizeof(keys.iv) || key.size != sizeof(keys.key))
		return -EPROTO;
	memcpy(keys.iv, iv.data, sizeof(keys.iv));
	memcpy(keys.key, key.data, sizeof(keys.key));
	*ret_keys = keys;
	return 0;
}

/* Data */

ssize_t peer_tls_read(PeerTls *t, void *buf, size_t size)
{
	ssize_t n;

	t->budget = BYTES_PER_READ;
	n = gnutls_record_recv(t->session, buf, size);
	if (n == GNUTLS_E_PREMATURE_TERMINATION)
		return 0;
	return n >= 0 ? n : error_of((int)n);
}

ssize_t peer_tls_write(PeerTls *t, const void *data, size_t size)
{
	ssize_t n;

	if (t->unsent)
		n = gnutls_record_send(t->session, NULL, 0);
	else
		n = gnutls_record_send(t->session, data, MIN(size, PEER_TLS_READ_MIN));
	if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
		/* GnuTLS has made a record of it and keeps that; it is taken when all is sent */
		t->unsent = MIN(size, PEER_TLS_READ_MIN);
		return -EAGAIN;
	}
	t->unsent = 0;
	return n >= 0 ? n : error_of((int)n);
}

uint64_t peer_tls_sent(const PeerTls *t)
{
	return t->sent;
}

void peer_tls_finish(PeerTls *t)
{
	if (t->proved && !t->unsent)
		gnutls_bye(t->session, GNUTLS_SHUT_WR);
}
