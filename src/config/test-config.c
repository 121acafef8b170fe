/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "config/config.h"
#include "config/files.h"
#include "config/suggest.h"

/* Two directories under a fresh one, etc before usr; a test's files go into them. */
struct place {
	char root[64], etc[96], usr[96];
	char error[CONFIG_ERROR_MAX];
};

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	char path[128];

	strcpy(p->root, "/tmp/causeway-test-config.XXXXXX");
	assert_non_null(mkdtemp(p->root));
	snprintf(p->etc, sizeof(p->etc), "%s/etc", p->root);
	snprintf(p->usr, sizeof(p->usr), "%s/usr", p->root);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/causeway.conf.d", i ? p->usr : p->etc);
		assert_int_equal(mkdir(i ? p->usr : p->etc, 0700), 0);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -r '%s'", p->root);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static struct config *load(struct place *p)
{
	const char *dirs[] = {p->etc, p->usr};
	struct config *c = NULL;

	assert_int_equal(config_load_dirs(dirs, 2, &c, p->error), 0);
	return c;
}

/* Loads one file with this text, which must be refused with these words at this line. */
static void refused(struct place *p, const char *text, unsigned int line, const char *words)
{
	struct config *c = NULL;
	char where[256];

	write_file(p->etc, "causeway.conf", text);
	assert_int_equal(config_load(p->etc, &c, p->error), -EINVAL);
	assert_null(c);
	snprintf(where, sizeof(where), "%s/causeway.conf:%u: ", p->etc, line);
	if (strncmp(p->error, where, strlen(where)) || !strstr(p->error, words))
		fail_msg("%s\ndoes not begin with %s or lacks \"%s\"", p->error, where, words);
}

static void without_files_everything_is_default(void **state)
{
	struct config *c = load(*state);

	assert_int_equal(c->node_id, 0);
	assert_int_equal(c->handshake_timeout, 2 * NSEC_PER_SEC);
	assert_int_equal(c->max_segments_per_user, 65536);
	assert_int_equal(c->log_level, 6);
	assert_string_equal(c->controller_alias, "sci wcfl wrsm");
	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++)
		assert_null(c->origin[i]);
	config_free(c);
}

static void values_of_every_type_are_read(void **state)
{
	struct place *p = *state;
	struct config *c;

	write_file(p->etc, "causeway.conf",
		"# comment\n; and another\n\n[Limits]\n  MaxBytesPerUser = 3G \n"
		"[Daemon]\r\nIdleExit=100ms\r\nLogLevel=debug\n[Node]\nNodeId=0x10\n"
		"[Limits]\nMaxClientsPerUser=1\n[Rsm]\nControllerAlias=");
	c = load(p);
	assert_int_equal(c->max_bytes_per_user, 3ull << 30);
	assert_int_equal(c->idle_exit, 100 * NSEC_PER_MSEC);
	assert_int_equal(c->log_level, 7);
	assert_int_equal(c->node_id, 16);
	assert_int_equal(c->max_clients_per_user, 1);
	assert_string_equal(c->controller_alias, "");
	config_free(c);
}

static void later_files_win_and_every_value_knows_its_line(void **state)
{
	struct place *p = *state;
	struct config *c;
	char path[256];

	write_file(p->usr, "causeway.conf", "[Node]\nNodeId=1\n[Daemon]\nIdleExit=1s\n");
	write_file(p->etc, "causeway.conf", "[Node]\nNodeId=2\n[Limits]\nMaxSegmentBytes=1G\n");
	write_file(p->usr, "causeway.conf.d/10-a.conf", "[Limits]\nMaxImportsPerUser=7\n");
	write_file(p->etc, "causeway.conf.d/10-a.conf", "[Node]\nNodeId=3\n");
	write_file(p->usr, "causeway.conf.d/20-b.conf", "[Node]\n\n\nNodeId=4\n");
	write_file(p->etc, "causeway.conf.d/30-c.conf.bak", "not read");
	write_file(p->etc, "causeway.conf.d/.hidden.conf", "not read");
	c = load(p);
	assert_int_equal(c->node_id, 4);
	assert_int_equal(c->max_segment_bytes, 1ull << 30);
	assert_int_equal(c->max_imports_per_user, 262144); /* hidden by the file in etc */
	assert_int_equal(c->idle_exit, 30 * NSEC_PER_SEC); /* usr's main file is not read */
	snprintf(path, sizeof(path), "%s/causeway.conf.d/20-b.conf:4", p->usr);
	assert_string_equal(c->origin[CONFIG_Node_NodeId], path);
	snprintf(path, sizeof(path), "%s/causeway.conf:4", p->etc);
	assert_string_equal(c->origin[CONFIG_Limits_MaxSegmentBytes], path);
	config_free(c);
}

