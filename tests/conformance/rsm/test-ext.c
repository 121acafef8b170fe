/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only this implementation has: <rsm/rsmapi_ext.h> (§9.15), an exporter that claims the other
 * byte order (§6.10), memory that is not there until it is touched (§9.14), and what becomes of the
 * importers of one export when another one shares its memory (Decision 6).
 */
#include "agent.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <rsm/rsmapi_ext.h>

static rsm_memseg_export_handle_t export;
static rsm_memseg_import_handle_t import;
static rsm_memseg_id_t id;
static char *memory;
static size_t size;

static void begin(rsm_permission_t rights)
{
	size = 2 * rig_page();
	memory = rig_memory(2);
	memset(memory, 'a', size);
	export = rig_export(memory, 2, &id);
	import = rig_import(id, rights, NULL);
}

static void every_code_has_a_text_of_its_own(void)
{
	for (int i = 0; i <= 45; i++) {
		CHECK(rsm_ext_strerror(i)[0] != 0);
		CHECK(strcmp(rsm_ext_strerror(i), rsm_ext_strerror(-1)) != 0);
		for (int j = 0; j < i; j++)
			CHECK(strcmp(rsm_ext_strerror(i), rsm_ext_strerror(j)) != 0);
	}
	for (int i = -200; i < 300; i++)
		CHECK(rsm_ext_strerror(i) != NULL);
}

static void an_import_tells_its_size_and_state(void)
{
	rsm_ext_state_t state = 0;
	size_t got = 0;

	begin(RSM_PERM_READ);
	EXPECT(rsm_ext_import_get_size(import, &got), RSM_SUCCESS);
	CHECK_EQUAL(got, size);
	EXPECT(rsm_ext_import_get_state(import, &state), RSM_SUCCESS);
	CHECK_EQUAL(state, RSM_EXT_CONNECTED);
	NEED(rsm_memseg_export_unpublish(export));
	EXPECT(rsm_ext_import_get_state(import, &state), RSM_SUCCESS);
	CHECK_EQUAL(state, RSM_EXT_REVOKED);
	EXPECT(rsm_ext_import_get_size(import, &got), RSM_SUCCESS);
	EXPECT(rsm_ext_import_get_size(import, NULL), RSMERR_BAD_ADDR);
	EXPECT(rsm_ext_import_get_state(import, NULL), RSMERR_BAD_ADDR);
	NEED(rsm_memseg_import_disconnect(import));
	EXPECT(rsm_ext_import_get_size(import, &got), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_ext_import_get_state(import, &state), RSMERR_BAD_SEG_HNDL);
}

static const rsm_ext_segment_t *find(const rsm_ext_segment_t *list, uint_t n)
{
	for (uint_t i = 0; i < n; i++)
		if (list[i].id == id)
			return &list[i];
	return NULL;
}

static void published_segments_are_listed(void)
{
	rsm_ext_segment_t *list = NULL;
	const rsm_ext_segment_t *found;
	uint_t n = 0;

	begin(RSM_PERM_RDWR);
	for (int i = 0; i < 300; i++) {
		rsm_memseg_export_handle_t other;
		rsm_memseg_id_t any = 0;

		NEED(rsm_memseg_export_create(
			rig_controller(), &other, rig_memory(1), rig_page(), 0));
		NEED(rsm_memseg_export_publish(other, &any, NULL, 0));
	}
	EXPECT(rsm_ext_list_segments(&list, &n), RSM_SUCCESS);
	CHECK(n >= 301);
	found = find(list, n);
	NEED_TRUE(found != NULL);
	CHECK_EQUAL(found->size, size);
	CHECK_EQUAL(found->import_count, 1);
	CHECK(found->command[0] != 0);
	rsm_ext_free_segments(list);
	NEED(rsm_memseg_export_unpublish(export));
	EXPECT(rsm_ext_list_segments(&list, &n), RSM_SUCCESS);
	CHECK(find(list, n) == NULL);
	rsm_ext_free_segments(list);
	rsm_ext_free_segments(NULL);
	EXPECT(rsm_ext_list_segments(NULL, &n), RSMERR_BAD_ADDR);
	EXPECT(rsm_ext_list_segments(&list, NULL), RSMERR_BAD_ADDR);
}

