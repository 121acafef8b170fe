/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
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
	[OPTION_HOME] = {"node", 'N', "ID", "Only segments that are at home on this node.", NULL},
	[OPTION_DIR] = {"directory", 'd', "DIR", "The directory to use; needed.", NULL},
	[OPTION_REPLACE] = {"replace", 'r', "N", "Make new keys for node N.", NULL},
	[OPTION_ID] = {"node", 'n', "ID", "The node; needed.", NULL},
	[OPTION_NODES] = {"nodes", 'n', "N", "So many nodes; needed without --ids.", NULL},
	[OPTION_IDS] = {"ids", 'i', "LIST",
		"Their numbers, with a comma between (default: 1 to N).", NULL},
	[OPTION_NETNS] = {"netns", 'w', NULL,
		"Give each node a network namespace, joined by a bridge; only root can.", NULL},
	[OPTION_DETECTION] = {"detection", 't', "TIME",
		"DetectionTime= of the nodes: 100ms to 60s.", NULL},
	[OPTION_SERVE] = {"serve", 'S', NULL, "Be what others measure against.", NULL},
	[OPTION_POLICY] = {"policy", 'p', "POLICY",
		"firstref (default), stripe or mostfree, and hard or soft (default).",
		"firstref stripe mostfree stripe,hard firstref,hard mostfree,hard"},
	[OPTION_NODE_SET] = {"nodes", 'n', "LIST", "NUMA nodes such as 0-2,5.", NULL},
	[OPTION_COMMIT] = {"commit", 'c', NULL, "Allocate all pages now, or fail.", NULL},
	[OPTION_SHOW_PAGES] = {"show", 's', NULL, "Draw where the pages are.", NULL},
	[OPTION_PAGES] = {"pages", 'p', NULL, "Draw which node has which page now.", NULL},
	[OPTION_SHMEMS] = {"shmems", 'm', NULL,
		"Shared memory, as for ipcs; there is nothing else here.", NULL},
	[OPTION_PARTITION] = {"partition", 'p', "PARTITION", "Only segments of this partition.",
		NULL},
	[OPTION_TIME] = {"time", 't', NULL, "Show when they were last attached, detached, changed.",
		NULL},
	[OPTION_PID] = {"pid", 'P', NULL, "Show who made them and who used them last.", NULL},
	[OPTION_CREATOR] = {"creator", 'c', NULL, "Show their creators and owners.", NULL},
	[OPTION_SHMEM_ID] = {"shmem-id", 'm', NULL, "The numbers are shmids.", NULL},
	[OPTION_SHMEM_KEY] = {"shmem-key", 'M', NULL, "The numbers are keys.", NULL},
};

#define BIT(name) (1u << OPTION_##name)

