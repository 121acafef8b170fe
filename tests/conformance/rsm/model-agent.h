/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of the model test. An agent does one call on request and answers with its code and
 * bytes; it decides and checks nothing. It has N_EXPORTS exports, each over one of two buffers of
 * its own that live as long as the agent, and N_IMPORTS imports, each with one barrier.
 */
#ifndef TESTS_CONFORMANCE_RSM_MODEL_AGENT_H
#define TESTS_CONFORMANCE_RSM_MODEL_AGENT_H

#include "rig.h"

enum {
	N_EXPORTS = 2,
	N_BUFFERS = 2,
	N_IMPORTS = 3,
	SEGMENT_PAGES = 2,
	SEGMENT_SIZE = SEGMENT_PAGES * 4096,
	MAX_DATA = SEGMENT_SIZE + 512, /* so that lengths can be wrong by a little */
	MAX_ENTRIES = 4,
};

typedef enum {
	CALL_CREATE,  /* buffer; offset and length of what is exported; flags */
	CALL_REBIND,  /* buffer, offset, length */
	CALL_PUBLISH, /* id; mode of the list or NO_LIST; value: its node, from ours → value: id */
	CALL_REPUBLISH, /* mode, value as above */
	CALL_UNPUBLISH,
	CALL_DESTROY,
	CALL_STORE,   /* buffer, offset, data: by the program's own pointer */
	CALL_LOAD,    /* buffer, offset, length → data */
	CALL_CONNECT, /* id, mode: the permission */
	CALL_DISCONNECT,
	CALL_PUT,   /* offset, length, data */
	CALL_GET,   /* offset, length → data */
	CALL_PUT64, /* offset, length: 8 */
	CALL_GET64,
	CALL_PUTV, /* entries: offsets and lengths, data one after the other → value: residual */
	CALL_GETV,
	CALL_MAP, /* mode: permission, offset, length */
	CALL_UNMAP,
	CALL_MAP_STORE, /* offset within the map, data */
	CALL_MAP_LOAD,	/* offset within the map, length → data */
	CALL_INIT_BARRIER,
	CALL_OPEN_BARRIER,
	CALL_ORDER_BARRIER,
	CALL_CLOSE_BARRIER,
	CALL_DESTROY_BARRIER,
	CALL_SET_MODE,	     /* mode */
	CALL_GET_MODE,	     /* → value */
	CALL_POST,	     /* slot: 0.. exports, then imports; flags */
	CALL_WAIT,	     /* slot as above; without a timeout */
	CALL_GET_POLLFD,     /* slot as above; value: milliseconds → value: it becomes readable */
	CALL_RELEASE_POLLFD, /* slot as above */
	N_CALLS,
} call_t;

#define NO_LIST 0xFFFFFFFFu

typedef struct {
	call_t call;
	uint32_t slot, buffer, id, mode, flags;
	uint64_t offset, length, value;
	uint32_t n_entries;
	struct {
		uint64_t offset, length;
	} entries[MAX_ENTRIES];
	uint8_t data[MAX_DATA];
} call_request_t;

typedef struct {
	int code;
	uint64_t value;
	uint8_t data[MAX_DATA];
} call_reply_t;

extern const char *const call_names[N_CALLS];

/* A new process; its requests go through *ret_channel. */
pid_t model_agent_start(int *ret_channel);
/* False when the agent has died. */
bool model_agent_call(int channel, const call_request_t *request, call_reply_t *ret_reply);

#endif
