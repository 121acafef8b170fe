/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent is another process that does one RSM call at a time on request, so that a test with an
 * exporter and several importers reads from top to bottom. It is forked before the test's first RSM
 * call, holds one export with its memory and one import with its mapping and barrier, and ends with
 * its test. Every function returns the code of the call, or AGENT_GONE when the agent has died.
 */
#ifndef TESTS_CONFORMANCE_RSM_AGENT_H
#define TESTS_CONFORMANCE_RSM_AGENT_H

#include "rig.h"

enum { AGENT_GONE = -1 };

typedef struct {
	pid_t pid;
	int channel;
} agent_t;

typedef enum {
	AGENT_CREATE,	 /* pages, flags */
	AGENT_PUBLISH,	 /* id, permissions for this node or AGENT_NO_LIST → id */
	AGENT_REPUBLISH, /* permissions or AGENT_NO_LIST */
	AGENT_UNPUBLISH,
	AGENT_DESTROY,
	AGENT_STORE,   /* offset, value: through the exporter's own pointer */
	AGENT_LOAD,    /* offset → value */
	AGENT_CONNECT, /* id, permission; initialises the barrier too */
	AGENT_DISCONNECT,
	AGENT_MAP, /* offset, length, permission */
	AGENT_UNMAP,
	AGENT_MAP_STORE, /* offset, value: through the mapping */
	AGENT_MAP_LOAD,	 /* offset → value */
	AGENT_PUT,	 /* offset, value */
	AGENT_GET,	 /* offset → value */
	AGENT_SET_MODE,	 /* mode */
	AGENT_OPEN_BARRIER,
	AGENT_ORDER_BARRIER,
	AGENT_CLOSE_BARRIER,
	AGENT_EXPORT_POST, /* flags */
	AGENT_EXPORT_WAIT, /* timeout */
	AGENT_IMPORT_POST,
	AGENT_IMPORT_WAIT,
	AGENT_REBIND,	    /* value of the first word of the new memory */
	AGENT_PUBLISH_TO,   /* id, node, permission there */
	AGENT_REPUBLISH_TO, /* node, permission there */
	AGENT_CONNECT_TO,   /* node, id, permission; by the first real controller */
	AGENT_UMASK,	    /* mask */
	AGENT_EXEC,	    /* becomes /bin/sleep, says nothing */
	AGENT_EXIT,	    /* leaves everything as it is */
} agent_verb_t;

#define AGENT_NO_LIST UINT64_MAX

/* Who an agent is; with root only. */
typedef struct {
	uid_t uid;
	gid_t gid;
	gid_t also; /* supplementary group, 0 for none */
} agent_identity_t;

agent_t agent_start(void);
/* Skips the test when not root. */
agent_t agent_start_as(agent_identity_t identity);
/* On the second node of two; skips the test when there is none. How a process gets there is in the
 * environment: RSM_NODE2_ENV is NAME=VALUE, to be set before its first RSM call; or
 * RSM_NODE2_AGENTS is "ADDRESS PORT", where a test program serves agents (--agents PORT). */
agent_t agent_start_there(void);

_Noreturn void agent_serve_afar(const char *port);

int agent_do(const agent_t *agent, agent_verb_t verb, uint64_t a, uint64_t b, uint64_t c);
/* The value that the call gave; the code must be 0, else the test notes a failure. */
uint64_t agent_ask(const agent_t *agent, agent_verb_t verb, uint64_t a);

/* For calls that block: ask now, take the answer later. */
void agent_begin(const agent_t *agent, agent_verb_t verb, uint64_t a);
int agent_finish(const agent_t *agent);

/* Ends the agent by a signal and waits for its death; the signal that ended it. */
void agent_kill(agent_t *agent, int signal_number);
/* Waits for an agent that dies by itself; the signal that ended it, 0 for an exit. */
int agent_wait(agent_t *agent);

/* create, publish for everybody under a new id; connect for reading and writing */
rsm_memseg_id_t agent_export(const agent_t *agent, size_t n_pages);
/* The same on the other node for everybody on every node */
rsm_memseg_id_t agent_export_to_all(const agent_t *agent, size_t n_pages);
void agent_import(const agent_t *agent, rsm_memseg_id_t id);

#endif
