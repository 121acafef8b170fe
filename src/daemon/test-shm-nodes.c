/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/test-nodes.h"
#include "daemon/test-shm.h"

/* clshm between real daemons, some of which are killed while they are asked. argv[1]: causewayd. */

static const char *program;

#define QUICK "[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=1s\n"
#define SLOW  "[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=20s\n"
#define ALL   0xeull

struct place {
	struct nodes nodes;
	struct client c[NODES_MAX + 1];
	bool gone[NODES_MAX + 1];
};

static void place_begin(struct place *p, unsigned int n, const char *config)
{
	*p = (struct place){.gone = {true, n < 1, n < 2, n < 3}};
	nodes_start(&p->nodes, program, 3, n, config);
	for (unsigned int i = 1; i <= n; i++)
		client_new(&p->c[i], &p->nodes.node[i]);
}

static void place_end(struct place *p)
{
	for (unsigned int i = 1; i <= NODES_MAX; i++)
		if (!p->gone[i])
			client_close(&p->c[i]);
	nodes_stop(&p->nodes);
}

/* All use clshm. */
static void begin_all(struct place *p, const char *config)
{
	place_begin(p, 3, config);
	for (unsigned int i = 1; i <= 3; i++)
		assert_int_equal(shm_hello(&p->c[i]), STATUS_OK);
	for (unsigned int i = 1; i <= 3; i++)
		while (shm_partitions_of(&p->c[i]) != ALL)
			poll(NULL, 0, 5);
}

static void wait_partitions(struct client *c, uint64_t up, uint64_t patience)
{
	uint64_t begin = clock_now();

	while (shm_partitions_of(c) != up) {
		poll(NULL, 0, 10);
		assert_true(clock_now() - begin < patience);
	}
}

static pid_t daemon_of(struct client *c)
{
	return (pid_t)client_node_status(c).daemon_pid;
}

static void send_only(struct client *c, struct wire_message m)
{
	m.serial = 0;
	client_send(c, &m, NULL, 0);
}

static uint32_t heard(struct client *c)
{
	assert_true(client_receive(c));
	return c->reply.status;
}

/* --- partitions --- */

static void one_process_is_enough_to_see_all_partitions(void **state)
{
	struct wire_shm_partition row;
	char host[256] = "";
	struct place p;

	place_begin(&p, 3, SLOW);
	assert_int_equal(shm_hello(&p.c[2]), STATUS_OK);
	assert_int_equal(shm_partitions_of(&p.c[2]), ALL);
	gethostname(host, sizeof(host) - 1);
	host[63] = 0;
	for (uint32_t i = 1; i <= 3; i++) {
		assert_true(shm_partition_row(&p.c[2], i, &row));
		assert_string_equal(row.host, host);
		assert_int_equal(row.version, 0x00010000);
	}
	place_end(&p);
}

static void a_node_alone_is_partition_zero(void **state)
{
	struct client c;
	struct node n;
	uint32_t key, shmid;

	node_start(&n, program, "", false);
	client_new(&c, &n);
	assert_int_equal(shm_hello(&c), STATUS_OK);
	assert_int_equal(shm_partitions_of(&c), 1);
	assert_int_equal(shm_key(&c, 0, &key), STATUS_OK);
	assert_int_equal(WIRE_SHM_PARTITION(key), 0);
	assert_int_equal(shm_get(&c, key, 5, &shmid), STATUS_OK);
	assert_int_equal(shm_key(&c, 1, &key), STATUS_NODE_UNKNOWN);
	client_close(&c);
	node_stop(&n);
}

static void a_partition_is_down_while_its_node_is(void **state)
{
	struct place p;
	pid_t daemon;

	begin_all(&p, QUICK);
	daemon = daemon_of(&p.c[2]);
	kill(daemon, SIGSTOP);
	wait_partitions(&p.c[1], 0xa, 3 * NSEC_PER_SEC);
	kill(daemon, SIGCONT);
	wait_partitions(&p.c[1], ALL, 5 * NSEC_PER_SEC);
	nodes_kill(&p.nodes, 3, &p.c[3]);
	client_close(&p.c[3]);
	p.gone[3] = true;
	wait_partitions(&p.c[1], 0x6, 3 * NSEC_PER_SEC);
	place_end(&p);
}

