/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "daemon/test-attach.h"

/*
 * Attaching clshm's segments, and what forked children have of their parents' attaches. Node 1 has
 * the segment; p and q are processes of node 1 or 2, where q says it is p's child. argv[1]:
 * causewayd.
 */

#define PAGE   4096u
#define SIZE   (64 * PAGE)
#define RW     (WIRE_READ | WIRE_WRITE)
#define NOBODY 65534

static const char *program;

static const char config[] =
	"[Peers]\nRootSquash=no\n[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=10s\n";

struct scene {
	struct nodes nodes;
	struct client a; /* of node 1 */
	struct client p, q;
	struct wire_hello_reply parent; /* p's, also when p is gone */
	uint32_t shmid;
	int uffd[3];
	struct attach at_a, at_p, at_q;
	bool p_ended;
};

static struct scene *begin(unsigned int node)
{
	struct scene *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	nodes_start(&s->nodes, program, 2, 2, config);
	client_new(&s->a, &s->nodes.node[1]);
	client_new(&s->p, &s->nodes.node[node]);
	client_new(&s->q, &s->nodes.node[node]);
	s->uffd[0] = map_watch_begin(&s->a);
	s->uffd[1] = map_watch_begin(&s->p);
	s->uffd[2] = map_watch_begin(&s->q);
	s->parent = s->p.hello;
	shm_hello(&s->a);
	shm_hello(&s->p);
	shm_hello(&s->q);
	s->shmid = shm_make(&s->a, SIZE, 0600);
	return s;
}

static int begin_near(void **state)
{
	*state = begin(1);
	return 0;
}

static int begin_far(void **state)
{
	*state = begin(2);
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	map_close(&s->at_a.map);
	map_close(&s->at_p.map);
	map_close(&s->at_q.map);
	(void)shm_remove(&s->a, s->shmid);
	client_close(&s->a);
	if (!s->p_ended)
		client_close(&s->p);
	client_close(&s->q);
	nodes_stop(&s->nodes);
	for (unsigned int i = 0; i < 3; i++)
		close(s->uffd[i]);
	free(s);
	return 0;
}

static void end_parent(struct scene *s)
{
	map_close(&s->at_p.map);
	client_close(&s->p);
	s->p_ended = true;
}

static void wait_attached(struct scene *s, uint64_t n)
{
	for (int i = 0; i < 500 && shm_attached(&s->a, s->shmid) != n; i++)
		usleep(5000);
	assert_int_equal(shm_attached(&s->a, s->shmid), n);
}

/* Attaching */

static void stores_to_what_is_attached_are_seen_by_all(void **state)
{
	struct scene *s = *state;

	attach_open(&s->at_a, &s->a, s->shmid, RW);
	attach_open(&s->at_p, &s->p, s->shmid, RW);
	assert_int_equal(s->at_p.size, SIZE);
	for (uint64_t i = 0; i < 50; i++) {
		atomic_store(attach_word(&s->at_p, 3), 2 * i + 1);
		assert_int_equal(atomic_load(attach_word(&s->at_a, 3)), 2 * i + 1);
		atomic_store(attach_word(&s->at_a, 3), 2 * i + 2);
		assert_int_equal(atomic_load(attach_word(&s->at_p, 3)), 2 * i + 2);
	}
	assert_int_equal(shm_attached(&s->a, s->shmid), 2);
}

static void an_attach_needs_no_data_connection(void **state)
{
	struct scene *s = *state;

	attach_open(&s->at_p, &s->p, s->shmid, RW);
	for (unsigned int i = 0; i < WIRE_CLIENT_ROUTES; i++)
		assert_int_equal(atomic_load(&s->p.status->routes[i]), 0);
}

static void what_is_attached_survives_the_daemons(void **state)
{
	struct scene *s = *state;

	attach_open(&s->at_a, &s->a, s->shmid, RW);
	attach_open(&s->at_p, &s->p, s->shmid, RW);
	atomic_store(attach_word(&s->at_p, 1), 1);
	for (uint64_t i = 1; i < 4; i++) {
		nodes_kill_daemon(&s->p);
		assert_int_equal(atomic_fetch_add(attach_word(&s->at_p, 1), 1), 2 * i - 1);
		nodes_kill_daemon(&s->a);
		assert_int_equal(atomic_fetch_add(attach_word(&s->at_a, 1), 1), 2 * i);
	}
	assert_int_equal(shm_attached(&s->a, s->shmid), 2);
}

/* Heirs */

static void assert_shared(struct scene *s)
{
	for (uint64_t i = 0; i < 20; i++) {
		atomic_store(attach_word(&s->at_q, 5), 100 + i);
		assert_int_equal(atomic_load(attach_word(&s->at_a, 5)), 100 + i);
		atomic_store(attach_word(&s->at_a, 5), 200 + i);
		assert_int_equal(atomic_load(attach_word(&s->at_q, 5)), 200 + i);
	}
}

