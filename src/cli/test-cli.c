/* SPDX-License-Identifier: Apache-2.0 */
/* The tool without a daemon: the library is replaced by the few functions below. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/test-cli.h"
#include "client/export.h"
#include "client/import.h"
#include "client/remote.h"
#include "wire/status.h"

/* the library */

static struct {
	bool absent; /* no daemon */
	char socket[108];
	struct wire_list_row rows[8];
	uint32_t n_rows;
	uint32_t rows_a_packet;
	uint32_t claim; /* rows that an answer claims beyond those it has */
	uint64_t puts;	/* of each segment, in all */
	uint64_t puts_a_call;
	bool has_peers;	     /* this one, 3, and 7, which may have segments, and 8, which is down */
	bool is_old;	     /* says nothing of encryption */
	uint32_t peer_rows;  /* of node 7 */
	const char *trouble; /* with reload */
	const char *no_maps; /* why it has no coherent maps */
	bool has_maps; /* of the first segment and one of node 7; time goes by for them, too */
	struct wire_owner_run runs[4]; /* answered one at a time */
	uint32_t n_runs;
} fake;

int cw_connect(struct cw_node *ret_node)
{
	if (fake.absent)
		return STATUS_NO_DAEMON;
	*ret_node = (struct cw_node){0};
	strcpy(ret_node->socket, fake.socket);
	return 0;
}

unsigned int cw_attempts(struct cw_attempt *attempts, unsigned int n)
{
	attempts[0] = (struct cw_attempt){.socket = "/run/fake/socket",
		.error = fake.absent ? ENOENT : 0,
		.text = fake.absent ? "there is no socket" : "answers"};
	return 1;
}

static void fake_list(const struct wire_list *q, struct cw_reply *a)
{
	struct wire_list_reply *l = &a->message.list_reply;
	uint8_t *at = a->packet;
	uint64_t i = q->cursor;

	for (; i < fake.n_rows && l->n < fake.rows_a_packet; i++) {
		if (q->space && q->space != fake.rows[i].space)
			continue;
		at = wire_put_list_row(at, a->packet + sizeof(a->packet), &fake.rows[i]);
		l->n++;
	}
	l->next = i < fake.n_rows ? i : 0;
	l->n += fake.claim;
	a->message.tail = a->packet;
	a->message.tail_size = (size_t)(at - a->packet);
}

static int fake_show(const struct wire_show *q, struct cw_reply *a)
{
	const uint8_t *end = a->packet + sizeof(a->packet);
	const struct wire_show_import importer = {.pid = 77,
		.rights = WIRE_READ,
		.state = WIRE_IMPORT_CONNECTED,
		.command = "reader"};
	uint8_t *at = a->packet;

	for (uint32_t i = 0; i < fake.n_rows; i++) {
		if (fake.rows[i].instance != q->instance)
			continue;
		at = wire_put_list_row(at, end, &fake.rows[i]);
		at = wire_put_show_import(at, end, &importer);
		a->message.show_reply.n_imports = 1;
		a->message.show_reply.flags = WIRE_SHOW_ADVISORY;
		a->message.tail = a->packet;
		a->message.tail_size = (size_t)(at - a->packet);
		return 0;
	}
	return STATUS_NOT_FOUND;
}

/* Each segment in two parts, a part a packet; time goes by with each list. */
static void fake_stat(const struct wire_stat *q, struct cw_reply *a)
{
	struct wire_stat_reply *l = &a->message.stat_reply;
	uint32_t i = q->cell ? (uint32_t)q->cursor - 1 : (uint32_t)q->cursor;
	struct wire_stat_row row = {.instance = i + 1,
		.space = WIRE_SPACE_RSM,
		.id = 0x10 + i,
		.state = WIRE_SEGMENT_PUBLISHED,
		.n_imports = 2,
		.command = "worker"};

	if (!q->cursor)
		fake.puts += fake.puts_a_call;
	if (i >= fake.n_rows)
		return;
	row.puts = fake.puts / 2;
	row.put_bytes = row.puts * 1024;
	row.export_posts = q->cell ? 0 : fake.puts;
	l->next_cell = q->cell ? 0 : 1;
	l->next = q->cell && i + 1 == fake.n_rows ? 0 : i + 1;
	l->n = 1 + fake.claim;
	a->message.tail = a->packet;
	a->message.tail_size =
		(size_t)(wire_put_stat_row(a->packet, a->packet + sizeof(a->packet), &row) -
			 a->packet);
}

/* The first segment and, in a second packet, one of another node. */
static int fake_maps(const struct wire_coherent_stat *q, struct cw_reply *a)
{
	struct wire_coherent_row row = {.instance = 1,
		.space = WIRE_SPACE_RSM,
		.node = q->cursor ? FAKE_PEER : FAKE_SELF,
		.id = q->cursor ? 0x77 : 0x10,
		.n_nodes = q->cursor ? 0 : 2,
		.read_faults = fake.puts,
		.write_faults = fake.puts * 2,
		.pages_in = fake.puts,
		.pages_out = q->cursor ? fake.puts : 0,
		.holds = fake.puts};

	if (!fake.has_maps)
		return STATUS_NOT_SUPPORTED;
	a->message.coherent_stat_reply.n = 1;
	a->message.coherent_stat_reply.next = !q->cursor;
	a->message.tail = a->packet;
	a->message.tail_size =
		(size_t)(wire_put_coherent_row(a->packet, a->packet + sizeof(a->packet), &row) -
			 a->packet);
	return 0;
}

