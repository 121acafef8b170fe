/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_TEST_SHM_H
#define DAEMON_TEST_SHM_H

/* For tests: what a process asks of clshm, in one line each. All return the status. */

#include "daemon/test-client.h"

/* The message with the next number. */
uint32_t shm_call(struct client *c, struct wire_message m);
uint32_t shm_hello(struct client *c);
uint32_t shm_key(struct client *c, uint32_t partition, uint32_t *ret_key);
uint32_t shm_get(struct client *c, uint32_t key, uint64_t size, uint32_t *ret_shmid);
uint32_t shm_control(struct client *c, uint32_t shmid, uint32_t command);
uint32_t shm_stat(struct client *c, uint32_t shmid, struct wire_shm_row *ret_row);

/* Which are up, a bit each. */
uint64_t shm_partitions_of(struct client *c);
/* Of the answer to that: what it says of one. */
bool shm_partition_row(const struct client *c, uint32_t partition, struct wire_shm_partition *ret);

#endif
