/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CLSHM_H
#define CLI_CLSHM_H

/* What ipcs, ipcrm, clshmctl and clshm_diag have in common: partitions, and the segments of each.
 */

#include "cli/node.h"

struct partition {
	uint32_t number;
	bool is_up;
	char host[64];	  /* its daemon's, if it is up */
	uint32_t version; /* of its clshm: major << 16 | minor */
	char reason[256]; /* why it is not up */
};

/* Those that are up and those of the node list that are not, by number. */
struct partitions {
	struct partition *rows;
	size_t n;
};

struct shm_rows {
	struct wire_shm_row *rows;
	size_t n;
};

/* Introduces this process to its node's clshm; before all else. The answer's status, or a negative
 * errno; clshm_hello_text() says what that means. */
int clshm_hello(struct wire_shm_hello_reply *ret_reply);
const char *clshm_hello_text(int result);
/* node_find() and clshm_hello(). Returns 0, or EXIT_FAILED after it said why. */
int clshm_find(bool may_start, struct node *ret_node, struct wire_shm_hello_reply *ret_reply);

/* Returns 0, or EXIT_FAILED after it said why. */
int partitions_fetch(struct partitions *ret_partitions);
void partitions_deinit(struct partitions *p);
/* NULL: it is neither up nor in the node list */
const struct partition *partitions_find(const struct partitions *p, uint32_t number);
struct json_object *partitions_json(const struct partitions *p);

/* The segments of a partition that we may know of. Returns 0, what its daemon or the library
 * answered, or EXIT_FAILED after it said that the answer was malformed. */
int shm_rows_fetch(uint32_t partition, struct shm_rows *ret_rows, int *ret_result);
void shm_rows_deinit(struct shm_rows *s);

/* Numbers as people write them. Return 0, or EXIT_USAGE after they said what is wrong. */
int partition_parse(const char *text, uint32_t *ret_partition);
/* what: "shmid" or "key" */
int shm_number_parse(const char *what, const char *text, uint32_t *ret_number);

/* The command line of a small program: --json, --help, --version. True: go on with the words from
 * *ret_words on; false: the program ends with *ret_status. */
bool clshm_options(int argc, char **argv, const char *name, const char *help, bool *ret_json,
	char ***ret_words, int *ret_status);

#endif
