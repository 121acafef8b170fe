/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of this node with each other one: is it reached, and how does data go there. */
#include "cli/doctor.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "cli/keys.h"
#include "cli/peers.h"
#include "wire/status.h"

#define PROBE_TIMEOUT_MS 2000
#define CONTROLS	 "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
#define DEFAULT_CONTROL	 "/proc/sys/net/ipv4/tcp_congestion_control"

DEFINE_CLEANUP(struct addrinfo *, freeaddrinfo);

/* a node that does not answer */

/* Connects to one address: 0 or a negative errno. */
static int try_connect(const struct addrinfo *a)
{
	_cleanup_close_ int fd =
		socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int error = 0;

	if (fd < 0)
		return negative_errno();
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return negative_errno();
	if (poll(&p, 1, PROBE_TIMEOUT_MS) == 0)
		return -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return negative_errno();
	return -error;
}

/* Where a TCP connection to the node gets to: what can be done about it. */
static void explain_silence(const struct config_node *node, char *buf, size_t size)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	_cleanup_(freeaddrinfo_p) struct addrinfo *list = NULL;
	char port[16];
	int r;

	snprintf(port, sizeof(port), "%u", node->port);
	r = getaddrinfo(node->host, port, &hints, &list);
	if (r) {
		snprintf(buf, size, "%s: correct [Nodes] (%s) or the resolver", gai_strerror(r),
			node->origin);
		return;
	}
	r = try_connect(list);
	if (r == 0)
		snprintf(buf, size,
			"something listens at %s port %u: is it causewayd of node %u, with the "
			"same key "
			"('causeway keygen --replace %u' makes new ones), and of this version? Its "
			"log "
			"says why it refuses",
			node->host, node->port, node->number, node->number);
	else if (r == -ECONNREFUSED)
		snprintf(buf, size,
			"nothing listens at %s port %u: start causewayd there, or correct Listen= "
			"there or [Nodes] here (%s)",
			node->host, node->port, node->origin);
	else
		snprintf(buf, size,
			"%s port %u: %s: see that the host is up, the address in %s is right, and "
			"no firewall drops TCP to that port",
			node->host, node->port, strerror(-r), node->origin);
}

/* Whether we have a key for it; what is wrong if not. */
static bool has_key(const struct doctor *d, const struct wire_node_row *row, char *buf, size_t size)
{
	_cleanup_free_ char *path = NULL;
	int r = config_path(d->config, d->config->key_file, &path);

	if (r == 0)
		r = keys_file_has(path, row->node);
	if (r == 0)
		snprintf(buf, size,
			"%s has no key for it: 'causeway keygen -d DIR %u %u', copy the files, "
			"'causeway reload' on both",
			path, d->node.status.node, row->node);
	else if (r == -ENOENT)
		snprintf(buf, size,
			"there is no %s: 'causeway keygen -d DIR %u %u', copy the files, 'causeway "
			"reload' on both",
			path, d->node.status.node, row->node);
	return r != 0 && r != -ENOENT; /* what we may not read is the daemon's matter */
}

static void explain_peer(
	const struct doctor *d, const struct wire_node_row *row, char *buf, size_t size)
{
	const struct config_node *node;

	if (!d->config) {
		snprintf(buf, size, "see configuration, above");
		return;
	}
	if (!has_key(d, row, buf, size))
		return;
	node = config_find_node(d->config, row->node);
	if (node)
		explain_silence(node, buf, size);
	else
		snprintf(buf, size, "it is not in the configuration any more: 'causeway reload'");
}

/* Its state, as it tells it; also makes the connection. */
static int ask_status(uint32_t node, struct wire_node_status_reply *ret)
{
	struct wire_message request = {.type = WIRE_NODE_STATUS, .node_status = {.asked = node}};
	struct cw_reply reply;
	int r = cw_call(&request, NULL, 0, &reply);

	if (r == 0)
		*ret = reply.message.node_status_reply;
	return r;
}

static int ask_ping(uint32_t node, uint64_t *ret_ns)
{
	struct wire_message request = {.type = WIRE_PING, .ping = {.node = node}};
	struct cw_reply reply;
	int r = cw_call(&request, NULL, 0, &reply);

	if (r == 0)
		*ret_ns = reply.message.ping_reply.round_trip;
	return r;
}

void check_peer(struct doctor *d, const struct wire_node_row *row, struct finding *f)
{
	char remedy[sizeof(f->remedy)] = "", trouble[PEER_TROUBLE_MAX], seconds[64] = "";
	struct wire_node_status_reply status;
	uint64_t round_trip = 0;
	int r = ask_status(row->node, &status);

	if (r == 0)
		r = ask_ping(row->node, &round_trip);
	if (r) {
		peer_trouble(row->node, trouble);
		explain_peer(d, row, remedy, sizeof(remedy));
		finding_set(f, VERDICT_FAILED, remedy, "%s: %s%s", row->address,
			node_result_text(r), trouble);
		return;
	}
	if (d->config)
		snprintf(seconds, sizeof(seconds),
			", lost after %.1f s of silence (or sooner, if node %u says so)",
			(double)d->config->detection_time / 1e9, row->node);
	finding_set(f, VERDICT_OK, NULL,
		"%s: reached and key accepted, causewayd %s, %s, round trip %.0f us%s",
		row->address, status.version,
		status.flags & WIRE_NODE_PRIVILEGED ? "root's" : "a user's",
		(double)round_trip / 1e3, seconds);
}

/* how data goes there */

/* The first line of a file; "" if there is none. */
static void read_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");

	buf[0] = '\0';
	if (f && fgets(buf, (int)size, f))
		buf[strcspn(buf, "\n")] = '\0';
	if (f)
		fclose(f);
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
			return true;
	return false;
}

/* The congestion control that TcpCongestion= comes to here; "": none of its words. */
static void pick_control(const struct doctor *d, char *buf, size_t size)
{
	char allowed[256], *rest;
	_cleanup_free_ char *wanted = strdup(d->config->tcp_congestion);

	read_line(CONTROLS, allowed, sizeof(allowed));
	buf[0] = '\0';
	for (char *word = wanted ? strtok_r(wanted, " ", &rest) : NULL; word;
		word = strtok_r(NULL, " ", &rest))
		if (has_word(allowed, word)) {
			snprintf(buf, size, "%s", word);
			return;
		}
}

void check_transport(struct doctor *d, uint32_t node, struct finding *f)
{
	char control[32] = "", normal[32], better[384];

	rdma_text(d, node, better, sizeof(better));
	read_line(DEFAULT_CONTROL, normal, sizeof(normal));
	if (d->config)
		pick_control(d, control, sizeof(control));
	if (d->config && d->config->tcp_congestion[0] && !control[0])
		finding_set(f, VERDICT_WARNING,
			"load the module (modprobe tcp_NAME) and allow it "
			"(net.ipv4.tcp_allowed_congestion_control), or change TcpCongestion=",
			"tcp with the system's congestion control, %s: this kernel allows none of "
			"\"%s\"; %s",
			normal, d->config->tcp_congestion, better);
	else
		finding_set(f, VERDICT_OK, NULL, "tcp, congestion control %s; %s",
			control[0] ? control : normal, better);
}
