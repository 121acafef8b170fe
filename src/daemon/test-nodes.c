/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "daemon/test-nodes.h"

#define CONFIG_MAX 1024u

/* Free at the moment, and none that the kernel gives to a connection or to another test. */
static uint16_t find_port(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint16_t random;
	int s, r;

	do {
		assert_int_equal(getrandom(&random, sizeof(random), 0), sizeof(random));
		address.sin_port = htons((uint16_t)(10000 + random % 20000));
		s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		r = bind(s, (struct sockaddr *)&address, sizeof(address));
		close(s);
	} while (r < 0);
	return ntohs(address.sin_port);
}

static void make_key(char text[65])
{
	uint8_t bytes[32];

	assert_int_equal(getrandom(bytes, sizeof(bytes), 0), sizeof(bytes));
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
}

static void make_keys(struct nodes *ns)
{
	for (unsigned int a = 1; a <= ns->n; a++)
		for (unsigned int b = a + 1; b <= ns->n; b++) {
			make_key(ns->key[a][b]);
			strcpy(ns->key[b][a], ns->key[a][b]);
		}
}

static void write_keys(const struct nodes *ns, unsigned int self)
{
	char text[512] = "";

	for (unsigned int b = 1; b <= ns->n; b++)
		if (b != self)
			sprintf(text + strlen(text), "%u %s\n", b, ns->key[self][b]);
	node_write(&ns->node[self], "keys", text);
}

static void describe(
	const struct nodes *ns, unsigned int self, const char *config, char text[CONFIG_MAX])
{
	sprintf(text, "[Node]\nNodeId=%u\n[Nodes]\n", self);
	for (unsigned int i = 1; i <= ns->n; i++)
		sprintf(text + strlen(text), "%u=127.0.0.1:%u\n", i, ns->port[i]);
	sprintf(text + strlen(text), "%s", config);
}

static void begin(struct nodes *ns, unsigned int n)
{
	*ns = (struct nodes){.n = n};
	make_keys(ns);
	for (unsigned int i = 1; i <= n; i++)
		ns->port[i] = find_port();
}

static void start(struct nodes *ns, const char *program, unsigned int i, const char *config)
{
	char text[CONFIG_MAX];

	describe(ns, i, config, text);
	node_prepare(&ns->node[i], text);
	write_keys(ns, i);
	node_start_again(&ns->node[i], program, false);
}

void nodes_start_one(struct nodes *ns, const char *program, unsigned int number, const char *config)
{
	start(ns, program, number, config);
}

void nodes_start(struct nodes *ns, const char *program, unsigned int n, unsigned int n_started,
	const char *config)
{
	begin(ns, n);
	for (unsigned int i = 1; i <= n_started; i++)
		start(ns, program, i, config);
}

void nodes_start_each(
	struct nodes *ns, const char *program, unsigned int n, const char *const *configs)
{
	begin(ns, n);
	for (unsigned int i = 1; i <= n; i++)
		start(ns, program, i, configs[i - 1]);
}

void nodes_configure(struct nodes *ns, unsigned int i, const char *config)
{
	char text[CONFIG_MAX];

	describe(ns, i, config, text);
	node_write(&ns->node[i], "causeway.conf", text);
}

void nodes_stop(struct nodes *ns)
{
	for (unsigned int i = 1; i <= ns->n; i++)
		if (ns->node[i].keeper)
			node_stop(&ns->node[i]);
}

void nodes_kill_daemon(struct client *c)
{
	struct wire_node_status_reply status = client_node_status(c);

	kill((pid_t)status.daemon_pid, SIGKILL);
	client_wait_resend(c);
}

void nodes_kill(struct nodes *ns, unsigned int number, struct client *c)
{
	struct wire_node_status_reply status = client_node_status(c);
	struct node *n = &ns->node[number];
	char path[64];

	/* it would start another keeper */
	kill((pid_t)status.daemon_pid, SIGSTOP);
	kill(n->keeper, SIGKILL);
	kill((pid_t)status.daemon_pid, SIGKILL);
	assert_int_equal(waitpid(n->keeper, NULL, 0), n->keeper);
	n->keeper = 0;
	unlink(n->socket);
	snprintf(path, sizeof(path), "%s.lock", n->socket);
	unlink(path);
	node_remove(n);
}

/* Imports */