static void a_restart_of_a_daemon_takes_no_partition_away(void **state)
{
	struct place p;

	/* node 2 has no process that uses clshm, and nothing in common with node 1 */
	place_begin(&p, 2, SLOW);
	assert_int_equal(shm_hello(&p.c[1]), STATUS_OK);
	assert_int_equal(shm_partitions_of(&p.c[1]), 0x6);
	for (unsigned int i = 0; i < 3; i++) {
		nodes_kill_daemon(&p.c[2]);
		assert_int_equal(shm_partitions_of(&p.c[1]), 0x6);
		poll(NULL, 0, 100);
		assert_int_equal(shm_partitions_of(&p.c[1]), 0x6);
	}
	/* who asks anew is told anew */
	nodes_kill_daemon(&p.c[1]);
	assert_int_equal(shm_partitions_of(&p.c[1]), 0x6);
	place_end(&p);
}

static void who_comes_later_is_found(void **state)
{
	struct place p;

	place_begin(&p, 1, QUICK);
	assert_int_equal(shm_hello(&p.c[1]), STATUS_OK);
	assert_int_equal(shm_partitions_of(&p.c[1]), 0x2);
	nodes_start_one(&p.nodes, program, 2, QUICK);
	wait_partitions(&p.c[1], 0x6, 3 * NSEC_PER_SEC);
	place_end(&p);
}

/* --- keys and segments of another partition --- */

static void a_process_uses_another_partition_as_its_own(void **state)
{
	struct wire_message list = {.type = WIRE_SHM_LIST, .shm_list = {2, 0}}, set;
	uint32_t key, shmid, same;
	struct wire_shm_row row;
	struct place p;

	begin_all(&p, SLOW "[Peers]\nRootSquash=no\n");
	assert_int_equal(shm_key(&p.c[1], 2, &key), STATUS_OK);
	assert_int_equal(WIRE_SHM_PARTITION(key), 2);
	assert_int_equal(shm_get(&p.c[1], key, 5000, &shmid), STATUS_OK);
	assert_int_equal(WIRE_SHM_PARTITION(shmid), 2);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(shm_get(&p.c[i], key, 5000, &same), STATUS_OK);
		assert_int_equal(same, shmid);
		assert_int_equal(shm_get(&p.c[i], key, 5001, &same), STATUS_BAD_SIZE);
		assert_int_equal(shm_stat(&p.c[i], shmid, &row), STATUS_OK);
		assert_int_equal(row.key, key);
		assert_int_equal(row.size, 5000);
		assert_int_equal(row.uid, geteuid());
		assert_int_equal(row.mode, 0600);
	}
	assert_int_equal(shm_call(&p.c[3], list), STATUS_OK);
	assert_int_equal(p.c[3].reply.shm_list_reply.n, 1);
	set = (struct wire_message){.type = WIRE_SHM_CONTROL,
		.shm_control = {shmid, WIRE_SHM_SET, geteuid(), getegid(), 0644}};
	assert_int_equal(shm_call(&p.c[3], set), STATUS_OK);
	assert_int_equal(shm_stat(&p.c[1], shmid, &row), STATUS_OK);
	assert_int_equal(row.mode, 0644);
	assert_int_equal(shm_control(&p.c[1], shmid, WIRE_SHM_REMOVE), STATUS_OK);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(shm_stat(&p.c[i], shmid, &row), STATUS_NOT_FOUND);
		assert_int_equal(shm_get(&p.c[i], key, 5000, &same), STATUS_NOT_FOUND);
	}
	place_end(&p);
}

/* Until the key is not there any more. */
static void wait_forgotten(struct client *c, uint32_t key)
{
	uint64_t begin = clock_now();
	uint32_t shmid;

	/* no size is that large: the key stays as it is */
	while (shm_get(c, key, UINT64_MAX, &shmid) != STATUS_NOT_FOUND) {
		poll(NULL, 0, 10);
		assert_true(clock_now() - begin < 5 * NSEC_PER_SEC);
	}
}

static void unused_keys_go_with_the_process_that_made_them(void **state)
{
	uint32_t unused, used, shmid;
	struct client second;
	struct place p;

	begin_all(&p, QUICK);
	for (unsigned int restart = 0; restart < 2; restart++) {
		client_new(&second, &p.nodes.node[1]);
		assert_int_equal(shm_hello(&second), STATUS_OK);
		assert_int_equal(shm_key(&second, 2, &unused), STATUS_OK);
		assert_int_equal(shm_key(&second, 2, &used), STATUS_OK);
		assert_int_equal(shm_get(&second, used, 1, &shmid), STATUS_OK);
		if (restart) {
			nodes_kill_daemon(&second);
			client_wait_resend(&p.c[1]);
			wait_partitions(&p.c[1], ALL, 5 * NSEC_PER_SEC);
		}
		client_close(&second);
		wait_forgotten(&p.c[2], unused);
		assert_int_equal(shm_get(&p.c[1], used, 1, &shmid), STATUS_OK);
	}
	place_end(&p);
}

