/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/test-map.h"

/*
 * Node 1 has a segment, its exporter has it mapped; others map it, too. argv[1]: causewayd.
 */

#define PAGE 4096u
#define SIZE (64 * PAGE)

static const char *program;

/* a exports on node 1; b and c import on nodes 2 and 3. */
struct scene {
	struct nodes nodes;
	struct client a, b, c;
	uint32_t segment, id;
	struct test_map home, at_b, at_c;
	struct remote rb, rc;
	int uffd[NODES_MAX + 1]; /* of the node's client */
	unsigned int n;
};

static const char config[] =
	"[Peers]\nRootSquash=no\n[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=2s\n";

static struct scene *begin_nodes(unsigned int n)
{
	struct scene *s = calloc(1, sizeof(*s));
	int fd;

	assert_non_null(s);
	s->n = n;
	nodes_start(&s->nodes, program, n, n, config);
	client_new(&s->a, &s->nodes.node[1]);
	s->uffd[1] = map_watch_begin(&s->a);
	assert_int_equal(client_create(&s->a, SIZE, &s->segment, &fd), STATUS_OK);
	map_export(&s->home, &s->a, s->segment, fd, SIZE);
	assert_int_equal(client_publish(&s->a, s->segment, 0, &s->id), STATUS_OK);
	client_new(&s->b, &s->nodes.node[2]);
	s->uffd[2] = map_watch_begin(&s->b);
	if (n < 3)
		return s;
	client_new(&s->c, &s->nodes.node[3]);
	s->uffd[3] = map_watch_begin(&s->c);
	return s;
}

static int begin(void **state)
{
	*state = begin_nodes(2);
	return 0;
}

static int begin_three(void **state)
{
	*state = begin_nodes(3);
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	map_close(&s->at_b);
	map_close(&s->at_c);
	map_close(&s->home);
	if (s->a.socket >= 0)
		client_close(&s->a);
	client_close(&s->b);
	if (s->n > 2)
		client_close(&s->c);
	nodes_stop(&s->nodes);
	for (unsigned int i = 1; i <= s->n; i++)
		if (s->uffd[i] >= 0)
			close(s->uffd[i]);
	free(s);
	return 0;
}

static void map_b(struct scene *s)
{
	assert_int_equal(
		remote_connect(&s->rb, &s->b, 1, s->id, WIRE_READ | WIRE_WRITE), STATUS_OK);
	map_remote(&s->at_b, &s->b, s->rb.import, SIZE, true);
}

static void map_c(struct scene *s)
{
	assert_int_equal(
		remote_connect(&s->rc, &s->c, 1, s->id, WIRE_READ | WIRE_WRITE), STATUS_OK);
	map_remote(&s->at_c, &s->c, s->rc.import, SIZE, true);
}

static _Atomic uint64_t *word(const struct test_map *m, unsigned int page)
{
	return (_Atomic uint64_t *)(m->at + page * PAGE);
}

static void what_was_there_is_read_on_another_node(void **state)
{
	struct scene *s = *state;

	memset(s->home.at, 0x5a, SIZE);
	map_b(s);
	for (unsigned int i = 0; i < SIZE; i += 512)
		assert_int_equal(s->at_b.at[i], 0x5a);
}

static void a_store_is_seen_on_the_other_node(void **state)
{
	struct scene *s = *state;

	map_b(s);
	for (uint64_t i = 0; i < 100; i++) {
		atomic_store(word(&s->at_b, 3), 2 * i + 1);
		assert_int_equal(atomic_load(word(&s->home, 3)), 2 * i + 1);
		atomic_store(word(&s->home, 3), 2 * i + 2);
		assert_int_equal(atomic_load(word(&s->at_b, 3)), 2 * i + 2);
	}
}

static void pages_that_nobody_has_touched_are_zero_everywhere(void **state)
{
	struct scene *s = *state;

	map_b(s);
	assert_int_equal(atomic_load(word(&s->at_b, 9)), 0);
	assert_int_equal(atomic_load(word(&s->home, 9)), 0);
	assert_int_equal(atomic_load(word(&s->home, 10)), 0);
	atomic_store(word(&s->at_b, 10), 7);
	assert_int_equal(atomic_load(word(&s->home, 10)), 7);
}

