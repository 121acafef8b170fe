/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "config/suggest.h"

const struct option_spec option_specs[OPTIONS] = {
	[OPTION_HELP] = {"help", 'h', NULL, "Say what can be given, and end.", NULL},
	[OPTION_VERSION] = {"version", 'V', NULL, "Say which version this is, and end.", NULL},
	[OPTION_JSON] = {"json", 'J', NULL, "Print JSON.", NULL},
	[OPTION_COLUMNS] = {"columns", 'o', "LIST",
		"Print these columns: names with a comma between them; +LIST adds to the default "
		"ones; "
		"help lists what there is.",
		NULL},
	[OPTION_NOHEADINGS] = {"noheadings", 'n', NULL, "Print no headings.", NULL},
	[OPTION_BYTES] = {"bytes", 'b', NULL, "Print sizes in bytes.", NULL},
	[OPTION_SPACE] = {"space", 's', "SPACE", "Only this space: rsm, sisci or clshm.",
		"rsm sisci clshm"},
	[OPTION_COUNT] = {"count", 'c', "N", "Make N round trips (default 100).", NULL},
	[OPTION_VERBOSE] = {"verbose", 'v', NULL, "Show what the node's daemon logs.", NULL},
};

#define BIT(name) (1u << OPTION_##name)

const struct command commands[] = {
	{"list", "", 0, 0, false,
		BIT(JSON) | BIT(COLUMNS) | BIT(NOHEADINGS) | BIT(BYTES) | BIT(SPACE),
		"List the segments of this node.",
		"The first line says which daemon answers. Shown are the segments that you may "
		"know "
		"of: your own, those that you may import, and as root all.",
		list_run},
	{"show", "ID", 1, 1, false, BIT(JSON) | BIT(BYTES) | BIT(SPACE),
		"Show one segment with its rights and importers.",
		"ID is the segment's number, in decimal or, after 0x, in hexadecimal. If several "
		"spaces have a segment of this number, all of them are shown.",
		show_run},
	{"stat", "[SECONDS [COUNT]]", 0, 2, false,
		BIT(JSON) | BIT(COLUMNS) | BIT(NOHEADINGS) | BIT(BYTES) | BIT(SPACE),
		"Show what goes through the segments: puts, gets, bytes and signals a second.",
		"Counts for SECONDS (default 1; 500ms and 1min are understood, too) and prints "
		"what "
		"that makes a second, rounded up, COUNT times (default 1), each time with the sum "
		"of "
		"all segments. Shown are the segments that list shows.\n"
		"Programs count their own calls that succeed, an entry of a vector like a call of "
		"its "
		"own; calls of several threads of a process to one import at the same instant may "
		"count as one. Loads and stores through maps are not calls and are not counted, "
		"nor is "
		"what the exporter does in its own memory. With --json each time is a document of "
		"its "
		"own.",
		stat_run},
	{"ping", "", 0, 0, false, BIT(JSON) | BIT(COUNT),
		"Measure the time to the daemon and back.",
		"Starts a daemon where a program would start one.", ping_run},
	{"run", "[--] COMMAND [ARGUMENT...]", 1, INT32_MAX, true, BIT(JSON) | BIT(VERBOSE),
		"Run a command with a node of its own.",
		"Starts a node in a private directory and the command with CAUSEWAY_SOCKET set to "
		"it. "
		"When the command ends, the node ends and the directory goes. SIGINT, SIGTERM, "
		"SIGHUP "
		"and SIGQUIT are passed on to the command. The exit status is that of the command, "
		"128+N if signal N ended it, 127 if there is no such command, 126 if it cannot be "
		"executed.\n"
		"With --json the socket and the exit status are printed as JSON on standard error "
		"when "
		"the command has ended.",
		run_run},
	{"status", "", 0, 0, false, BIT(JSON) | BIT(BYTES),
		"Show this node: its daemon, counts and limits.", "", status_run},
	{"doctor", "", 0, 0, false, BIT(JSON),
		"Check that this machine and user can do everything.",
		"Says which daemon answers and which were tried, looks at configuration, kernel, "
		"limits and rights, and shares a piece of memory from end to end. Each check ends "
		"with ok, warning (something is slower or missing, the rest works) or failed, and "
		"with what can be done. The exit status is 1 if a check failed.",
		doctor_run},
	{"help", "[COMMAND]", 0, 1, false, 0, "Explain a command.", "", help_run},
};
const unsigned int n_commands = ELEMENTS(commands);