static int fake_owners(const struct wire_owners *q, struct cw_reply *a)
{
	struct wire_owners_reply *o = &a->message.owners_reply;
	uint32_t i = 0;

	o->n_pages = 6144;
	while (i < fake.n_runs && fake.runs[i].page < q->page)
		i++;
	if (i == fake.n_runs)
		return 0;
	o->n = 1 + fake.claim;
	o->next = i + 1 < fake.n_runs ? fake.runs[i + 1].page : 0;
	a->message.tail = a->packet;
	a->message.tail_size = (size_t)(wire_put_owner_run(a->packet, a->packet + sizeof(a->packet),
						&fake.runs[i]) -
					a->packet);
	return 0;
}

/* One node a packet. */
static int fake_nodes(const struct wire_nodes *q, struct cw_reply *a)
{
	static const struct wire_node_row rows[] = {
		{.node = FAKE_SELF, .state = WIRE_PEER_SELF, .address = "h3"},
		{.node = FAKE_PEER,
			.state = WIRE_PEER_UP,
			.session = 0xabc,
			.n_imports = 5,
			.n_guests = 6,
			.heard = 1500000000,
			.address = "h7:1"},
		{.node = FAKE_DOWN, .address = "h8", .trouble = "nobody \x1b answers"},
	};
	uint8_t *at, *end = a->packet + sizeof(a->packet);
	uint32_t i = q->cursor;

	if (!fake.has_peers)
		return STATUS_NOT_SUPPORTED;
	a->message.nodes_reply.next = i + 1 < ELEMENTS(rows) ? i + 1 : 0;
	a->message.nodes_reply.n = 1 + fake.claim;
	a->message.tail = a->packet;
	at = wire_put_node_row(a->packet, end, &rows[i]);
	if (!fake.is_old)
		at = wire_put_node_data(at, end,
			&(struct wire_node_data){.node = rows[i].node,
				.encryption = rows[i].node == FAKE_PEER ? WIRE_DATA_ENCRYPTED : 0});
	a->message.tail_size = (size_t)(at - a->packet);
	return 0;
}

/* Node 7 has segments of the numbers 0x20 … */
static int fake_list_of(const struct wire_list *q, struct cw_reply *a)
{
	struct wire_list_row row = {.space = WIRE_SPACE_RSM,
		.node = FAKE_PEER,
		.state = WIRE_SEGMENT_PUBLISHED,
		.size = 8192,
		.command = "elsewhere"};
	uint8_t *at = a->packet;

	if (q->node != FAKE_PEER)
		return q->node == FAKE_DOWN ? STATUS_NODE_UNREACHABLE : STATUS_NODE_UNKNOWN;
	for (uint32_t i = 0; i < fake.peer_rows; i++) {
		row.id = 0x20 + i;
		at = wire_put_list_row(at, a->packet + sizeof(a->packet), &row);
	}
	a->message.list_reply.n = fake.peer_rows;
	a->message.tail = a->packet;
	a->message.tail_size = (size_t)(at - a->packet);
	return 0;
}

/* A segment of node 7, told by its number. */
static int fake_show_of(const struct wire_show *q, struct cw_reply *a)
{
	const struct wire_list_row row = {.space = q->space,
		.node = q->node,
		.id = q->id,
		.state = WIRE_SEGMENT_PUBLISHED,
		.command = "elsewhere"};

	if (q->instance || q->node != FAKE_PEER || q->id >= 0x20 + fake.peer_rows)
		return STATUS_NOT_FOUND;
	a->message.tail = a->packet;
	a->message.tail_size =
		(size_t)(wire_put_list_row(a->packet, a->packet + sizeof(a->packet), &row) -
			 a->packet);
	return 0;
}

static int fake_ping(const struct wire_ping *q, struct cw_reply *a)
{
	if (q->node && q->node != FAKE_PEER)
		return STATUS_NODE_UNREACHABLE;
	a->message.ping_reply.round_trip = 20000;
	return 0;
}

static int fake_reload(struct cw_reply *a)
{
	struct wire_reload_reply *l = &a->message.reload_reply;

	a->message.type = WIRE_RELOAD_REPLY;
	l->n_nodes = 3;
	if (!fake.trouble)
		return 0;
	snprintf(l->trouble, sizeof(l->trouble), "%s", fake.trouble);
	return STATUS_BAD_REQUEST;
}

int cw_call(struct wire_message *q, const int *fds, unsigned int n_fds, struct cw_reply *a)
{
	memset(a, 0, sizeof(*a));
	switch (q->type) {
	case WIRE_NODE_STATUS:
		if (q->node_status.asked && q->node_status.asked != FAKE_PEER)
			return STATUS_NODE_UNREACHABLE;
		a->message.node_status_reply = (struct wire_node_status_reply){.node = 3,
			.daemon_pid = 41,
			.keeper_pid = 40,
			.version = "1.2",
			.flags = fake.no_maps ? 0 : WIRE_NODE_MAPS | WIRE_NODE_UFFD};
		snprintf(a->message.node_status_reply.no_maps,
			sizeof(a->message.node_status_reply.no_maps), "%s",
			fake.no_maps ? fake.no_maps : "");
		return 0;
	case WIRE_PING:
		return fake_ping(&q->ping, a);
	case WIRE_NODES:
		return fake_nodes(&q->nodes, a);
	case WIRE_RELOAD:
		return fake_reload(a);
	case WIRE_LIST:
		if (q->list.node)
			return fake_list_of(&q->list, a);
		fake_list(&q->list, a);
		return 0;
	case WIRE_STAT:
		fake_stat(&q->stat, a);
		return 0;
	case WIRE_COHERENT_STAT:
		return fake_maps(&q->coherent_stat, a);
	case WIRE_OWNERS:
		return fake_owners(&q->owners, a);
	case WIRE_SHOW:
		if (!q->show.instance)
			return fake_show_of(&q->show, a);
		return fake_show(&q->show, a);
	}
	return fake_clshm(q, a);
}

