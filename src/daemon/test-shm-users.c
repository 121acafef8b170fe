/* SPDX-License-Identifier: Apache-2.0 */
#include <grp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "daemon/test-nodes.h"
#include "daemon/test-shm.h"

/* clshm on two nodes: whose is what a process of the other one makes, and who pays for it.
 * argv[1]: causewayd. */

#define SIZE   4096u
#define NOBODY 65534u
#define THEIRS 1001u /* of node 2 */
#define OURS   1500u /* who that is on node 1 */

static const char *program;

struct place {
	struct nodes nodes;
	struct client here, there; /* root */
};

static void client_new_as(struct client *c, const struct node *n, uid_t uid, gid_t gid)
{
	assert_int_equal(setgroups(0, NULL), 0);
	assert_int_equal(setegid(gid), 0);
	assert_int_equal(seteuid(uid), 0);
	client_new(c, n);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(setegid(0), 0);
}

static void place_begin(struct place *p, const char *peers)
{
	char config[256];

	if (geteuid() != 0) {
		print_message("skipped: needs root, to be several users\n");
		skip();
	}
	snprintf(config, sizeof(config),
		"[Daemon]\nLogLevel=crit\n[Limits]\nMaxSegmentsPerUser=2\n[Peers]\n%s", peers);
	nodes_start(&p->nodes, program, 2, 2, config);
	for (unsigned int i = 1; i <= 2; i++)
		chmod(p->nodes.node[i].dir, 0755);
	client_new(&p->here, &p->nodes.node[1]);
	client_new(&p->there, &p->nodes.node[2]);
	assert_int_equal(shm_hello(&p->there), STATUS_OK);
	while (shm_partitions_of(&p->there) != 0x6)
		poll(NULL, 0, 5);
}

static void place_end(struct place *p)
{
	client_close(&p->here);
	client_close(&p->there);
	nodes_stop(&p->nodes);
}

/* On node 1. */
static uint32_t made_by(struct client *c)
{
	uint32_t key = 0, shmid = 0;

	assert_int_equal(shm_key(c, 1, &key), STATUS_OK);
	assert_int_equal(shm_get(c, key, SIZE, &shmid), STATUS_OK);
	return shmid;
}

static void assert_owner(struct place *p, uint32_t shmid, uint32_t uid, uint32_t gid)
{
	struct wire_shm_row row;

	assert_int_equal(shm_stat(&p->here, shmid, &row), STATUS_OK);
	assert_int_equal(row.uid, uid);
	assert_int_equal(row.cuid, uid);
	assert_int_equal(row.gid, gid);
	assert_int_equal(row.cgid, gid);
	assert_int_equal(row.cpid, getpid());
	assert_string_equal(row.command, "test-shm-users");
}

static void another_nodes_root_is_nobody(void **state)
{
	struct client nobody;
	struct place p;
	uint32_t own, theirs;

	place_begin(&p, "");
	own = made_by(&p.here);
	theirs = made_by(&p.there);
	assert_owner(&p, own, 0, 0);
	assert_owner(&p, theirs, NOBODY, NOBODY);
	assert_int_equal(shm_control(&p.there, own, WIRE_SHM_REMOVE), STATUS_NOT_CREATOR);
	client_new_as(&nobody, &p.nodes.node[1], 1234, 1234);
	assert_int_equal(shm_control(&nobody, theirs, WIRE_SHM_REMOVE), STATUS_NOT_CREATOR);
	client_close(&nobody);
	assert_int_equal(shm_control(&p.there, theirs, WIRE_SHM_REMOVE), STATUS_OK);
	assert_int_equal(shm_control(&p.here, own, WIRE_SHM_REMOVE), STATUS_OK);
	place_end(&p);
}

static void a_mapped_user_owns_and_pays_as_whom_it_is_mapped_to(void **state)
{
	struct client theirs, ours, namesake;
	uint32_t first, second, key, shmid;
	struct place p;

	place_begin(&p, "MapUids=2:1001:1500\n");
	client_new_as(&theirs, &p.nodes.node[2], THEIRS, 2001);
	client_new_as(&ours, &p.nodes.node[1], OURS, 2500);
	client_new_as(&namesake, &p.nodes.node[1], THEIRS, 2001);
	first = made_by(&theirs);
	assert_owner(&p, first, OURS, NOBODY);
	second = made_by(&ours);
	assert_owner(&p, second, OURS, 2500);
	/* two for one user */
	assert_int_equal(shm_key(&theirs, 1, &key), STATUS_OK);
	assert_int_equal(shm_get(&theirs, key, SIZE, &shmid), STATUS_NO_RESOURCES);
	assert_int_equal(shm_key(&ours, 1, &key), STATUS_OK);
	assert_int_equal(shm_get(&ours, key, SIZE, &shmid), STATUS_NO_RESOURCES);
	shmid = made_by(&namesake);
	assert_int_equal(shm_control(&namesake, first, WIRE_SHM_REMOVE), STATUS_NOT_CREATOR);
	assert_int_equal(shm_control(&theirs, shmid, WIRE_SHM_REMOVE), STATUS_NOT_CREATOR);
	assert_int_equal(shm_control(&namesake, shmid, WIRE_SHM_REMOVE), STATUS_OK);
	/* either is the owner of what the other has made */
	assert_int_equal(shm_control(&ours, first, WIRE_SHM_REMOVE), STATUS_OK);
	assert_int_equal(shm_control(&theirs, second, WIRE_SHM_REMOVE), STATUS_OK);
	assert_int_equal(client_node_status(&p.here).n_segments, 0);
	client_close(&theirs);
	client_close(&ours);
	client_close(&namesake);
	place_end(&p);
}

static void who_is_not_allowed_is_denied(void **state)
{
	struct client theirs;
	struct place p;
	uint32_t key, shmid;

	place_begin(&p, "AllowUids=*:0\n");
	client_new_as(&theirs, &p.nodes.node[2], THEIRS, 2001);
	shmid = made_by(&p.there);
	assert_int_equal(shm_key(&theirs, 1, &key), STATUS_DENIED);
	assert_int_equal(shm_control(&theirs, shmid, WIRE_SHM_REMOVE), STATUS_DENIED);
	assert_int_equal(shm_control(&p.there, shmid, WIRE_SHM_REMOVE), STATUS_OK);
	client_close(&theirs);
	place_end(&p);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_nodes_root_is_nobody),
		cmocka_unit_test(a_mapped_user_owns_and_pays_as_whom_it_is_mapped_to),
		cmocka_unit_test(who_is_not_allowed_is_denied),
	};

	if (argc != 2) {
		fprintf(stderr, "Usage: test-shm-users CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
