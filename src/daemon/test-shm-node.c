/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "daemon/test-shm.h"

/* clshm on one node, packet by packet: what each request does, who may, and what a restarted daemon
 * still knows. argv[1]: causewayd. */

#define VERSION 0x00010000u
#define NODE	5u
#define SIZE	5000u
#define WHOLE	8192u
#define RW	(WIRE_READ | WIRE_WRITE)

static const char *program;
static struct node node;

static int setup(void **state)
{
	node_start(&node, program, "[Node]\nNodeId=5\n[Daemon]\nLogLevel=crit\nIdleExit=200ms\n",
		false);
	chmod(node.dir, 0755); /* other users must reach the socket */
	return 0;
}

static int teardown(void **state)
{
	node_stop(&node);
	return 0;
}

/* Who asks */

/* The kernel says who has connected. */
static void client_new_as(struct client *c, uid_t uid, gid_t gid)
{
	assert_int_equal(setgroups(0, NULL), 0);
	assert_int_equal(setegid(gid), 0);
	assert_int_equal(seteuid(uid), 0);
	client_new(c, &node);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(setegid(0), 0);
}

static bool is_root(void)
{
	if (geteuid() == 0)
		return true;
	print_message("skipped: needs root, to be several users\n");
	return false;
}

/* Requests in one line; all return the status, or fail. */

static uint32_t hello(struct client *c, uint32_t version)
{
	return shm_call(c,
		(struct wire_message){.type = WIRE_SHM_HELLO, .shm_hello = {.version = version}});
}

static uint32_t key_of(struct client *c)
{
	uint32_t key = 0;

	assert_int_equal(shm_key(c, WIRE_SHM_HERE, &key), STATUS_OK);
	return key;
}

static uint32_t get(struct client *c, uint32_t key, uint64_t size, uint32_t mode, uint32_t flags)
{
	return shm_call(
		c, (struct wire_message){.type = WIRE_SHM_GET,
			   .shm_get = {.key = key, .size = size, .mode = mode, .flags = flags}});
}

static uint32_t get_of(struct client *c, uint32_t key, uint32_t mode)
{
	assert_int_equal(get(c, key, SIZE, mode, 0), STATUS_OK);
	return c->reply.shm_get_reply.shmid;
}

static uint32_t made_by(struct client *c, uint32_t mode)
{
	return get_of(c, key_of(c), mode);
}

static uint32_t set(struct client *c, uint32_t shmid, uid_t uid, gid_t gid, uint32_t mode)
{
	return shm_call(c, (struct wire_message){.type = WIRE_SHM_CONTROL,
				   .shm_control = {.shmid = shmid,
					   .command = WIRE_SHM_SET,
					   .uid = uid,
					   .gid = gid,
					   .mode = mode}});
}

static uint32_t configure(struct client *c, uint32_t what, uint64_t value)
{
	return shm_call(c, (struct wire_message){.type = WIRE_SHM_CONFIGURE,
				   .shm_configure = {.what = what, .value = value}});
}

static uint32_t stat_status(struct client *c, uint32_t shmid)
{
	struct wire_shm_row row;

	return shm_stat(c, shmid, &row);
}

static struct wire_shm_row row_of(struct client *c, uint32_t shmid)
{
	struct wire_shm_row row = {0};

	assert_int_equal(shm_stat(c, shmid, &row), STATUS_OK);
	return row;
}

static uint32_t attach(struct client *c, uint32_t shmid, uint32_t rights)
{
	return shm_call(c, (struct wire_message){.type = WIRE_IMPORT_CONNECT,
				   .import_connect = {.space = WIRE_SPACE_CLSHM,
					   .controller = WIRE_CONTROLLER_TCP,
					   .node = NODE,
					   .id = shmid,
					   .rights = rights}});
}

static uint32_t attached(struct client *c, uint32_t shmid)
{
	assert_int_equal(attach(c, shmid, RW), STATUS_OK);
	return c->reply.import_connect_reply.import;
}

static void detach(struct client *c, uint32_t import)
{
	assert_int_equal(shm_call(c, (struct wire_message){.type = WIRE_IMPORT_DISCONNECT,
					     .import_disconnect = {import}}),
		STATUS_OK);
}