int cw_export_create(uint32_t space, void *address, uint64_t size, uint32_t mode, uint32_t flags,
	cw_handle *ret_handle)
{
	return STATUS_QUOTA_BYTES;
}

int cw_export_destroy(cw_handle handle)
{
	return 0;
}

int cw_export_publish(
	cw_handle handle, uint32_t *id, const struct wire_access *access, uint32_t n_access)
{
	return STATUS_BAD_HANDLE;
}

int cw_import_connect(uint32_t space, uint32_t controller, uint32_t node, uint32_t id,
	uint32_t rights, cw_handle *ret_handle)
{
	return STATUS_NOT_FOUND;
}

int cw_import_disconnect(cw_handle handle)
{
	return 0;
}

int cw_import_map(cw_handle handle, void *address, bool fixed, int prot, uint64_t offset,
	uint64_t size, void **ret_address)
{
	return STATUS_BAD_HANDLE;
}

int cw_import_unmap(cw_handle handle)
{
	return 0;
}

struct cw_import *cw_import_ref(cw_handle handle)
{
	return NULL;
}

void cw_import_put(struct cw_import *import)
{
}

/* What bench needs beyond that; it does not come so far here. */
__thread struct cw_slot *cw_slot_self __attribute__((tls_model("initial-exec")));
struct cw_handle_entry *_Atomic cw_handle_chunks[CW_HANDLE_CHUNKS];
bool cw_enter_fences;

struct cw_slot *cw_slot_get(void)
{
	return NULL;
}

int cw_import_attach(struct cw_import *import, uint8_t **ret_base)
{
	return STATUS_REVOKED;
}

int cw_import_check(struct cw_import *import)
{
	return STATUS_REVOKED;
}

int cw_remote_put(struct cw_import *import, uint64_t off, const void *src, uint64_t n,
	unsigned int width, bool span)
{
	return STATUS_REVOKED;
}

int cw_remote_get(struct cw_import *import, uint64_t off, void *dst, uint64_t n, unsigned int width)
{
	return STATUS_REVOKED;
}

int cw_signal_post(cw_handle handle, bool accumulate)
{
	return STATUS_REVOKED;
}

int cw_signal_wait(cw_handle handle, uint64_t timeout_ns)
{
	return STATUS_REVOKED;
}

/* running the tool */

static void read_back(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);

	assert_true(n >= 0);
	buf[n] = '\0';
	close(fd);
}

struct result *cli(const char *words)
{
	static struct result r;
	char line[256], *argv[16] = {(char[]){"causeway"}}, *save, *word;
	int argc = 1, out = memfd_create("out", MFD_CLOEXEC),
	    err = memfd_create("err", MFD_CLOEXEC);
	int old_out = dup(STDOUT_FILENO), old_err = dup(STDERR_FILENO);
	struct invocation in;

	snprintf(line, sizeof(line), "%s", words);
	for (word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	r.status = command_parse(argc, argv, &in);
	if (r.status == 0)
		r.status = in.command->run(&in);
	fflush(stdout);
	dup2(old_out, STDOUT_FILENO);
	dup2(old_err, STDERR_FILENO);
	close(old_out);
	close(old_err);
	read_back(out, r.out, sizeof(r.out));
	read_back(err, r.err, sizeof(r.err));
	return &r;
}

int setup(void **state)
{
	fake_clshm_reset();
	memset(&fake, 0, sizeof(fake));
	strcpy(fake.socket, "/run/fake/socket");
	fake.n_rows = 3;
	fake.rows_a_packet = 2;
	for (uint32_t i = 0; i < fake.n_rows; i++)
		fake.rows[i] = (struct wire_list_row){.instance = 100 + i,
			.space = 1 + i % 2,
			.node = 3,
			.id = 0x10 + i / 2,
			.state = WIRE_SEGMENT_PUBLISHED,
			.size = 4096ull << i,
			.mode = 0640,
			.pid = 1000 + i,
			.command = "worker"};
	return 0;
}

void fake_peers(void)
{
	fake.has_peers = true;
}

struct json_object *parse(const char *text)
{
	struct json_object *o = json_tokener_parse(text);