const struct command commands[] = {
	{"list", "", 0, 0, false,
		BIT(JSON) | BIT(COLUMNS) | BIT(NOHEADINGS) | BIT(BYTES) | BIT(SPACE) | BIT(HOME),
		"List the segments of all nodes.",
		"The first line says which daemon answers; it asks the others. Shown are the "
		"segments "
		"that you may know of: your own, those that you may import, and as root all; of "
		"another node, what it lets this node's users know. A node that does not answer is "
		"named on standard error, and the others are shown all the same.",
		list_run},
	{"show", "ID", 1, 1, false, BIT(JSON) | BIT(BYTES) | BIT(SPACE) | BIT(HOME) | BIT(PAGES),
		"Show one segment with its rights and importers.",
		"ID is the segment's number, in decimal or, after 0x, in hexadecimal. If several "
		"nodes or spaces have a segment of this number, all of them are shown.\n"
		"While other nodes have a segment mapped its pages are where they are used. "
		"--pages "
		"draws a map of them: a letter for each node that owns pages, which it may write "
		"and "
		"nobody else may read; '+' what several nodes may read; '.' what is at home alone. "
		"Where a character stands for several pages a letter in lower case means most of "
		"them. Only the node where the segment is at home knows it.",
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
		"what the exporter does in its own memory; what they cost where several nodes have "
		"the segment mapped is: FAULTS and MOVES, and more columns with --columns. They "
		"are "
		"this node's part, so a segment of another node that is mapped here has a line, "
		"too. "
		"With --json each time is a document of its own.",
		stat_run},
	{"ping", "[NODE]", 0, 1, false, BIT(JSON) | BIT(COUNT),
		"Measure the time to the daemon and back, or between it and another node's.",
		"Starts a daemon where a program would start one. With NODE it is the control "
		"connection of the two daemons that is measured, by them; the way between this "
		"process and its daemon does not count.",
		ping_run},
	{"bench", "[NODE]", 0, 1, false, BIT(JSON) | BIT(SERVE),
		"Measure put, get and signals to another node.",
		"Somebody must serve there: 'causeway bench --serve' exports 1 MiB that anybody "
		"may "
		"write to, answers signals, and does so until it is interrupted. Each put and get "
		"waits "
		"until it is done, as those of programs do in implicit mode; signal is a signal to "
		"the "
		"exporter and one back. With this node's own number memory is measured, not a "
		"network.",
		bench_run},
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
		"Show this node: its daemon, counts, limits and peers.", "", status_run},
	{"nodes", "", 0, 0, false, BIT(JSON) | BIT(COLUMNS) | BIT(NOHEADINGS),
		"List the nodes that this one knows, and how it stands with each.",
		"A connection is made when something is wanted of a node, and kept while there are "
		"imports either way; so idle is no fault. 'causeway ping NODE' tries it.",
		nodes_run},
	{"node add", "NODE ADDRESS", 2, 2, false, 0,
		"Put a node into the node list, or give it another address.",
		"Changes causeway.conf.d/nodes.conf of the configuration that the node's daemon "
		"uses "
		"and has it reload; programs go on meanwhile. Each node has its own list: repeat "
		"it on "
		"the others.",
		node_add_run},
	{"node remove", "NODE", 1, 1, false, 0, "Take a node out of the node list.",
		"All that is in common with it ends, as if it were lost.", node_remove_run},
	{"reload", "", 0, 0, false, BIT(JSON), "Have the daemon read its node list and keys again.",
		"If something is wrong with them, it says so and goes on with what it had. Other "
		"settings need a new start of the daemon. Only root and the daemon's user may.",
		reload_run},
	{"doctor", "", 0, 0, false, BIT(JSON),
		"Check that this machine and user can do everything.",
		"Says which daemon answers and which were tried, looks at configuration, kernel, "
		"limits and rights, shares a piece of memory from end to end, and asks every other "
		"node that this one knows. Each check ends "
		"with ok, warning (something is slower or missing, the rest works) or failed, and "
		"with what can be done. The exit status is 1 if a check failed.",
		doctor_run},
	{"install-sisci", "DIR", 1, 1, false, 0,
		"Lay out SISCI's headers and library as its programs expect them.",
		"Makes DIR, mostly /opt/DIS, with include, include/dis, lib64, lib, sbin and src, "
		"and links there to what is installed: headers, library, disinfo(1). What is there "
		"and was not made by this command stays, and is an error.",
		install_sisci_run},
	{"keygen", "[NODE...]", 0, INT32_MAX, false, BIT(DIR) | BIT(REPLACE) | BIT(JSON),
		"Make the keys with which nodes know each other.",
		"There is a key for each pair of nodes, so that no node can pretend to be another "
		"one. "
		"DIR/N/keys has those of node N: one for each of the nodes named and of those that "
		"have "
		"keys in DIR already. Only what is missing is made, unless --replace says "
		"otherwise. "
		"The directory is made if needed, for its owner alone. Copy each file to its node "
		"as "
		"what KeyFile= names there, and let nobody else read it.",
		keygen_run},
	{"cluster start", "", 0, 0, false,
		BIT(DIR) | BIT(NODES) | BIT(IDS) | BIT(NETNS) | BIT(DETECTION) | BIT(JSON),
		"Start several nodes on this machine.",
		"The nodes have configuration, keys, sockets and logs in DIR/1, DIR/2 and so on, "
		"and "
		"speak TCP over 127.0.0.1; with --netns each has a network of its own, and its "
		"cable "
		"can be cut. They stay until 'causeway cluster stop'. Keys and what is in "
		"DIR/N/causeway.conf.d of an earlier cluster are used again.",
		cluster_start_run},
	{"cluster run", "[--] COMMAND [ARGUMENT...]", 1, INT32_MAX, true, BIT(DIR) | BIT(ID),
		"Run a command on a node of a cluster.",
		"The command runs in place of this process, with CAUSEWAY_SOCKET set to the node's "
		"and "
		"in its network. It and what it starts belong to the node: 'cluster kill' and "
		"'cluster "
		"stop' end them. CAUSEWAY_CLUSTER_NODE in the environment is how they are known.",
		cluster_run_run},
	{"cluster status", "", 0, 0, false, BIT(DIR) | BIT(JSON) | BIT(COLUMNS) | BIT(NOHEADINGS),
		"Show the nodes of a cluster, and what runs there.", "", cluster_status_run},
	{"cluster kill", "", 0, 0, false, BIT(DIR) | BIT(ID), "Kill a node like a power failure.",
		"SIGKILL for its daemon, its keeper and all that runs there.", cluster_kill_run},
	{"cluster kill-daemon", "", 0, 0, false, BIT(DIR) | BIT(ID),
		"Kill a node's daemon alone; its keeper starts another one.", "",
		cluster_kill_daemon_run},
	{"cluster start-node", "", 0, 0, false, BIT(DIR) | BIT(ID),
		"Start a node of a cluster that was killed.", "", cluster_start_node_run},
	{"cluster cut", "", 0, 0, false, BIT(DIR) | BIT(ID),
		"Cut a node of a cluster with --netns off from all others.",
		"Packets vanish in both directions, as in a switch that lost its mind: no "
		"connection is "
		"closed.",
		cluster_cut_run},
	{"cluster heal", "", 0, 0, false, BIT(DIR) | BIT(ID), "Join a node that was cut off again.",
		"", cluster_heal_run},
	{"cluster stop", "", 0, 0, false, BIT(DIR), "End a cluster and all that runs there.",
		"Also clears up what a crash of the machine or of this tool left. Configuration, "
		"keys "
		"and logs stay in DIR.",
		cluster_stop_run},
	{"ipcs", "", 0, 0, false,
		BIT(JSON) | BIT(COLUMNS) | BIT(NOHEADINGS) | BIT(SHMEMS) | BIT(PARTITION) |
			BIT(TIME) | BIT(PID) | BIT(CREATOR),
		"List the segments of clshm of all partitions.",
		"Shows what ipcs -m shows of System V segments, and on which partition and host "
		"each "
		"segment is. Shown are those that you may read or that are yours, and as root "
		"all. A partition that is not up is named on standard error, and the others are "
		"shown all the same.",
		ipcs_run},
	{"ipcrm", "-m SHMID...|-M KEY...", 1, INT32_MAX, false, BIT(SHMEM_ID) | BIT(SHMEM_KEY),
		"Remove segments of clshm, on whichever partition they are.",
		"Key and number are gone at once; the memory goes when the last process that has "
		"it attached lets go of it. Only the segment's owner, its creator and root of its "
		"partition may. A number that begins with 0x is hexadecimal; 'causeway ipcs' "
		"shows both.",
		ipcrm_run},
	{"numa", "", 0, 0, false, BIT(JSON) | BIT(NOHEADINGS) | BIT(BYTES),
		"Show this machine's NUMA nodes and the segments bound to them.",
		"Bound segments are those that the node's daemon knows of: bound by shmbind() or "
		"'causeway shmbind' while it ran.",
		numa_run},
	{"shmbind", "ID|KEY", 1, 1, false,
		BIT(POLICY) | BIT(NODE_SET) | BIT(COMMIT) | BIT(SHOW_PAGES) | BIT(JSON),
		"Bind a System V shared memory segment to NUMA nodes, or show where its pages are.",
		"ID is the segment's number; after 0x it is its key; ipcs -m shows both. The "
		"segment must not be attached nor have pages. Its pages then come from these nodes "
		"whoever attaches it: with firstref from the node of the processor that touches a "
		"page first, or the nearest; with stripe from all evenly; with mostfree from the "
		"one with most free memory. hard means from nowhere else: it is refused if the "
		"memory is not there.\n"
		"With --show the nodes of the binding are marked with '>', and the line below says "
		"of each part of the segment where it is: a node's number, '.' for nowhere yet, "
		"'*' "
		"for several. Looking attaches the segment for a moment.",
		shmbind_run},
	{"help", "[COMMAND]", 0, 2, false, 0, "Explain a command.", "", help_run},
};
const unsigned int n_commands = ELEMENTS(commands);