/* So that each test begins without any. */
static void remove_it(struct client *c, uint32_t shmid)
{
	assert_int_equal(shm_control(c, shmid, WIRE_SHM_REMOVE), STATUS_OK);
}

static void wait_gone(struct client *c, uint32_t shmid)
{
	for (int i = 0; i < 2000 && stat_status(c, shmid) != STATUS_NOT_FOUND; i++)
		usleep(1000);
	assert_int_equal(stat_status(c, shmid), STATUS_NOT_FOUND);
}

static void wait_clients(struct client *c, uint32_t n)
{
	for (int i = 0; i < 2000 && client_node_status(c).n_clients != n; i++)
		usleep(1000);
	assert_int_equal(client_node_status(c).n_clients, n);
}

/* How many rows of this segment the list has; 0: of any. */
static unsigned int n_listed(struct client *c, uint32_t shmid)
{
	struct wire_message m = {
		.type = WIRE_SHM_LIST, .shm_list = {.partition = WIRE_SHM_HERE, .cursor = 0}};
	struct wire_shm_row row;
	unsigned int n = 0;

	do {
		const uint8_t *at, *end;

		assert_int_equal(shm_call(c, m), STATUS_OK);
		at = c->reply.tail;
		end = at + c->reply.tail_size;
		for (uint32_t i = 0; i < c->reply.shm_list_reply.n; i++) {
			at = wire_get_shm_row(at, end, &row);
			assert_non_null(at);
			n += !shmid || row.shmid == shmid;
		}
		assert_ptr_equal(at, end);
		assert_true(!c->reply.shm_list_reply.next ||
			    c->reply.shm_list_reply.next > m.shm_list.cursor);
		m.shm_list.cursor = c->reply.shm_list_reply.next;
	} while (m.shm_list.cursor);
	return n;
}

static void kill_daemon(struct client *c)
{
	c->n_resend = 0;
	kill((pid_t)client_node_status(c).daemon_pid, SIGKILL);
	client_wait_resend(c);
}

/* Tests */

static void hello_tells_of_the_partition(void **state)
{
	struct client c;

	client_new(&c, &node);
	assert_int_equal(hello(&c, VERSION + 7), STATUS_OK);
	assert_int_equal(c.reply.shm_hello_reply.version >> 16, VERSION >> 16);
	assert_int_equal(c.reply.shm_hello_reply.partition, NODE);
	assert_int_equal(c.reply.shm_hello_reply.loss, WIRE_SHM_LOSS_SIGBUS);
	assert_true(c.reply.shm_hello_reply.max_pages > 0);
	assert_int_equal(c.reply.shm_hello_reply.timeout, 10000000000ull);
	assert_int_equal(hello(&c, VERSION), STATUS_OK);
	assert_int_equal(hello(&c, VERSION + 0x10000), STATUS_VERSION);
	assert_int_equal(hello(&c, 0), STATUS_VERSION);
	client_close(&c);
}

static void keys_are_new_each_time_and_of_the_partition(void **state)
{
	uint32_t first, second;
	struct client c;

	client_new(&c, &node);
	first = key_of(&c);
	second = key_of(&c);
	assert_int_equal(WIRE_SHM_PARTITION(first), NODE);
	assert_int_equal(WIRE_SHM_PARTITION(second), NODE);
	assert_int_equal(WIRE_SHM_NUMBER(second), WIRE_SHM_NUMBER(first) % 0xffffffu + 1);
	assert_int_equal(shm_key(&c, NODE, &first), STATUS_OK);
	assert_int_equal(shm_key(&c, 6, &first), STATUS_NODE_UNKNOWN);
	assert_int_equal(shm_key(&c, 64, &first), STATUS_NODE_UNKNOWN);
	assert_int_equal(shm_key(&c, UINT32_MAX - 1, &first), STATUS_NODE_UNKNOWN);
	client_close(&c);
}