	assert_non_null(o);
	return o;
}

struct json_object *member(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	assert_true(json_object_object_get_ex(o, key, &v));
	return v;
}

/* tests */

static void wrong_usage_gives_2_and_says_what_was_meant(void **state)
{
	static const struct {
		const char *words, *says;
	} cases[] = {
		{"lst", "did you mean 'list'?"},
		{"bananas", "no command 'bananas'"},
		{"list --colums=ID", "'--colums' here; did you mean --columns?"},
		{"list --count=3", "no option '--count'"},
		{"list -c 3", "no option -c"},
		{"list --json=3", "--json takes no value"},
		{"list --columns", "--columns needs LIST"},
		{"list --columns=ID,SIZ", "did you mean SIZE?"},
		{"list --columns=,", "no column ''"},
		{"list --space=rms", "must be rsm, sisci or clshm"},
		{"list extra", "does not take 'extra'"},
		{"show", "needs ID"},
		{"show 0xg", "'0xg' is not the number"},
		{"show 4294967296", "not the number"},
		{"stat 0", "from 1ms"},
		{"stat -- -1", "from 1ms"},
		{"stat 1e9", "from 1ms"},
		{"stat 1 0", "from 1 to"},
		{"stat 1 1 1", "does not take"},
		{"stat --columns=PUT", "did you mean PUTS?"},
		{"ping -c 0", "from 1 to"},
		{"ping -c 1000001", "from 1 to"},
		{"ping 0", "a node's number from 1 to"},
		{"list --node=x", "a node's number"},
		{"nodes --columns=STAT", "did you mean STATE?"},
		{"bench", "needs either a NODE, or --serve"},
		{"bench 7 --serve", "needs either"},
		{"bench seven", "a node's number"},
		{"node", "needs a second word: add, remove."},
		{"node add 4", "needs NODE ADDRESS"},
		{"node add four h", "'four' must be a node's number"},
		{"node add 4 [::1", "must be HOST"},
		{"node remove -- -1", "a node's number"},
		{"keygen 1 2", "needs --directory"},
		{"keygen -d /tmp", "needs the numbers of nodes"},
		{"keygen -d /tmp 1 65536", "a node's number"},
		{"cluster start -d /tmp/x", "needs --nodes=N or --ids=LIST"},
		{"cluster start -d /tmp/x -n 0", "from 1 to 64"},
		{"cluster start -d /tmp/x -n 65", "from 1 to 64"},
		{"cluster start -d /tmp/x -n 2 -i 1", "but --ids has 1"},
		{"cluster start -d /tmp/x -i 1,2,1", "node 1 twice"},
		{"cluster start -d /tmp/x -i 1,,2", "'' must be a node's number"},
		{"cluster start -d /tmp/x -n 2 -t 1ms", "from 100ms to 60s"},
		{"cluster start -n 2", "needs --directory"},
		{"cluster kill -d /tmp/x", "needs --node=ID"},
		{"run", "needs [--] COMMAND"},
		{"help nothing", "no command 'nothing'"},
		{"cluster", "'cluster' needs a second word: start, run,"},
		{"cluster begin", "no command 'cluster begin'; there are: start,"},
		{"cluster start extra", "does not take 'extra'"},
		{"help cluster begin", "no command 'cluster begin'"},
		{"help list more", "'help' does not take 'more'"},
	};

	for (unsigned int i = 0; i < ELEMENTS(cases); i++) {
		struct result *r = cli(cases[i].words);

		if (r->status != EXIT_USAGE || !strstr(r->err, cases[i].says) || r->out[0])
			fail_msg(
				"%s: %d, \"%s\" \"%s\"", cases[i].words, r->status, r->err, r->out);
	}
}

static void options_after_runs_command_are_the_commands(void **state)
{
	char *argv[] = {(char[]){"causeway"}, (char[]){"run"}, (char[]){"-v"}, (char[]){"ls"},
		(char[]){"--json"}, NULL};
	struct invocation in;

	assert_int_equal(command_parse(5, argv, &in), 0);
	assert_non_null(in.option[OPTION_VERBOSE]);
	assert_null(in.option[OPTION_JSON]);
	assert_int_equal(in.n_args, 2);
	assert_string_equal(in.args[0], "ls");
	assert_string_equal(in.args[1], "--json");
}

static char *printed(void (*print)(FILE *))
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	print(f);
	fclose(f);
	return text;
}

static void help_manual_and_completion_name_everything(void **state)
{
	char *man = printed(command_print_man), *completion = printed(command_print_completion);
	char words[64], option[64];

	for (unsigned int i = 0; i < n_commands; i++) {
		assert_non_null(strstr(man, commands[i].name));
		snprintf(words, sizeof(words), "'%s') words=", commands[i].name);
		assert_non_null(strstr(completion, words));
		assert_non_null(strstr(cli("help")->out, commands[i].summary));
		snprintf(words, sizeof(words), "help %s", commands[i].name);
		for (unsigned int o = 0; o < OPTIONS; o++) {
			if (!(commands[i].options & 1u << o))
				continue;
			snprintf(option, sizeof(option), "--%s", option_specs[o].name);
			assert_non_null(strstr(cli(words)->out, option));
			assert_non_null(strstr(completion, option));
		}
	}
	free(man);
	free(completion);
}

static void no_two_options_of_a_command_share_a_letter_or_name(void **state)
{
	for (unsigned int c = 0; c < n_commands; c++) {
		uint32_t mask = commands[c].options | 1u << OPTION_HELP;

		for (unsigned int i = 0; i < OPTIONS; i++) {
			assert_true(option_specs[i].letter && option_specs[i].name);
			for (unsigned int j = 0; j < i; j++) {
				if (!(mask & 1u << i && mask & 1u << j))
					continue;
				assert_int_not_equal(
					option_specs[i].letter, option_specs[j].letter);
				assert_string_not_equal(option_specs[i].name, option_specs[j].name);
			}
		}
	}
}

