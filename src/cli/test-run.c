/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway run, the built tool (the argument), with a stand-in for causewayd: a script that leaves
 * its process ids and the socket's path, and has a second process like a keeper has.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"

static const char *tool;

static const char script[] = "#!/bin/sh\n"
			     "echo $$ >>\"$FAKE_DIR/pids\"\n"
			     "dirname \"$2\" >\"$FAKE_DIR/node\"\n"
			     "echo words of the daemon >&2\n"
			     "[ \"$FAKE_MODE\" = fail ] && exit 3\n"
			     "sleep 1000 &\n"
			     "echo $! >>\"$FAKE_DIR/pids\"\n"
			     "eval \"echo ready >&$4; exec $4>&-\"\n"
			     "wait\n";

struct place {
	char dir[64];
	char daemon[96];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	FILE *f;

	strcpy(p->dir, "/tmp/causeway-test-run.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->daemon, sizeof(p->daemon), "%s/causewayd", p->dir);
	f = fopen(p->daemon, "we");
	assert_non_null(f);
	fputs(script, f);
	fclose(f);
	assert_int_equal(chmod(p->daemon, 0700), 0);
	setenv("CAUSEWAY_DAEMON", p->daemon, 1);
	setenv("FAKE_DIR", p->dir, 1);
	setenv("FAKE_MODE", "work", 1);
	setenv("XDG_RUNTIME_DIR", p->dir, 1);
	*state = p;
	return 0;
}

static void read_file(const struct place *p, const char *name, char *buf, size_t size)
{
	char path[128];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	f = fopen(path, "re");
	assert_non_null(f);
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
}

/* A zombie that its reaper has not seen yet counts as gone. */
static bool is_gone(pid_t pid)
{
	char path[64], state = 'X';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return true;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 'X';
	fclose(f);
	return state == 'Z' || state == 'X';
}

/* Every test ends with this: no process of the node is left, nor its directory. */
static int teardown(void **state)
{
	struct place *p = *state;
	char text[256], *line, *save, command[128];

	read_file(p, "pids", text, sizeof(text));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		assert_true(is_gone(atoi(line)));
	read_file(p, "node", text, sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	assert_non_null(strstr(text, p->dir));
	assert_int_equal(access(text, F_OK), -1);
	snprintf(command, sizeof(command), "rm -r '%s'", p->dir);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

struct run {
	pid_t pid;
	int output; /* memfd: stdout and stderr */
};

/* args: what follows "causeway run", ends with NULL */
static struct run start(const char *const *args)
{
	struct run r = {.output = memfd_create("output", MFD_CLOEXEC)};
	const char *argv[16] = {"causeway", "run"};

	for (unsigned int i = 0; args[i]; i++)
		argv[i + 2] = args[i];
	r.pid = fork();
	if (r.pid == 0) {
		dup2(r.output, STDOUT_FILENO);
		dup2(r.output, STDERR_FILENO);
		execv(tool, (char *const *)argv);
		_exit(99);
	}
	return r;
}

static int finish(struct run *r, char output[4096])
{
	int status;
	ssize_t n;

	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	n = pread(r->output, output, 4095, 0);
	assert_true(n >= 0);
	output[n] = '\0';
	close(r->output);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define RUN(output, ...)                                                                           \
	({                                                                                         \
		struct run run_ = start((const char *const[]){__VA_ARGS__, NULL});                 \
		finish(&run_, output);                                                             \
	})

/* Waits until the command said something: it runs. */
static void wait_output(const struct run *r)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	struct stat st;

	for (int i = 0; i < 2000; i++) {
		assert_int_equal(fstat(r->output, &st), 0);
		if (st.st_size > 0)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("the command did not start");
}

static void the_exit_status_is_the_commands(void **state)
{
	char output[4096];

	assert_int_equal(RUN(output, "--", "sh", "-c", "exit 7"), 7);
	assert_string_equal(output, "");
	assert_int_equal(RUN(output, "true"), 0);
}

static void a_signal_that_ends_the_command_gives_128_and_its_number(void **state)
{
	char output[4096];

	assert_int_equal(RUN(output, "--", "sh", "-c", "kill -9 $$"), 128 + SIGKILL);
}

static void a_command_that_cannot_be_executed_is_named(void **state)
{
	char output[4096];

	assert_int_equal(RUN(output, "no-such-command"), 127);
	assert_non_null(strstr(output, "'no-such-command'"));
	assert_int_equal(RUN(output, "/etc/passwd"), 126);
}

static void the_command_finds_its_node_in_a_private_directory(void **state)
{
	char output[4096];

	assert_int_equal(RUN(output, "sh", "-c",
				 "echo $CAUSEWAY_SOCKET; stat -c %a $(dirname $CAUSEWAY_SOCKET)"),
		0);
	assert_non_null(strstr(output, "/socket\n700\n"));
}

static void a_daemon_that_does_not_start_is_quoted(void **state)
{
	char output[4096];

	setenv("FAKE_MODE", "fail", 1);
	assert_int_equal(RUN(output, "echo", "never"), 1);
	assert_non_null(strstr(output, "ended before it was ready"));
	assert_non_null(strstr(output, "words of the daemon"));
	assert_null(strstr(output, "never"));
}

static void signals_reach_the_command(void **state)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	char output[4096];

	for (unsigned int i = 0; i < ELEMENTS(signals); i++) {

		struct run r = start((const char *const[]){
			"sh", "-c", "ulimit -c 0; echo up; exec sleep 1000", NULL});

		wait_output(&r);
		kill(r.pid, signals[i]);
		assert_int_equal(finish(&r, output), 128 + signals[i]);
	}
}

static void a_daemon_that_dies_does_not_end_the_command(void **state)
{
	char output[4096];

	assert_int_equal(
		RUN(output, "sh", "-c",
			"kill -9 $(cat $FAKE_DIR/pids); sleep 0.1; echo still here; exit 5"),
		5);
	assert_string_equal(output, "still here\n");
}

static void with_json_the_end_is_reported(void **state)
{
	char output[4096];

	assert_int_equal(RUN(output, "--json", "sh", "-c", "exit 9"), 9);
	assert_non_null(strstr(output, "\"exit_status\":9"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_exit_status_is_the_commands),
		TEST(a_signal_that_ends_the_command_gives_128_and_its_number),
		TEST(a_command_that_cannot_be_executed_is_named),
		TEST(the_command_finds_its_node_in_a_private_directory),
		TEST(a_daemon_that_does_not_start_is_quoted),
		TEST(signals_reach_the_command),
		TEST(a_daemon_that_dies_does_not_end_the_command),
		TEST(with_json_the_end_is_reported),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: test-run PATH-OF-CAUSEWAY\n");
		return 2;
	}
	tool = argv[1];
	return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