static void a_segment_lives_without_its_maker(void **state)
{
	uint32_t key, shmid, import;
	struct wire_shm_row row;
	struct client a, b;
	char got[4];

	client_new(&a, &node);
	client_new(&b, &node);
	key = key_of(&a);
	shmid = get_of(&a, key, 0);
	assert_int_equal(WIRE_SHM_PARTITION(shmid), NODE);
	assert_int_equal(get_of(&b, key, 0600), shmid);
	import = attached(&a, shmid);
	assert_int_equal(a.reply.import_connect_reply.size, WHOLE);
	assert_int_equal(pwrite(a.fds[0], "new", 4, 0), 4);
	row = row_of(&b, shmid);
	assert_int_equal(row.key, key);
	assert_int_equal(row.shmid, shmid);
	assert_int_equal(row.mode, 0600);
	assert_int_equal(row.size, SIZE);
	assert_int_equal(row.n_attached, 1);
	assert_true(row.attached > 0 && row.changed > 0 && row.detached == 0);
	assert_int_equal(row.cpid, getpid());
	assert_int_equal(row.lpid, getpid());
	assert_string_equal(row.command, "test-shm-node");
	detach(&a, import);
	client_close(&a);
	row = row_of(&b, shmid);
	assert_int_equal(row.n_attached, 0);
	assert_true(row.detached >= row.attached);
	attached(&b, shmid);
	assert_int_equal(pread(b.fds[0], got, 4, 0), 4);
	assert_string_equal(got, "new");
	assert_int_equal(n_listed(&b, shmid), 1);
	wait_clients(&b, 1);
	remove_it(&b, shmid);
	client_close(&b);
}

static void a_get_must_agree_with_what_there_is(void **state)
{
	uint32_t key, shmid;
	struct client c;

	client_new(&c, &node);
	key = key_of(&c);
	assert_int_equal(get(&c, key, 0, 0600, 0), STATUS_BAD_SIZE);
	assert_int_equal(get(&c, key, UINT64_MAX, 0600, 0), STATUS_BAD_SIZE);
	assert_int_equal(get(&c, key, UINT64_MAX - 4096, 0600, 0), STATUS_BAD_SIZE);
	assert_int_equal(get(&c, key, 1ull << 62, 0600, 0), STATUS_BAD_SIZE);
	for (uint32_t bit = 01000; bit; bit <<= 1)
		assert_int_equal(get(&c, key, SIZE, 0600 | bit, 0), STATUS_BAD_REQUEST);
	for (uint32_t bit = 2; bit; bit <<= 1)
		assert_int_equal(get(&c, key, SIZE, 0600, bit), STATUS_BAD_REQUEST);
	assert_int_equal(get(&c, key + 1, SIZE, 0600, 0), STATUS_NOT_FOUND);
	assert_int_equal(get(&c, UINT32_MAX, SIZE, 0600, 0), STATUS_NOT_FOUND);
	assert_int_equal(get(&c, 0, SIZE, 0600, 0), STATUS_NODE_UNKNOWN);
	assert_int_equal(get(&c, key, SIZE, 0600, WIRE_SHM_EXCLUSIVE), STATUS_OK);
	shmid = c.reply.shm_get_reply.shmid;
	assert_int_equal(get(&c, key, SIZE, 0600, WIRE_SHM_EXCLUSIVE), STATUS_ID_IN_USE);
	assert_int_equal(get(&c, key, SIZE + 1, 0600, 0), STATUS_BAD_SIZE);
	assert_int_equal(get(&c, key, SIZE, 0600, 0), STATUS_OK);
	remove_it(&c, shmid);
	assert_int_equal(get(&c, key, SIZE, 0600, 0), STATUS_NOT_FOUND);
	client_close(&c);
}