static void list_shows_every_packet_and_who_answers(void **state)
{
	struct result *r = cli("list");

	assert_int_equal(r->status, EXIT_OK);
	assert_non_null(
		strstr(r->out, "causewayd (pid 41, root) answers at /run/fake/socket, node 3\n"));
	assert_non_null(strstr(r->out, "1000"));
	assert_non_null(strstr(r->out, "1002"));
	assert_non_null(strstr(r->out, "16K"));
	r = cli("list --noheadings --columns=pid,SIZE,pid --bytes --space=sisci");
	assert_string_equal(r->out, "1001 8192\n");
}

static void list_in_json_has_numbers_for_numbers(void **state)
{
	struct json_object *root = parse(cli("list --json --columns=+INSTANCE")->out);
	struct json_object *list = member(root, "segments"),
			   *row = json_object_array_get_idx(list, 2);

	assert_int_equal(json_object_array_length(list), 3);
	assert_int_equal(json_object_get_int(member(row, "size")), 16384);
	assert_int_equal(json_object_get_int(member(row, "id")), 0x11);
	assert_int_equal(json_object_get_int(member(row, "instance")), 102);
	assert_string_equal(json_object_get_string(member(row, "mode")), "0640");
	assert_int_equal(json_object_get_int(member(member(root, "daemon"), "pid")), 41);
	json_object_put(root);
}

static void names_of_strangers_cannot_write_to_the_terminal(void **state)
{
	strcpy(fake.rows[0].command, "\x1b[2J\n\xff\"");
	assert_non_null(strstr(cli("list")->out, "?[2J??\""));
	json_object_put(parse(cli("list --json")->out));
}

static void a_segment_without_id_has_none(void **state)
{
	struct json_object *root, *row;

	fake.rows[0].state = WIRE_SEGMENT_BOUND;
	root = parse(cli("list -J")->out);
	row = json_object_array_get_idx(member(root, "segments"), 0);
	assert_null(member(row, "id"));
	json_object_put(root);
	assert_int_equal(cli("show 0x10 -s rsm")->status, EXIT_FAILED);
}

static void a_list_that_lies_about_its_length_is_refused(void **state)
{
	struct result *r;

	fake.claim = 1;
	r = cli("list");
	assert_int_equal(r->status, EXIT_FAILED);
	assert_non_null(strstr(r->err, "malformed"));
	fake.claim = 1u << 30;
	assert_int_equal(cli("list")->status, EXIT_FAILED);
}

static void show_takes_decimal_and_hexadecimal_and_all_spaces(void **state)
{
	struct result *r = cli("show 16");
	struct json_object *root;

	assert_int_equal(r->status, EXIT_OK);
	assert_non_null(strstr(r->out, "rsm"));
	assert_non_null(strstr(r->out, "sisci"));
	assert_non_null(strstr(r->out, "advisory"));
	assert_non_null(strstr(r->out, "reader"));
	root = parse(cli("show 0x10 --space sisci --json")->out);
	assert_int_equal(json_object_array_length(root), 1);
	root = (json_object_put(root), NULL);
	r = cli("show 0x99");
	assert_int_equal(r->status, EXIT_FAILED);
	assert_non_null(strstr(r->err, "no segment 0x99"));
}

static void list_shows_all_nodes_and_names_those_that_do_not_answer(void **state)
{
	struct json_object *root, *silent;
	struct result *r;

	fake.has_peers = true;
	fake.peer_rows = 2;
	r = cli("list");
	assert_int_equal(r->status, EXIT_OK);
	assert_non_null(strstr(r->out, "worker"));
	assert_non_null(strstr(r->out, "elsewhere"));
	assert_string_equal(r->err, "causeway: node 8: the node does not answer: nobody ? answers; "
				    "its segments are not "
				    "shown\n");
	root = parse(cli("list --json")->out);
	assert_int_equal(json_object_array_length(member(root, "segments")), 5);
	silent = member(root, "silent");
	assert_int_equal(json_object_array_length(silent), 1);
	assert_int_equal(json_object_get_int(member(json_object_array_get_idx(silent, 0), "node")),
		FAKE_DOWN);
	json_object_put(root);
}

static void list_of_one_node_is_its_alone(void **state)
{
	struct result *r;

	fake.has_peers = true;
	fake.peer_rows = 2;
	assert_string_equal(cli("list -n -o NODE,ID --node=7")->out, "   7 0x20\n   7 0x21\n");
	assert_null(strstr(cli("list --node=3")->out, "elsewhere"));
	r = cli("list --node=8");
	assert_int_equal(r->status, EXIT_FAILED);
	assert_non_null(strstr(r->err, "segments of node 8: the node does not answer"));
	assert_non_null(strstr(cli("list --node=9")->err, "no such node"));
}

static void show_finds_segments_of_other_nodes(void **state)
{
	struct result *r;

	fake.has_peers = true;
	fake.peer_rows = 1;
	r = cli("show 0x20");
	assert_int_equal(r->status, EXIT_OK);
	assert_non_null(strstr(r->out, "elsewhere"));
	assert_int_equal(cli("show 0x10 --node 7")->status, EXIT_FAILED);
}

