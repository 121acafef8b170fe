/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/test-kill.h"

#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "daemon/test-shm.h"

/* Requests of clshm: what there is before each, and what must be true after it. */

#define SIZE 8192u
#define RW   (WIRE_READ | WIRE_WRITE)

static uint32_t attach(struct client *c, uint32_t shmid, uint32_t *ret_import)
{
	uint32_t status = shm_call(c, (struct wire_message){.type = WIRE_IMPORT_CONNECT,
					      .import_connect = {.space = WIRE_SPACE_CLSHM,
						      .controller = WIRE_CONTROLLER_LOOPBACK,
						      .id = shmid,
						      .rights = RW}});

	if (!status)
		*ret_import = c->reply.import_connect_reply.import;
	return status;
}

static uint32_t detach(struct client *c, uint32_t import)
{
	return shm_call(c, (struct wire_message){
				   .type = WIRE_IMPORT_DISCONNECT, .import_disconnect = {import}});
}

/* What there is before the request */

static void prepare_clients(struct scene *s)
{
	client_new(&s->a, &s->node);
	client_new(&s->b, &s->node);
	s->b_open = true;
}

static void prepare_key(struct scene *s)
{
	prepare_clients(s);
	assert_int_equal(shm_key(&s->a, WIRE_SHM_HERE, &s->id), STATUS_OK);
}

static void prepare_segment(struct scene *s)
{
	prepare_key(s);
	assert_int_equal(shm_get(&s->a, s->id, SIZE, &s->shmid), STATUS_OK);
}

static void prepare_attached(struct scene *s)
{
	prepare_segment(s);
	assert_int_equal(attach(&s->b, s->shmid, &s->import), STATUS_OK);
	assert_int_equal(pwrite(s->b.fds[0], "old", 4, 0), 4);
}

static void ask(struct scene *s, struct client *who, uint32_t type)
{
	s->who = who;
	s->request.type = type;
}

static void ask_control(struct scene *s, uint32_t command)
{
	ask(s, &s->a, WIRE_SHM_CONTROL);
	s->request.shm_control = (struct wire_shm_control){
		.shmid = s->shmid, .command = command, .uid = 1234, .gid = 2345, .mode = 0640};
}

/* What is true after it */

static void assert_counts(struct scene *s, uint32_t n_segments, uint32_t n_imports)
{
	struct wire_node_status_reply status = client_node_status(&s->a);

	for (int i = 0; i < 1000 && status.n_imports != n_imports; i++) {
		usleep(2000);
		status = client_node_status(&s->a);
	}
	assert_int_equal(status.n_segments, n_segments);
	assert_int_equal(status.n_imports, n_imports);
}

static void assert_gone(struct scene *s)
{
	struct wire_shm_row row;
	uint32_t shmid;

	assert_int_equal(shm_stat(&s->a, s->shmid, &row), STATUS_NOT_FOUND);
	assert_int_equal(shm_get(&s->a, s->id, SIZE, &shmid), STATUS_NOT_FOUND);
	assert_counts(s, 0, 0);
}

static struct wire_shm_row row_of(struct scene *s)
{
	struct wire_shm_row row = {0};

	assert_int_equal(shm_stat(&s->a, s->shmid, &row), STATUS_OK);
	return row;
}

/* So that nothing but what a test leaves behind remains when the clients are gone. */
static void end(struct scene *s)
{
	assert_int_equal(shm_control(&s->a, s->shmid, WIRE_SHM_REMOVE), STATUS_OK);
}

/* The requests */

static void prepare_hello(struct scene *s)
{
	prepare_clients(s);
	ask(s, &s->a, WIRE_SHM_HELLO);
	s->request.shm_hello.version = 0x00010000;
}

static void verify_hello(struct scene *s)
{
	assert_int_equal(s->a.reply.shm_hello_reply.partition, 0);
}

static void prepare_new_key(struct scene *s)
{
	prepare_key(s);
	ask(s, &s->b, WIRE_SHM_KEY);
	s->request.shm_key.partition = WIRE_SHM_HERE;
}

static void verify_new_key(struct scene *s)
{
	uint32_t key = s->b.reply.shm_key_reply.key;

	assert_int_not_equal(key, s->id);
	assert_int_equal(shm_get(&s->a, key, SIZE, &s->shmid), STATUS_OK);
	end(s);
	assert_int_equal(shm_get(&s->b, s->id, SIZE, &s->shmid), STATUS_OK);
	end(s);
}

