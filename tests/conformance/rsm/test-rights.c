/* SPDX-License-Identifier: Apache-2.0 */
/* Who may connect with what: rsmapi.md §6.1, §4.3. Users other than root are agents; needs root. */
#include "agent.h"

#define NO_MASK UINT64_MAX

enum { OWNER = 40001, OTHER = 40002, THIRD = 40003, STAFF = 41001, GUESTS = 41002 };

static const agent_identity_t owner = {OWNER, STAFF, 0};
static const agent_identity_t owner_elsewhere = {OWNER, GUESTS, 0};
static const agent_identity_t colleague = {OTHER, STAFF, 0};
static const agent_identity_t colleague_at_heart = {OTHER, GUESTS, STAFF};
static const agent_identity_t stranger = {THIRD, GUESTS, 0};
static const agent_identity_t root = {0, 0, 0};

/* One who asks for reading, writing and both, and the answers. */
typedef struct {
	const agent_identity_t *identity;
	bool may_read, may_write;
} claim_t;

/* Connects with the permission, tries it, disconnects. */
static void check_right(
	const agent_t *agent, rsm_memseg_id_t id, rsm_permission_t permission, bool granted)
{
	EXPECT(agent_do(agent, AGENT_CONNECT, id, permission, 0),
		granted ? RSM_SUCCESS : RSMERR_PERM_DENIED);
	if (!granted)
		return;
	if (permission & RSM_PERM_READ)
		EXPECT(agent_do(agent, AGENT_GET, 0, 0, 0), RSM_SUCCESS);
	if (permission & RSM_PERM_WRITE)
		EXPECT(agent_do(agent, AGENT_PUT, 0, 1, 0), RSM_SUCCESS);
	/* Whether the access counts as a map is test-access.c's business. */
	agent_do(agent, AGENT_UNMAP, 0, 0, 0);
	/* Rights of the importer's class hold for maps too, whatever the owner's bits say (§6.1).
	 */
	EXPECT(agent_do(agent, AGENT_MAP, 0, 4096, permission), RSM_SUCCESS);
	EXPECT(agent_do(agent, AGENT_UNMAP, 0, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(agent, AGENT_DISCONNECT, 0, 0, 0), RSM_SUCCESS);
}

/* mode: of the access list, or AGENT_NO_LIST; mask: umask at create */
static void check_claims(uint64_t mode, uint64_t mask, const claim_t *claims, size_t n)
{
	agent_t exporter = agent_start_as(owner);
	rsm_memseg_id_t id = rig_id();

	if (mask != NO_MASK)
		NEED(agent_do(&exporter, AGENT_UMASK, mask, 0, 0));
	NEED(agent_do(&exporter, AGENT_CREATE, 1, 0, 0));
	/* umask counts at create, not at publish (§4.3). */
	NEED(agent_do(&exporter, AGENT_UMASK, 0777, 0, 0));
	NEED(agent_do(&exporter, AGENT_PUBLISH, id, mode, 0));
	for (size_t i = 0; i < n; i++) {
		agent_t agent = agent_start_as(*claims[i].identity);

		check_right(&agent, id, RSM_PERM_READ, claims[i].may_read);
		check_right(&agent, id, RSM_PERM_WRITE, claims[i].may_write);
		check_right(&agent, id, RSM_PERM_RDWR, claims[i].may_read && claims[i].may_write);
		/* who may nothing may also be refused to connect for nothing */
		if (claims[i].may_read || claims[i].may_write)
			EXPECT(agent_do(&agent, AGENT_CONNECT, id, RSM_PERM_NONE, 0), RSM_SUCCESS);
		else
			EXPECT_ONE(agent_do(&agent, AGENT_CONNECT, id, RSM_PERM_NONE, 0),
				RSMERR_PERM_DENIED, RSM_SUCCESS);
		agent_kill(&agent, 9);
	}
}

#define CHECK_CLAIMS(mode, mask, ...)                                                              \
	check_claims(mode, mask, (const claim_t[]){__VA_ARGS__},                                   \
		sizeof((const claim_t[]){__VA_ARGS__}) / sizeof(claim_t))

/* §6.1, the guide's example: same uid → both; same gid → write; others → read */
static void mode_0624_is_the_guides_example(void)
{
	CHECK_CLAIMS(0624, NO_MASK, {&owner, true, true}, {&owner_elsewhere, true, true},
		{&colleague, false, true}, {&colleague_at_heart, false, true},
		{&stranger, true, false}, {&root, true, true});
}

/* §6.1: classes are exclusive: an owner denied by the owner's bits is denied */
static void classes_are_exclusive(void)
{
	CHECK_CLAIMS(0066, NO_MASK, {&owner, false, false}, {&colleague, true, true},
		{&stranger, true, true});
	CHECK_CLAIMS(0606, NO_MASK, {&owner, true, true}, {&colleague, false, false},
		{&colleague_at_heart, false, false}, {&stranger, true, true});
}

/* §6.1: 0244 lets others read, and map for reading: the reference's mistake is not repeated */
static void others_may_map_what_they_may_read(void)
{
	CHECK_CLAIMS(0244, NO_MASK, {&owner, false, true}, {&colleague, true, false},
		{&stranger, true, false});
}

/* §6.1: root's privilege replaces missing bits */
static void root_may_do_everything(void)
{
	CHECK_CLAIMS(
		0, NO_MASK, {&owner, false, false}, {&stranger, false, false}, {&root, true, true});
}

/* §4.3, §6.1: without a list 0777 & ~umask */
static void umask_at_create_is_the_mode_without_a_list(void)
{
	CHECK_CLAIMS(AGENT_NO_LIST, 0, {&owner, true, true}, {&colleague, true, true},
		{&stranger, true, true});
	CHECK_CLAIMS(AGENT_NO_LIST, 022, {&owner, true, true}, {&colleague, true, false},
		{&stranger, true, false});
	CHECK_CLAIMS(AGENT_NO_LIST, 0077, {&owner, true, true}, {&colleague, false, false},
		{&stranger, false, false});
	CHECK_CLAIMS(AGENT_NO_LIST, 0247, {&owner, true, false}, {&colleague, false, true},
		{&stranger, false, false});
}

/* §6.1: the umask limits nothing when there is a list */
static void a_list_counts_whatever_the_umask(void)
{
	CHECK_CLAIMS(0666, 0777, {&owner, true, true}, {&stranger, true, true});
}

/* §4.3 republish: for later connections; those that are there keep their rights */
static void republish_changes_rights_of_later_connections(void)
{
	agent_t exporter = agent_start_as(owner), early = agent_start_as(stranger);
	agent_t late = agent_start_as(stranger);
	rsm_memseg_id_t id = rig_id();

	NEED(agent_do(&exporter, AGENT_CREATE, 1, 0, 0));
	NEED(agent_do(&exporter, AGENT_PUBLISH, id, 0666, 0));
	agent_import(&early, id);
	EXPECT(agent_do(&exporter, AGENT_REPUBLISH, 0660, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&late, AGENT_CONNECT, id, RSM_PERM_READ, 0), RSMERR_PERM_DENIED);
	EXPECT(agent_do(&early, AGENT_PUT, 0, 8, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 0), 8);
	EXPECT(agent_do(&exporter, AGENT_REPUBLISH, 0664, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&late, AGENT_CONNECT, id, RSM_PERM_RDWR, 0), RSMERR_PERM_DENIED);
	EXPECT(agent_do(&late, AGENT_CONNECT, id, RSM_PERM_READ, 0), RSM_SUCCESS);
}

/* §4.3 republish without a list: back to the mode of create */
static void republish_without_a_list_restores_the_mode_of_create(void)
{
	agent_t exporter = agent_start_as(owner), importer = agent_start_as(stranger);
	rsm_memseg_id_t id = rig_id();

	NEED(agent_do(&exporter, AGENT_UMASK, 022, 0, 0));
	NEED(agent_do(&exporter, AGENT_CREATE, 1, 0, 0));
	NEED(agent_do(&exporter, AGENT_PUBLISH, id, 0600, 0));
	EXPECT(agent_do(&importer, AGENT_CONNECT, id, RSM_PERM_READ, 0), RSMERR_PERM_DENIED);
	EXPECT(agent_do(&exporter, AGENT_REPUBLISH, AGENT_NO_LIST, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&importer, AGENT_CONNECT, id, RSM_PERM_RDWR, 0), RSMERR_PERM_DENIED);
	EXPECT(agent_do(&importer, AGENT_CONNECT, id, RSM_PERM_READ, 0), RSM_SUCCESS);
}

/* Decision 6: a stranger who once had the memory does not reach it after unpublish */
static void a_stranger_does_not_reach_the_memory_after_unpublish(void)
{
	agent_t exporter = agent_start_as(owner), importer = agent_start_as(stranger);
	rsm_memseg_id_t id = rig_id();

	NEED(agent_do(&exporter, AGENT_CREATE, 1, 0, 0));
	NEED(agent_do(&exporter, AGENT_PUBLISH, id, 0666, 0));
	agent_import(&importer, id);
	NEED(agent_do(&importer, AGENT_MAP, 0, 4096, RSM_PERM_RDWR));
	EXPECT(agent_do(&importer, AGENT_MAP_STORE, 0, 7, 0), RSM_SUCCESS);
	EXPECT(agent_do(&exporter, AGENT_UNPUBLISH, 0, 0, 0), RSM_SUCCESS);
	EXPECT(agent_do(&importer, AGENT_MAP_STORE, 0, 8, 0), RSM_SUCCESS);
	CHECK_EQUAL(agent_ask(&exporter, AGENT_LOAD, 0), 7);
}

/* §3 row 24: an id of another user is in use too */
static void ids_are_unique_across_users(void)
{
	agent_t first = agent_start_as(owner), second = agent_start_as(stranger);
	rsm_memseg_id_t id = agent_export(&first, 1);

	NEED(agent_do(&second, AGENT_CREATE, 1, 0, 0));
	EXPECT(agent_do(&second, AGENT_PUBLISH, id, AGENT_NO_LIST, 0), RSMERR_SEGID_IN_USE);
}

static const rig_test_t tests[] = {
	TEST(mode_0624_is_the_guides_example),
	TEST(classes_are_exclusive),
	TEST(others_may_map_what_they_may_read),
	TEST(root_may_do_everything),
	TEST(umask_at_create_is_the_mode_without_a_list),
	TEST(a_list_counts_whatever_the_umask),
	TEST(republish_changes_rights_of_later_connections),
	TEST(republish_without_a_list_restores_the_mode_of_create),
	TEST(a_stranger_does_not_reach_the_memory_after_unpublish),
	TEST(ids_are_unique_across_users),
};

RIG_MAIN(tests)