const char *cli_name = "causeway";

int cli_fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", cli_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

int cli_usage(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", cli_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nTry '%s --help'.\n", cli_name);
	return EXIT_USAGE;
}

int cli_flushed(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return status ? status : cli_fail("cannot write the output: %s", strerror(errno));
}

int command_group_length(const struct command *c)
{
	size_t n = strcspn(c->name, " ");

	return c->name[n] ? (int)n : 0;
}

bool command_begins_group(const struct command *c)
{
	int n = command_group_length(c);

	return n && (c == commands || strncmp(c[-1].name, c->name, (size_t)n + 1) != 0);
}

static bool is_of_group(const struct command *c, const char *group)
{
	int n = command_group_length(c);

	return n && (size_t)n == strlen(group) && !strncmp(c->name, group, (size_t)n);
}

/* "cluster" and nothing that says what of it. */
static void say_group(const char *group, const char *given)
{
	const char *between = "";

	if (given)
		fprintf(stderr, "causeway: there is no command '%s %s'; there are:", group, given);
	else
		fprintf(stderr, "causeway: '%s' needs a second word:", group);
	for (unsigned int i = 0; i < n_commands; i++) {
		if (!is_of_group(&commands[i], group))
			continue;
		fprintf(stderr, "%s %s", between, commands[i].name + strlen(group) + 1);
		between = ",";
	}
	fprintf(stderr, ".\nTry 'causeway help %s'.\n", group);
}