int cli_fail(const char *format, ...)
{
	va_list args;

	fputs("causeway: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

int cli_usage(const char *format, ...)
{
	va_list args;

	fputs("causeway: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\nTry 'causeway --help'.\n", stderr);
	return EXIT_USAGE;
}

const struct command *command_find(const char *name)
{
	struct suggest s = SUGGEST_INIT(name);

	for (unsigned int i = 0; i < n_commands; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
		suggest_offer(&s, commands[i].name);
	}
	if (s.best)
		cli_usage("there is no command '%s'; did you mean '%s'?", name, s.best);
	else
		cli_usage("there is no command '%s'.", name);
	return NULL;
}

/* The table in getopt's form, for the options in mask. */
struct getopt_form {
	struct option longs[OPTIONS + 1];
	char shorts[2 * OPTIONS + 3];
};

static void make_getopt_form(uint32_t mask, bool stop_at_argument, struct getopt_form *form)
{
	char *s = form->shorts;
	unsigned int n = 0;

	if (stop_at_argument)
		*s++ = '+';
	*s++ = ':';
	for (unsigned int i = 0; i < OPTIONS; i++) {
		const struct option_spec *o = &option_specs[i];

		if (!(mask & 1u << i))
			continue;
		form->longs[n++] = (struct option){
			o->name, o->argument ? required_argument : no_argument, NULL, o->letter};
		*s++ = o->letter;
		if (o->argument)
			*s++ = ':';
	}
	form->longs[n] = (struct option){0};
	*s = '\0';
}

static unsigned int option_of_letter(int letter)
{
	unsigned int i = 0;

	while (i < OPTIONS && option_specs[i].letter != letter)
		i++;
	return i;
}

static int bad_option(char **argv, int kind, uint32_t mask)
{
	const char *given = argv[optind - 1];
	_cleanup_free_ char *name = strndup(given, strcspn(given, "="));
	struct suggest s = SUGGEST_INIT(name && optopt == 0 ? name + 2 : "");
	unsigned int i = option_of_letter(optopt);

	if (kind == ':')
		return cli_usage(
			"option --%s needs %s.", option_specs[i].name, option_specs[i].argument);
	if (optopt && i < OPTIONS && mask & 1u << i)
		return cli_usage("option --%s takes no value.", option_specs[i].name);
	if (optopt)
		return cli_usage("there is no option -%c here.", optopt);
	for (i = 0; i < OPTIONS; i++)
		if (mask & 1u << i)
			suggest_offer(&s, option_specs[i].name);
	if (s.best)
		return cli_usage("there is no option '%s' here; did you mean --%s?", name, s.best);
	return cli_usage("there is no option '%s' here.", name ? name : given);
}

/* Fills in's options; *ret_n is how many words of argv they and the program's name took. */
static int parse_options(int argc, char **argv, uint32_t mask, bool stop_at_argument,
	struct invocation *in, int *ret_n)
{
	struct getopt_form form = {0};
	int c;

	make_getopt_form(mask, stop_at_argument, &form);
	opterr = 0;
	optind = 0; /* begin anew */
	while ((c = getopt_long(argc, argv, form.shorts, form.longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			return bad_option(argv, c, mask);
		in->option[option_of_letter(c)] = optarg ? optarg : "";
	}
	*ret_n = optind;
	return 0;
}

static int check_arguments(const struct invocation *in)
{
	const struct command *c = in->command;

	if (in->option[OPTION_HELP])
		return 0;
	if (in->n_args < c->min_args)
		return cli_usage("'%s' needs %s.", c->name, c->arguments);
	if (in->n_args > c->max_args)
		return cli_usage("'%s' does not take '%s'.", c->name, in->args[c->max_args]);
	return 0;
}

int command_parse(int argc, char **argv, struct invocation *ret_invocation)
{
	struct invocation in = {0};
	int r, n;

	r = parse_options(argc, argv, BIT(HELP) | BIT(VERSION), true, &in, &n);
	if (r)
		return r;
	argc -= n;
	argv += n;
	if (argc > 0) {
		in.command = command_find(argv[0]);
		if (!in.command)
			return EXIT_USAGE;
		r = parse_options(argc, argv, in.command->options | BIT(HELP),
			in.command->passes_on, &in, &n);
		if (r)
			return r;
		in.args = argv + n;
		in.n_args = argc - n;
		r = check_arguments(&in);
		if (r)
			return r;
	}
	*ret_invocation = in;
	return 0;
}