static void nodes_shows_how_it_stands_with_each(void **state)
{
	struct json_object *root, *list, *row;

	fake.has_peers = true;
	assert_string_equal(cli("nodes -n")->out,
		"   3 h3      self        0      0     - -         -\n"
		"   7 h7:1    up          5      6  1.5s encrypted -\n"
		"   8 h8      idle        0      0     - -         nobody ? answers\n");
	root = parse(cli("nodes --json --columns=+SESSION")->out);
	list = member(root, "nodes");
	assert_int_equal(json_object_array_length(list), 3);
	row = json_object_array_get_idx(list, 1);
	assert_int_equal(json_object_get_int64(member(row, "heard")), 1500000000);
	assert_string_equal(json_object_get_string(member(row, "session")), "0000000000000abc");
	assert_string_equal(json_object_get_string(member(row, "data")), "encrypted");
	json_object_put(root);
	fake.is_old = true;
	assert_null(strstr(cli("nodes")->out, "encrypted"));
}

static void a_daemon_without_nodes_has_none(void **state)
{
	struct result *r = cli("nodes");

	assert_int_equal(r->status, EXIT_OK);
	assert_non_null(strstr(r->out, "no other nodes"));
}

static void a_node_list_that_lies_about_its_length_is_refused(void **state)
{
	fake.has_peers = fake.is_old = true;
	fake.claim = 1;
	assert_non_null(strstr(cli("nodes")->err, "malformed"));
	fake.claim = 1u << 30;
	assert_int_equal(cli("nodes")->status, EXIT_FAILED);
}

static void ping_of_a_node_tells_what_the_daemons_measured(void **state)
{
	struct json_object *root = parse(cli("ping 7 -c 5 --json")->out);

	assert_int_equal(json_object_get_int(member(root, "node")), 7);
	assert_int_equal(
		json_object_get_int(member(member(root, "round_trips"), "median_ns")), 20000);
	json_object_put(root);
	assert_non_null(strstr(cli("ping 8")->err, "cannot ping node 8: the node does not answer"));
}

static void bench_says_what_it_lacks(void **state)
{
	fake.has_peers = true;
	fake.peer_rows = 1;
	assert_non_null(strstr(cli("bench 7")->err, "nobody serves on node 7: run 'causeway bench "
						    "--serve' there"));
	assert_non_null(strstr(cli("bench 8")->err, "node 8: the node does not answer"));
	assert_non_null(strstr(cli("bench --serve")->err, "cannot export memory"));
}

static void reload_repeats_what_the_daemon_does_not_like(void **state)
{
	struct result *r = cli("reload");

	assert_int_equal(r->status, EXIT_OK);
	assert_string_equal(r->out, "node 3: reloaded, 3 nodes\n");
	fake.trouble = "x.conf:3: no";
	r = cli("reload");
	assert_int_equal(r->status, EXIT_FAILED);
	assert_non_null(strstr(r->err, "goes on with what it had: x.conf:3: no"));
}

static int64_t number(struct json_object *o, const char *key)
{
	return json_object_get_int64(member(o, key));
}

static void stat_shows_what_was_added_a_second(void **state)
{
	struct json_object *root, *segments, *row, *total;
	double seconds;

	fake.puts = 1000000;
	fake.puts_a_call = 100;
	root = parse(cli("stat 20ms --json --columns=+TO_IMPORTERS")->out);
	segments = member(root, "segments");
	total = member(root, "total");
	seconds = json_object_get_double(member(root, "seconds"));
	assert_true(seconds >= 0.02);
	assert_int_equal(json_object_array_length(segments), 3);
	row = json_object_array_get_idx(segments, 1);
	assert_int_equal(number(row, "id"), 0x11);
	assert_true((double)number(row, "puts") >= 100 / seconds);
	assert_true((double)number(row, "puts") < 100 / seconds + 1);
	assert_int_equal(number(row, "gets"), 0);
	assert_int_equal(number(row, "signals"), number(row, "puts"));
	assert_int_equal(number(row, "to_importers"), number(row, "puts"));
	assert_int_equal(number(total, "puts"), 3 * number(row, "puts"));
	assert_int_equal(number(total, "imports"), 6);
	json_object_put(root);
}

static void stat_repeats_as_often_as_told_with_a_sum_each_time(void **state)
{
	const char *at = cli("stat 1ms 3 --columns=ID,PUTS")->out;
	unsigned int n = 0;

	for (; (at = strstr(at, " all ")); at++)
		n++;
	assert_int_equal(n, 3);
	assert_string_equal(cli("stat 1ms 2 -n -o ID,PUTS")->out,
		"0x10    0\n0x11    0\n0x12    0\n0x10    0\n0x11    0\n0x12    0\n");
}

static void stat_shows_what_maps_cost(void **state)
{
	struct json_object *root, *rows, *row;

	fake.n_rows = 2;
	fake.puts_a_call = 10;
	fake.has_maps = true;
	root = parse(cli("stat 10ms --json -o +NODES,READ_FAULTS,HOLDS,PAGES_IN")->out);
	rows = member(root, "segments");
	assert_int_equal(json_object_array_length(rows), 3);
	row = json_object_array_get_idx(rows, 0);
	assert_int_equal(json_object_get_int(member(row, "nodes")), 2);
	assert_in_range(json_object_get_int(member(row, "faults")), 300, 3000);
	assert_in_range(json_object_get_int(member(row, "read_faults")), 100, 1000);
	assert_int_equal(json_object_get_int(member(row, "moved_bytes")),
		json_object_get_int(member(row, "moves")) * 4096);
	row = json_object_array_get_idx(rows, 1);
	assert_int_equal(json_object_get_int(member(row, "faults")), 0);
	assert_int_equal(json_object_get_int(member(row, "imports")), 2);
	/* another node's that is mapped here */
	row = json_object_array_get_idx(rows, 2);
	assert_int_equal(json_object_get_int(member(row, "node")), FAKE_PEER);
	assert_int_equal(json_object_get_int(member(row, "id")), 0x77);
	assert_true(member(row, "imports") == NULL);
	assert_in_range(json_object_get_int(member(row, "moves")), 200, 2000);
	assert_in_range(json_object_get_int(member(member(root, "total"), "moves")), 300, 3000);
	json_object_put(root);
	assert_string_equal(cli("stat 1ms -n -o ID,PID,FAULTS -s sisci")->err, "");
}

