/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/test-nodes.h"

/*
 * Data connections under DataEncryption=. Where the kernel has no TLS they are refused, which is
 * tested there; where it has, tests/vm has Debian's kernels run this. argv[1]: causewayd.
 */

#define SIZE	(4u << 20)
#define COMMON	"[Peers]\nRootSquash=no\n[Daemon]\nLogLevel=crit\n[Network]\nDetectionTime=5s\n"
#define REQUIRE COMMON "DataEncryption=require\n"
#define OFF	COMMON "DataEncryption=off\n"

static const char *program;

/* a exports on node 1, b imports on node 2. */
struct scene {
	struct nodes nodes;
	struct client a, b;
	uint32_t segment, id;
	uint8_t *memory;
	struct remote r;
};

static bool kernel_has_tls(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3) == 0 || errno == ENOTCONN;

	close(fd);
	return has;
}

#define NEEDS_TLS()                                                                                \
	do {                                                                                       \
		if (!kernel_has_tls()) {                                                           \
			print_message("skip: this kernel has no TLS\n");                           \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static void begin(struct scene *s, const char *home, const char *importer)
{
	const char *configs[] = {home, importer};
	int fd;

	*s = (struct scene){0};
	nodes_start_each(&s->nodes, program, 2, configs);
	client_new(&s->a, &s->nodes.node[1]);
	client_new(&s->b, &s->nodes.node[2]);
	assert_int_equal(client_create(&s->a, SIZE, &s->segment, &fd), STATUS_OK);
	s->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(s->memory != MAP_FAILED);
	close(fd);
	assert_int_equal(client_publish(&s->a, s->segment, 0, &s->id), STATUS_OK);
}

static void end(struct scene *s)
{
	remote_close(&s->r);
	munmap(s->memory, SIZE);
	client_close(&s->a);
	client_close(&s->b);
	nodes_stop(&s->nodes);
}

static void open_remote(struct scene *s)
{
	remote_open(&s->r, &s->b, 1, s->id, WIRE_READ | WIRE_WRITE);
}

static bool is_encrypted(struct scene *s)
{
	struct wire_route_reply reply;
	bool encrypted;
	int fd;

	assert_int_equal(remote_route(&s->b, s->r.route, &reply, &fd), STATUS_OK);
	encrypted = fabric_tcp_is_encrypted(fd);
	close(fd);
	return encrypted;
}

static void assert_works(struct scene *s)
{
	static uint64_t number;
	uint64_t got;

	number++;
	assert_int_equal(fabric_put(s->r.path, &s->r.user, 8, &number, 8, 8, 0), 0);
	assert_memory_equal(s->memory + 8, &number, 8);
	assert_int_equal(fabric_get(s->r.path, &s->r.user, 8, &got, 8, 8), 0);
	assert_int_equal(got, number);
}

static void wait_imports(struct client *c, uint32_t n)
{
	for (int i = 0; i < 1000 && client_node_status(c).n_imports != n; i++)
		usleep(5000);
	assert_int_equal(client_node_status(c).n_imports, n);
}

/* Who decides */

static void off_on_both_sides_is_plain(void **state)
{
	struct scene s;

	begin(&s, OFF, OFF);
	open_remote(&s);
	assert_false(is_encrypted(&s));
	assert_works(&s);
	end(&s);
}

/* It is the connect that fails, not the segment, and nothing is left of it. */
static void without_tls_a_connect_is_refused(const char *home, const char *importer)
{
	struct scene s;
	uint32_t import;

	begin(&s, home, importer);
	for (int i = 0; i < 3; i++)
		assert_int_equal(remote_connect(&s.r, &s.b, 1, s.id, WIRE_READ | WIRE_WRITE),
			STATUS_NOT_ENCRYPTED);
	wait_imports(&s.a, 0);
	assert_int_equal(client_node_status(&s.b).n_imports, 0);
	assert_int_equal(client_connect(&s.a, s.id, WIRE_READ, &import), STATUS_OK);
	end(&s);
}

static void with_tls_both_encrypt(const char *home, const char *importer)
{
	struct scene s;

	begin(&s, home, importer);
	open_remote(&s);
	assert_true(is_encrypted(&s));
	assert_works(&s);
	end(&s);
}

static void decide(const char *home, const char *importer)
{
	if (kernel_has_tls())
		with_tls_both_encrypt(home, importer);
	else
		without_tls_a_connect_is_refused(home, importer);
}

static void nothing_is_plain_if_the_home_requires(void **state)
{
	decide(REQUIRE, OFF);
}

static void nothing_is_plain_if_the_importer_requires(void **state)
{
	decide(OFF, REQUIRE);
}

static void nothing_is_plain_if_both_require(void **state)
{
	decide(REQUIRE, REQUIRE);
}

/* Its daemon restarts with another configuration; the other one's goes on. */
static void a_plain_connection_ends_when_a_node_begins_to_require(unsigned int node)
{
	struct scene s;

	begin(&s, OFF, OFF);
	open_remote(&s);
	assert_works(&s);
	nodes_configure(&s.nodes, node, REQUIRE);
	nodes_kill_daemon(node == 1 ? &s.a : &s.b);
	if (kernel_has_tls()) {
		for (int i = 0; i < 1000 && s.r.n_repairs == 0; i++) {
			assert_works(&s);
			usleep(5000);
		}
		assert_true(is_encrypted(&s));
		assert_works(&s);
	} else {
		client_wait_import(&s.b, s.r.import, WIRE_IMPORT_NODE_LOST);
	}
	end(&s);
}

static void a_plain_connection_ends_when_the_home_begins_to_require(void **state)
{
	a_plain_connection_ends_when_a_node_begins_to_require(1);
}

static void a_plain_connection_ends_when_the_importer_begins_to_require(void **state)
{
	a_plain_connection_ends_when_a_node_begins_to_require(2);
}

/* What goes through it */

static void fill(uint8_t *at, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		at[i] = (uint8_t)(seed >> 33);
	}
}

static void any_size_comes_as_it_was(void **state)
{
	static const size_t sizes[] = {
		1, 8, 100, 8192, 8193, 16351, 16384, 16385, 65536, 262144, 262145, SIZE};
	uint8_t *data, *back;
	struct scene s;

	NEEDS_TLS();
	data = malloc(SIZE);
	back = malloc(SIZE);
	begin(&s, REQUIRE, REQUIRE);
	open_remote(&s);
	for (size_t i = 0; i < ELEMENTS(sizes); i++) {
		size_t n = sizes[i], off = SIZE - n;

		fill(data, n, i + 1);
		assert_int_equal(fabric_put(s.r.path, &s.r.user, off, data, n, 0, 0), 0);
		assert_memory_equal(s.memory + off, data, n);
		assert_int_equal(fabric_get(s.r.path, &s.r.user, off, back, n, 0), 0);
		assert_memory_equal(back, data, n);
	}
	end(&s);
	free(data);
	free(back);
}

/* Several threads at work on one path. Each has a part of the memory for itself, and they share a
 * word to which they add. */

#define THREADS 3u
#define PART	(256u << 10)
#define WORD	(SIZE - 64)
#define ROUNDS	600u

struct worker {
	pthread_t thread;
	struct scene *scene;
	struct fabric_user user;
	unsigned int rounds, number;
	uint64_t seed, added, unknown; /* unknown: of what was lost nobody knows */
	int wrong;		       /* result that must not be */
	uint8_t *model, *back;
};

static uint64_t next(struct worker *w, uint64_t below)
{
	w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
	return (w->seed >> 33) % below;
}

static void note(struct worker *w, int r)
{
	if (r && !w->wrong)
		w->wrong = r;
}

static void add(struct worker *w)
{
	uint64_t value = 1 + next(w, 1000), old;
	int r = fabric_fetch_add(w->scene->r.path, &w->user, WORD, 8, value, &old);

	if (r == 0)
		w->added += value;
	else if (r == STATUS_BROKEN)
		w->unknown += value;
	else
		note(w, r);
}

static void put(struct worker *w, unsigned int flags, size_t most)
{
	size_t n = 1 + next(w, most), off = next(w, PART - n);

	fill(w->model + off, n, w->seed);
	note(w, fabric_put(w->scene->r.path, &w->user, w->number * PART + off, w->model + off, n, 0,
			flags));
}

static void check(struct worker *w)
{
	size_t n = 1 + next(w, PART - 1);

	note(w, fabric_collect(w->scene->r.path, &w->user));
	note(w, fabric_get(w->scene->r.path, &w->user, w->number * PART, w->back, n, 0));
	if (!w->wrong && memcmp(w->back, w->model, n))
		w->wrong = -EBADMSG;
}

static void *work(void *userdata)
{
	struct worker *w = userdata;

	for (unsigned int i = 0; i < w->rounds && !w->wrong; i++) {
		uint64_t what = next(w, 32);

		if (what == 0)
			check(w);
		else if (what == 1)
			put(w, 0, 200000);
		else if (what < 8)
			put(w, 0, 2000);
		else if (what < 16)
			put(w, FABRIC_SPAN, 8192);
		else
			add(w);
	}
	if (!w->wrong)
		check(w);
	return NULL;
}

static void workers_start(struct worker *workers, struct scene *s, unsigned int rounds)
{
	for (unsigned int i = 0; i < THREADS; i++) {
		struct worker *w = &workers[i];

		*w = (struct worker){.scene = s,
			.user.key = s->r.user.key,
			.rounds = rounds,
			.number = i,
			.seed = i + 1,
			.model = calloc(1, PART),
			.back = calloc(1, PART)};
		assert_int_equal(fabric_path_add_user(s->r.path, &w->user), 0);
		assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
	}
}

/* Returns what was added for which there was no answer. */
static uint64_t workers_end(struct worker *workers, struct scene *s)
{
	uint64_t added = 0, unknown = 0, word;

	for (unsigned int i = 0; i < THREADS; i++) {
		struct worker *w = &workers[i];

		pthread_join(w->thread, NULL);
		assert_int_equal(w->wrong, 0);
		assert_memory_equal(s->memory + i * PART, w->model, PART);
		added += w->added;
		unknown += w->unknown;
		fabric_path_remove_user(s->r.path, &w->user);
		free(w->model);
		free(w->back);
	}
	memcpy(&word, s->memory + WORD, 8);
	assert_in_range(word, added, added + unknown);
	return unknown;
}

static void keys_are_renewed_and_nothing_is_lost(void **state)
{
	struct worker workers[THREADS];
	struct scene s;

	NEEDS_TLS();
	begin(&s, REQUIRE, REQUIRE "DataKeyRecords=256\n");
	open_remote(&s);
	workers_start(workers, &s, ROUNDS);
	assert_int_equal(workers_end(workers, &s), 0);
	print_message("%u renewals\n", s.r.n_repairs);
	assert_true(s.r.n_repairs >= 5);
	assert_true(is_encrypted(&s));
	assert_true(s.a.n_resend == 0 && s.b.n_resend == 0);
	end(&s);
}

static void a_killed_daemon_loses_nothing_but_answers(void **state)
{
	struct worker workers[THREADS];
	struct scene s;

	NEEDS_TLS();
	begin(&s, REQUIRE, REQUIRE "DataKeyRecords=256\n");
	open_remote(&s);
	workers_start(workers, &s, ROUNDS);
	for (int i = 0; i < 3; i++) {
		usleep(300000);
		nodes_kill_daemon(i == 1 ? &s.b : &s.a);
	}
	workers_end(workers, &s);
	assert_true(is_encrypted(&s));
	assert_works(&s);
	end(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(off_on_both_sides_is_plain),
		cmocka_unit_test(nothing_is_plain_if_the_home_requires),
		cmocka_unit_test(nothing_is_plain_if_the_importer_requires),
		cmocka_unit_test(nothing_is_plain_if_both_require),
		cmocka_unit_test(a_plain_connection_ends_when_the_home_begins_to_require),
		cmocka_unit_test(a_plain_connection_ends_when_the_importer_begins_to_require),
		cmocka_unit_test(any_size_comes_as_it_was),
		cmocka_unit_test(keys_are_renewed_and_nothing_is_lost),
		cmocka_unit_test(a_killed_daemon_loses_nothing_but_answers),
	};

	if (argc < 2) {
		fprintf(stderr, "Usage: test-encryption CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests_name("daemon, encryption", tests, NULL, NULL);
}
