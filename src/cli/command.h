/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

/*
 * The one table of commands and options. It drives parsing, help, the manual page and completion,
 * so that they cannot differ. No state but the table.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

enum option_id {
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_JSON,
	OPTION_COLUMNS,
	OPTION_NOHEADINGS,
	OPTION_BYTES,
	OPTION_SPACE,
	OPTION_COUNT,
	OPTION_VERBOSE,
	OPTION_HOME,
	OPTION_DIR,
	OPTION_REPLACE,
	OPTION_ID,
	OPTION_NODES,
	OPTION_IDS,
	OPTION_NETNS,
	OPTION_DETECTION,
	OPTION_SERVE,
	OPTION_POLICY,
	OPTION_NODE_SET,
	OPTION_COMMIT,
	OPTION_SHOW_PAGES,
	OPTION_PAGES,
	OPTION_SHMEMS,
	OPTION_PARTITION,
	OPTION_TIME,
	OPTION_PID,
	OPTION_CREATOR,
	OPTION_SHMEM_ID,
	OPTION_SHMEM_KEY,
	OPTIONS,
};

/* Commands that have an option of one letter or name in common have the same option. */
struct option_spec {
	const char *name;
	char letter;
	const char *argument; /* NULL: a flag */
	const char *help;
	const char *choices; /* of the argument, for completion; NULL: anything */
};

/* What the command line said. */
struct invocation {
	const struct command *command;
	const char *group;	     /* "cluster" alone, to be explained; no command then */
	const char *option[OPTIONS]; /* NULL: not given; "" for a flag */
	char **args;		     /* ends with NULL */
	int n_args;
};

struct command {
	const char *name;      /* of one word, or of two: one of a group */
	const char *arguments; /* as shown: "ID", "-- COMMAND [ARGUMENT…]" */
	int min_args, max_args;
	bool passes_on;	  /* options after the first argument are not ours */
	uint32_t options; /* bits of 1 << enum option_id */
	const char *summary;
	const char *text;			 /* paragraphs, with a newline between them */
	int (*run)(const struct invocation *in); /* gives the exit status */
};

extern const struct option_spec option_specs[OPTIONS];
extern const struct command commands[];
extern const unsigned int n_commands;

/*
 * Parses argv, the program's name first. Returns 0, or EXIT_USAGE after it said on stderr what is
 * wrong. No command: command is NULL (only --help and --version stand without one).
 */
int command_parse(int argc, char **argv, struct invocation *ret_invocation);

/* The command that the first of n words name, or of *ret_group, if they are a group's name alone.
 * *ret_used: words. NULL and no group, after it said so and what was meant, if there is none. */
const struct command *command_find(char **words, int n, int *ret_used, const char **ret_group);

/* command and group: NULL for the overview */
void command_print_help(const struct command *command, const char *group, FILE *out);

/* The length of the name of c's group; 0: it is in none. */
int command_group_length(const struct command *c);
/* True if c is the first command of its group in the table. */
bool command_begins_group(const struct command *c);

/* causeway(1) in man's language, and a completion script for bash. */
void command_print_man(FILE *out);
void command_print_completion(FILE *out);

/* The name of the program, before whatever it says on stderr: "causeway" unless main() sets it. */
extern const char *cli_name;

/* "causeway: " and a line on stderr; returns EXIT_FAILED. */
__attribute__((format(printf, 1, 2))) int cli_fail(const char *format, ...);
/* the same with a pointer to the help; returns EXIT_USAGE */
__attribute__((format(printf, 1, 2))) int cli_usage(const char *format, ...);

/* Output that did not reach its file is a failure: status, or EXIT_FAILED after it said so. */
int cli_flushed(int status);

int list_run(const struct invocation *in);
int show_run(const struct invocation *in);
int stat_run(const struct invocation *in);
int ping_run(const struct invocation *in);
int bench_run(const struct invocation *in);
int run_run(const struct invocation *in);
int doctor_run(const struct invocation *in);
int status_run(const struct invocation *in);
int nodes_run(const struct invocation *in);
int node_add_run(const struct invocation *in);
int node_remove_run(const struct invocation *in);
int reload_run(const struct invocation *in);
int install_sisci_run(const struct invocation *in);
int keygen_run(const struct invocation *in);
int cluster_start_run(const struct invocation *in);
int cluster_run_run(const struct invocation *in);
int cluster_status_run(const struct invocation *in);
int cluster_kill_run(const struct invocation *in);
int cluster_kill_daemon_run(const struct invocation *in);
int cluster_start_node_run(const struct invocation *in);
int cluster_cut_run(const struct invocation *in);
int cluster_heal_run(const struct invocation *in);
int cluster_stop_run(const struct invocation *in);
int shmbind_run(const struct invocation *in);
int numa_run(const struct invocation *in);
int ipcs_run(const struct invocation *in);
int ipcrm_run(const struct invocation *in);
int help_run(const struct invocation *in);

#endif
