/* SPDX-License-Identifier: Apache-2.0 */
#include "client/test-home.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "memory/memfd.h"
#include "wire/status.h"

/* pages */

static void *page_new(const char *name, size_t size, int *ret_fd)
{
	struct wire_page_head *head;

	assert_int_equal(memfd_new(name, size, ret_fd), 0);
	head = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
	assert_true(head != MAP_FAILED);
	head->magic = WIRE_PAGE_MAGIC;
	head->version = WIRE_MAJOR << 16 | WIRE_MINOR;
	head->size = size;
	return head;
}

static void show(_Atomic uint64_t *word, uint32_t generation, uint32_t state)
{
	atomic_store(word, WIRE_IMPORT_WORD(generation, state));
	syscall(SYS_futex, wire_word_state(word), FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void show_import(struct home_client *c, uint32_t index, uint32_t state)
{
	show(&c->status->imports[index], c->imports[index].generation, state);
}

static void show_route(struct home_client *c, uint32_t state)
{
	show(&c->status->routes[0], c->route_generation, state);
}

/* the data connection */

static uint64_t connection_number(const struct home *h, const struct home_client *c)
{
	return (uint64_t)(c - h->clients) + 1;
}

static void stream_close(struct home *h, struct home_client *c)
{
	if (c->stream >= 0) {
		shutdown(c->stream, SHUT_RDWR);
		c->stream = fd_close(c->stream);
	}
	if (c->attached)
		fabric_target_detach(h->target, connection_number(h, c));
	c->attached = false;
}

static void stream_open(struct home *h, struct home_client *c)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(
		fabric_target_attach(h->target, connection_number(h, c), fds[0], &c->done), 0);
	c->stream = fds[1];
	c->attached = true;
	c->route_generation++;
	show_route(c, WIRE_ROUTE_OPEN);
}

static void count_post(void *userdata, void *region, bool accumulate)
{
	struct home *h = userdata;

	atomic_fetch_add(accumulate ? &h->n_posts : &h->n_single_posts, 1);
}

static void count_closed(void *userdata, uint64_t connection, const char *reason)
{
	struct home *h = userdata;

	if (reason)
		fprintf(stderr, "# home: %s\n", reason);
	atomic_fetch_add(&h->n_closed, 1);
}

/* requests */

static void grant(struct home *h, struct home_client *c, uint32_t index)
{
	struct home_import *i = &c->imports[index];
	struct fabric_region region = {
		.base = h->memory,
		.fd = -1,
		.size = HOME_SIZE,
		.rights = i->rights,
		.connection = connection_number(h, c),
	};

	if (i->failure) {
		show_import(c, index, WIRE_IMPORT_FAILED);
		return;
	}
	if (!c->attached)
		stream_open(h, c);
	h->n_keys++;
	memcpy(i->key.bytes, &h->n_keys, sizeof(h->n_keys));
	assert_int_equal(fabric_target_grant(h->target, &i->key, &region), 0);
	i->granted = true;
	show_import(c, index, WIRE_IMPORT_CONNECTED);
}

static int on_connect(
	struct home *h, struct home_client *c, const struct wire_message *q, struct wire_message *a)
{
	uint32_t index = 0;

	if (q->import_connect.node != HOME_NODE)
		return STATUS_NODE_UNKNOWN;
	while (index < HOME_IMPORTS && c->imports[index].used)
		index++;
	if (index == HOME_IMPORTS)
		return STATUS_NO_RESOURCES;
	c->imports[index].used = true;
	c->imports[index].granted = false;
	c->imports[index].generation++;
	c->imports[index].rights = q->import_connect.rights;
	c->imports[index].failure = h->refuse;
	show_import(c, index, WIRE_IMPORT_PENDING);
	a->import_connect_reply.import = index;
	a->import_connect_reply.generation = c->imports[index].generation;
	a->import_connect_reply.state = WIRE_IMPORT_PENDING;
	a->import_connect_reply.route = 1;
	if (!h->hold)
		grant(h, c, index);
	return 0;
}

static void forget(struct home *h, struct home_client *c, uint32_t index)
{
	struct home_import *i = &c->imports[index];

	if (i->granted)
		fabric_target_revoke(h->target, &i->key);
	i->used = i->granted = false;
	show_import(c, index, WIRE_IMPORT_FREE);
	for (index = 0; index < HOME_IMPORTS; index++)
		if (c->imports[index].used)
			return;
	stream_close(h, c);
	c->done = 0;
	show_route(c, WIRE_ROUTE_FREE);
}

static int on_result(
	struct home *h, struct home_client *c, const struct wire_message *q, struct wire_message *a)
{
	struct wire_import_result_reply *p = &a->import_result_reply;
	uint32_t index = q->import_result.import;
	struct home_import *i = &c->imports[index];
	int r = (int)i->failure;

	if (r) {
		forget(h, c, index);
		return r;
	}
	if (!i->granted)
		return STATUS_WRONG_STATE;
	p->import = index;
	p->generation = i->generation;
	p->instance = 77;
	p->size = HOME_SIZE;
	p->rights = i->rights;
	p->flags = h->import_flags;
	p->cell = 1;
	p->route = 1;
	memcpy(p->key, i->key.bytes, sizeof(p->key));
	p->incarnation = h->incarnation;
	return 0;
}

static int on_route(struct home *h, struct home_client *c, struct wire_message *a, int *fds)
{
	if (c->stream < 0)
		return STATUS_WRONG_STATE;
	a->route_reply.generation = c->route_generation;
	a->route_reply.node = HOME_NODE;
	a->route_reply.done = c->done;
	a->route_reply.detection = h->detection;
	fds[0] = dup(c->stream);
	return 0;
}

static void show_lost(struct home_client *c)
{
	for (uint32_t i = 0; i < HOME_IMPORTS; i++)
		if (c->imports[i].used)
			show_import(c, i, WIRE_IMPORT_NODE_LOST);
	show_route(c, WIRE_ROUTE_LOST);
}

static void lose(struct home *h, struct home_client *c)
{
	show_lost(c);
	stream_close(h, c);
}

static void on_renew(struct home *h, struct home_client *c, const struct wire_message *q)
{
	h->n_renews++;
	h->n_stuck += q->route_renew.stuck;
	if (q->route_renew.stuck) {
		show_lost(c);
	} else if (q->route_renew.generation == c->route_generation) {
		stream_close(h, c);
		show_route(c, WIRE_ROUTE_OPENING);
		if (!h->keep_broken)
			stream_open(h, c);
	}
}

/* coherent maps */

static int on_memory(struct home *h, struct home_client *c, const struct wire_message *q,
	struct wire_message *a, int *fds)
{
	const struct home_import *i = &c->imports[q->import_memory.import];

	if (h->refuse_memory)
		return (int)h->refuse_memory;
	h->n_memories++;
	a->import_memory_reply.flags = i->rights & WIRE_WRITE ? 0 : WIRE_IMPORT_READONLY;
	fds[0] = memfd_create("replica", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fds[0], HOME_SIZE), 0);
	return 0;
}

