/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/port.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/log.h"
#include "daemon/resolve.h"
#include "fabric/fabric.h"

#define ACCEPTS_PER_TURN 16
#define STRANGER_TIMEOUT (2 * NSEC_PER_SEC)
#define TLS_HANDSHAKE	 0x16
#define DATA_HELLO	 'C'

struct Port {
	Manager *manager;
	const struct port_ops *ops;
	void *userdata;
	sd_event_source *accepting;
	struct list strangers; /* the oldest first */
	unsigned int n_strangers;
};

struct Stranger {
	Port *port;
	struct list link;
	struct sockaddr_storage address;
	int fd;		/* -1: somebody else's by now */
	void *userdata; /* his; NULL: nobody's yet */
	void (*cut)(void *userdata);
	sd_event_source *readable, *timeout;
	size_t n; /* of the data hello */
	uint8_t hello[FABRIC_HELLO_SIZE];
};

/* Listening */

/* As written, for messages. */
static const char *listen_text(const struct config *config)
{
	return config->listen[0] ? config->listen : config_find_node(config, config->node_id)->text;
}

static void listen_address(
	const struct config *config, char host[CONFIG_HOST_MAX], uint32_t *ret_port)
{
	const struct config_node *self = config_find_node(config, config->node_id);

	*ret_port = 0;
	if (!config->listen[0] || config_address_parse(config->listen, host, ret_port) < 0)
		strcpy(host, self->host);
	if (!*ret_port)
		*ret_port = self->port;
}

static int listen_on(const struct peer_address *a, int *ret_fd)
{
	_cleanup_close_ int fd = socket(
		a->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	int on = 1;

	if (fd < 0)
		return negative_errno();
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&a->address, a->length) < 0 ||
		listen(fd, SOMAXCONN) < 0)
		return negative_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

static const char *advice(int r)
{
	if (r == -EADDRINUSE)
		return "; another program has that port: stop it, or choose another with Port= or "
		       "in [Nodes]";
	if (r == -EADDRNOTAVAIL)
		return "; this host has no such address: is NodeId= right? Listen= says where to "
		       "listen if that differs from [Nodes]";
	return "";
}

int port_open(const struct config *config, int *ret_fd)
{
	struct resolved resolved;
	char host[CONFIG_HOST_MAX];
	uint32_t port;
	int r;

	listen_address(config, host, &port);
	r = resolve_now(host, port, &resolved);
	if (r) {
		log_error("cannot listen on %s: %s", listen_text(config), gai_strerror(r));
		return -EADDRNOTAVAIL;
	}
	r = -EADDRNOTAVAIL;
	for (unsigned int i = 0; i < resolved.n && r < 0; i++)
		r = listen_on(&resolved.addresses[i], ret_fd);
	if (r < 0)
		log_error("cannot listen on %s, port %u: %s%s", listen_text(config), port,
			strerror(-r), advice(r));
	return r;
}

/* Strangers */

static void stranger_free(Stranger *s)
{
	sd_event_source_disable_unref(s->readable);
	sd_event_source_disable_unref(s->timeout);
	list_unlink(&s->link);
	s->port->n_strangers--;
	fd_close(s->fd);
	free(s);
}

void stranger_leave(Stranger *s)
{
	stranger_free(s);
}

static void stranger_cut(Stranger *s)
{
	if (s->userdata)
		s->cut(s->userdata);
	stranger_free(s);
}

/* Whoever has one address of version 6 has 64 bits of them. */
static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct in6_addr *a6 = &((const struct sockaddr_in6 *)a)->sin6_addr,
			      *b6 = &((const struct sockaddr_in6 *)b)->sin6_addr;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return !memcmp(a6, b6, IN6_IS_ADDR_V4MAPPED(a6) ? sizeof(*a6) : 8);
}

static unsigned int count_of_host(const Port *port, const struct sockaddr_storage *address)
{
	const Stranger *s;
	unsigned int n = 0;

	list_for_each (s, &port->strangers, link)
		n += same_host(&s->address, address);
	return n;
}

static void name_host(const struct sockaddr_storage *address, char name[NI_MAXHOST])
{
	if (getnameinfo((const struct sockaddr *)address, sizeof(*address), name, NI_MAXHOST, NULL,
		    0, NI_NUMERICHOST))
		strcpy(name, "somewhere");
}