static void pages_are_drawn_by_owner(void **state)
{
	static const struct wire_owner_run runs[] = {{.page = 0, .n = 4, .owner = FAKE_PEER},
		{.page = 4, .n = 3, .n_sharers = 2}, {.page = 7, .n = 1, .owner = FAKE_SELF},
		{.page = 8, .n = 6136, .n_sharers = 1}};
	struct json_object *list, *pages, *run;
	struct result *r;

	fake.has_peers = true;
	fake.rows[0].node = FAKE_SELF;
	r = cli("show 0x10 -s rsm --pages");
	assert_int_equal(r->status, EXIT_OK);
	assert_non_null(strstr(r->out, "no other node has the segment mapped"));
	memcpy(fake.runs, runs, sizeof(runs));
	fake.n_runs = ELEMENTS(runs);
	r = cli("show 0x10 -s rsm --pages");
	/* four pages a character: node 7's, and mostly shared */
	assert_non_null(strstr(r->out, "4 a character\n         0  A+...."));
	assert_non_null(strstr(r->out, "A  4 pages owned by node 7"));
	assert_non_null(strstr(r->out, "B  1 pages owned by node 3, where they are at home"));
	assert_non_null(strstr(r->out, ".  6136 pages at home"));
	list = parse(cli("show 0x10 -s rsm --pages --json")->out);
	pages = member(json_object_array_get_idx(list, 0), "pages");
	assert_int_equal(json_object_get_int(member(pages, "count")), 6144);
	run = json_object_array_get_idx(member(pages, "runs"), 0);
	assert_int_equal(json_object_get_int(member(run, "owner")), FAKE_PEER);
	json_object_put(list);
	fake.claim = 3;
	assert_non_null(strstr(cli("show 0x10 -s rsm --pages")->err, "malformed"));
	fake.claim = 0;
	fake.runs[3].n++;
	assert_non_null(strstr(cli("show 0x10 -s rsm --pages")->err, "malformed"));
	/* another node's */
	fake.peer_rows = 1;
	assert_non_null(strstr(cli("show 0x20 --pages")->out, "ask there: causeway show 0x20"));
}

static void counts_that_go_back_are_nothing(void **state)
{
	fake.puts = 1000;
	fake.puts_a_call = (uint64_t)-100;
	assert_string_equal(cli("stat 1ms -n -o PUTS")->out, "   0\n   0\n   0\n");
}

static void stat_refuses_answers_that_lie_about_their_length(void **state)
{
	fake.claim = 1;
	assert_non_null(strstr(cli("stat 1ms")->err, "malformed"));
	fake.claim = 1u << 30;
	assert_int_equal(cli("stat 1ms")->status, EXIT_FAILED);
}

static void ping_counts(void **state)
{
	struct json_object *root = parse(cli("ping -c 7 --json")->out),
			   *t = member(root, "round_trips");

	assert_int_equal(json_object_get_int(member(t, "count")), 7);
	assert_true(json_object_get_int64(member(t, "min_ns")) <=
		    json_object_get_int64(member(t, "p99_ns")));
	json_object_put(root);
}

static void without_a_daemon_every_command_says_what_was_tried(void **state)
{
	static const char *const all[] = {"list", "show 1", "stat", "ping", "status", "list --json",
		"nodes", "reload", "node remove 2"};

	fake.absent = true;
	for (unsigned int i = 0; i < ELEMENTS(all); i++) {
		struct result *r = cli(all[i]);

		assert_int_equal(r->status, EXIT_FAILED);
		assert_non_null(strstr(r->err, "/run/fake/socket: there is no socket"));
		assert_string_equal(r->out, "");
	}
}

static void doctor_goes_on_without_a_daemon_and_fails(void **state)
{
	struct result *r;
	struct json_object *root;

	fake.absent = true;
	r = cli("doctor");
	assert_int_equal(r->status, EXIT_FAILED);
	assert_non_null(strstr(r->out, "/run/fake/socket: there is no socket"));
	assert_non_null(strstr(r->out, "max_map_count"));
	root = parse(cli("doctor --json")->out);
	assert_true(json_object_get_int(member(root, "failed")) >= 3);
	json_object_put(root);
}

static void doctor_names_the_step_that_failed(void **state)
{
	struct result *r = cli("doctor");

	assert_int_equal(r->status, EXIT_FAILED);
	assert_non_null(strstr(r->out, "failed to export it: the user's quota"));
}

