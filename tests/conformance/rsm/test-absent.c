/* SPDX-License-Identifier: Apache-2.0 */
/* No daemon to be had: rsmapi.md Decision 2. Of this implementation only: run with no daemon in
 * reach. */
#include "rig.h"

#include <stdlib.h>
#include <unistd.h>

/* Decision 2 */
static void without_a_daemon_there_is_no_controller(void)
{
	rsmapi_controller_handle_t controller = NULL;
	char name[] = "loopback";

	EXPECT(rsm_get_controller(name, &controller), RSMERR_CTLR_NOT_PRESENT);
	EXPECT(rsm_get_controller(NULL, &controller), RSMERR_CTLR_NOT_PRESENT);
	EXPECT(rsm_get_controller(name, NULL), RSMERR_BAD_CTLR_HNDL);
}

/* Decision 2 */
static void without_a_daemon_there_is_no_topology(void)
{
	rsm_topology_t *topology = NULL;

	EXPECT(rsm_get_interconnect_topology(&topology), RSMERR_INSUFFICIENT_MEM);
	EXPECT(rsm_get_interconnect_topology(NULL), RSMERR_BAD_TOPOLOGY_PTR);
}

/* Decision 2: segment id ranges are no business of the daemon's */
static void without_a_daemon_there_are_segment_id_ranges(void)
{
	static const char text[] = "reserved app 0x600000 16\n";
	char path[] = "/tmp/rsm-segmentid-XXXXXX";
	int fd = mkstemp(path);
	rsm_memseg_id_t base = 0;
	uint32_t length = 0;

	NEED_TRUE(fd >= 0 && write(fd, text, sizeof(text) - 1) == sizeof(text) - 1);
	setenv("RSM_SEGMENTID_FILE", path, 1);
	EXPECT(rsm_get_segmentid_range("app", &base, &length), RSM_SUCCESS);
	CHECK(base == 0x600000 && length == 16);
	unlink(path);
}

/* §4: NULL handles are refused without a daemon too */
static void null_handles_are_refused_without_a_daemon(void)
{
	EXPECT(rsm_release_controller(NULL), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_memseg_export_destroy(NULL), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_import_disconnect(NULL), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_intr_signal_post(NULL, 0), RSMERR_BAD_SEG_HNDL);
}

static const rig_test_t tests[] = {
	TEST(without_a_daemon_there_is_no_controller),
	TEST(without_a_daemon_there_is_no_topology),
	TEST(without_a_daemon_there_are_segment_id_ranges),
	TEST(null_handles_are_refused_without_a_daemon),
};

RIG_MAIN(tests)