static void unused_keys_of_a_node_go_with_its_next_life(void **state)
{
	uint32_t key;
	struct place p;

	begin_all(&p, QUICK);
	assert_int_equal(shm_key(&p.c[3], 2, &key), STATUS_OK);
	nodes_kill(&p.nodes, 3, &p.c[3]);
	client_close(&p.c[3]);
	wait_partitions(&p.c[2], 0x6, 3 * NSEC_PER_SEC);
	nodes_start_one(&p.nodes, program, 3, QUICK);
	client_new(&p.c[3], &p.nodes.node[3]);
	wait_partitions(&p.c[2], ALL, 5 * NSEC_PER_SEC);
	wait_forgotten(&p.c[2], key);
	place_end(&p);
}

/* --- daemons that end while they are asked --- */

/* Of what is asked: prepared, judged when it was answered with 0. */
struct question {
	struct wire_message ask;
	uint32_t key, shmid;
};

static void prepare(struct place *p, unsigned int i, struct question *q)
{
	struct client *c = &p->c[1];

	assert_int_equal(shm_key(c, 2, &q->key), STATUS_OK);
	if (i > 1)
		assert_int_equal(shm_get(c, q->key, 4096, &q->shmid), STATUS_OK);
	if (i == 0)
		q->ask = (struct wire_message){.type = WIRE_SHM_KEY, .shm_key = {2}};
	else if (i == 1)
		q->ask = (struct wire_message){
			.type = WIRE_SHM_GET, .shm_get = {q->key, 4096, 0600, WIRE_SHM_EXCLUSIVE}};
	else if (i == 2)
		q->ask = (struct wire_message){.type = WIRE_SHM_CONTROL,
			.shm_control = {.shmid = q->shmid, .command = WIRE_SHM_REMOVE}};
	else if (i == 3)
		q->ask = (struct wire_message){.type = WIRE_SHM_CONTROL,
			.shm_control = {.shmid = q->shmid, .command = WIRE_SHM_AUTOREMOVE}};
	else if (i == 4)
		q->ask = (struct wire_message){.type = WIRE_SHM_STAT, .shm_stat = {q->shmid}};
	else
		q->ask = (struct wire_message){.type = WIRE_SHM_LIST, .shm_list = {2, 0}};
}

#define QUESTIONS 6u

static void judge(struct place *p, unsigned int i, const struct question *q)
{
	struct client *c = &p->c[1];
	uint32_t key, shmid;

	if (i == 0) {
		/* one was made, not two */
		assert_int_equal(c->reply.shm_key_reply.key, q->key + 1);
		assert_int_equal(shm_key(c, 2, &key), STATUS_OK);
		assert_int_equal(key, q->key + 2);
	} else if (i == 1) {
		shmid = c->reply.shm_get_reply.shmid;
		assert_int_equal(shm_get(c, q->key, 4096, &key), STATUS_OK);
		assert_int_equal(key, shmid);
	} else if (i == 2) {
		assert_int_equal(shm_get(c, q->key, 4096, &shmid), STATUS_NOT_FOUND);
	}
}

typedef void (*disturb)(struct place *p, struct question *q);

/* The owner before it has read the question. */
static void kill_the_owner(struct place *p, struct question *q)
{
	pid_t owner = daemon_of(&p->c[2]);

	kill(owner, SIGSTOP);
	send_only(&p->c[1], q->ask);
	poll(NULL, 0, 50);
	kill(owner, SIGKILL);
	client_wait_resend(&p->c[2]);
}

/* The owner when it has read it, perhaps. */
static void kill_the_owner_at_once(struct place *p, struct question *q)
{
	pid_t owner = daemon_of(&p->c[2]);

	send_only(&p->c[1], q->ask);
	kill(owner, SIGKILL);
	client_wait_resend(&p->c[2]);
}

/* The asker when the owner has not answered, and says it again. */
static void kill_the_asker(struct place *p, struct question *q)
{
	pid_t owner = daemon_of(&p->c[2]), asker = daemon_of(&p->c[1]);
	struct wire_message again = q->ask;

	kill(owner, SIGSTOP);
	send_only(&p->c[1], q->ask);
	poll(NULL, 0, 50);
	kill(asker, SIGKILL);
	while (p->c[1].n_resend == 0)
		assert_true(client_receive_any(&p->c[1]));
	p->c[1].n_resend = 0;
	again.serial = p->c[1].serial;
	client_send(&p->c[1], &again, NULL, 0);
	poll(NULL, 0, 50);
	kill(owner, SIGCONT);
}