static void doctor_says_whether_other_nodes_memory_can_be_mapped_and_why_not(void **state)
{
	struct json_object *root, *checks, *check = NULL;
	const char *out;

	assert_non_null(strstr(cli("doctor")->out, "other nodes' memory can be mapped here"));
	fake.no_maps = "the moon is full";
	out = cli("doctor")->out;
	assert_non_null(
		strstr(out, "cannot be mapped here, nor this node's there: the moon is full"));
	assert_non_null(strstr(out, "60-causeway-userfaultfd.rules"));
	root = parse(cli("doctor --json")->out);
	checks = member(root, "checks");
	for (size_t i = 0; i < json_object_array_length(checks); i++) {
		struct json_object *o = json_object_array_get_idx(checks, i);

		if (!strcmp(json_object_get_string(member(o, "check")), "coherent maps"))
			check = o;
	}
	assert_non_null(check);
	assert_string_equal(json_object_get_string(member(check, "result")), "warning");
	assert_non_null(strstr(json_object_get_string(member(check, "found")), "the moon is full"));
	assert_non_null(strstr(json_object_get_string(member(check, "remedy")), "CAP_SYS_PTRACE"));
	json_object_put(root);
}

static void doctor_warns_of_a_directory_where_others_may_replace_the_socket(void **state)
{
	char dir[] = "/tmp/causeway-cli-XXXXXX";

	assert_non_null(mkdtemp(dir));
	snprintf(fake.socket, sizeof(fake.socket), "%s/socket", dir);
	assert_null(strstr(cli("doctor")->out, "replace the socket"));
	assert_int_equal(chmod(dir, 0777), 0);
	assert_non_null(strstr(cli("doctor")->out, "others may replace the socket"));
	assert_int_equal(rmdir(dir), 0);
}

static void doctor_warns_of_limits_that_hold_for_memory_files(void **state)
{
	struct rlimit old, tight;
	const char *out;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	tight.rlim_cur = 1 << 20;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	out = cli("doctor")->out;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_non_null(strstr(out, "warning  sizes               file size 1048576"));
}

static void doctor_asks_every_other_node(void **state)
{
	const char *out;

	assert_null(strstr(cli("doctor")->out, "node 7"));
	fake.has_peers = true;
	out = cli("doctor")->out;
	assert_non_null(strstr(out, "ok       node 7              h7:1: reached and key accepted"));
	assert_non_null(strstr(out, "data of node 7      tcp"));
	assert_non_null(strstr(out, "failed   node 8              h8: the node does not answer: "
				    "nobody ? answers\n"));
	assert_null(strstr(out, "data of node 8 "));
	assert_null(strstr(out, "node 3 "));
}

static void sizes_are_short_or_exact(void **state)
{
	static const struct column columns[] = {{"SIZE", "", 0}};
	static const struct {
		uint64_t v;
		const char *text;
	} cases[] = {{0, "0\n"}, {1023, "1023\n"}, {1024, "1K\n"}, {1536, "1.5K\n"},
		{1048575, "1.0M\n"}, {1048576, "1M\n"}, {UINT64_MAX, "16E\n"},
		{3ull << 30, "3G\n"}};

	for (unsigned int i = 0; i < ELEMENTS(cases); i++) {
		Table *t = table_new(columns, 1);
		char text[64] = "";
		FILE *f = fmemopen(text, sizeof(text), "w");

		table_row(t);
		table_size(t, 0, cases[i].v, false);
		table_print(t, false, f);
		fclose(f);
		assert_string_equal(text, cases[i].text);
		table_free(t);
	}
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wrong_usage_gives_2_and_says_what_was_meant),
		TEST(options_after_runs_command_are_the_commands),
		TEST(help_manual_and_completion_name_everything),
		TEST(no_two_options_of_a_command_share_a_letter_or_name),
		TEST(list_shows_every_packet_and_who_answers),
		TEST(list_in_json_has_numbers_for_numbers),
		TEST(names_of_strangers_cannot_write_to_the_terminal),
		TEST(a_segment_without_id_has_none),
		TEST(a_list_that_lies_about_its_length_is_refused),
		TEST(show_takes_decimal_and_hexadecimal_and_all_spaces),
		TEST(list_shows_all_nodes_and_names_those_that_do_not_answer),
		TEST(list_of_one_node_is_its_alone),
		TEST(show_finds_segments_of_other_nodes),
		TEST(nodes_shows_how_it_stands_with_each),
		TEST(a_daemon_without_nodes_has_none),
		TEST(a_node_list_that_lies_about_its_length_is_refused),
		TEST(ping_of_a_node_tells_what_the_daemons_measured),
		TEST(bench_says_what_it_lacks),
		TEST(reload_repeats_what_the_daemon_does_not_like),
		TEST(stat_shows_what_was_added_a_second),
		TEST(stat_repeats_as_often_as_told_with_a_sum_each_time),
		TEST(stat_shows_what_maps_cost),
		TEST(pages_are_drawn_by_owner),
		TEST(counts_that_go_back_are_nothing),
		TEST(stat_refuses_answers_that_lie_about_their_length),
		TEST(ping_counts),
		TEST(without_a_daemon_every_command_says_what_was_tried),
		TEST(doctor_goes_on_without_a_daemon_and_fails),
		TEST(doctor_names_the_step_that_failed),
		TEST(doctor_says_whether_other_nodes_memory_can_be_mapped_and_why_not),
		TEST(doctor_warns_of_a_directory_where_others_may_replace_the_socket),
		TEST(doctor_warns_of_limits_that_hold_for_memory_files),
		TEST(doctor_asks_every_other_node),
		TEST(sizes_are_short_or_exact),
	};

	return cmocka_run_group_tests_name("cli", tests, NULL, NULL) + test_clshm();
}