static void three_nodes_count_together(void **state)
{
	struct scene *s = *state;
	_Atomic uint64_t *words[3];

	map_b(s);
	map_c(s);
	words[0] = word(&s->home, 1);
	words[1] = word(&s->at_b, 1);
	words[2] = word(&s->at_c, 1);
	for (unsigned int i = 0; i < 300; i++)
		assert_int_equal(atomic_fetch_add(words[i % 3], 1), i);
}

struct poller {
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint64_t *at;
};

static void *poll_word(void *userdata)
{
	struct poller *p = userdata;
	uint64_t sum = 0;

	while (!atomic_load(&p->stop))
		sum += atomic_load(p->at);
	return (void *)(uintptr_t)(sum & 1);
}

/* Other ways to the same memory */

static void puts_and_gets_see_what_maps_have(void **state)
{
	struct scene *s = *state;
	struct remote other;
	uint64_t value, old;

	map_b(s);
	remote_open(&other, &s->b, 1, s->id, WIRE_READ | WIRE_WRITE);
	for (uint64_t i = 1; i < 50; i++) {
		atomic_store(word(&s->at_b, 1), i);
		assert_int_equal(fabric_get(other.path, &other.user, PAGE, &value, 8, 0), 0);
		assert_int_equal(value, i);
		value = 1000 + i;
		assert_int_equal(fabric_put(other.path, &other.user, PAGE, &value, 8, 0, 0), 0);
		assert_int_equal(atomic_load(word(&s->at_b, 1)), 1000 + i);
		assert_int_equal(fabric_fetch_add(other.path, &other.user, PAGE, 8, 1, &old), 0);
		assert_int_equal(old, 1000 + i);
		assert_int_equal(atomic_load(word(&s->home, 1)), 1001 + i);
	}
	remote_close(&other);
}

static void a_put_of_everything_goes_through_pages_that_are_away(void **state)
{
	struct scene *s = *state;
	uint8_t *data = malloc(SIZE);
	struct remote other;

	map_b(s);
	remote_open(&other, &s->b, 1, s->id, WIRE_READ | WIRE_WRITE);
	for (unsigned int round = 0; round < 5; round++) {
		for (unsigned int i = 0; i < SIZE / PAGE; i += 3)
			atomic_store(word(&s->at_b, i), i);
		memset(data, (int)round + 1, SIZE);
		assert_int_equal(fabric_put(other.path, &other.user, 0, data, SIZE, 0, 0), 0);
		assert_memory_equal(s->at_b.at, data, SIZE);
		for (unsigned int i = 0; i < SIZE / PAGE; i += 5)
			atomic_store(word(&s->at_b, i), i);
		assert_int_equal(fabric_get(other.path, &other.user, 0, data, SIZE, 0), 0);
		assert_memory_equal(s->home.at, data, SIZE);
	}
	remote_close(&other);
	free(data);
}

static void who_may_only_read_sees_what_others_store(void **state)
{
	struct scene *s = *state;

	assert_int_equal(remote_connect(&s->rb, &s->b, 1, s->id, WIRE_READ), STATUS_OK);
	map_remote(&s->at_b, &s->b, s->rb.import, SIZE, false);
	for (uint64_t i = 0; i < 50; i++) {
		atomic_store(word(&s->home, 3), i);
		assert_int_equal(atomic_load(word(&s->at_b, 3)), i);
	}
	assert_int_equal(mprotect(s->at_b.at, SIZE, PROT_READ | PROT_WRITE), 0);
	atomic_store(word(&s->at_b, 3), 99);
	assert_int_equal(atomic_load(word(&s->home, 3)), 49);
}