static void removal_takes_key_and_id_at_once_and_memory_at_the_end(void **state)
{
	uint32_t key, shmid, import;
	struct client a, b;
	uint64_t changes;
	int memory;

	client_new(&a, &node);
	client_new(&b, &node);
	key = key_of(&a);
	shmid = get_of(&a, key, 0600);
	import = attached(&b, shmid);
	memory = client_take_fd(&b, 0);
	changes = atomic_load(&a.node->shm_changes);
	remove_it(&a, shmid);
	assert_true(atomic_load(&a.node->shm_changes) > changes);
	assert_int_equal(get(&b, key, SIZE, 0600, 0), STATUS_NOT_FOUND);
	assert_int_equal(attach(&a, shmid, RW), STATUS_WITHDRAWN);
	for (uint32_t command = WIRE_SHM_REMOVE; command <= WIRE_SHM_UNLOCK; command++)
		assert_int_equal(shm_control(&a, shmid, command), STATUS_WITHDRAWN);
	assert_int_equal(stat_status(&a, shmid), STATUS_WITHDRAWN);
	assert_int_equal(pwrite(memory, "new", 4, 0), 4);
	assert_int_equal(
		client_import_word(&b, import), WIRE_IMPORT_WORD(1, WIRE_IMPORT_CONNECTED));
	assert_int_equal(n_listed(&a, shmid), 1);
	detach(&b, import);
	assert_int_equal(attach(&a, shmid, RW), STATUS_NOT_FOUND);
	for (uint32_t command = WIRE_SHM_REMOVE; command <= WIRE_SHM_UNLOCK; command++)
		assert_int_equal(shm_control(&a, shmid, command), STATUS_NOT_FOUND);
	assert_int_equal(stat_status(&a, shmid), STATUS_NOT_FOUND);
	assert_int_equal(n_listed(&a, shmid), 0);
	assert_int_equal(client_node_status(&a).n_segments, 0);
	close(memory);
	client_close(&a);
	client_close(&b);
}

static void autoremoval_waits_for_the_last_attach(void **state)
{
	uint32_t shmid, import, other;
	struct client a, b;
	uint64_t changes;

	client_new(&a, &node);
	client_new(&b, &node);
	shmid = made_by(&a, 0600);
	assert_int_equal(shm_control(&a, shmid, WIRE_SHM_AUTOREMOVE), STATUS_OK);
	assert_int_equal(row_of(&a, shmid).flags, WIRE_SHM_AUTO);
	import = attached(&a, shmid);
	other = attached(&a, shmid);
	attached(&b, shmid);
	assert_int_equal(row_of(&a, shmid).n_attached, 3);
	detach(&a, import);
	detach(&a, other);
	assert_int_equal(row_of(&a, shmid).n_attached, 1);
	changes = atomic_load(&a.node->shm_changes);
	client_close(&b); /* as a process that dies */
	wait_gone(&a, shmid);
	assert_true(atomic_load(&a.node->shm_changes) > changes);
	/* the last has gone before */
	shmid = made_by(&a, 0600);
	detach(&a, attached(&a, shmid));
	assert_int_equal(shm_control(&a, shmid, WIRE_SHM_AUTOREMOVE), STATUS_OK);
	assert_int_equal(stat_status(&a, shmid), STATUS_NOT_FOUND);
	client_close(&a);
}

static void unused_keys_go_with_their_maker_and_used_ones_do_not(void **state)
{
	uint32_t unused, used, shmid;
	struct client a, b;

	client_new(&a, &node);
	client_new(&b, &node);
	unused = key_of(&a);
	used = key_of(&a);
	shmid = get_of(&a, used, 0600);
	client_close(&a);
	wait_clients(&b, 1);
	assert_int_equal(get(&b, unused, SIZE, 0600, 0), STATUS_NOT_FOUND);
	assert_int_equal(get_of(&b, used, 0600), shmid);
	remove_it(&b, shmid);
	client_close(&b);
}

static void so_many_unused_keys_and_no_more(void **state)
{
	struct wire_message m = {.type = WIRE_SHM_KEY, .shm_key = {WIRE_SHM_HERE}};
	struct client c, other;
	uint32_t key, more, shmid;

	client_new(&c, &node);
	key = key_of(&c);
	m.flags = WIRE_ONEWAY;
	for (uint32_t i = 1; i < 65536; i++) {
		m.serial = 0;
		client_send(&c, &m, NULL, 0);
	}
	assert_int_equal(shm_key(&c, NODE, &more), STATUS_NO_RESOURCES);
	if (is_root()) {
		client_new_as(&other, 1001, 2001);
		assert_int_equal(shm_key(&other, NODE, &more), STATUS_OK);
		client_close(&other);
	}
	/* one that is used does not count */
	shmid = get_of(&c, key, 0600);
	assert_int_equal(shm_key(&c, NODE, &more), STATUS_OK);
	assert_int_equal(shm_key(&c, NODE, &more), STATUS_NO_RESOURCES);
	kill_daemon(&c);
	assert_int_equal(shm_key(&c, NODE, &more), STATUS_NO_RESOURCES);
	remove_it(&c, shmid);
	client_close(&c);
	client_new(&c, &node);
	wait_clients(&c, 1);
	key_of(&c);
	client_close(&c);
}

