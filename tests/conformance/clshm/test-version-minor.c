/* SPDX-License-Identifier: Apache-2.0 */
/* A library whose minor version is larger than the daemon's: clshm.md §5 "the side with the larger
 * minor speaks the smaller one's dialect". */
#include "rig.h"

#include <string.h>

static void all_calls_work(void)
{
	key_t key = rig_key();
	int shmid = NEED(xp_shmget(key, 10000, 0));
	char *p = rig_attach(shmid), name[256];

	memset(p, 1, 10000);
	CHECK_EQUAL(rig_attached(shmid), 1);
	CHECK_EQUAL(xp_shmget(key, 10000, 0), shmid);
	OK(part_gethostname(part_getid(), name, sizeof(name)));
	CHECK_EQUAL(part_getcount(), 1);
	OK(xp_shmctl(shmid, IPC_RMID));
	OK(xp_shmdt(p));
}

static const rig_test_t tests[] = {
	TEST(all_calls_work),
};

RIG_MAIN(tests)
