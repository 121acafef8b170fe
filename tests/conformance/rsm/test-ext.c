/* SPDX-License-Identifier: Apache-2.0 */
/* <rsm/rsmapi_ext.h>: what it promises, and what §9.15 misses. Ours alone. */
#include "rig.h"

#include <string.h>
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
	EXPECT(rsm_ext_import_get_start(import, (off_t)size, &byte, 1, &request), RSMERR_BAD_OFFSET);
	EXPECT(rsm_ext_import_get_start(import, 0, &byte, size + 1, &request), RSMERR_BAD_LENGTH);
	NEED(rsm_memseg_export_unpublish(export));
	EXPECT(rsm_ext_import_get_start(import, 0, &byte, 1, &request), RSM_SUCCESS);
	EXPECT(rsm_ext_wait(&request, -1), RSMERR_CONN_ABORTED);
	EXPECT(rsm_ext_test(&request), RSMERR_CONN_ABORTED);
	EXPECT(rsm_ext_test(NULL), RSMERR_BAD_ADDR);
}

static const rig_test_t tests[] = {
	TEST(every_code_has_a_text_of_its_own),
	TEST(an_import_tells_its_size_and_state),
	TEST(published_segments_are_listed),
	TEST(transfers_complete),
	TEST(mistakes_are_told_at_once_and_losses_at_completion),
};
RIG_MAIN(tests)