static void prepare_get(struct scene *s)
{
	prepare_key(s);
	ask(s, &s->b, WIRE_SHM_GET);
	s->request.shm_get = (struct wire_shm_get){
		.key = s->id, .size = SIZE, .mode = 0640, .flags = WIRE_SHM_EXCLUSIVE};
}

static void verify_get(struct scene *s)
{
	uint32_t shmid;

	s->shmid = s->b.reply.shm_get_reply.shmid;
	assert_int_equal(shm_get(&s->a, s->id, SIZE, &shmid), STATUS_OK);
	assert_int_equal(shmid, s->shmid);
	assert_int_equal(row_of(s).mode, 0640);
	assert_int_equal(attach(&s->b, shmid, &s->import), STATUS_OK);
	assert_int_equal(pwrite(s->b.fds[0], "new", 4, SIZE - 4), 4);
	assert_int_equal(row_of(s).n_attached, 1);
	assert_int_equal(detach(&s->b, s->import), STATUS_OK);
	assert_counts(s, 1, 0);
}

static void prepare_remove(struct scene *s)
{
	prepare_segment(s);
	ask_control(s, WIRE_SHM_REMOVE);
}

static void prepare_remove_attached(struct scene *s)
{
	prepare_attached(s);
	ask_control(s, WIRE_SHM_REMOVE);
}

static void verify_remove_attached(struct scene *s)
{
	struct wire_shm_row row;
	uint32_t import, shmid;
	char got[4];

	assert_int_equal(shm_stat(&s->a, s->shmid, &row), STATUS_WITHDRAWN);
	assert_int_equal(attach(&s->a, s->shmid, &import), STATUS_WITHDRAWN);
	assert_int_equal(shm_get(&s->a, s->id, SIZE, &shmid), STATUS_NOT_FOUND);
	assert_int_equal(shm_call(&s->b, (struct wire_message){.type = WIRE_IMPORT_MEMORY,
						 .import_memory = {s->import}}),
		STATUS_OK);
	assert_int_equal(pread(s->b.fds[0], got, 4, 0), 4);
	assert_string_equal(got, "old");
	assert_int_equal(detach(&s->b, s->import), STATUS_OK);
	assert_gone(s);
}

static void prepare_autoremove(struct scene *s)
{
	prepare_attached(s);
	assert_int_equal(detach(&s->b, s->import), STATUS_OK);
	ask_control(s, WIRE_SHM_AUTOREMOVE);
}

static void prepare_autoremove_attached(struct scene *s)
{
	prepare_attached(s);
	ask_control(s, WIRE_SHM_AUTOREMOVE);
}

static void verify_autoremove_attached(struct scene *s)
{
	assert_int_equal(row_of(s).flags, WIRE_SHM_AUTO);
	assert_int_equal(row_of(s).n_attached, 1);
	assert_int_equal(detach(&s->b, s->import), STATUS_OK);
	assert_gone(s);
}

static void prepare_set(struct scene *s)
{
	prepare_segment(s);
	ask_control(s, WIRE_SHM_SET);
}

static void verify_set(struct scene *s)
{
	struct wire_shm_row row = row_of(s);

	assert_int_equal(row.uid, 1234);
	assert_int_equal(row.gid, 2345);
	assert_int_equal(row.mode, 0640);
	end(s);
	assert_gone(s);
}

/* By an owner who is not the creator, and may not do it twice. Needs root; else by its creator. */
static void prepare_give_away(struct scene *s)
{
	bool root = geteuid() == 0;

	chmod(s->node.dir, 0755);
	client_new(&s->b, &s->node);
	s->b_open = true;
	if (root) {
		assert_int_equal(setgroups(0, NULL), 0);
		assert_int_equal(seteuid(1001), 0);
	}
	client_new(&s->a, &s->node);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(shm_key(&s->b, WIRE_SHM_HERE, &s->id), STATUS_OK);
	assert_int_equal(shm_get(&s->b, s->id, SIZE, &s->shmid), STATUS_OK);
	ask_control(s, WIRE_SHM_SET);
	s->request.shm_control.uid = root ? 1001 : geteuid();
	assert_int_equal(shm_call(&s->b, s->request), STATUS_OK);
	ask_control(s, WIRE_SHM_SET);
}