static const struct command *find_in_group(
	const char *group, char **words, int n, int *ret_used, const char **ret_group)
{
	const char *second = n > 1 ? words[1] : NULL;

	if (!second || !strcmp(second, "--help") || !strcmp(second, "-h")) {
		*ret_group = group;
		*ret_used = 1;
		return NULL;
	}
	for (unsigned int i = 0; i < n_commands; i++) {
		if (!is_of_group(&commands[i], group) ||
			strcmp(commands[i].name + strlen(group) + 1, second) != 0)
			continue;
		*ret_used = 2;
		return &commands[i];
	}
	say_group(group, second);
	return NULL;
}

const struct command *command_find(char **words, int n, int *ret_used, const char **ret_group)
{
	struct suggest s = SUGGEST_INIT(words[0]);

	*ret_group = NULL;
	for (unsigned int i = 0; i < n_commands; i++) {
		if (is_of_group(&commands[i], words[0]))
			return find_in_group(words[0], words, n, ret_used, ret_group);
		suggest_offer(&s, commands[i].name);
		if (strcmp(commands[i].name, words[0]) != 0)
			continue;
		*ret_used = 1;
		return &commands[i];
	}
	if (s.best)
		cli_usage("there is no command '%s'; did you mean '%s'?", words[0], s.best);
	else
		cli_usage("there is no command '%s'.", words[0]);
	return NULL;
}

/* What getopt gives for option i. */
#define OPTION_VALUE(i) (256 + (int)(i))

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
		form->longs[n++] = (struct option){o->name,
			o->argument ? required_argument : no_argument, NULL, OPTION_VALUE(i)};
		*s++ = o->letter;
		if (o->argument)
			*s++ = ':';
	}
	form->longs[n] = (struct option){0};
	*s = '\0';
}

/* The option of mask that getopt means; OPTIONS: none. */
static unsigned int option_of(int value, uint32_t mask)
{
	unsigned int i = 0;

	if (value >= OPTION_VALUE(0))
		return (unsigned int)(value - OPTION_VALUE(0));
	while (i < OPTIONS && !(mask & 1u << i && option_specs[i].letter == value))
		i++;
	return i;
}

static int bad_option(char **argv, int kind, uint32_t mask)
{
	const char *given = argv[optind - 1];
	_cleanup_free_ char *name = strndup(given, strcspn(given, "="));
	struct suggest s = SUGGEST_INIT(name && optopt == 0 ? name + 2 : "");
	unsigned int i = option_of(optopt, mask);

	if (kind == ':')
		return cli_usage(
			"option --%s needs %s.", option_specs[i].name, option_specs[i].argument);
	if (optopt && i < OPTIONS)
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
		in->option[option_of(c, mask)] = optarg ? optarg : "";
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

/* argv: the words that name a command, its options and arguments. */
static int parse_command(int argc, char **argv, struct invocation *in)
{
	int used, n, r;

	in->command = command_find(argv, argc, &used, &in->group);
	if (!in->command) {
		if (!in->group)
			return EXIT_USAGE;
		if (argc > 1)
			in->option[OPTION_HELP] = "";
		return 0;
	}
	argc -= used - 1;
	argv += used - 1;
	r = parse_options(
		argc, argv, in->command->options | BIT(HELP), in->command->passes_on, in, &n);
	if (r)
		return r;
	in->args = argv + n;
	in->n_args = argc - n;
	return check_arguments(in);
}

int command_parse(int argc, char **argv, struct invocation *ret_invocation)
{
	struct invocation in = {0};
	int r, n;

	r = parse_options(argc, argv, BIT(HELP) | BIT(VERSION), true, &in, &n);
	if (r == 0 && argc > n)
		r = parse_command(argc - n, argv + n, &in);
	if (r)
		return r;
	if (in.group && !in.option[OPTION_HELP]) {
		say_group(in.group, NULL);
		return EXIT_USAGE;
	}
	*ret_invocation = in;
	return 0;
}