static void rights_go_by_owner_creator_group_and_mode(void **state)
{
	struct client root, owner, group, other;
	struct wire_shm_row row;
	uint32_t key, shmid;

	if (!is_root())
		return;
	client_new(&root, &node);
	client_new_as(&owner, 1001, 2001);
	client_new_as(&group, 1002, 2001);
	client_new_as(&other, 1003, 2003);
	key = key_of(&owner);
	shmid = get_of(&owner, key, 0640);
	assert_int_equal(get(&owner, key, SIZE, 0600, 0), STATUS_OK);
	assert_int_equal(get(&group, key, SIZE, 0440, 0), STATUS_OK);
	assert_int_equal(get(&group, key, SIZE, 0600, 0), STATUS_DENIED);
	assert_int_equal(get(&other, key, SIZE, 0, 0), STATUS_OK);
	assert_int_equal(get(&other, key, SIZE, 0400, 0), STATUS_DENIED);
	assert_int_equal(get(&root, key, SIZE, 0666, 0), STATUS_OK);
	assert_int_equal(attach(&owner, shmid, RW), STATUS_OK);
	assert_int_equal(attach(&group, shmid, RW), STATUS_DENIED);
	assert_int_equal(attach(&group, shmid, WIRE_READ), STATUS_OK);
	assert_int_equal(attach(&other, shmid, WIRE_READ), STATUS_DENIED);
	assert_int_equal(attach(&other, shmid, 0), STATUS_DENIED);
	assert_int_equal(stat_status(&group, shmid), STATUS_OK);
	assert_int_equal(stat_status(&other, shmid), STATUS_DENIED);
	assert_int_equal(n_listed(&group, shmid), 1);
	assert_int_equal(n_listed(&other, 0), 0);
	for (uint32_t command = WIRE_SHM_REMOVE; command <= WIRE_SHM_UNLOCK; command++) {
		assert_int_equal(shm_control(&group, shmid, command), STATUS_NOT_CREATOR);
		assert_int_equal(shm_control(&other, shmid, command), STATUS_NOT_CREATOR);
	}
	/* given away; who made it remains its creator */
	assert_int_equal(set(&owner, shmid, 1003, 2003, 0600), STATUS_OK);
	assert_int_equal(attach(&other, shmid, RW), STATUS_OK);
	assert_int_equal(attach(&group, shmid, WIRE_READ), STATUS_DENIED);
	assert_int_equal(attach(&owner, shmid, RW), STATUS_OK);
	row = row_of(&owner, shmid);
	assert_int_equal(row.uid, 1003);
	assert_int_equal(row.gid, 2003);
	assert_int_equal(row.cuid, 1001);
	assert_int_equal(row.cgid, 2001);
	assert_int_equal(set(&other, shmid, 1003, 2003, 0060), STATUS_OK);
	assert_int_equal(attach(&owner, shmid, WIRE_READ), STATUS_DENIED);
	assert_int_equal(attach(&group, shmid, RW), STATUS_OK);
	remove_it(&owner, shmid);
	client_close(&root);
	client_close(&owner);
	client_close(&group);
	client_close(&other);
}