static void look_at_access(struct home *h, uint64_t address)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[256];

	strcpy(h->watched_access, "none");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s", &start, &end, h->watched_access) == 3 &&
			address >= start && address < end)
			break;
	fclose(f);
}

static int on_watch(struct home *h, struct home_client *c, const struct wire_message *q)
{
	h->watched = c->page->maps[q->map_watch.slot];
	look_at_access(h, h->watched.address);
	h->n_watches++;
	return (int)h->refuse_watch;
}

static int on_hello(struct home *h, struct home_client *c, struct wire_message *a, int *fds)
{
	a->hello_reply.major = WIRE_MAJOR;
	a->hello_reply.minor = WIRE_MINOR;
	a->hello_reply.client = connection_number(h, c);
	a->hello_reply.node = 1;
	fds[0] = dup(h->node_fd);
	fds[1] = dup(c->status_fd);
	fds[2] = dup(c->page_fd);
	return 3;
}

/* Returns the number of descriptors that go with the answer. */
static unsigned int answer(struct home *h, struct home_client *c, const struct wire_message *q,
	struct wire_message *a, int *fds)
{
	int status = 0;
	unsigned int n_fds = 0;

	switch (q->type) {
	case WIRE_HELLO:
		n_fds = (unsigned int)on_hello(h, c, a, fds);
		break;
	case WIRE_IMPORT_CONNECT:
		status = on_connect(h, c, q, a);
		break;
	case WIRE_IMPORT_RESULT:
		status = on_result(h, c, q, a);
		break;
	case WIRE_ROUTE:
		status = on_route(h, c, a, fds);
		n_fds = !status;
		break;
	case WIRE_ROUTE_RENEW:
		on_renew(h, c, q);
		break;
	case WIRE_IMPORT_DISCONNECT:
		h->n_disconnects++;
		forget(h, c, q->import_disconnect.import);
		break;
	case WIRE_CELLS:
		a->cells_reply.cell = 1;
		fds[0] = dup(c->cells_fd);
		n_fds = 1;
		break;
	case WIRE_IMPORT_MEMORY:
		status = on_memory(h, c, q, a, fds);
		n_fds = !status;
		break;
	case WIRE_MAP_WATCH:
		status = on_watch(h, c, q);
		break;
	case WIRE_ADVISE:
		h->advised = q->advise;
		break;
	case WIRE_PING:
	case WIRE_POKE:
		break;
	default:
		status = STATUS_NOT_SUPPORTED;
	}
	a->status = (uint32_t)status;
	return n_fds;
}

