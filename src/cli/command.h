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
	OPTIONS,
};

struct option_spec {
	const char *name;
	char letter;	      /* 0: none */
	const char *argument; /* NULL: a flag */
	const char *help;
	const char *choices; /* of the argument, for completion; NULL: anything */
};

/* What the command line said. */
struct invocation {
	const struct command *command;
	const char *option[OPTIONS]; /* NULL: not given; "" for a flag */
	char **args;		     /* ends with NULL */
	int n_args;
};

struct command {
	const char *name;
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

/* NULL, after it said so and what was meant, if there is none of this name. */
const struct command *command_find(const char *name);

/* command: NULL for the overview */
void command_print_help(const struct command *command, FILE *out);

/* causeway(1) in man's language, and a completion script for bash. */
void command_print_man(FILE *out);
void command_print_completion(FILE *out);

/* "causeway: " and a line on stderr; returns EXIT_FAILED. */
__attribute__((format(printf, 1, 2))) int cli_fail(const char *format, ...);
/* the same with a pointer to the help; returns EXIT_USAGE */
__attribute__((format(printf, 1, 2))) int cli_usage(const char *format, ...);

int list_run(const struct invocation *in);
int show_run(const struct invocation *in);
int stat_run(const struct invocation *in);
int ping_run(const struct invocation *in);
int run_run(const struct invocation *in);
int doctor_run(const struct invocation *in);
int status_run(const struct invocation *in);
int help_run(const struct invocation *in);

#endif
