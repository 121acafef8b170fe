/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rig of the RSM conformance tests: knows the public headers and the C library, nothing of this
 * implementation, so that the tests can be pointed at another one.
 *
 * A program is a list of test functions. Each runs in a forked child, in a process group of its own
 * and with a time limit, and prints one TAP line; what it leaves running is killed with its group.
 * The parent never calls the library, so every test begins without inherited state.
 *
 * EXPECT and CHECK note a failure and go on; NEED ends the test. They may be used by any thread.
 */
#ifndef TESTS_CONFORMANCE_RSM_RIG_H
#define TESTS_CONFORMANCE_RSM_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <rsmapi.h>

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

/* A return code must be the one given, or one of those given where the documents leave a choice. */
#define EXPECT(call, code) rig_expect(__FILE__, __LINE__, #call, (call), 1, (int[]){code})
#define EXPECT_ONE(call, ...)                                                                      \
	rig_expect(__FILE__, __LINE__, #call, (call), sizeof((int[]){__VA_ARGS__}) / sizeof(int),  \
		(int[]){__VA_ARGS__})
#define CHECK(what) rig_check(__FILE__, __LINE__, #what, (what))
#define CHECK_EQUAL(left, right)                                                                   \
	rig_equal(__FILE__, __LINE__, #left, #right, (uint64_t)(left), (uint64_t)(right))
/* The test makes no sense without this. */
#define NEED(call)	rig_need(__FILE__, __LINE__, #call, (call))
#define NEED_TRUE(what) rig_need(__FILE__, __LINE__, #what, (what) ? 0 : -1)

void rig_expect(const char *file, int line, const char *what, int got, size_t n, const int *codes);
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

/* An id that no other run on this machine uses now: 0x600000 – 0x7FFFFFFF (§2.5). */
rsm_memseg_id_t rig_id(void);

size_t rig_page(void);
/* Private anonymous memory, zero, not freed before the test's end. */
char *rig_memory(size_t n_pages);

/* Shortcuts that end the test when they fail. */
rsmapi_controller_handle_t rig_controller(void);
rsm_node_id_t rig_node(void);
/* The first controller that leads to other nodes, and the first of those: tests of two nodes. */
rsmapi_controller_handle_t rig_wire(void);
rsm_node_id_t rig_other_node(void);
rsm_memseg_export_handle_t rig_create(void *memory, size_t n_pages);
/* Published for everybody, under a new id. */
rsm_memseg_export_handle_t rig_export(void *memory, size_t n_pages, rsm_memseg_id_t *ret_id);
/* Connected; the barrier is initialised unless NULL. */
rsm_memseg_import_handle_t rig_import(
	rsm_memseg_id_t id, rsm_permission_t permission, rsmapi_barrier_t *barrier);

/* Runs a part in a forked child that inherits everything; its failures count at the join. */
pid_t rig_fork(void (*part)(void *data), void *data);
void rig_join(pid_t child);
void rig_in_child(void (*part)(void *data), void *data);

#endif
