/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_CLI_H
#define CLI_TEST_CLI_H

/* The tool in a test's process, with a daemon that is made of a few functions. cmocka.h comes
 * before this. */

#include "cli/table.h"
#include "client/connection.h"

struct result {
	int status;
	char out[16384], err[4096];
};

/* words: the command line without the program's name, with a space between them */
struct result *cli(const char *words);
struct json_object *parse(const char *text);
struct json_object *member(struct json_object *o, const char *key);

#define FAKE_SELF 3u
#define FAKE_PEER 7u
#define FAKE_DOWN 8u

/* Before each test: the daemon is itself again. */
int setup(void **state);
/* It has peers from now on: FAKE_PEER, FAKE_DOWN. */
void fake_peers(void);

/* test-clshm.c: what the daemon knows of clshm, and the tests of that. */
void fake_clshm_reset(void);
int fake_clshm(const struct wire_message *q, struct cw_reply *a);
int test_clshm(void);

#endif
