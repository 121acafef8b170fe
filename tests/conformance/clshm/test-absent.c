/* SPDX-License-Identifier: Apache-2.0 */
/* No daemon: clshm.md §3 "ENOENT or ECONNREFUSED when no daemon runs", §5 "no call waits for ever".
 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void without_a_socket_there_is_no_entry(void)
{
	rig_all_fail(ENOENT);
}

static void what_needs_no_daemon_is_answered(void)
{
	FAILS(xp_ftok(NULL, 2), EINVAL);
	FAILS(xp_shmget(-1, 1, 0), EINVAL);
	FAILS(xp_shmget(1, 0, 0), EINVAL);
	FAILS(xp_shmat(-1, NULL, 0), EINVAL);
	FAILS(xp_shmdt(NULL), EINVAL);
	FAILS(xp_shmctl(1, 99), EINVAL);
	CHECK_EQUAL(part_getpart(0x02000001), 2);
	set_debug_level(0);
}

static void the_dumps_say_so(void)
{
	NEED_TRUE(freopen("/dev/null", "w", stderr));
	dump_usr_state();
	dump_daem_state();
	dump_all_state();
}

/* The one thing here that knows where this implementation looks. */
static void a_socket_that_nobody_serves_refuses(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("CAUSEWAY_SOCKET");
	int sock = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	if (!path)
		rig_skip("needs the environment of with-node");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	NEED_TRUE(bind(sock, (struct sockaddr *)&address, sizeof(address)) == 0);
	close(sock);
	rig_all_fail(ECONNREFUSED);
	unlink(path);
}

static const rig_test_t tests[] = {
	TEST(without_a_socket_there_is_no_entry),
	TEST(what_needs_no_daemon_is_answered),
	TEST(the_dumps_say_so),
	TEST(a_socket_that_nobody_serves_refuses),
};

RIG_MAIN(tests)