static void verify_give_away(struct scene *s)
{
	struct wire_shm_row row = {0};

	assert_int_equal(shm_stat(&s->b, s->shmid, &row), STATUS_OK);
	assert_int_equal(row.uid, 1234);
	assert_int_equal(shm_control(&s->b, s->shmid, WIRE_SHM_REMOVE), STATUS_OK);
}

static void prepare_attach(struct scene *s)
{
	prepare_segment(s);
	ask(s, &s->b, WIRE_IMPORT_CONNECT);
	s->request.import_connect = (struct wire_import_connect){.space = WIRE_SPACE_CLSHM,
		.controller = WIRE_CONTROLLER_LOOPBACK,
		.id = s->shmid,
		.rights = RW};
}

static void verify_attach(struct scene *s)
{
	struct wire_shm_row row = row_of(s);
	uint32_t import = s->b.reply.import_connect_reply.import;

	assert_int_equal(row.n_attached, 1);
	assert_int_equal(row.lpid, getpid());
	assert_true(row.attached > 0);
	/* it has been attached, whatever became of the daemon */
	assert_int_equal(shm_control(&s->a, s->shmid, WIRE_SHM_AUTOREMOVE), STATUS_OK);
	assert_int_equal(detach(&s->b, import), STATUS_OK);
	assert_gone(s);
}

static void prepare_detach(struct scene *s)
{
	prepare_attached(s);
	ask(s, &s->b, WIRE_IMPORT_DISCONNECT);
	s->request.import_disconnect.import = s->import;
}

static void verify_detach(struct scene *s)
{
	struct wire_shm_row row = row_of(s);

	assert_int_equal(row.n_attached, 0);
	assert_true(row.detached > 0);
	end(s);
	assert_gone(s);
}

static void prepare_last_detach(struct scene *s)
{
	prepare_attached(s);
	assert_int_equal(shm_control(&s->a, s->shmid, WIRE_SHM_AUTOREMOVE), STATUS_OK);
	ask(s, &s->b, WIRE_IMPORT_DISCONNECT);
	s->request.import_disconnect.import = s->import;
}

/* With an attach, and a key that it has not used. */
static void prepare_end(struct scene *s)
{
	uint32_t key;

	prepare_attached(s);
	assert_int_equal(shm_control(&s->a, s->shmid, WIRE_SHM_AUTOREMOVE), STATUS_OK);
	assert_int_equal(shm_key(&s->b, WIRE_SHM_HERE, &key), STATUS_OK);
	s->segment = key;
	ask(s, &s->b, 0);
}

static void verify_end(struct scene *s)
{
	uint32_t shmid;

	assert_counts(s, 0, 0);
	assert_int_equal(shm_get(&s->a, s->segment, SIZE, &shmid), STATUS_NOT_FOUND);
	assert_gone(s);
}

static void prepare_lock(struct scene *s)
{
	prepare_segment(s);
	ask_control(s, WIRE_SHM_LOCK);
}

static void verify_lock(struct scene *s)
{
	assert_true(row_of(s).flags & WIRE_SHM_LOCKED);
	assert_int_equal(shm_control(&s->a, s->shmid, WIRE_SHM_UNLOCK), STATUS_OK);
	assert_false(row_of(s).flags & WIRE_SHM_LOCKED);
	end(s);
	assert_gone(s);
}

const struct kill_case kill_shm_cases[] = {
	{"shm_hello", prepare_hello, verify_hello},
	{"shm_key", prepare_new_key, verify_new_key},
	{"shm_get", prepare_get, verify_get},
	{"shm_remove", prepare_remove, assert_gone},
	{"shm_remove_attached", prepare_remove_attached, verify_remove_attached},
	{"shm_autoremove", prepare_autoremove, assert_gone},
	{"shm_autoremove_attached", prepare_autoremove_attached, verify_autoremove_attached},
	{"shm_set", prepare_set, verify_set},
	{"shm_give_away", prepare_give_away, verify_give_away},
	{"shm_attach", prepare_attach, verify_attach},
	{"shm_detach", prepare_detach, verify_detach},
	{"shm_last_detach", prepare_last_detach, assert_gone},
	{"shm_lock", prepare_lock, verify_lock},
	{"shm_end", prepare_end, verify_end},
};

const size_t n_kill_shm_cases = ELEMENTS(kill_shm_cases);