static void who_may_only_read_gets_what_cannot_write(void **state)
{
	struct wire_message again = {.type = WIRE_IMPORT_MEMORY};
	struct client c;
	uint32_t shmid;

	client_new(&c, &node);
	shmid = made_by(&c, 0600);
	assert_int_equal(attach(&c, shmid, WIRE_READ), STATUS_OK);
	assert_int_equal(c.reply.import_connect_reply.flags, WIRE_IMPORT_READONLY);
	again.import_memory.import = c.reply.import_connect_reply.import;
	for (int i = 0; i < 2; i++) {
		int fd = c.fds[0];

		assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
		assert_true(
			mmap(NULL, WHOLE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
		assert_true(pwrite(fd, "x", 1, 0) < 0);
		assert_int_equal(ftruncate(fd, 0), -1);
		assert_int_equal(shm_call(&c, again), STATUS_OK);
	}
	assert_int_equal(attach(&c, shmid, RW | 1), STATUS_BAD_REQUEST);
	remove_it(&c, shmid);
	client_close(&c);
}

static void commands_and_numbers_that_are_none_are_refused(void **state)
{
	const uint32_t commands[] = {0, WIRE_SHM_UNLOCK + 1, 15, UINT32_MAX};
	const uint32_t shmids[] = {NODE << 24, 64u << 24 | 1, UINT32_MAX};
	struct client c;
	uint32_t shmid;

	client_new(&c, &node);
	shmid = made_by(&c, 0600);
	for (size_t i = 0; i < ELEMENTS(commands); i++)
		assert_int_equal(shm_control(&c, shmid, commands[i]), STATUS_BAD_REQUEST);
	for (uint32_t bit = 01000; bit; bit <<= 1)
		assert_int_equal(set(&c, shmid, 0, 0, 0600 | bit), STATUS_BAD_REQUEST);
	for (size_t i = 0; i < ELEMENTS(shmids); i++) {
		assert_int_equal(shm_control(&c, shmids[i], WIRE_SHM_REMOVE), STATUS_NOT_FOUND);
		assert_int_equal(stat_status(&c, shmids[i]), STATUS_NOT_FOUND);
	}
	assert_int_equal(shm_control(&c, shmid + 1, WIRE_SHM_REMOVE), STATUS_NOT_FOUND);
	assert_int_equal(shm_control(&c, 6u << 24 | 1, WIRE_SHM_REMOVE), STATUS_NODE_UNKNOWN);
	remove_it(&c, shmid);
	client_close(&c);
}

static void packets_of_another_length_cut_the_connection(void **state)
{
	static const uint16_t types[] = {WIRE_SHM_HELLO, WIRE_SHM_KEY, WIRE_SHM_GET,
		WIRE_SHM_CONTROL, WIRE_SHM_STAT, WIRE_SHM_PLACE, WIRE_SHM_NODE, WIRE_SHM_LIST,
		WIRE_SHM_CONFIGURE};
	uint8_t packet[512];
	struct client c;
	ssize_t n;

	for (size_t i = 0; i < ELEMENTS(types); i++) {
		struct wire_message m = {.type = types[i], .serial = 9};

		client_new(&c, &node);
		n = wire_encode(&m, packet, sizeof(packet));
		assert_true(n > 0);
		/* says so much, and is shorter */
		assert_int_equal(send(c.socket, packet, (size_t)n - 4, 0), n - 4);
		assert_false(client_receive(&c));
		client_close(&c);
	}
}

/* Ids of clshm are the daemon's to give. */
static void a_process_cannot_export_into_the_space(void **state)
{
	struct client c;

	client_new(&c, &node);
	assert_int_equal(shm_call(&c, (struct wire_message){.type = WIRE_SEGMENT_CREATE,
					      .segment_create = {.space = WIRE_SPACE_CLSHM,
						      .mode = 0600,
						      .size = 4096}}),
		STATUS_BAD_REQUEST);
	client_close(&c);
}

static void configuring_is_roots_and_the_daemons(void **state)
{
	struct client c, other;
	uint32_t key, shmid;

	client_new(&c, &node);
	key = key_of(&c);
	shmid = get_of(&c, key, 0600);
	assert_int_equal(configure(&c, WIRE_SHM_MAX_PAGES, 3), STATUS_OK);
	kill_daemon(&c);
	assert_int_equal(get(&c, key_of(&c), WHOLE, 0600, 0), STATUS_QUOTA_BYTES);
	assert_int_equal(get(&c, key_of(&c), 4096, 0600, 0), STATUS_OK);
	remove_it(&c, c.reply.shm_get_reply.shmid);
	assert_int_equal(configure(&c, WIRE_SHM_MAX_PAGES, 1ull << 40), STATUS_OK);
	assert_int_equal(configure(&c, WIRE_SHM_MAX_PAGES, UINT64_MAX), STATUS_BAD_REQUEST);
	/* 0: what a user may have */
	assert_int_equal(configure(&c, WIRE_SHM_MAX_PAGES, 0), STATUS_OK);
	assert_int_equal(get(&c, key_of(&c), WHOLE, 0600, 0), STATUS_OK);
	remove_it(&c, c.reply.shm_get_reply.shmid);
	assert_int_equal(configure(&c, WIRE_SHM_TIMEOUT, 1), STATUS_BAD_REQUEST);
	assert_int_equal(configure(&c, 0, 1), STATUS_BAD_REQUEST);
	assert_int_equal(configure(&c, 5, 1), STATUS_BAD_REQUEST);
	assert_int_equal(configure(&c, WIRE_SHM_SHUTDOWN, 0), STATUS_OK);
	assert_int_equal(hello(&c, VERSION), STATUS_NO_DAEMON);
	assert_int_equal(shm_key(&c, NODE, &key), STATUS_NO_DAEMON);
	assert_int_equal(attach(&c, shmid, RW), STATUS_OK);
	assert_int_equal(configure(&c, WIRE_SHM_STARTUP, 0), STATUS_OK);
	assert_int_equal(hello(&c, VERSION), STATUS_OK);
	if (is_root()) {
		client_new_as(&other, 1001, 2001);
		assert_int_equal(configure(&other, WIRE_SHM_STARTUP, 0), STATUS_DENIED);
		client_close(&other);
	}
	remove_it(&c, shmid);
	client_close(&c);
}

static void list_and_show_know_who_made_it(void **state)
{
	struct wire_message show = {
		.type = WIRE_SHOW, .show = {.space = WIRE_SPACE_CLSHM, .node = NODE}};
	struct wire_message stat = {.type = WIRE_STAT, .stat = {.space = WIRE_SPACE_CLSHM}};
	struct wire_list_row row;
	struct client a, b;
	uint32_t shmid;

	client_new(&a, &node);
	client_new(&b, &node);
	shmid = made_by(&a, 0640);
	client_close(&a);
	attached(&b, shmid);
	show.show.id = shmid;
	assert_int_equal(shm_call(&b, show), STATUS_OK);
	assert_non_null(wire_get_list_row(
		b.reply.tail, (const uint8_t *)b.reply.tail + b.reply.tail_size, &row));
	assert_int_equal(row.id, shmid);
	assert_int_equal(row.pid, getpid());
	assert_string_equal(row.command, "test-shm-node");
	assert_int_equal(row.mode, 0640);
	assert_int_equal(row.n_imports, 1);
	assert_int_equal(shm_call(&b, stat), STATUS_OK);
	assert_int_equal(b.reply.stat_reply.n, 1);
	remove_it(&b, shmid);
	client_close(&b);
}

static void everything_survives_the_daemon(void **state)
{
	uint32_t key, unused, shmid, import, marked;
	struct wire_shm_row before, after;
	struct client c;
	char got[4];

	client_new(&c, &node);
	assert_int_equal(hello(&c, VERSION), STATUS_OK);
	unused = key_of(&c);
	key = key_of(&c);
	shmid = get_of(&c, key, 0644);
	import = attached(&c, shmid);
	assert_int_equal(pwrite(c.fds[0], "new", 4, 0), 4);
	marked = made_by(&c, 0600);
	attached(&c, marked);
	remove_it(&c, marked);
	before = row_of(&c, shmid);
	for (int i = 0; i < 3; i++) {
		kill_daemon(&c);
		after = row_of(&c, shmid);
		assert_memory_equal(&after, &before, sizeof(after));
	}
	assert_int_equal(attach(&c, marked, RW), STATUS_WITHDRAWN);
	assert_int_equal(
		WIRE_SHM_NUMBER(get_of(&c, unused, 0600)), WIRE_SHM_NUMBER(marked) % 0xffffff + 1);
	remove_it(&c, c.reply.shm_get_reply.shmid);
	attached(&c, shmid);
	assert_int_equal(pread(c.fds[0], got, 4, 0), 4);
	assert_string_equal(got, "new");
	assert_int_equal(shm_control(&c, shmid, WIRE_SHM_AUTOREMOVE), STATUS_OK);
	kill_daemon(&c);
	assert_int_equal(row_of(&c, shmid).flags, WIRE_SHM_AUTO);
	detach(&c, import);
	assert_int_equal(row_of(&c, shmid).n_attached, 1);
	client_close(&c);
	client_new(&c, &node);
	wait_gone(&c, shmid);
	assert_int_equal(client_node_status(&c).n_segments, 0);
	client_close(&c);
}

/* Nobody's process has the segment then: only the daemon can tell the new keeper. */
static void the_next_keeper_has_the_memory_as_well(void **state)
{
	struct wire_node_status_reply status;
	struct client c;
	struct node own;
	uint32_t shmid;
	char got[4];

	node_start(&own, program, "[Node]\nNodeId=5\n[Daemon]\nLogLevel=crit\n", false);
	client_new(&c, &own);
	shmid = made_by(&c, 0600);
	attached(&c, shmid);
	assert_int_equal(pwrite(c.fds[0], "new", 4, 0), 4);
	detach(&c, c.reply.import_connect_reply.import);
	kill(own.keeper, SIGKILL);
	waitpid(own.keeper, NULL, 0);
	do {
		usleep(2000);
		status = client_node_status(&c);
	} while (!status.keeper_pid || status.keeper_pid == (uint32_t)own.keeper);
	kill_daemon(&c);
	attached(&c, shmid);
	assert_int_equal(pread(c.fds[0], got, 4, 0), 4);
	assert_string_equal(got, "new");
	/* not our child any more */
	kill((pid_t)status.keeper_pid, SIGTERM);
	client_close(&c);
	for (int i = 0; i < 1000 && access(own.socket, F_OK) == 0; i++)
		usleep(5000);
	node_remove(&own);
}

/* What a library has started ends when nobody is there, but not with segments that are to live on.
 */
static void an_embedded_node_stays_for_its_segments(void **state)
{
	struct node own;
	struct client c;
	uint32_t shmid;

	node_start(&own, program, "[Daemon]\nIdleExit=50ms\n", true);
	client_new(&c, &own);
	shmid = made_by(&c, 0600);
	assert_int_equal(WIRE_SHM_PARTITION(shmid), 0);
	client_close(&c);
	usleep(200000);
	client_new(&c, &own);
	remove_it(&c, shmid);
	client_close(&c);
	node_wait_end(&own);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_tells_of_the_partition),
		cmocka_unit_test(keys_are_new_each_time_and_of_the_partition),
		cmocka_unit_test(a_segment_lives_without_its_maker),
		cmocka_unit_test(a_get_must_agree_with_what_there_is),
		cmocka_unit_test(removal_takes_key_and_id_at_once_and_memory_at_the_end),
		cmocka_unit_test(autoremoval_waits_for_the_last_attach),
		cmocka_unit_test(unused_keys_go_with_their_maker_and_used_ones_do_not),
		cmocka_unit_test(so_many_unused_keys_and_no_more),
		cmocka_unit_test(rights_go_by_owner_creator_group_and_mode),
		cmocka_unit_test(who_may_only_read_gets_what_cannot_write),
		cmocka_unit_test(commands_and_numbers_that_are_none_are_refused),
		cmocka_unit_test(packets_of_another_length_cut_the_connection),
		cmocka_unit_test(a_process_cannot_export_into_the_space),
		cmocka_unit_test(configuring_is_roots_and_the_daemons),
		cmocka_unit_test(list_and_show_know_who_made_it),
		cmocka_unit_test(everything_survives_the_daemon),
		cmocka_unit_test(the_next_keeper_has_the_memory_as_well),
		cmocka_unit_test(an_embedded_node_stays_for_its_segments),
	};

	if (argc != 2) {
		fprintf(stderr, "Usage: test-shm-node CAUSEWAYD\n");
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests(tests, setup, teardown);
}
