/* SPDX-License-Identifier: Apache-2.0 */
/* A node that is no partition, by its number: clshm.md §2 "node ids above 63 are outside clshm". */
#include "rig.h"

static void all_calls_say_that_it_cannot_be(void)
{
	rig_all_fail(ENOSYS);
	rig_all_fail(ENOSYS);
}

static const rig_test_t tests[] = {
	TEST(all_calls_say_that_it_cannot_be),
};

RIG_MAIN(tests)
