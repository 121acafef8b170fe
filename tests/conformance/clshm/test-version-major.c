/* SPDX-License-Identifier: Apache-2.0 */
/* A library whose major version is not the daemon's: clshm.md §5. */
#include "rig.h"

#include <stdio.h>

static void all_calls_say_so(void)
{
	rig_all_fail(EPROTO);
	/* each time */
	rig_all_fail(EPROTO);
	FAILS(xp_shmdt(NULL), EINVAL);
	CHECK_EQUAL(part_getpart(0x02000001), 2);
}

static void the_dumps_do_too(void)
{
	NEED_TRUE(freopen("/dev/null", "w", stderr));
	dump_all_state();
}

static const rig_test_t tests[] = {
	TEST(all_calls_say_so),
	TEST(the_dumps_do_too),
};

RIG_MAIN(tests)