static void a_child_has_what_its_parent_has(void **state)
{
	struct scene *s = *state;
	int status;
	pid_t pid;

	map_b(s);
	atomic_store(word(&s->at_b, 1), 10);
	pid = fork();
	if (!pid) {
		for (unsigned int i = 0; i < 100; i++) {
			atomic_fetch_add(word(&s->at_b, 1), 1);
			atomic_fetch_add(word(&s->home, 1), 1);
		}
		_exit(0);
	}
	for (unsigned int i = 0; i < 100; i++) {
		atomic_fetch_add(word(&s->at_b, 1), 1);
		atomic_fetch_add(word(&s->home, 1), 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(atomic_load(word(&s->at_b, 1)), 410);
	assert_int_equal(atomic_load(word(&s->home, 1)), 410);
}

static void a_map_may_be_moved_and_cut(void **state)
{
	struct scene *s = *state;
	uint8_t *to;

	map_b(s);
	atomic_store(word(&s->at_b, 20), 1);
	to = mremap(s->at_b.at, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	assert_true(to != MAP_FAILED);
	s->at_b.at = to;
	assert_int_equal(munmap(to + 4 * PAGE, 4 * PAGE), 0);
	for (uint64_t i = 2; i < 20; i++) {
		assert_int_equal(atomic_fetch_add(word(&s->home, 20), 1), 2 * i - 3);
		assert_int_equal(atomic_fetch_add(word(&s->at_b, 20), 1), 2 * i - 2);
	}
	/* a hole that the process makes itself */
	assert_int_equal(madvise(to + 20 * PAGE, PAGE, MADV_REMOVE), 0);
	assert_int_equal(atomic_load(word(&s->at_b, 20)), 0);
	atomic_store(word(&s->home, 20), 5);
	assert_int_equal(atomic_load(word(&s->at_b, 20)), 5);
}

static uint32_t hold(struct scene *s, bool on)
{
	struct wire_message m = {.type = WIRE_SEGMENT_HOLD, .segment_hold = {s->segment, on}};

	return client_call(&s->a, &m);
}

static void what_is_held_is_home_and_goes_on_afterwards(void **state)
{
	struct scene *s = *state;
	struct poller p;

	map_b(s);
	for (unsigned int round = 0; round < 5; round++) {
		for (unsigned int i = 0; i < 8; i++)
			atomic_store(word(&s->at_b, i), round + i);
		assert_int_equal(hold(s, true), STATUS_OK);
		assert_int_equal(atomic_load(&s->a.status->export_coherent[s->segment]), 0);
		for (unsigned int i = 0; i < 8; i++)
			assert_int_equal(atomic_load(word(&s->home, i)), round + i);
		p = (struct poller){.at = word(&s->at_b, 2), .stop = true};
		/* one look, which waits */
		atomic_store(&p.stop, false);
		assert_int_equal(pthread_create(&p.thread, NULL, poll_word, &p), 0);
		memset(s->home.at, 7, 8);
		usleep(20000);
		assert_int_equal(hold(s, false), STATUS_OK);
		atomic_store(&p.stop, true);
		pthread_join(p.thread, NULL);
		assert_int_equal(atomic_load(word(&s->at_b, 0)), 0x0707070707070707);
		assert_int_equal(atomic_load(word(&s->at_b, 3)), round + 3);
	}
}

/* Ends */

static void wait_value(_Atomic uint64_t *at, uint64_t value)
{
	for (int i = 0; i < 1000 && atomic_load(at) != value; i++)
		usleep(5000);
	assert_int_equal(atomic_load(at), value);
}

static void what_is_disconnected_is_given_back(void **state)
{
	struct scene *s = *state;

	map_b(s);
	for (unsigned int i = 0; i < 16; i++)
		atomic_store(word(&s->at_b, i), 1000 + i);
	map_close(&s->at_b);
	assert_int_equal(remote_disconnect(&s->rb), STATUS_OK);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(atomic_load(word(&s->home, i)), 1000 + i);
	/* and again from the beginning */
	map_b(s);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(atomic_load(word(&s->at_b, i)), 1000 + i);
}

static void what_a_process_stored_before_its_end_is_there(void **state)
{
	struct scene *s = *state;

	map_b(s);
	for (unsigned int i = 0; i < 16; i++)
		atomic_store(word(&s->at_b, i), 2000 + i);
	map_close(&s->at_b);
	client_close(&s->b);
	for (unsigned int i = 0; i < 16; i++)
		wait_value(word(&s->home, i), 2000 + i);
	client_new(&s->b, &s->nodes.node[2]);
}

static void wait_disarmed(struct scene *s)
{
	for (int i = 0; i < 200 && atomic_load(&s->a.status->export_coherent[s->segment]); i++)
		usleep(5000);
	assert_int_equal(atomic_load(&s->a.status->export_coherent[s->segment]), 0);
}

static void what_others_want_at_that_moment_is_given_back_too(void **state)
{
	struct scene *s = *state;
	struct poller p = {.at = word(&s->home, 2)};

	assert_int_equal(pthread_create(&p.thread, NULL, poll_word, &p), 0);
	for (unsigned int round = 1; round <= 20; round++) {
		map_b(s);
		for (unsigned int i = 0; i < 20; i++)
			atomic_fetch_add(word(&s->at_b, 2), 1);
		map_close(&s->at_b);
		assert_int_equal(remote_disconnect(&s->rb), STATUS_OK);
		wait_disarmed(s);
		assert_int_equal(atomic_load(word(&s->home, 2)), 20 * round);
	}
	atomic_store(&p.stop, true);
	pthread_join(p.thread, NULL);
}

/* Another process on node 2, which ends without a word. */
static pid_t start_adder(struct scene *s, unsigned int page, unsigned int n)
{
	pid_t pid = fork();
	struct test_map map;
	struct client c;
	struct remote r;

	if (pid)
		return pid;
	client_new(&c, &s->nodes.node[2]);
	map_watch_begin(&c);
	assert_int_equal(remote_connect(&r, &c, 1, s->id, WIRE_READ | WIRE_WRITE), STATUS_OK);
	map_remote(&map, &c, r.import, SIZE, true);
	atomic_fetch_add(word(&map, page) + 1, 1);
	for (unsigned int i = 0; i < n; i++)
		atomic_fetch_add(word(&map, page), 1);
	/* with more on its way than it waits for */
	for (unsigned int i = page + 1; i < page + 1 + n % 50; i++)
		if (atomic_load(word(&map, i)) == UINT64_MAX)
			_exit(1);
	_exit(0);
}

static void a_process_may_end_while_others_want_what_it_has(void **state)
{
	struct scene *s = *state;
	struct poller p = {.at = word(&s->home, 2)};

	assert_int_equal(pthread_create(&p.thread, NULL, poll_word, &p), 0);
	for (unsigned int n = 20, sum = 0; n <= 60; n += 2) {
		pid_t pid = start_adder(s, 2, n);
		int status;

		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		wait_disarmed(s);
		sum += n;
		assert_int_equal(atomic_load(word(&s->home, 2)), sum);
	}
	atomic_store(&p.stop, true);
	pthread_join(p.thread, NULL);
}

static void unpublishing_takes_everything_home_and_ends_the_map(void **state)
{
	struct scene *s = *state;
	struct wire_message m = {.type = WIRE_SEGMENT_UNPUBLISH};

	map_b(s);
	for (unsigned int i = 0; i < 16; i++)
		atomic_store(word(&s->at_b, i), 3000 + i);
	m.segment_unpublish.segment = s->segment;
	assert_int_equal(client_call(&s->a, &m), STATUS_OK);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(atomic_load(word(&s->home, i)), 3000 + i);
	client_wait_import(&s->b, s->rb.import, WIRE_IMPORT_REVOKED);
	wait_value(word(&s->at_b, 0), 0);
	/* only this node sees that */
	atomic_store(word(&s->at_b, 1), 5);
	assert_int_equal(atomic_load(word(&s->at_b, 1)), 5);
	assert_int_equal(atomic_load(word(&s->home, 1)), 3001);
	assert_int_equal(atomic_load(&s->a.status->export_coherent[s->segment]), 0);
}

static void the_exporters_end_ends_the_map(void **state)
{
	struct scene *s = *state;

	map_b(s);
	atomic_store(word(&s->at_b, 2), 4);
	map_close(&s->home);
	client_close(&s->a);
	s->a.socket = -1;
	client_wait_import(&s->b, s->rb.import, WIRE_IMPORT_EXPORTER_GONE);
	wait_value(word(&s->at_b, 2), 0);
}

/* A library sees that its node is gone, and lets go. */
static void kill_node(struct scene *s, unsigned int node, struct client *c)
{
	nodes_kill(&s->nodes, node, c);
	close(s->uffd[node]);
	s->uffd[node] = -1;
}

static void stores_of_a_lost_node_are_discarded_and_others_are_told(void **state)
{
	struct scene *s = *state;
	_Atomic uint32_t *discards;

	map_b(s);
	map_c(s);
	atomic_store(word(&s->at_b, 2), 1);
	assert_int_equal(atomic_load(word(&s->home, 2)), 1);
	atomic_store(word(&s->at_b, 2), 2);
	discards = (_Atomic uint32_t *)&s->c.status->discards[s->rc.import];
	assert_int_equal(atomic_load(discards), 0);
	kill_node(s, 2, &s->b);
	/* blocks until the home has given it up */
	assert_int_equal(atomic_load(word(&s->at_c, 2)), 1);
	assert_int_equal(atomic_load(discards), 1);
	assert_int_equal(atomic_load(word(&s->home, 2)), 1);
	assert_int_equal(atomic_fetch_add(word(&s->home, 2), 1), 1);
	assert_int_equal(atomic_load(word(&s->at_c, 2)), 2);
}

static void without_its_home_a_map_reads_zeros(void **state)
{
	struct scene *s = *state;

	map_b(s);
	atomic_store(word(&s->at_b, 2), 1);
	kill_node(s, 1, &s->a);
	client_wait_import(&s->b, s->rb.import, WIRE_IMPORT_NODE_LOST);
	wait_value(word(&s->at_b, 2), 0);
}

/* Beginning and end at the same time */

static void a_map_may_begin_while_the_last_one_is_given_back(void **state)
{
	struct wire_message ask = {.type = WIRE_IMPORT_MEMORY};
	struct scene *s = *state;
	struct test_map there;
	struct remote other;
	struct client d;
	int uffd, fd;

	client_new(&d, &s->nodes.node[2]);
	uffd = map_watch_begin(&d);
	for (uint64_t i = 1; i < 20; i++) {
		atomic_store(word(&s->home, 0), i);
		assert_int_equal(remote_connect(&s->rb, &s->b, 1, s->id, WIRE_READ), STATUS_OK);
		assert_int_equal(remote_connect(&other, &d, 1, s->id, WIRE_READ), STATUS_OK);
		assert_int_equal(map_memory(&s->b, s->rb.import, &fd), STATUS_OK);
		close(fd);
		ask.serial = 0;
		ask.import_memory.import = other.import;
		client_send(&d, &ask, NULL, 0);
		assert_int_equal(remote_disconnect(&s->rb), STATUS_OK);
		assert_true(client_receive(&d));
		assert_int_equal(d.reply.status, STATUS_OK);
		assert_int_equal(map_enter(&there, &d, WIRE_SIDE_IMPORT, other.import, 0,
					 client_take_fd(&d, 0), SIZE, PROT_READ),
			STATUS_OK);
		assert_int_equal(atomic_load(word(&there, 0)), i);
		map_close(&there);
		assert_int_equal(remote_disconnect(&other), STATUS_OK);
	}
	assert_int_equal(client_node_status(&d).restarts, 0);
	client_close(&d);
	close(uffd);
}

static void who_does_not_hear_what_he_waits_for_is_cut_off_alone(void **state)
{
	struct wire_message ask = {.type = WIRE_IMPORT_MEMORY};
	struct scene *s = *state;
	struct remote r;
	struct client deaf;
	struct pollfd p;

	client_new(&deaf, &s->nodes.node[2]);
	assert_int_equal(remote_connect(&r, &deaf, 1, s->id, WIRE_READ), STATUS_OK);
	ask.import_memory.import = r.import;
	assert_int_equal(shutdown(deaf.socket, SHUT_RD), 0);
	for (unsigned int i = 0; i < 3; i++) {
		ask.serial = 0;
		client_send(&deaf, &ask, NULL, 0);
	}
	p = (struct pollfd){.fd = deaf.socket};
	assert_int_equal(poll(&p, 1, 10000), 1);
	client_close(&deaf);
	assert_int_equal(client_node_status(&s->b).restarts, 0);
	map_b(s);
	assert_int_equal(atomic_load(word(&s->at_b, 0)), 0);
}

static unsigned int count_sockets(pid_t pid)
{
	char path[64], what[64];
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
		len = readlink(path, what, sizeof(what));
		n += len > 7 && !strncmp(what, "socket:", 7);
	}
	return n;
}

static void with_the_last_map_the_page_link_is_hung_up(void **state)
{
	struct scene *s = *state;
	pid_t pid = (pid_t)client_node_status(&s->b).daemon_pid;
	struct remote other;
	unsigned int n;

	/* for the connections that there are without a map */
	assert_int_equal(remote_connect(&other, &s->b, 1, s->id, WIRE_READ), STATUS_OK);
	n = count_sockets(pid);
	map_b(s);
	assert_int_equal(atomic_load(word(&s->at_b, 2)), 0);
	assert_true(count_sockets(pid) > n);
	map_close(&s->at_b);
	assert_int_equal(remote_disconnect(&s->rb), STATUS_OK);
	for (int i = 0; i < 1000 && count_sockets(pid) > n; i++)
		usleep(5000);
	assert_int_equal(count_sockets(pid), n);
	map_b(s);
	assert_int_equal(atomic_fetch_add(word(&s->home, 2), 1), 0);
	assert_int_equal(atomic_load(word(&s->at_b, 2)), 1);
}

/* Too much */

#define OPENS_MAX 64u /* of one client that wait */

static void who_asks_for_memory_too_often_at_a_time_is_refused(void **state)
{
	struct wire_message ask = {.type = WIRE_IMPORT_MEMORY};
	struct scene *s = *state;
	pid_t home = (pid_t)client_node_status(&s->a).daemon_pid;
	unsigned int n_refused = 0;

	assert_int_equal(remote_connect(&s->rb, &s->b, 1, s->id, WIRE_READ), STATUS_OK);
	ask.import_memory.import = s->rb.import;
	kill(home, SIGSTOP);
	for (unsigned int i = 0; i < OPENS_MAX + 6; i++) {
		ask.serial = 0;
		client_send(&s->b, &ask, NULL, 0);
	}
	for (unsigned int i = 0; i < 6; i++) {
		assert_true(client_receive(&s->b));
		assert_int_equal(s->b.reply.status, STATUS_NO_RESOURCES);
	}
	kill(home, SIGCONT);
	for (unsigned int i = 0; i < OPENS_MAX; i++) {
		assert_true(client_receive(&s->b));
		n_refused += s->b.reply.status != STATUS_OK;
	}
	assert_int_equal(n_refused, 0);
}

#define MAPS_MAX     1024u /* of one process */
#define CHILDREN_MAX 20u   /* that have more together than one user may have */

static void map_too_often(struct scene *s)
{
	struct test_map map;
	struct client d;
	struct remote r;
	int fd;

	client_new(&d, &s->nodes.node[2]);
	map_watch_begin(&d);
	assert_int_equal(remote_connect(&r, &d, 1, s->id, WIRE_READ | WIRE_WRITE), STATUS_OK);
	assert_int_equal(map_memory(&d, r.import, &fd), STATUS_OK);
	for (unsigned int i = 0; i <= MAPS_MAX; i++)
		assert_int_equal(map_enter(&map, &d, WIRE_SIDE_IMPORT, r.import, i % 64 * PAGE,
					 dup(fd), PAGE, PROT_READ | PROT_WRITE),
			i < MAPS_MAX ? STATUS_OK : STATUS_MAP_FAILED);
}

/* Returns if nobody hinders it. */
static void fork_too_often(void)
{
	for (unsigned int i = 0; i < CHILDREN_MAX; i++)
		if (!fork()) {
			alarm(20);
			pause();
			_exit(0);
		}
}

static void who_maps_and_forks_without_end_is_killed_with_his_children(void **state)
{
	struct scene *s = *state;
	int status, ends[2];
	struct pollfd p;
	pid_t pid;

	map_b(s);
	atomic_store(word(&s->at_b, 1), 1);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		map_too_often(s);
		fork_too_often();
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	p = (struct pollfd){.fd = ends[0]};
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_true(p.revents & POLLHUP);
	close(ends[0]);
	assert_int_equal(atomic_fetch_add(word(&s->home, 1), 1), 1);
	assert_int_equal(atomic_fetch_add(word(&s->at_b, 1), 1), 2);
	assert_int_equal(client_node_status(&s->b).restarts, 0);
}

/* Restarts */

static void either_daemon_may_be_killed(void **state)
{
	struct scene *s = *state;
	uint64_t n = 0;

	map_b(s);
	for (unsigned int round = 0; round < 6; round++) {
		for (unsigned int i = 0; i < 50; i++) {
			assert_int_equal(atomic_fetch_add(word(&s->home, 4), 1), n++);
			assert_int_equal(atomic_fetch_add(word(&s->at_b, 4), 1), n++);
			atomic_store(word(&s->at_b, 5 + i), n);
		}
		nodes_kill_daemon(round & 1 ? &s->a : &s->b);
		for (unsigned int i = 0; i < 50; i++)
			assert_true(atomic_load(word(&s->home, 5 + i)) == n - 2 * (49 - i));
	}
}

static void a_successor_leaves_the_lease_as_it_was_until_the_home_answers(void **state)
{
	struct scene *s = *state;
	pid_t home = (pid_t)client_node_status(&s->a).daemon_pid;
	const _Atomic uint64_t *lease;
	uint64_t end, now;

	map_b(s);
	atomic_store(word(&s->at_b, 1), 1);
	lease = &s->b.status->leases[s->rb.import];
	assert_true(atomic_load(lease) > 0);
	kill(home, SIGSTOP);
	nodes_kill_daemon(&s->b);
	end = atomic_load(lease);
	now = client_import_word(&s->b, s->rb.import) & UINT32_MAX;
	kill(home, SIGCONT);
	/* of what is over there is none */
	assert_true(end > 0 || now != WIRE_IMPORT_CONNECTED);
}

static void nothing_is_lost_when_daemons_are_killed_under_fire(void **state)
{
	struct scene *s = *state;
	struct client a;
	pid_t pids[3];
	int status;

	client_new(&a, &s->nodes.node[1]);
	for (unsigned int i = 0; i < 3; i++)
		pids[i] = start_adder(s, 2, 200000);
	wait_value(word(&s->home, 2) + 1, 3);
	for (unsigned int i = 0; i < 20; i++) {
		for (unsigned int k = 0; k < 1000; k++)
			atomic_fetch_add(word(&s->home, 2), 1);
		nodes_kill_daemon(i & 1 ? &a : &s->b);
	}
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(atomic_load(word(&s->home, 2)), 620000);
	client_close(&a);
}

int main(int argc, char **argv)
{
#define TEST(name)  cmocka_unit_test_setup_teardown(name, begin, end)
#define THREE(name) cmocka_unit_test_setup_teardown(name, begin_three, end)
	const struct CMUnitTest tests[] = {
		TEST(what_was_there_is_read_on_another_node),
		TEST(a_store_is_seen_on_the_other_node),
		TEST(pages_that_nobody_has_touched_are_zero_everywhere),
		THREE(three_nodes_count_together),
		TEST(puts_and_gets_see_what_maps_have),
		TEST(a_put_of_everything_goes_through_pages_that_are_away),
		TEST(who_may_only_read_sees_what_others_store),
		TEST(a_child_has_what_its_parent_has),
		TEST(a_map_may_be_moved_and_cut),
		TEST(what_is_held_is_home_and_goes_on_afterwards),
		TEST(what_is_disconnected_is_given_back),
		TEST(what_a_process_stored_before_its_end_is_there),
		TEST(what_others_want_at_that_moment_is_given_back_too),
		TEST(a_process_may_end_while_others_want_what_it_has),
		TEST(unpublishing_takes_everything_home_and_ends_the_map),
		TEST(the_exporters_end_ends_the_map),
		THREE(stores_of_a_lost_node_are_discarded_and_others_are_told),
		TEST(without_its_home_a_map_reads_zeros),
		TEST(a_map_may_begin_while_the_last_one_is_given_back),
		TEST(who_does_not_hear_what_he_waits_for_is_cut_off_alone),
		TEST(with_the_last_map_the_page_link_is_hung_up),
		TEST(who_asks_for_memory_too_often_at_a_time_is_refused),
		TEST(who_maps_and_forks_without_end_is_killed_with_his_children),
		TEST(either_daemon_may_be_killed),
		TEST(a_successor_leaves_the_lease_as_it_was_until_the_home_answers),
		TEST(nothing_is_lost_when_daemons_are_killed_under_fire),
	};

	program = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
