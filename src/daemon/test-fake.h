/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_TEST_FAKE_H
#define DAEMON_TEST_FAKE_H

/*
 * For tests: a node that is the test itself, as node 1 sees it: it dials, proves who it is and says
 * what it likes. Nothing is read but in these calls. Every failure fails the test.
 */

#include <netinet/in.h>
#include "daemon/peer-link.h"
#include "daemon/test-nodes.h"

struct fake {
	unsigned int self;
	sd_event *event;
	PeerLink *link;
	bool ready, over;
	uint64_t serial;
	struct wire_message hello; /* as it was said */
	struct wire_message got;   /* the last answer, without its tail */
	unsigned int n_lost;
	struct wire_message asked[16]; /* requests that were not looked at yet, without tails */
	unsigned int n_asked;
};

/* With a session. */
void fake_open(struct fake *f, const struct nodes *ns, unsigned int self);
/* The same, as a node that does RDMA of this kind. */
void fake_open_rdma(struct fake *f, const struct nodes *ns, unsigned int self, uint32_t kind);
/* The same, as a node of this minor version and life. */
void fake_open_as(struct fake *f, const struct nodes *ns, unsigned int self, uint32_t minor,
	uint64_t incarnation);
/* Another connection, with the same session. */
void fake_resume(struct fake *f, const struct nodes *ns);
void fake_close(struct fake *f);

void fake_say(struct fake *f, struct wire_message *m);
/* Says it and waits for the answer, which is then in got. */
void fake_call(struct fake *f, struct wire_message *m);
/* The next request of this type; others before it are forgotten. */
struct wire_message fake_hear(struct fake *f, uint32_t type);
/* Everything that has come; false if there is no request of this type. */
bool fake_heard(struct fake *f, uint32_t type);

/* Where a node's port is. */
struct sockaddr_in fake_address(const struct nodes *ns, unsigned int node);

#endif
