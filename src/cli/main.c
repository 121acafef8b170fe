/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway, the tool. What it can do is in command.c; each command has a file of its own. One
 * thread.
 *
 * Three more words serve the build and stay out of the help: --man, --man=causeway.conf and
 * --completion print generated documents.
 */
#include <config.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include "cli/command.h"
#include "config/config.h"

/* True if argv asked for a document. */
static bool print_document(int argc, char **argv)
{
	if (argc != 2)
		return false;
	if (!strcmp(argv[1], "--man"))
		command_print_man(stdout);
	else if (!strcmp(argv[1], "--man=causeway.conf"))
		config_print_man(stdout);
	else if (!strcmp(argv[1], "--completion"))
		command_print_completion(stdout);
	else
		return false;
	return true;
}

static int run_invocation(const struct invocation *in)
{
	if (in->option[OPTION_HELP]) {
		command_print_help(in->command, in->group, stdout);
		return EXIT_OK;
	}
	if (in->option[OPTION_VERSION]) {
		puts("causeway " CAUSEWAY_VERSION);
		return EXIT_OK;
	}
	if (!in->command)
		return cli_usage("which command?");
	return in->command->run(in);
}

int main(int argc, char **argv)
{
	struct invocation in;
	int r;

	setlocale(LC_CTYPE, "");
	if (print_document(argc, argv))
		return cli_flushed(EXIT_OK);
	r = command_parse(argc, argv, &in);
	return r ? r : cli_flushed(run_invocation(&in));
}
