/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/manager-peer.h"
#include "wire/status.h"

/* Whom other nodes may speak for; files of keys. */

static struct config config_of(bool root_squash, const char *allow, const char *map)
{
	return (struct config){
		.root_squash = root_squash, .allow_uids = (char *)allow, .map_uids = (char *)map};
}

/* A process of node 2, in two groups of which one is root's. */
static struct engine_identity process_of(uid_t uid, gid_t gid)
{
	return (struct engine_identity){
		.pid = 1, .uid = uid, .gid = gid, .n_groups = 2, .groups = {0, 44}};
}

static void a_user_is_the_same_on_every_node(void **state)
{
	struct config c = config_of(true, "", "");
	struct engine_identity i = process_of(1000, 100);

	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), 0);
	assert_int_equal(i.uid, 1000);
	assert_int_equal(i.gid, 100);
	assert_int_equal(i.n_groups, 2);
	assert_int_equal(i.groups[1], 44);
	/* but no group gives root's rights */
	assert_int_equal(i.groups[0], 65534);
}

static void root_is_nobody_unless_it_is_said(void **state)
{
	struct config c = config_of(true, "", "");
	struct engine_identity i = process_of(0, 0);

	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), 0);
	assert_int_equal(i.uid, 65534);
	assert_int_equal(i.gid, 65534);
	assert_int_equal(i.n_groups, 0);
	c = config_of(false, "", "");
	i = process_of(0, 0);
	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), 0);
	assert_int_equal(i.uid, 0);
	assert_int_equal(i.groups[0], 0);
	c = config_of(true, "", "2:0:0");
	i = process_of(0, 0);
	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), 0);
	assert_int_equal(i.uid, 0);
	i = process_of(0, 0);
	assert_int_equal(peer_identity_judge(&c, 3, 0, &i), 0);
	assert_int_equal(i.uid, 65534);
}

static void a_node_speaks_only_for_whom_it_may(void **state)
{
	struct config c = config_of(true, "2:1000-1999 2:5 3:7", "");
	struct engine_identity i = process_of(1999, 1);

	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), 0);
	i = process_of(5, 1);
	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), 0);
	i = process_of(2000, 1);
	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), STATUS_DENIED);
	/* root, too, is asked for by its number there */
	i = process_of(0, 0);
	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), STATUS_DENIED);
	i = process_of(5, 1);
	assert_int_equal(peer_identity_judge(&c, 3, 0, &i), STATUS_DENIED);
	assert_int_equal(peer_identity_judge(&c, 4, 0, &i), 0);
	c = config_of(true, "2:5 *:6", "");
	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), 0);
	assert_int_equal(peer_identity_judge(&c, 4, 0, &i), STATUS_DENIED);
	i = process_of((uid_t)-1, 1);
	c = config_of(false, "", "");
	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), STATUS_DENIED);
}

static void the_first_mapping_that_fits_counts(void **state)
{
	struct config c = config_of(true, "", "3:7:8 2:7:9 *:7:10");
	struct engine_identity i = process_of(7, 7);

	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), 0);
	assert_int_equal(i.uid, 9);
	assert_int_equal(i.gid, 65534);
	assert_int_equal(i.n_groups, 0);
	i = process_of(7, 7);
	assert_int_equal(peer_identity_judge(&c, 4, 0, &i), 0);
	assert_int_equal(i.uid, 10);
	i = process_of(8, 7);
	assert_int_equal(peer_identity_judge(&c, 2, 0, &i), 0);
	assert_int_equal(i.uid, 8);
	assert_int_equal(i.gid, 7);
}

static void a_daemon_that_is_not_roots_speaks_for_its_user_alone(void **state)
{
	struct config c = config_of(false, "", "2:1000:2000");
	struct engine_identity i = process_of(1000, 0);

	assert_int_equal(peer_identity_judge(&c, 2, 1000, &i), 0);
	assert_int_equal(i.uid, 2000);
	assert_int_equal(i.gid, 65534);
	assert_int_equal(i.n_groups, 0);
	i = process_of(1001, 0);
	assert_int_equal(peer_identity_judge(&c, 2, 1000, &i), STATUS_DENIED);
	i = process_of(0, 0);
	assert_int_equal(peer_identity_judge(&c, 2, 1000, &i), STATUS_DENIED);
}