uint32_t remote_connect(
	struct remote *r, struct client *c, uint32_t node, uint32_t id, uint32_t rights)
{
	struct wire_message m = {.type = WIRE_IMPORT_CONNECT,
		.import_connect = {WIRE_SPACE_RSM, WIRE_CONTROLLER_TCP, node, id, rights}};
	struct wire_message ask = {.type = WIRE_IMPORT_RESULT};
	const struct wire_import_connect_reply *p = &c->reply.import_connect_reply;
	uint32_t status = client_call(c, &m);

	*r = (struct remote){.client = c};
	if (status)
		return status;
	assert_int_equal(c->n_fds, 0);
	assert_int_equal(p->state, WIRE_IMPORT_PENDING);
	assert_true(p->route > 0);
	r->import = ask.import_result.import = p->import;
	client_wait_word(&c->status->imports[r->import],
		WIRE_IMPORT_WORD(p->generation, WIRE_IMPORT_PENDING));
	status = client_call(c, &ask);
	r->result = c->reply.import_result_reply;
	r->route = r->result.route - 1;
	memcpy(r->user.key.bytes, r->result.key, sizeof(r->result.key));
	return status;
}

uint32_t remote_route(struct client *c, uint32_t route, struct wire_route_reply *ret, int *ret_fd)
{
	struct wire_message m = {.type = WIRE_ROUTE, .route = {route}};
	uint32_t status = client_call(c, &m);

	if (status)
		return status;
	*ret = c->reply.route_reply;
	*ret_fd = client_take_fd(c, 0);
	return 0;
}

/* Why there is no route any more. */
static int end_of(const struct remote *r)
{
	uint32_t state = (uint32_t)client_import_word(r->client, r->import);

	return state == WIRE_IMPORT_REVOKED || state == WIRE_IMPORT_EXPORTER_GONE
		       ? STATUS_REVOKED
		       : STATUS_NODE_LOST;
}

/* Says that this generation is broken, and sleeps until there is another, or none. */
static uint32_t renew(struct remote *r, const _Atomic uint64_t *word)
{
	uint64_t now = atomic_load((_Atomic uint64_t *)word), broken = now;
	struct wire_message m = {.type = WIRE_ROUTE_RENEW, .flags = WIRE_ONEWAY};

	if ((uint32_t)now == WIRE_ROUTE_OPEN) {
		m.route_renew.route = r->route;
		m.route_renew.generation = (uint32_t)(now >> 32);
		client_send(r->client, &m, NULL, 0);
		while (now == broken)
			now = client_wait_word(word, now);
	}
	while ((uint32_t)now == WIRE_ROUTE_OPENING)
		now = client_wait_word(word, now);
	return (uint32_t)now;
}

static int repair(void *userdata, FabricPath *path)
{
	struct remote *r = userdata;
	struct wire_route_reply reply;
	int fd, e;

	r->n_repairs++;
	if (renew(r, &r->client->status->routes[r->route]) != WIRE_ROUTE_OPEN)
		return end_of(r);
	if (remote_route(r->client, r->route, &reply, &fd))
		return end_of(r);
	e = fabric_path_resume(path, fd, reply.done);
	if (e)
		close(fd);
	return e;
}

void remote_open(struct remote *r, struct client *c, uint32_t node, uint32_t id, uint32_t rights)
{
	struct fabric_path_options options = {
		.repair = repair, .userdata = r, .stall = 10 * NSEC_PER_SEC};
	struct wire_route_reply reply;
	int fd;

	assert_int_equal(remote_connect(r, c, node, id, rights), STATUS_OK);
	assert_int_equal(remote_route(c, r->route, &reply, &fd), STATUS_OK);
	assert_int_equal(reply.node, node);
	assert_int_equal(reply.done, 0);
	options.records = reply.records;
	assert_int_equal(fabric_tcp_path_new(fd, &options, &r->path), 0);
	assert_int_equal(fabric_path_add_user(r->path, &r->user), 0);
}

void remote_close(struct remote *r)
{
	if (!r->path)
		return;
	fabric_path_remove_user(r->path, &r->user);
	fabric_path_free(r->path);
	r->path = NULL;
}

uint32_t remote_disconnect(struct remote *r)
{
	struct wire_message m = {.type = WIRE_IMPORT_DISCONNECT, .import_disconnect = {r->import}};

	return client_call(r->client, &m);
}