static void a_link_to_dev_null_hides_a_file(void **state)
{
	struct place *p = *state;
	struct config *c;
	char path[256];

	write_file(p->usr, "causeway.conf.d/10-a.conf", "[Node]\nNodeId=5\n");
	snprintf(path, sizeof(path), "%s/causeway.conf.d/10-a.conf", p->etc);
	assert_int_equal(symlink("/dev/null", path), 0);
	c = load(p);
	assert_int_equal(c->node_id, 0);
	config_free(c);
}

static void malformed_lines_are_named_by_file_and_line(void **state)
{
	refused(*state, "[Node]\n\nNodeID=1\n", 3, "did you mean \"NodeId\"?");
	refused(*state, "[Node]\nColour=1\n", 2, "unknown setting \"Colour\" in [Node]");
	refused(*state, "[Daemons]\n", 1, "did you mean [Daemon]?");
	refused(*state, "[nodes]\n", 1, "did you mean [Nodes]?");
	refused(*state, "[Bananas]\n", 1,
		"there are [Node] [Network] [Peers] [Daemon] [Limits] [Clshm] [Rsm] [Sisci] "
		"[Nodes]");
	refused(*state, "[Node\nNodeId=1\n", 1, "a section is a line [Name]");
	refused(*state, "[Node] # x\n", 1, "a section is a line [Name]");
	refused(*state, "[]\n", 1, "unknown section []");
	refused(*state, "NodeId=1\n", 1, "before any section");
	refused(*state, "[Node]\nNodeId 1\n", 2, "nor a setting Name=value");
	refused(*state, "[Limits]\nNodeId=1\n", 2, "belongs into section [Node]");
	refused(*state, "[Node]\nNodeId=1\nNodeId=2\n", 3, "on line 2 already");
	refused(*state, "[Node]\n=1\n", 2, "unknown setting \"\"");
	refused(*state, "[Node]\nNode\x01Id=1\n", 2, "control character 0x01");
}

static void impossible_values_say_what_is_possible(void **state)
{
	refused(*state, "[Node]\nNodeId=65536\n", 2, "must be a number from 0 to 65535");
	refused(*state, "[Node]\nNodeId=\n", 2, "must be a number from 0 to 65535");
	refused(*state, "[Node]\nNodeId=1 # first\n", 2, "a comment needs a line of its own");
	refused(*state, "[Limits]\nMaxBytesPerUser=\"1G\"\n", 2, "quotes are not wanted");
	refused(*state, "[Limits]\nMaxBytesPerUser=99999999T\n", 2, "0 to 128T");
	refused(*state, "[Daemon]\nHandshakeTimeout=0\n", 2, "from 1ms to 60min");
	refused(*state, "[Daemon]\nLogLevel=loud\n", 2, "one of emerg alert");
}

static void nodes_have_addresses(void **state)
{
	struct place *p = *state;
	struct config *c;

	write_file(p->usr, "causeway.conf",
		"[Network]\nPort=7000\n[Nodes]\n20=[fe80::1%eth0]:1\n3 = h-3.example.org\n"
		"1=192.0.2.1:7001\n[Node]\nNodeId=3\n");
	write_file(p->etc, "causeway.conf.d/more.conf", "[Nodes]\n1=192.0.2.9\n4=[::1]\n");
	c = load(p);
	assert_int_equal(c->n_nodes, 4);
	assert_int_equal(c->nodes[0].number, 1);
	assert_string_equal(c->nodes[0].host, "192.0.2.9");
	assert_int_equal(c->nodes[0].port, 7000);
	assert_non_null(strstr(c->nodes[0].origin, "/etc/causeway.conf.d/more.conf:2"));
	assert_string_equal(config_find_node(c, 3)->host, "h-3.example.org");
	assert_string_equal(config_find_node(c, 4)->host, "::1");
	assert_string_equal(c->nodes[3].host, "fe80::1%eth0");
	assert_int_equal(c->nodes[3].port, 1);
	assert_null(config_find_node(c, 2));
	config_free(c);
}

static void impossible_nodes_are_refused(void **state)
{
	refused(*state, "[Nodes]\n0=a\n", 2, "a node's number, from 1 to 65535");
	refused(*state, "[Nodes]\n65536=a\n", 2, "a node's number");
	refused(*state, "[Nodes]\none=a\n", 2, "a node's number");
	refused(*state, "[Nodes]\n1=a\n2=b\n1=c\n", 4, "node 1 was given on line 2 already");
	refused(*state, "[Nodes]\n1=\n", 2, "1=: must be HOST or HOST:PORT");
	refused(*state, "[Nodes]\n1=a b\n", 2, "must be HOST");
	refused(*state, "[Nodes]\n1=fe80::1\n", 2, "an IPv6 address in brackets");
	refused(*state, "[Nodes]\n1=[::1\n", 2, "must be HOST");
	refused(*state, "[Nodes]\n1=[::1]x\n", 2, "must be HOST");
	refused(*state, "[Nodes]\n1=a:0\n", 2, "must be HOST");
	refused(*state, "[Nodes]\n1=a:65536\n", 2, "must be HOST");
	refused(*state, "[Nodes]\n1=a:\n", 2, "must be HOST");
	refused(*state, "[Node]\nNodeId=2\n[Nodes]\n1=a\n", 2, "must be one of [Nodes]");
	refused(*state, "[Nodes]\n1=a\n", 2, "[Node] NodeId=");
}

