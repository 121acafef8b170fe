/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "base/fd.h"
#include "daemon/test-client.h"

void node_write(const struct node *n, const char *name, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", n->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

void node_prepare(struct node *n, const char *config)
{
	strcpy(n->dir, "/tmp/causeway-test-XXXXXX");
	assert_non_null(mkdtemp(n->dir));
	snprintf(n->socket, sizeof(n->socket), "%s/socket", n->dir);
	node_write(n, "causeway.conf", config);
}

void node_start(struct node *n, const char *program, const char *config, bool embedded)
{
	node_prepare(n, config);
	node_start_again(n, program, embedded);
}

void node_start_again(struct node *n, const char *program, bool embedded)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	n->keeper = fork();
	assert_true(n->keeper >= 0);
	if (n->keeper == 0) {
		char number[16];

		prctl(PR_SET_PDEATHSIG, SIGTERM); /* when a test fails */
		snprintf(number, sizeof(number), "%d", ready[1]);
		fcntl(ready[1], F_SETFD, 0);
		execl(program, "causewayd", "--socket", n->socket, "--config", n->dir, "--ready-fd",
			number, embedded ? "--embedded" : NULL, NULL);
		_exit(127);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

/* Configuration and keys are ours; nothing else may be there. */
void node_remove(struct node *n)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/causeway.conf", n->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/keys", n->dir);
	unlink(path);
	assert_int_equal(rmdir(n->dir), 0);
}

void node_wait_end(struct node *n)
{
	int status;

	assert_int_equal(waitpid(n->keeper, &status, 0), n->keeper);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	node_remove(n);
}

void node_stop(struct node *n)
{
	kill(n->keeper, SIGTERM);
	node_wait_end(n);
}

/* Clients */

void client_open(struct client *c, const struct node *n)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 10};

	memset(c, 0, sizeof(*c));
	strcpy(address.sun_path, n->socket);
	c->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(c->socket >= 0);
	setsockopt(c->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(c->socket, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void *map(int fd, size_t size, int protection)
{
	void *p = mmap(NULL, size, protection, MAP_SHARED, fd, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

void client_new(struct client *c, const struct node *n)
{
	struct wire_message m = {.type = WIRE_HELLO, .hello = {WIRE_MAJOR, WIRE_MINOR, 0, {0}}};

	client_open(c, n);
	assert_int_equal(client_call(c, &m), STATUS_OK);
	c->hello = c->reply.hello_reply;
	assert_int_equal(c->n_fds, c->hello.flags & WIRE_HELLO_UFFD ? 4 : 3);
	c->node = map(c->fds[0], sizeof(*c->node), PROT_READ);
	c->status = map(c->fds[1], sizeof(*c->status), PROT_READ);
	c->page = map(c->fds[2], sizeof(*c->page), PROT_READ | PROT_WRITE);
}

static void drop_fds(struct client *c)
{
	fd_close_many(c->fds, c->n_fds);
	c->n_fds = 0;
}

void client_close(struct client *c)
{
	drop_fds(c);
	if (c->node) {
		munmap((void *)c->node, sizeof(*c->node));
		munmap((void *)c->status, sizeof(*c->status));
		munmap(c->page, sizeof(*c->page));
	}
	close(c->socket);
}

void client_send(struct client *c, struct wire_message *m, const int *fds, unsigned int n_fds)
{
	uint8_t packet[WIRE_PACKET_MAX];
	ssize_t n;

	if (!m->serial)
		m->serial = ++c->serial;
	n = wire_encode(m, packet, sizeof(packet));
	assert_true(n > 0);
	fd_send(c->socket, packet, (size_t)n, fds, n_fds, 0);
}

bool client_receive_any(struct client *c)
{
	ssize_t n;

	drop_fds(c);
	n = fd_recv(c->socket, c->packet, sizeof(c->packet), c->fds, &c->n_fds, 0);
	assert_true(n != -EAGAIN);
	if (n <= 0)
		return false;
	n = wire_decode(c->packet, (size_t)n, &c->reply);
	assert_true(n == 0 || n == -EOPNOTSUPP);
	c->n_resend += c->reply.type == WIRE_RESEND;
	return true;
}

bool client_receive(struct client *c)
{
	while (client_receive_any(c))
		if (c->reply.type != WIRE_RESEND)
			return true;
	return false;
}

uint32_t client_call(struct client *c, struct wire_message *m)
{
	client_send(c, m, NULL, 0);
	assert_true(client_receive(c));
	assert_int_equal(c->reply.type, m->type | WIRE_REPLY_BIT);
	assert_true(c->reply.serial == m->serial);
	return c->reply.status;
}

void client_wait_resend(struct client *c)
{
	struct wire_message m = {.type = WIRE_PING};
	unsigned int before = c->n_resend;

	client_call(c, &m);
	assert_int_equal(c->n_resend, before + 1);
}

int client_take_fd(struct client *c, unsigned int n)
{
	int fd;

	assert_true(n < c->n_fds);
	fd = c->fds[n];
	c->fds[n] = -1;
	return fd;
}

uint32_t client_create(struct client *c, uint64_t size, uint32_t *ret_segment, int *ret_fd)
{
	struct wire_message m = {.type = WIRE_SEGMENT_CREATE,
		.segment_create = {.space = WIRE_SPACE_RSM, .mode = 0600, .size = size}};
	uint32_t status = client_call(c, &m);

	if (status)
		return status;
	*ret_segment = c->reply.segment_create_reply.segment;
	if (ret_fd)
		*ret_fd = client_take_fd(c, 0);
	return 0;
}

uint32_t client_publish(struct client *c, uint32_t segment, uint32_t id, uint32_t *ret_id)
{
	struct wire_message m = {.type = WIRE_SEGMENT_PUBLISH, .segment_publish = {segment, id, 0}};
	uint32_t status = client_call(c, &m);

	if (!status && ret_id)
		*ret_id = c->reply.segment_publish_reply.id;
	return status;
}

uint32_t client_connect(struct client *c, uint32_t id, uint32_t rights, uint32_t *ret_import)
{
	struct wire_message m = {.type = WIRE_IMPORT_CONNECT,
		.import_connect = {WIRE_SPACE_RSM, WIRE_CONTROLLER_LOOPBACK, 0, id, rights}};
	uint32_t status = client_call(c, &m);

	if (!status && ret_import)
		*ret_import = c->reply.import_connect_reply.import;
	return status;
}

struct wire_node_status_reply client_node_status(struct client *c)
{
	struct wire_message m = {.type = WIRE_NODE_STATUS};

	assert_int_equal(client_call(c, &m), STATUS_OK);
	return c->reply.node_status_reply;
}

uint64_t client_wait_word(const _Atomic uint64_t *word, uint64_t old)
{
	struct timespec patience = {.tv_sec = 10};
	uint64_t now;

	while ((now = atomic_load((_Atomic uint64_t *)word)) == old) {
		syscall(SYS_futex, wire_word_state(word), FUTEX_WAIT, (uint32_t)old, &patience,
			NULL, 0);
		if (errno == ETIMEDOUT)
			fail_msg("nothing happens");
	}
	return now;
}

uint64_t client_import_word(const struct client *c, uint32_t import)
{
	return atomic_load((_Atomic uint64_t *)&c->status->imports[import]);
}

void client_wait_import(const struct client *c, uint32_t import, uint32_t state)
{
	for (int i = 0; i < 1000 && (uint32_t)client_import_word(c, import) != state; i++)
		usleep(5000);
	assert_int_equal((uint32_t)client_import_word(c, import), state);
}