/* As a daemon that dies in the middle of it, before or after it is known to the keeper. */
static bool stumbles(struct home *h, struct home_client *c)
{
	const struct wire_message again = {.type = WIRE_RESEND};
	uint8_t packet[WIRE_HEADER_SIZE];

	if (h->deaf) {
		h->deaf--;
		c->sock = fd_close(c->sock);
		return true;
	}
	if (!h->forgets)
		return false;
	h->forgets--;
	assert_int_equal(wire_encode(&again, packet, sizeof(packet)), sizeof(packet));
	assert_int_equal(fd_send(c->sock, packet, sizeof(packet), NULL, 0, 0), 0);
	return true;
}

static void serve(struct home *h, struct home_client *c)
{
	struct wire_message q, a = {0};
	uint8_t packet[WIRE_PACKET_MAX];
	int fds[8];
	unsigned int n_fds;
	ssize_t n = fd_recv(c->sock, packet, sizeof(packet), fds, &n_fds, 0);

	if (n <= 0) {
		for (uint32_t i = 0; i < HOME_IMPORTS; i++)
			if (c->imports[i].used)
				forget(h, c, i);
		c->sock = fd_close(c->sock);
		return;
	}
	fd_close_many(fds, n_fds);
	assert_int_equal(wire_decode(packet, (size_t)n, &q), 0);
	if (q.type == WIRE_HELLO && stumbles(h, c))
		return;
	a.type = q.type | WIRE_REPLY_BIT;
	a.serial = q.serial;
	n_fds = answer(h, c, &q, &a, fds);
	n = wire_encode(&a, packet, sizeof(packet));
	assert_true(n > 0);
	if (!(q.flags & WIRE_ONEWAY))
		fd_send(c->sock, packet, (size_t)n, fds, n_fds, 0);
	fd_close_many(fds, n_fds);
}

static void accept_client(struct home *h)
{
	struct home_client *c = h->clients;

	while (c->sock >= 0)
		c++;
	assert_true(c < h->clients + HOME_CLIENTS);
	c->sock = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC);
}

static void *daemon_thread(void *userdata)
{
	struct home *h = userdata;

	for (;;) {
		struct pollfd p[2 + HOME_CLIENTS] = {
			{h->stop_fds[0], POLLIN, 0}, {h->listener, POLLIN, 0}};

		for (size_t i = 0; i < HOME_CLIENTS; i++)
			p[2 + i] = (struct pollfd){h->clients[i].sock, POLLIN, 0};
		if (poll(p, 2 + HOME_CLIENTS, -1) < 0)
			continue;
		if (p[0].revents)
			return NULL;
		pthread_mutex_lock(&h->lock);
		for (size_t i = 0; i < HOME_CLIENTS; i++)
			if (p[2 + i].revents)
				serve(h, &h->clients[i]);
		if (p[1].revents)
			accept_client(h);
		pthread_mutex_unlock(&h->lock);
	}
}

static void *data_thread(void *target)
{
	fabric_target_run(target);
	return NULL;
}

/* life */

static void client_init(struct home_client *c)
{
	c->sock = c->stream = -1;
	c->status = page_new("status", sizeof(*c->status), &c->status_fd);
	c->page = page_new("client", sizeof(struct wire_client_page), &c->page_fd);
	assert_int_equal(memfd_new("cells", WIRE_CELLS_SIZE, &c->cells_fd), 0);
	c->cells = mmap(NULL, WIRE_CELLS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c->cells_fd, 0);
	assert_true(c->cells != MAP_FAILED);
}