static void an_heir_goes_on_when_its_parent_has_ended(void **state)
{
	struct scene *s = *state;

	attach_open(&s->at_a, &s->a, s->shmid, RW);
	attach_open(&s->at_p, &s->p, s->shmid, RW);
	for (unsigned int i = 0; i < 16; i++)
		atomic_store(attach_word(&s->at_p, i), 1000 + i);
	assert_int_equal(attach_inherit(&s->at_q, &s->q, &s->parent, &s->at_p), STATUS_OK);
	attach_map(&s->at_q);
	wait_attached(s, 3);
	end_parent(s);
	wait_attached(s, 2);
	for (unsigned int i = 0; i < 16; i++) {
		assert_int_equal(atomic_load(attach_word(&s->at_q, i)), 1000 + i);
		assert_int_equal(atomic_load(attach_word(&s->at_a, i)), 1000 + i);
	}
	assert_shared(s);
	attach_close(&s->at_q);
	wait_attached(s, 1);
}

static void what_is_removed_is_inherited_all_the_same(void **state)
{
	struct scene *s = *state;
	struct attach other;

	attach_open(&s->at_a, &s->a, s->shmid, RW);
	attach_open(&s->at_p, &s->p, s->shmid, RW);
	assert_int_equal(shm_remove(&s->a, s->shmid), STATUS_OK);
	assert_int_equal(attach_connect(&other, &s->q, s->shmid, RW), STATUS_WITHDRAWN);
	assert_int_equal(attach_inherit(&s->at_q, &s->q, &s->parent, &s->at_p), STATUS_OK);
	attach_map(&s->at_q);
	attach_close(&s->at_p);
	assert_shared(s);
	attach_close(&s->at_a);
	attach_close(&s->at_q);
	assert_int_equal(attach_connect(&other, &s->q, s->shmid, RW), STATUS_NOT_FOUND);
}

static void an_heir_may_no_more_than_its_parent(void **state)
{
	struct scene *s = *state;

	attach_open(&s->at_a, &s->a, s->shmid, RW);
	atomic_store(attach_word(&s->at_a, 2), 7);
	attach_open(&s->at_p, &s->p, s->shmid, WIRE_READ);
	assert_int_equal(attach_inherit(&s->at_q, &s->q, &s->parent, &s->at_p), STATUS_OK);
	assert_false(s->at_q.write);
	attach_map(&s->at_q);
	assert_int_equal(atomic_load(attach_word(&s->at_q, 2)), 7);
	assert_int_equal(mprotect(s->at_q.map.at, SIZE, PROT_READ | PROT_WRITE), 0);
	atomic_store(attach_word(&s->at_q, 2), 8);
	assert_int_equal(atomic_load(attach_word(&s->at_a, 2)), 7);
}

static void heirs_have_heirs(void **state)
{
	struct scene *s = *state;
	struct attach first = {0}, second;

	attach_open(&s->at_a, &s->a, s->shmid, RW);
	assert_int_equal(attach_connect(&s->at_p, &s->p, s->shmid, RW), STATUS_OK);
	first = s->at_p;
	for (unsigned int i = 0; i < 20; i++) {
		struct client *c = i % 2 ? &s->p : &s->q, *of = i % 2 ? &s->q : &s->p;

		assert_int_equal(attach_inherit(&second, c, &of->hello, &first), STATUS_OK);
		attach_close(&first);
		first = second;
	}
	s->at_q = first;
	attach_map(&s->at_q);
	assert_shared(s);
	assert_int_equal(shm_attached(&s->a, s->shmid), 2);
}

