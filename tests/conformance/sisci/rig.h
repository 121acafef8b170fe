/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rig of the SISCI conformance tests: knows the public headers and the C library, nothing of
 * this implementation, so that the tests can be pointed at another one.
 *
 * A program is a list of test functions. Each runs in a forked child, in a process group of its own
 * and with a time limit, and prints one TAP line; what it leaves running is killed with its group.
 * The parent never calls the library, so every test begins without inherited state.
 *
 * OK, CODE and CHECK note a failure and go on; NEED ends the test. They may be used by any thread.
 */
#ifndef TESTS_CONFORMANCE_SISCI_RIG_H
#define TESTS_CONFORMANCE_SISCI_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sisci_api.h>

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

#define RIG_POISON ((sci_error_t)0x7eadbeef)

/* CODE(SCI_ERR_BUSY, SCIClose, sd, 0): the call with &error added must say this. */
#define CODE(code, function, ...)                                                                  \
	do {                                                                                       \
		sci_error_t rig_error = RIG_POISON;                                                \
                                                                                                   \
		(void)function(__VA_ARGS__, &rig_error);                                           \
		rig_code(__FILE__, __LINE__, #function "(" #__VA_ARGS__ ")", rig_error, code);     \
	} while (0)
#define OK(function, ...) CODE(SCI_ERR_OK, function, __VA_ARGS__)
/* The test makes no sense without this. */
#define NEED(function, ...)                                                                        \
	do {                                                                                       \
		sci_error_t rig_error = RIG_POISON;                                                \
                                                                                                   \
		(void)function(__VA_ARGS__, &rig_error);                                           \
		rig_need(__FILE__, __LINE__, #function "(" #__VA_ARGS__ ")", (int)rig_error);      \
	} while (0)
/* The code that a call says, as an expression. */
#define SAYS(function, ...)                                                                        \
	({                                                                                         \
		sci_error_t rig_error = RIG_POISON;                                                \
                                                                                                   \
		(void)function(__VA_ARGS__, &rig_error);                                           \
		rig_error;                                                                         \
	})
#define CHECK(what) rig_check(__FILE__, __LINE__, #what, (what))
#define CHECK_EQUAL(left, right)                                                                   \
	rig_equal(__FILE__, __LINE__, #left, #right, (uint64_t)(left), (uint64_t)(right))
#define NEED_TRUE(what) rig_need(__FILE__, __LINE__, #what, (what) ? 0 : -1)

void rig_code(const char *file, int line, const char *what, sci_error_t got, sci_error_t code);
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

/* A number for a segment or an interrupt that no other run on this machine uses now. */
unsigned int rig_id(void);

/* Shortcuts that end the test when they fail. */
sci_desc_t rig_open(void); /* SCIInitialize, SCIOpen */
unsigned int rig_node(void);
/* Created, prepared, available. */
sci_local_segment_t rig_segment(sci_desc_t sd, unsigned int id, size_t size);
sci_remote_segment_t rig_connect(sci_desc_t sd, unsigned int node, unsigned int id);

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

/* "SISCI_NODE2_KILL", "SISCI_NODE2_START", "SISCI_NODE1_RESTART", "SISCI_NODE2_RESTART": what
 * with-cluster can do to the nodes. */
void rig_cluster(const char *what);

/* Runs a part in a forked child that inherits everything; its failures count at the join. */
pid_t rig_fork(void (*part)(void *data), void *data);
void rig_join(pid_t child);
void rig_in_child(void (*part)(void *data), void *data);

#endif