static void client_deinit(struct home_client *c)
{
	fd_close(c->sock);
	munmap(c->status, sizeof(*c->status));
	munmap((void *)c->page, sizeof(*c->page));
	munmap(c->cells, WIRE_CELLS_SIZE);
	fd_close(c->status_fd);
	fd_close(c->page_fd);
	fd_close(c->cells_fd);
}

static void listen_at(struct home *h)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	strcpy(h->dir, "/tmp/causeway-test-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	snprintf(h->path, sizeof(h->path), "%s/socket", h->dir);
	strcpy(a.sun_path, h->path);
	h->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(h->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(h->listener, 8), 0);
	setenv("CAUSEWAY_SOCKET", h->path, 1);
}

void home_start(struct home *h)
{
	const struct fabric_target_options options = {.frame_timeout = 10 * NSEC_PER_SEC};
	static const struct fabric_target_ops ops = {.post = count_post, .closed = count_closed};
	sigset_t every, before;

	*h = (struct home){.incarnation = 5, .detection = NSEC_PER_SEC};
	pthread_mutex_init(&h->lock, NULL);
	for (size_t i = 0; i < HOME_CLIENTS; i++)
		client_init(&h->clients[i]);
	h->node = page_new("node", sizeof(*h->node), &h->node_fd);
	h->memory =
		mmap(NULL, HOME_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(h->memory != MAP_FAILED);
	listen_at(h);
	assert_int_equal(pipe2(h->stop_fds, O_CLOEXEC), 0);
	assert_int_equal(fabric_target_new(&options, &ops, h, &h->target), 0);
	/* signals are for the test's own threads */
	sigfillset(&every);
	pthread_sigmask(SIG_BLOCK, &every, &before);
	assert_int_equal(pthread_create(&h->data, NULL, data_thread, h->target), 0);
	assert_int_equal(pthread_create(&h->daemon, NULL, daemon_thread, h), 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void home_stop(struct home *h)
{
	assert_int_equal(write(h->stop_fds[1], "", 1), 1);
	pthread_join(h->daemon, NULL);
	home_freeze(h);
	fabric_target_free(h->target);
	for (size_t i = 0; i < HOME_CLIENTS; i++) {
		fd_close(h->clients[i].stream);
		client_deinit(&h->clients[i]);
	}
	/* as the kernel does when the daemon's thread has died */
	atomic_store(&h->node->alive, FUTEX_OWNER_DIED);
	munmap(h->node, sizeof(*h->node));
	munmap(h->memory, HOME_SIZE);
	fd_close(h->node_fd);
	fd_close(h->listener);
	fd_close(h->stop_fds[0]);
	fd_close(h->stop_fds[1]);
	unlink(h->path);
	rmdir(h->dir);
	pthread_mutex_destroy(&h->lock);
}

/* trouble */

void home_answer(struct home *h)
{
	pthread_mutex_lock(&h->lock);
	h->hold = false;
	for (size_t c = 0; c < HOME_CLIENTS; c++)
		for (uint32_t i = 0; i < HOME_IMPORTS; i++)
			if (h->clients[c].imports[i].used && !h->clients[c].imports[i].granted)
				grant(h, &h->clients[c], i);
	pthread_mutex_unlock(&h->lock);
}

void home_revoke(struct home *h, bool told)
{
	pthread_mutex_lock(&h->lock);
	for (size_t c = 0; c < HOME_CLIENTS; c++)
		for (uint32_t i = 0; i < HOME_IMPORTS; i++) {
			struct home_import *import = &h->clients[c].imports[i];

			if (!import->granted)
				continue;
			fabric_target_revoke(h->target, &import->key);
			if (told)
				show_import(&h->clients[c], i, WIRE_IMPORT_REVOKED);
		}
	pthread_mutex_unlock(&h->lock);
}

void home_cut(struct home *h)
{
	pthread_mutex_lock(&h->lock);
	for (size_t c = 0; c < HOME_CLIENTS; c++)
		stream_close(h, &h->clients[c]);
	pthread_mutex_unlock(&h->lock);
}

void home_freeze(struct home *h)
{
	if (h->frozen)
		return;
	h->frozen = true;
	fabric_target_stop(h->target);
	pthread_join(h->data, NULL);
}

void home_lose(struct home *h)
{
	pthread_mutex_lock(&h->lock);
	for (size_t c = 0; c < HOME_CLIENTS; c++)
		if (h->clients[c].sock >= 0)
			lose(h, &h->clients[c]);
	pthread_mutex_unlock(&h->lock);
}