/* Keys */

#define KEY "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static char path[64];

static int load(const char *text, PeerKeys **keys, char *error)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return peer_keys_load(path, keys, error);
}

static void keys_are_found_by_node(void **state)
{
	char error[PEER_KEYS_ERROR_MAX];
	PeerKeys *keys;

	assert_int_equal(
		load("# all\n\n7 " KEY "\n  65535\t" KEY "  \r\n12 " KEY, &keys, error), 0);
	assert_int_equal(peer_keys_find(keys, 7)[0], 0);
	assert_int_equal(peer_keys_find(keys, 65535)[31], 0xff);
	assert_int_equal(peer_keys_find(keys, 12)[1], 0x11);
	assert_null(peer_keys_find(keys, 8));
	peer_keys_free(keys);
	assert_int_equal(load("", &keys, error), 0);
	assert_null(peer_keys_find(keys, 7));
	peer_keys_free(keys);
	assert_null(peer_keys_find(NULL, 7));
}

static void a_flaw_is_named_by_its_line_and_no_key_is_shown(void **state)
{
	static const char *const wrong[] = {
		"1 " KEY "\nx " KEY "\n",
		"\n0 " KEY "\n",
		"\n1\n",
		"\n1 " KEY "0\n",
		"\n1 0123\n",
		"\n1 " KEY " 2\n",
		"1 " KEY "\n1 " KEY "\n",
		"\n1 0g112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\n",
	};
	char error[PEER_KEYS_ERROR_MAX], line[80];
	PeerKeys *keys = NULL;

	snprintf(line, sizeof(line), "%s:2: ", path);
	for (size_t i = 0; i < ELEMENTS(wrong); i++) {
		assert_int_equal(load(wrong[i], &keys, error), -EINVAL);
		assert_null(keys);
		assert_int_equal(strncmp(error, line, strlen(line)), 0);
		assert_null(strstr(error, "2233"));
	}
}

static void keys_that_others_may_read_are_refused(void **state)
{
	char error[PEER_KEYS_ERROR_MAX];
	PeerKeys *keys = NULL;

	for (mode_t mode = 0610; mode > 0600; mode = 0600 | (mode & 077) >> 1) {
		assert_int_equal(chmod(path, mode), 0);
		assert_int_equal(load("", &keys, error), -EPERM);
		assert_non_null(strstr(error, "0600"));
	}
	chmod(path, 0400);
	assert_int_equal(peer_keys_load(path, &keys, error), 0);
	peer_keys_free(keys);
	keys = NULL;
	chmod(path, 0600);
	assert_int_equal(peer_keys_load("/nowhere/keys", &keys, error), -ENOENT);
	assert_non_null(strstr(error, "causeway keygen"));
	assert_int_equal(peer_keys_load("/tmp", &keys, error), -EINVAL);
	assert_int_equal(peer_keys_load("/dev/null", &keys, error), -EINVAL);
	assert_null(keys);
}

static int begin(void **state)
{
	int fd;

	strcpy(path, "/tmp/causeway-test-keys.XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int end(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_is_the_same_on_every_node),
		cmocka_unit_test(root_is_nobody_unless_it_is_said),
		cmocka_unit_test(a_node_speaks_only_for_whom_it_may),
		cmocka_unit_test(the_first_mapping_that_fits_counts),
		cmocka_unit_test(a_daemon_that_is_not_roots_speaks_for_its_user_alone),
		cmocka_unit_test(keys_are_found_by_node),
		cmocka_unit_test(a_flaw_is_named_by_its_line_and_no_key_is_shown),
		cmocka_unit_test(keys_that_others_may_read_are_refused),
	};

	return cmocka_run_group_tests_name("peer-rules", tests, begin, end);
}