static void whom_peers_speak_for_is_read_word_by_word(void **state)
{
	struct place *p = *state;
	struct config_allow allow;
	struct config_map map;
	const char *at;
	struct config *c;

	write_file(p->etc, "causeway.conf",
		"[Peers]\nAllowUids=2:0 *:1000-4294967294\nMapUids=  7:5:6 \nRootSquash=no\n");
	c = load(p);
	assert_false(c->root_squash);
	at = c->allow_uids;
	assert_int_equal(config_allow_next(&at, &allow), 1);
	assert_int_equal(allow.node, 2);
	assert_int_equal(allow.first, 0);
	assert_int_equal(allow.last, 0);
	assert_int_equal(config_allow_next(&at, &allow), 1);
	assert_int_equal(allow.node, 0);
	assert_int_equal(allow.first, 1000);
	assert_true(allow.last == UINT32_MAX - 1);
	assert_int_equal(config_allow_next(&at, &allow), 0);
	at = c->map_uids;
	assert_int_equal(config_map_next(&at, &map), 1);
	assert_int_equal(map.node, 7);
	assert_int_equal(map.theirs, 5);
	assert_int_equal(map.ours, 6);
	assert_int_equal(config_map_next(&at, &map), 0);
	config_free(c);
	refused(p, "[Peers]\nAllowUids=2\n", 2, "must be words NODE:UID or NODE:FIRST-LAST");
	refused(p, "[Peers]\nAllowUids=2:5-4\n", 2, "must be words");
	refused(p, "[Peers]\nAllowUids=0:5\n", 2, "must be words");
	refused(p, "[Peers]\nAllowUids=1:5,2:6\n", 2, "must be words");
	refused(p, "[Peers]\nAllowUids=1:4294967295\n", 2, "must be words");
	refused(p, "[Peers]\nMapUids=1:5\n", 2, "must be words NODE:THEIRS:OURS");
	refused(p, "[Peers]\nMapUids=1:5:6:7\n", 2, "must be words");
	refused(p, "[Peers]\nRootSquash=perhaps\n", 2, "must be yes or no");
}

static void sisci_ids_are_different(void **state)
{
	static const char nodes[] = "[Node]\nNodeId=1\n[Nodes]\n1=a\n2=b\n[Sisci]\nSisciId=";
	struct place *p = *state;
	struct config *c = load(p);
	char text[200];

	assert_int_equal(config_sisci_id(c, 1), 0);
	config_free(c);
	snprintf(text, sizeof(text), "%s1:24 2:4\n", nodes);
	write_file(p->etc, "causeway.conf", text);
	c = load(p);
	assert_int_equal(config_sisci_id(c, 1), 24);
	assert_int_equal(config_sisci_id(c, 2), 4);
	assert_int_equal(config_sisci_id(c, 3), 0);
	config_free(c);
	snprintf(text, sizeof(text), "%s1:24 2:24\n", nodes);
	refused(p, text, 7, "nodes 1 and 2 would both have the id 24");
	snprintf(text, sizeof(text), "%s1:8\n", nodes);
	refused(p, text, 7, "nodes 1 and 2 would both have the id 8");
	snprintf(text, sizeof(text), "%s1:24 1:28\n", nodes);
	refused(p, text, 7, "node 1 has two ids");
	refused(p, "[Sisci]\nSisciId=1\n", 2, "must be words NODE:ID");
	refused(p, "[Sisci]\nSisciId=1:0\n", 2, "must be words NODE:ID");
	refused(p, "[Sisci]\nSisciId=1:252\n", 2, "must be words NODE:ID");
}

static void encryption_is_off_or_required(void **state)
{
	struct place *p = *state;
	struct config *c = load(p);

	assert_false(c->data_encryption);
	config_free(c);
	write_file(p->etc, "causeway.conf", "[Network]\nDataEncryption=require\n");
	c = load(p);
	assert_true(c->data_encryption);
	config_free(c);
	refused(p, "[Network]\nDataEncryption=yes\n", 2, "must be off or require");
	refused(p, "[Network]\nDataEncryption=\n", 2, "must be off or require");
	refused(p, "[Network]\nDataKeyRecords=16777217\n", 2, "a number from 256 to 16777216");
}