static void segments_are_listed_by_node(void)
{
	rsm_ext_segment_t *list;
	uint_t n = 0;

	begin(RSM_PERM_RDWR);
	EXPECT(rsm_ext_list_node_segments(0, &list, &n), RSM_SUCCESS);
	CHECK(find(list, n) != NULL);
	rsm_ext_free_segments(list);
	EXPECT(rsm_ext_list_node_segments(rig_node(), &list, &n), RSM_SUCCESS);
	CHECK(find(list, n) != NULL);
	rsm_ext_free_segments(list);
	EXPECT(rsm_ext_list_node_segments(4711, &list, &n), RSMERR_REMOTE_NODE_UNREACHABLE);
	EXPECT(rsm_ext_list_node_segments(0, NULL, &n), RSMERR_BAD_ADDR);
	EXPECT(rsm_ext_list_node_segments(0, &list, NULL), RSMERR_BAD_ADDR);
}

static void transfers_complete(void)
{
	rsm_ext_request_t put, get;
	char text[] = "text", back[sizeof(text)];

	begin(RSM_PERM_RDWR);
	EXPECT(rsm_ext_import_put_start(import, 10, text, sizeof(text), &put), RSM_SUCCESS);
	EXPECT(rsm_ext_wait(&put, -1), RSM_SUCCESS);
	CHECK(strcmp(memory + 10, "text") == 0);
	EXPECT(rsm_ext_import_get_start(import, 10, back, sizeof(back), &get), RSM_SUCCESS);
	EXPECT(rsm_ext_wait(&get, 1000), RSM_SUCCESS);
	EXPECT(rsm_ext_test(&get), RSM_SUCCESS);
	CHECK(strcmp(back, "text") == 0);
}

static void mistakes_are_told_at_once_and_losses_at_completion(void)
{
	rsm_ext_request_t request;
	char byte = 'b';

	begin(RSM_PERM_READ);
	EXPECT(rsm_ext_import_get_start(NULL, 0, &byte, 1, &request), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_ext_import_get_start(import, 0, NULL, 1, &request), RSMERR_BAD_ADDR);
	EXPECT(rsm_ext_import_get_start(import, 0, &byte, 1, NULL), RSMERR_BAD_ADDR);
	EXPECT(rsm_ext_import_put_start(import, 0, &byte, 1, &request), RSMERR_PERM_DENIED);
	EXPECT(rsm_ext_import_get_start(import, (off_t)size, &byte, 1, &request),
		RSMERR_BAD_OFFSET);
	EXPECT(rsm_ext_import_get_start(import, 0, &byte, size + 1, &request), RSMERR_BAD_LENGTH);
	NEED(rsm_memseg_export_unpublish(export));
	EXPECT(rsm_ext_import_get_start(import, 0, &byte, 1, &request), RSM_SUCCESS);
	EXPECT(rsm_ext_wait(&request, -1), RSMERR_CONN_ABORTED);
	EXPECT(rsm_ext_test(&request), RSMERR_CONN_ABORTED);
	EXPECT(rsm_ext_test(NULL), RSMERR_BAD_ADDR);
}

