/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_TEST_CLIENT_H
#define DAEMON_TEST_CLIENT_H

/*
 * For tests: a node of our own in a temporary directory, and a client that speaks the protocol
 * packet by packet, so that it can also break it. Every failure fails the test.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "wire/message.h"
#include "wire/shared.h"
#include "wire/status.h"

struct node {
	char dir[32], socket[48];
	pid_t keeper; /* as started */
};

/* config: content of causeway.conf */
void node_start(struct node *n, const char *program, const char *config, bool embedded);
/* Its directory and configuration, without starting it. */
void node_prepare(struct node *n, const char *config);
/* A file in its directory, only for its user. */
void node_write(const struct node *n, const char *name, const char *text);
/* The same once more, after all its processes ended. */
void node_start_again(struct node *n, const char *program, bool embedded);
/* SIGTERM; the exit status must be 0 and nothing may be left in the directory. */
void node_stop(struct node *n);
/* Its directory, once its processes ended. */
void node_remove(struct node *n);
/* The node ended by itself with status 0. */
void node_wait_end(struct node *n);

struct client {
	int socket;
	uint64_t serial;
	struct wire_hello_reply hello;
	const struct wire_node_page *node;
	const struct wire_status_page *status;
	struct wire_client_page *page;
	unsigned int n_resend; /* RESENDs seen */

	struct wire_message reply;
	int fds[8];
	unsigned int n_fds;
	uint8_t packet[WIRE_PACKET_MAX];
};

/* Connected, nothing said. */
void client_open(struct client *c, const struct node *n);
/* With hello. */
void client_new(struct client *c, const struct node *n);
void client_close(struct client *c);

/* Sends it with the next number, or with its own if that is not 0. */
void client_send(struct client *c, struct wire_message *m, const int *fds, unsigned int n_fds);
/* Returns false at the end of the connection. RESEND is counted and skipped. */
bool client_receive(struct client *c);
/* The same, but RESEND is not skipped. */
bool client_receive_any(struct client *c);
/* Both; returns the reply's status. fds of the reply before are closed. */
uint32_t client_call(struct client *c, struct wire_message *m);
/* The daemon has restarted: waits for its RESEND. */
void client_wait_resend(struct client *c);
/* The reply's nth descriptor, the caller's from now on. */
int client_take_fd(struct client *c, unsigned int n);

/* Requests in one line. All return the status. */
uint32_t client_create(struct client *c, uint64_t size, uint32_t *ret_segment, int *ret_fd);
uint32_t client_publish(struct client *c, uint32_t segment, uint32_t id, uint32_t *ret_id);
uint32_t client_connect(struct client *c, uint32_t id, uint32_t rights, uint32_t *ret_import);

struct wire_node_status_reply client_node_status(struct client *c);
/* Until a word of the status page is not this any more; returns what it is then. */
uint64_t client_wait_word(const _Atomic uint64_t *word, uint64_t old);
uint64_t client_import_word(const struct client *c, uint32_t import);
/* Until the import has this state, at most some seconds. */
void client_wait_import(const struct client *c, uint32_t import, uint32_t state);

#endif