static void a_relative_path_begins_in_the_configuration(void **state)
{
	struct place *p = *state;
	struct config *c = load(p);
	char *path, expected[128];

	snprintf(expected, sizeof(expected), "%s/keys", p->etc);
	assert_int_equal(config_path(c, c->key_file, &path), 0);
	assert_string_equal(path, expected);
	free(path);
	assert_int_equal(config_path(c, "/k", &path), 0);
	assert_string_equal(path, "/k");
	free(path);
	config_free(c);
	refused(p, "[Network]\nKeyFile=\n", 2, "must be a file's name");
	refused(p, "[Network]\nListen=a:b\n", 2, "must be HOST or HOST:PORT");
	refused(p, "[Network]\nDetectionTime=99ms\n", 2, "from 100ms to 1min");
}

static void a_line_without_end_is_refused(void **state)
{
	char text[6000];

	memset(text, '#', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	refused(*state, text, 1, "more than 4096 characters");
}

static void what_is_no_file_or_no_directory_is_named(void **state)
{
	struct place *p = *state;
	struct config *c = NULL;
	char path[256];

	snprintf(path, sizeof(path), "%s/causeway.conf", p->etc);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(config_load(p->etc, &c, p->error), -EINVAL);
	assert_non_null(strstr(p->error, "causeway.conf: not a regular file"));
	snprintf(path, sizeof(path), "%s/nowhere", p->root);
	assert_int_equal(config_load(path, &c, p->error), -ENOENT);
	assert_non_null(strstr(p->error, path));
	assert_null(c);
}

static char *printed(const struct config *c, void (*print)(const struct config *, FILE *))
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	print(c, f);
	fclose(f);
	return text;
}

static void what_is_printed_can_be_loaded_again(void **state)
{
	struct place *p = *state;
	struct config *c, *again;
	char *text;

	write_file(p->etc, "causeway.conf.d/x.conf",
		"[Node]\nNodeId=9\n[Rsm]\nControllerAlias=a \"b\"\n[Daemon]\nIdleExit=5min\n"
		"[Nodes]\n9=[::1]:5\n10=h\n");
	c = load(p);
	text = printed(c, config_print);
	assert_non_null(strstr(text, "x.conf:2\nNodeId=9\n"));
	assert_non_null(strstr(text, "# default\nHandshakeTimeout=2s\n"));
	write_file(p->etc, "causeway.conf.d/x.conf", text);
	again = load(p);
	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++)
		assert_string_equal(c->text[i], again->text[i]);
	assert_int_equal(again->idle_exit, c->idle_exit);
	assert_int_equal(again->n_nodes, 2);
	for (unsigned int i = 0; i < 2; i++)
		assert_string_equal(c->nodes[i].text, again->nodes[i].text);
	free(text);
	text = printed(c, config_print_json);
	assert_non_null(strstr(text, "\"value\":\"a \\\"b\\\"\""));
	assert_non_null(strstr(text, "\"name\":\"10\""));
	free(text);
	config_free(c);
	config_free(again);
}

static void near_names_are_suggested_and_far_ones_are_not(void **state)
{
	struct suggest s = SUGGEST_INIT("lsit");

	suggest_offer(&s, "show");
	assert_null(s.best);
	suggest_offer(&s, "list");
	assert_string_equal(s.best, "list");
	s = SUGGEST_INIT("MAXSEGMENTBYTE");
	suggest_offer(&s, "MaxBytesPerUser");
	suggest_offer(&s, "MaxSegmentBytes");
	assert_string_equal(s.best, "MaxSegmentBytes");
	assert_int_equal(s.distance, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			without_files_everything_is_default, setup, teardown),
		cmocka_unit_test_setup_teardown(values_of_every_type_are_read, setup, teardown),
		cmocka_unit_test_setup_teardown(
			later_files_win_and_every_value_knows_its_line, setup, teardown),
		cmocka_unit_test_setup_teardown(a_link_to_dev_null_hides_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(
			malformed_lines_are_named_by_file_and_line, setup, teardown),
		cmocka_unit_test_setup_teardown(
			impossible_values_say_what_is_possible, setup, teardown),
		cmocka_unit_test_setup_teardown(nodes_have_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(impossible_nodes_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(
			whom_peers_speak_for_is_read_word_by_word, setup, teardown),
		cmocka_unit_test_setup_teardown(sisci_ids_are_different, setup, teardown),
		cmocka_unit_test_setup_teardown(encryption_is_off_or_required, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_relative_path_begins_in_the_configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_without_end_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_is_no_file_or_no_directory_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_is_printed_can_be_loaded_again, setup, teardown),
		cmocka_unit_test(near_names_are_suggested_and_far_ones_are_not),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