/* §6.10: the sized calls swap, all others move bytes */
static void sized_accesses_swap_bytes_for_an_exporter_of_the_other_order(void)
{
	const uint16_t one = 1;
	rsmapi_barrier_t barrier;
	uint64_t words[2] = {0x0102030405060708, 0x1112131415161718};
	uint32_t half = 0x21222324;
	uint16_t quarter = 0x3132;
	uint8_t byte = 0x41;

	NEED(setenv("CAUSEWAY_TEST_BYTE_ORDER", *(const char *)&one ? "big" : "little", 1));
	begin(RSM_PERM_RDWR);
	NEED(rsm_memseg_import_init_barrier(import, RSM_BARRIER_NODE, &barrier));
	EXPECT(rsm_memseg_import_put64(import, 0, words, 2), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_put32(import, 16, &half, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_put16(import, 20, &quarter, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_put8(import, 22, &byte, 1), RSM_SUCCESS);
	words[0] = words[1] = half = quarter = byte = 0;
	EXPECT(rsm_memseg_import_get(import, 0, words, 16), RSM_SUCCESS);
	CHECK(words[0] == 0x0807060504030201 && words[1] == 0x1817161514131211);
	CHECK(*(uint32_t *)(void *)(memory + 16) == 0x24232221);
	CHECK(*(uint16_t *)(void *)(memory + 20) == 0x3231 && memory[22] == 0x41);
	EXPECT(rsm_memseg_import_get64(import, 8, words, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_get32(import, 16, &half, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_get16(import, 20, &quarter, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_get8(import, 22, &byte, 1), RSM_SUCCESS);
	CHECK(words[0] == 0x1112131415161718 && half == 0x21222324);
	CHECK(quarter == 0x3132 && byte == 0x41);
}

static void a_sparse_segment_may_exceed_four_gigabytes(void)
{
	const size_t huge = (size_t)5 << 30;
	const off_t at = ((off_t)4 << 30) + 8;
	int shmid = shmget(IPC_PRIVATE, huge, IPC_CREAT | SHM_NORESERVE | 0600);
	rsmapi_barrier_t barrier;
	void *map = NULL;
	uint64_t value = 77;

	if (shmid < 0)
		rig_skip("no System V segments of 5 GiB here");
	memory = shmat(shmid, NULL, 0);
	shmctl(shmid, IPC_RMID, NULL);
	NEED_TRUE(memory != (void *)-1);
	NEED(rsm_memseg_export_create(rig_controller(), &export, memory, huge, 0));
	id = rig_id();
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	import = rig_import(id, RSM_PERM_RDWR, &barrier);
	EXPECT(rsm_memseg_import_put64(import, at, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(*(uint64_t *)(void *)(memory + at), 77);
	CHECK_EQUAL(*(uint64_t *)(void *)(memory + (uint32_t)at), 0);
	EXPECT(rsm_memseg_import_put64(import, (off_t)huge, &value, 1), RSMERR_BAD_OFFSET);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_map(
		       import, &map, RSM_MAP_NONE, RSM_PERM_READ, (off_t)4 << 30, rig_page()),
		RSM_SUCCESS);
	CHECK_EQUAL(((uint64_t *)map)[1], 77);
}

static void expect_shared(rsm_memseg_export_handle_t segment, uint64_t *words)
{
	rsm_memseg_id_t any = 0;
	rsmapi_barrier_t barrier;
	rsm_memseg_import_handle_t own;
	uint64_t value = 0;

	NEED(rsm_memseg_export_publish(segment, &any, NULL, 0));
	own = rig_import(any, RSM_PERM_RDWR, &barrier);
	words[5]++;
	EXPECT(rsm_memseg_import_get64(own, 40, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(value, words[5]);
	value++;
	EXPECT(rsm_memseg_import_put64(own, 40, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(words[5], value);
}

static void shared_memory_moves_with_the_last_unpublish(void)
{
	agent_t former = agent_start();
	rsm_memseg_export_handle_t second;
	rsm_memseg_id_t second_id;
	uint64_t *words;

	begin(RSM_PERM_RDWR);
	words = (uint64_t *)(void *)memory;
	second = rig_export(memory, 2, &second_id);
	agent_import(&former, id);
	NEED(agent_do(&former, AGENT_MAP, 0, rig_page(), RSM_PERM_RDWR));
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	EXPECT(agent_do(&former, AGENT_PUT, 8, 66, 0), RSMERR_CONN_ABORTED);
	words[3] = 33;
	EXPECT(rsm_memseg_export_unpublish(second), RSM_SUCCESS);
	CHECK_EQUAL(words[3], 33);
	EXPECT(agent_do(&former, AGENT_MAP_STORE, 24, 66, 0), RSM_SUCCESS);
	CHECK_EQUAL(words[3], 33);
	words[4] = 44;
	CHECK(agent_ask(&former, AGENT_MAP_LOAD, 32) != 44);
	expect_shared(export, words);
	expect_shared(second, words);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(second), RSM_SUCCESS);
	CHECK(words[3] == 33 && words[4] == 44);
}

/* Here there may be one node; where the pages go is tested in machines with several. */
static void an_export_can_be_placed_on_nodes(void)
{
	unsigned long node = 1, none = 0, wide[65] = {1}, absent[64] = {0};

	begin(RSM_PERM_RDWR);
	absent[63] = 1;
	EXPECT(rsm_ext_export_place(NULL, 0, &node, 64), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_ext_export_place(export, 16, &node, 64), RSMERR_BAD_MODE);
	EXPECT(rsm_ext_export_place(export, RSM_EXT_STRIPE | RSM_EXT_MOSTFREE, &node, 64),
		RSMERR_BAD_MODE);
	EXPECT(rsm_ext_export_place(export, 0, NULL, 64), RSMERR_BAD_ADDR);
	EXPECT(rsm_ext_export_place(export, 0, &node, 0), RSMERR_BAD_LENGTH);
	EXPECT(rsm_ext_export_place(export, 0, &none, 64), RSMERR_BAD_CONF);
	EXPECT(rsm_ext_export_place(export, 0, absent, 64 * 64), RSMERR_BAD_CONF);
	EXPECT(rsm_ext_export_place(export, 0, &node, 1), RSM_SUCCESS);
	EXPECT(rsm_ext_export_place(export, RSM_EXT_STRIPE | RSM_EXT_HARD, wide, 65 * 64),
		RSM_SUCCESS);
	EXPECT(rsm_ext_export_place(export, RSM_EXT_MOSTFREE, &node, 64), RSM_SUCCESS);
	CHECK_EQUAL(memory[size - 1], 'a');
	NEED(rsm_memseg_export_unpublish(export));
	NEED(rsm_memseg_export_destroy(export));
	EXPECT(rsm_ext_export_place(export, 0, &node, 64), RSMERR_BAD_SEG_HNDL);
	CHECK_EQUAL(memory[size - 1], 'a');
}

/* Of another node's segment: test-remote-map.c */
static void advice_is_taken_for_what_is_mapped(void)
{
	void *map = NULL;

	begin(RSM_PERM_RDWR);
	EXPECT(rsm_memseg_import_advise(import, 0, size, RSM_EXT_ADVICE_NORMAL, 0),
		RSMERR_SEG_NOT_MAPPED);
	NEED(rsm_memseg_import_map(import, &map, RSM_MAP_NONE, RSM_PERM_RDWR, 0, size));
	for (unsigned int advice = RSM_EXT_ADVICE_NORMAL; advice <= RSM_EXT_ADVICE_HOLD; advice++)
		EXPECT(rsm_memseg_import_advise(import, 0, size, advice, 1), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_advise(import, 0, size + 1, 0, 0), RSMERR_BAD_LENGTH);
	EXPECT(rsm_memseg_import_advise(import, 1, size, 0, 0), RSMERR_BAD_OFFSET);
	NEED(rsm_memseg_import_unmap(import));
	NEED(rsm_memseg_import_disconnect(import));
	EXPECT(rsm_memseg_import_advise(import, 0, size, 0, 0), RSMERR_BAD_SEG_HNDL);
}

static const rig_test_t tests[] = {
	TEST(advice_is_taken_for_what_is_mapped),
	TEST(an_export_can_be_placed_on_nodes),
	TEST(shared_memory_moves_with_the_last_unpublish),
	TEST(sized_accesses_swap_bytes_for_an_exporter_of_the_other_order),
	TEST(a_sparse_segment_may_exceed_four_gigabytes),
	TEST(every_code_has_a_text_of_its_own),
	TEST(an_import_tells_its_size_and_state),
	TEST(published_segments_are_listed),
	TEST(segments_are_listed_by_node),
	TEST(transfers_complete),
	TEST(mistakes_are_told_at_once_and_losses_at_completion),
};
RIG_MAIN(tests)