/* Makes room at the cost of the host that has most. */
static void refuse_oldest(Port *port)
{
	Stranger *s, *oldest = NULL;
	char name[NI_MAXHOST];
	unsigned int n, most = 0;

	list_for_each (s, &port->strangers, link) {
		n = count_of_host(port, &s->address);
		if (n > most) {
			most = n;
			oldest = s;
		}
	}
	name_host(&oldest->address, name);
	log_limited("%s has %u connections that do not say who they are; the oldest is cut off",
		name, most);
	stranger_cut(oldest);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	stranger_cut(userdata);
	return 0;
}

/* Its first bytes */

static int begin_tls(Stranger *s)
{
	void *userdata;
	int r;

	s->readable = sd_event_source_disable_unref(s->readable);
	r = s->port->ops->tls(s->port->userdata, s->fd, s, &userdata);
	if (r < 0)
		return r;
	s->fd = -1;
	s->userdata = userdata;
	s->cut = s->port->ops->cut;
	return 0;
}

static int begin_data_tls(Stranger *s, uint32_t node, const uint8_t grant[16])
{
	void *userdata;
	int r = s->port->ops->data_tls(s->port->userdata, s->fd, node, grant, s, &userdata);

	if (r < 0)
		return r;
	s->fd = -1;
	s->userdata = userdata;
	s->cut = s->port->ops->data_cut;
	return 0;
}

/* Never more than the hello: what follows is for others to read. */
static int read_hello(Stranger *s)
{
	uint8_t grant[16];
	uint32_t node, flags;
	ssize_t n;
	int r;

	n = recv(s->fd, s->hello + s->n, sizeof(s->hello) - s->n, MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 ? negative_errno() : -ENODATA;
	s->n += (size_t)n;
	if (s->n < sizeof(s->hello))
		return 0;
	r = fabric_hello_decode(s->hello, &node, &flags, grant);
	if (r < 0)
		return r;
	s->readable = sd_event_source_disable_unref(s->readable);
	if (flags & FABRIC_HELLO_TLS)
		return begin_data_tls(s, node, grant);
	s->port->ops->data(s->port->userdata, take_fd(&s->fd), node, grant);
	stranger_leave(s);
	return 0;
}

static int read_some(Stranger *s)
{
	uint8_t first;
	ssize_t n;

	if (s->n > 0)
		return read_hello(s);
	n = recv(s->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 ? negative_errno() : -ENODATA;
	if (first == TLS_HANDSHAKE)
		return begin_tls(s);
	return first == DATA_HELLO ? read_hello(s) : -EBADMSG;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	int r = read_some(userdata);

	if (r < 0 && r != -EAGAIN && r != -EINTR)
		stranger_cut(userdata);
	return 0;
}

/* Accepting */

static int stranger_new(Port *port, int fd, const struct sockaddr_storage *address)
{
	sd_event *event = port->manager->event;
	Stranger *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		fd_close(fd);
		return -ENOMEM;
	}
	s->port = port;
	s->fd = fd;
	s->address = *address;
	list_append(&port->strangers, &s->link);
	port->n_strangers++;
	r = sd_event_add_io(event, &s->readable, fd, EPOLLIN, on_readable, s);
	if (r == 0)
		r = sd_event_add_time_relative(event, &s->timeout, CLOCK_MONOTONIC,
			STRANGER_TIMEOUT / NSEC_PER_USEC, 1, on_timeout, s);
	if (r < 0)
		stranger_free(s);
	return r;
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Port *port = userdata;

	for (unsigned int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
		socklen_t length = sizeof(address);
		int socket = accept4(
			fd, (struct sockaddr *)&address, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (socket < 0) {
			manager_accept_failed(port->manager, fd, negative_errno());
			break;
		}
		if (port->n_strangers >= PORT_STRANGERS_MAX)
			refuse_oldest(port);
		if (stranger_new(port, socket, &address) < 0)
			log_limited("a node's connection could not be accepted: out of memory");
	}
	return 0;
}

int port_new(Manager *m, int fd, const struct port_ops *ops, void *userdata, Port **ret_port)
{
	Port *port = calloc(1, sizeof(*port));
	int r;

	if (!port)
		return -ENOMEM;
	port->manager = m;
	port->ops = ops;
	port->userdata = userdata;
	list_init(&port->strangers);
	r = sd_event_add_io(m->event, &port->accepting, fd, EPOLLIN, on_connection, port);
	if (r < 0) {
		free(port);
		return r;
	}
	*ret_port = port;
	return 0;
}

void port_free(Port *port)
{
	Stranger *s, *tmp;

	if (!port)
		return;
	sd_event_source_disable_unref(port->accepting);
	list_for_each_safe (s, tmp, &port->strangers, link)
		stranger_cut(s);
	free(port);
}
