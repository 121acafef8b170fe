/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rig for conformance tests of an interface: knows the C library, nothing of this implementation,
 * so that the tests can be pointed at another one. Each interface adds what it needs in a rig.h of
 * its own.
 *
 * A program is a list of test functions. Each runs in a forked child, in a process group of its own
 * and with a time limit, and prints one TAP line; what it leaves running is killed with its group.
 * The parent never calls the library, so every test begins without inherited state.
 *
 * CHECK and CHECK_EQUAL note a failure and go on; NEED_TRUE ends the test. They may be used by any
 * thread.
 */
#ifndef TESTS_CONFORMANCE_RIG_RIG_H
#define TESTS_CONFORMANCE_RIG_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct {
	const char *name;
	void (*run)(void);
} rig_test_t;

#define TEST(function)                                                                             \
	{                                                                                          \
#function, function                                                                \
	}
#define RIG_MAIN(tests)                                                                            \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return rig_main(tests, sizeof(tests) / sizeof((tests)[0]), argc, argv);            \
	}

/* Runs all tests, or those whose name contains an argument. */
int rig_main(const rig_test_t *tests, size_t n_tests, int argc, char **argv);

#define CHECK(what) rig_check(__FILE__, __LINE__, #what, (what))
#define CHECK_EQUAL(left, right)                                                                   \
	rig_equal(__FILE__, __LINE__, #left, #right, (uint64_t)(left), (uint64_t)(right))
#define NEED_TRUE(what) rig_need(__FILE__, __LINE__, #what, (what) ? 0 : -1)

void rig_failed(const char *file, int line, const char *text);
void rig_check(const char *file, int line, const char *what, bool holds);
void rig_equal(const char *file, int line, const char *l, const char *r, uint64_t a, uint64_t b);
void rig_need(const char *file, int line, const char *what, int got);
/* Ends the test; the reason is printed. */
_Noreturn void rig_skip(const char *reason);
/* For what cannot be seen beside TSan's own thread and system calls. */
void rig_skip_under_tsan(void);

/* Until the condition holds, at most 10 s: for what another process or the system does in its time.
 */
#define EVENTUALLY(condition)                                                                      \
	do {                                                                                       \
		int64_t give_up = rig_now() + 10000;                                               \
		bool holds;                                                                        \
                                                                                                   \
		while (!(holds = (condition)) && rig_now() < give_up)                              \
			rig_sleep(2);                                                              \
		rig_check(__FILE__, __LINE__, "eventually " #condition, holds);                    \
	} while (0)

int64_t rig_now(void); /* milliseconds */
void rig_sleep(int milliseconds);

/*
 * Another process, begun before this one calls the library: on this node, or on node 2, 3 … of
 * several. Both can tell the other a number and hear one.
 */
typedef struct {
	pid_t pid;
	int to, from;
} rig_peer_t;

rig_peer_t rig_here(void (*part)(void *data), void *data);
rig_peer_t rig_there(int node, void (*part)(void *data), void *data);
void rig_tell(rig_peer_t peer, unsigned int value);
unsigned int rig_hear(rig_peer_t peer);
void rig_tell_parent(unsigned int value);
unsigned int rig_hear_parent(void); /* 0: it has ended */
/* Waits for its end; its failures count. */
void rig_end(rig_peer_t peer);
void rig_kill(rig_peer_t peer);

/* "RIG_NODE2_KILL", "RIG_NODE2_START", "RIG_NODE1_RESTART", "RIG_NODE2_RESTART": what
 * with-cluster can do to the nodes. */
void rig_cluster(const char *what);

/* Runs a part in a forked child that inherits everything; its failures count at the join. */
pid_t rig_fork(void (*part)(void *data), void *data);
void rig_join(pid_t child);
void rig_in_child(void (*part)(void *data), void *data);

#endif