/* The asker when the owner has done it and answered, but nobody has heard that. */
static void kill_the_asker_before_it_hears(struct place *p, struct question *q)
{
	pid_t owner = daemon_of(&p->c[2]), asker = daemon_of(&p->c[1]);
	struct wire_message again = q->ask;

	kill(owner, SIGSTOP);
	send_only(&p->c[1], q->ask);
	poll(NULL, 0, 50);
	kill(asker, SIGSTOP);
	kill(owner, SIGCONT);
	poll(NULL, 0, 50);
	kill(asker, SIGKILL);
	while (p->c[1].n_resend == 0)
		assert_true(client_receive_any(&p->c[1]));
	p->c[1].n_resend = 0;
	again.serial = p->c[1].serial;
	client_send(&p->c[1], &again, NULL, 0);
}

/* Both. */
static void kill_both(struct place *p, struct question *q)
{
	pid_t owner = daemon_of(&p->c[2]);

	kill_the_asker_before_it_hears(p, q);
	kill(owner, SIGKILL);
	client_wait_resend(&p->c[2]);
}

static void disturbed(disturb fn)
{
	struct question q;
	struct place p;

	begin_all(&p, SLOW);
	for (unsigned int i = 0; i < QUESTIONS; i++) {
		prepare(&p, i, &q);
		p.c[1].n_resend = 0;
		fn(&p, &q);
		assert_int_equal(heard(&p.c[1]), STATUS_OK);
		assert_int_equal(p.c[1].reply.type, q.ask.type | WIRE_REPLY_BIT);
		judge(&p, i, &q);
	}
	assert_int_equal(shm_partitions_of(&p.c[1]), ALL);
	place_end(&p);
}

static void a_question_outlives_the_owners_daemon(void **state)
{
	disturbed(kill_the_owner);
}

static void a_question_outlives_the_owners_daemon_whenever_that_ends(void **state)
{
	disturbed(kill_the_owner_at_once);
}

static void a_question_outlives_the_askers_daemon(void **state)
{
	disturbed(kill_the_asker);
}

static void what_was_done_is_not_done_again(void **state)
{
	disturbed(kill_the_asker_before_it_hears);
}

static void a_question_outlives_both_daemons(void **state)
{
	disturbed(kill_both);
}

static void a_question_to_a_node_that_is_lost_ends(void **state)
{
	struct question q;
	struct place p;
	uint64_t begin;
	pid_t owner;

	begin_all(&p, QUICK);
	owner = daemon_of(&p.c[2]);
	for (unsigned int i = 1; i < QUESTIONS; i += 3) {
		prepare(&p, i, &q);
		kill(owner, SIGSTOP);
		begin = clock_now();
		send_only(&p.c[1], q.ask);
		assert_int_equal(heard(&p.c[1]), STATUS_NODE_UNREACHABLE);
		assert_true(clock_now() - begin < 3 * NSEC_PER_SEC);
		/* and so does one that is asked now */
		assert_int_equal(shm_call(&p.c[1], q.ask), STATUS_NODE_UNREACHABLE);
		kill(owner, SIGCONT);
		wait_partitions(&p.c[1], ALL, 5 * NSEC_PER_SEC);
	}
	place_end(&p);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_process_is_enough_to_see_all_partitions),
		cmocka_unit_test(a_node_alone_is_partition_zero),
		cmocka_unit_test(a_partition_is_down_while_its_node_is),
		cmocka_unit_test(a_restart_of_a_daemon_takes_no_partition_away),
		cmocka_unit_test(who_comes_later_is_found),
		cmocka_unit_test(a_process_uses_another_partition_as_its_own),
		cmocka_unit_test(unused_keys_go_with_the_process_that_made_them),
		cmocka_unit_test(unused_keys_of_a_node_go_with_its_next_life),
		cmocka_unit_test(a_question_outlives_the_owners_daemon),
		cmocka_unit_test(a_question_outlives_the_owners_daemon_whenever_that_ends),
		cmocka_unit_test(a_question_outlives_the_askers_daemon),
		cmocka_unit_test(what_was_done_is_not_done_again),
		cmocka_unit_test(a_question_outlives_both_daemons),
		cmocka_unit_test(a_question_to_a_node_that_is_lost_ends),
	};

	if (argc < 2)
		return EXIT_FAILURE;
	program = argv[1];
	return cmocka_run_group_tests_name("shm-nodes", tests, NULL, NULL);
}
