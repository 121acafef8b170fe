/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: a program that does on request what programs do with RSM, so that a test written in
 * Python has real exporters and importers that it can interrogate, stop and kill. It uses the
 * public interface only.
 *
 * A request is a line "TAG VERB ARGUMENT…" on standard input, its answer a line "TAG CODE VALUE…"
 * on standard output; CODE is what the RSM function returned. A tag that begins with @ has the verb
 * done by a thread of its own; % in it has the time of the answer (CLOCK_MONOTONIC, microseconds)
 * come last. Objects are numbered by the test: b (buffers), e (exports), i
 * (imports), c (controllers). It is the test's business not to use an object from two threads in
 * ways that the interface forbids.
 */
#ifndef TESTS_AGENT_H
#define TESTS_AGENT_H

#include <rsmapi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_OBJECTS	  16384u
#define AGENT_BAD_REQUEST (-1) /* CODE of a request that was not understood */

struct buffer {
	uint8_t *at;
	size_t size;
};

struct import {
	rsm_memseg_import_handle_t handle;
	rsmapi_barrier_t barrier;
	uint8_t *map;
	size_t size;
};

extern struct buffer buffers[AGENT_OBJECTS];
extern struct import imports[AGENT_OBJECTS];
extern rsm_memseg_export_handle_t exports[AGENT_OBJECTS];
extern rsmapi_controller_handle_t controllers[16];

struct request {
	const char *tag;
	unsigned int n; /* arguments after the verb */
	char *argument[32];
	bool answered;
};

/* Argument i as a number; 0 if there is none. */
uint64_t number(const struct request *q, unsigned int i);
/* The same within the tables. */
unsigned int object(const struct request *q, unsigned int i);
/* Sends the answer; once a request. format may be NULL. */
void answer(struct request *q, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Sends bytes as hexadecimal digits. */
void answer_bytes(struct request *q, int code, const void *bytes, size_t n);
/* Argument i, hexadecimal digits, as bytes; to be freed. */
uint8_t *bytes_of(const struct request *q, unsigned int i, size_t *ret_n);
/* "e3" or "i7" */
void *handle_of(const struct request *q, unsigned int i);

struct verb {
	const char *name;
	void (*run)(struct request *q);
};

/* Each ends with a NULL name. */
extern const struct verb object_verbs[], process_verbs[], load_verbs[], remote_verbs[];

/* In a forked child: requests come and answers go over fd from now on. */
void agent_move(int fd);

#endif