/* The child maps in place of what it has inherited; its parent does not wait for that here. */
static void a_forked_child_maps_its_own_in_the_same_place(void **state)
{
	struct scene *s = *state;
	int status, fd;
	pid_t pid;

	attach_open(&s->at_a, &s->a, s->shmid, RW);
	attach_open(&s->at_p, &s->p, s->shmid, RW);
	atomic_store(attach_word(&s->at_p, 9), 1);
	pid = fork();
	if (pid == 0) {
		struct client c;

		client_new(&c, &s->nodes.node[s->p.hello.node]);
		map_watch_begin(&c);
		if (attach_inherit(&s->at_q, &c, &s->parent, &s->at_p))
			_exit(1);
		fd = s->at_q.fd;
		if (fd < 0 && map_memory(&c, s->at_q.import, &fd))
			_exit(2);
		if (mmap(s->at_p.map.at, SIZE, PROT_NONE, MAP_SHARED | MAP_FIXED, fd, 0) ==
			MAP_FAILED)
			_exit(3);
		c.page->maps[0] = (struct wire_map){.address = (uintptr_t)s->at_p.map.at,
			.length = SIZE,
			.side = WIRE_SIDE_IMPORT,
			.index = s->at_q.import};
		atomic_store(&c.page->n_maps, 1);
		if (client_call(&c, &(struct wire_message){.type = WIRE_MAP_WATCH}))
			_exit(4);
		mprotect(s->at_p.map.at, SIZE, PROT_READ | PROT_WRITE);
		for (unsigned int i = 0; i < 200; i++)
			atomic_fetch_add(attach_word(&s->at_p, 9), 1);
		_exit(0);
	}
	for (unsigned int i = 0; i < 200; i++)
		atomic_fetch_add(attach_word(&s->at_a, 9), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(atomic_load(attach_word(&s->at_p, 9)), 401);
	wait_attached(s, 2);
}

static void an_heir_survives_the_daemons(void **state)
{
	struct scene *s = *state;

	attach_open(&s->at_a, &s->a, s->shmid, RW);
	attach_open(&s->at_p, &s->p, s->shmid, RW);
	assert_int_equal(attach_inherit(&s->at_q, &s->q, &s->parent, &s->at_p), STATUS_OK);
	attach_map(&s->at_q);
	attach_close(&s->at_p);
	nodes_kill_daemon(&s->q);
	assert_shared(s);
	nodes_kill_daemon(&s->a);
	assert_shared(s);
	wait_attached(s, 2);
}

/* Strangers */

static void nothing_is_inherited_without_token_and_number(void **state)
{
	struct scene *s = *state;
	struct wire_hello_reply wrong;
	struct attach no;

	attach_open(&s->at_p, &s->p, s->shmid, RW);
	for (unsigned int i = 0; i < 16; i++) {
		wrong = s->parent;
		wrong.token[i] ^= 0x40;
		assert_int_equal(
			attach_inherit(&s->at_q, &s->q, &wrong, &s->at_p), STATUS_BAD_HANDLE);
	}
	wrong = s->parent;
	wrong.client++;
	assert_int_equal(attach_inherit(&s->at_q, &s->q, &wrong, &s->at_p), STATUS_BAD_HANDLE);
	wrong.client = UINT64_MAX;
	assert_int_equal(attach_inherit(&s->at_q, &s->q, &wrong, &s->at_p), STATUS_BAD_HANDLE);
	no = s->at_p;
	no.generation++;
	assert_int_equal(attach_inherit(&s->at_q, &s->q, &s->parent, &no), STATUS_BAD_HANDLE);
	no = s->at_p;
	no.import = 77;
	assert_int_equal(attach_inherit(&s->at_q, &s->q, &s->parent, &no), STATUS_BAD_HANDLE);
	no.import = UINT32_MAX;
	assert_int_equal(attach_inherit(&s->at_q, &s->q, &s->parent, &no), STATUS_BAD_HANDLE);
	wait_attached(s, 1);
	end_parent(s);
	wait_attached(s, 0);
	assert_int_equal(attach_inherit(&s->at_q, &s->q, &s->parent, &s->at_p), STATUS_BAD_HANDLE);
}

static void only_attaches_are_inherited(void **state)
{
	struct scene *s = *state;
	struct attach no = {0};
	uint32_t segment, id;
	struct remote r;
	int fd;

	assert_int_equal(client_create(&s->a, SIZE, &segment, &fd), STATUS_OK);
	close(fd);
	assert_int_equal(client_publish(&s->a, segment, 0, &id), STATUS_OK);
	if (s->p.hello.node == 1) {
		assert_int_equal(client_connect(&s->p, id, RW, &no.import), STATUS_OK);
		no.generation = s->p.reply.import_connect_reply.generation;
	} else {
		assert_int_equal(remote_connect(&r, &s->p, 1, id, RW), STATUS_OK);
		no.import = r.import;
		no.generation = r.result.generation;
	}
	assert_int_equal(attach_inherit(&s->at_q, &s->q, &s->parent, &no), STATUS_BAD_HANDLE);
}

static void another_user_inherits_nothing_with_the_right_token(void **state)
{
	struct scene *s = *state;
	struct client c;
	int status;
	pid_t pid;

	for (unsigned int i = 1; i <= 2; i++)
		assert_int_equal(chmod(s->nodes.node[i].dir, 0755), 0);
	attach_open(&s->at_p, &s->p, s->shmid, RW);
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
			_exit(2);
		client_new(&c, &s->nodes.node[s->p.hello.node]);
		_exit(attach_inherit(&s->at_q, &c, &s->parent, &s->at_p) != STATUS_BAD_HANDLE);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(shm_attached(&s->a, s->shmid), 1);
}

int main(int argc, char **argv)
{
#define NEAR(test) cmocka_unit_test_setup_teardown(test, begin_near, end)
#define FAR(test)  cmocka_unit_test_setup_teardown(test, begin_far, end)
#define BOTH(test) NEAR(test), FAR(test)
	const struct CMUnitTest tests[] = {
		BOTH(stores_to_what_is_attached_are_seen_by_all),
		BOTH(an_attach_needs_no_data_connection),
		BOTH(what_is_attached_survives_the_daemons),
		BOTH(an_heir_goes_on_when_its_parent_has_ended),
		BOTH(what_is_removed_is_inherited_all_the_same),
		BOTH(an_heir_may_no_more_than_its_parent),
		BOTH(heirs_have_heirs),
		BOTH(a_forked_child_maps_its_own_in_the_same_place),
		BOTH(an_heir_survives_the_daemons),
		BOTH(nothing_is_inherited_without_token_and_number),
		BOTH(only_attaches_are_inherited),
		BOTH(another_user_inherits_nothing_with_the_right_token),
	};

	program = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
