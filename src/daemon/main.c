/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/parse.h"
#include "daemon/filler.h"
#include "daemon/log.h"
#include "daemon/node.h"
#include "daemon/pin.h"

/* causewayd: the command line. */

static const char usage[] =
	"Usage: causewayd [OPTION]...\n"
	"Serves remote shared memory on this node.\n"
	"\n"
	"  --socket PATH    listen here; default: /run/causeway/socket for root, else\n"
	"                   causeway/socket in the user's runtime directory\n"
	"  --config DIR     read the configuration from this directory\n"
	"  --embedded       end when there has been no client for IdleExit\n"
	"  --ready-fd N     write a byte to descriptor N when the node serves\n"
	"  --print-config   print the configuration and exit\n"
	"  --version        print the version and exit\n"
	"  --help           print this and exit\n";

enum {
	OPTION_SOCKET = 256,
	OPTION_CONFIG,
	OPTION_EMBEDDED,
	OPTION_READY_FD,
	OPTION_DAEMON_FD, /* internal, as are the next: which role this process has */
	OPTION_KEEPER_FD,
	OPTION_FILLER_FD,
	OPTION_PIN_FD,
	OPTION_PRINT_CONFIG,
	OPTION_VERSION,
	OPTION_HELP,
};

static const struct option options[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"embedded", no_argument, NULL, OPTION_EMBEDDED},
	{"ready-fd", required_argument, NULL, OPTION_READY_FD},
	{"daemon-fd", required_argument, NULL, OPTION_DAEMON_FD},
	{"keeper-fd", required_argument, NULL, OPTION_KEEPER_FD},
	{"filler-fd", required_argument, NULL, OPTION_FILLER_FD},
	{"pin-fd", required_argument, NULL, OPTION_PIN_FD},
	{"print-config", no_argument, NULL, OPTION_PRINT_CONFIG},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"help", no_argument, NULL, OPTION_HELP},
	{0},
};

struct command_line {
	struct node_options node;
	int daemon_fd, keeper_fd, filler_fd, pin_fd;
	bool print_config;
};

/* An open descriptor, which is made close-on-exec. */
static int parse_fd(const char *name, const char *text)
{
	uint32_t fd;

	if (parse_u32(text, &fd) < 0 || fd > INT32_MAX || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0) {
		fprintf(stderr, "causewayd: --%s %s: not an open descriptor\n", name, text);
		exit(EXIT_FAILURE);
	}
	return (int)fd;
}

static void parse_options(int argc, char **argv, struct command_line *c)
{
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case OPTION_SOCKET:
			c->node.socket = optarg;
			break;
		case OPTION_CONFIG:
			c->node.config_dir = optarg;
			break;
		case OPTION_EMBEDDED:
			c->node.embedded = true;
			break;
		case OPTION_READY_FD:
			c->node.ready_fd = parse_fd("ready-fd", optarg);
			break;
		case OPTION_DAEMON_FD:
			c->daemon_fd = parse_fd("daemon-fd", optarg);
			break;
		case OPTION_KEEPER_FD:
			c->keeper_fd = parse_fd("keeper-fd", optarg);
			break;
		case OPTION_FILLER_FD:
			c->filler_fd = parse_fd("filler-fd", optarg);
			break;
		case OPTION_PIN_FD:
			c->pin_fd = parse_fd("pin-fd", optarg);
			break;
		case OPTION_PRINT_CONFIG:
			c->print_config = true;
			break;
		case OPTION_VERSION:
			puts("causewayd " CAUSEWAY_VERSION);
			exit(EXIT_SUCCESS);
		case OPTION_HELP:
			fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		default:
			fputs("Try 'causewayd --help'.\n", stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "causewayd: unexpected argument '%s'\n", argv[optind]);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct command_line c = {.node = {.ready_fd = -1},
		.daemon_fd = -1,
		.keeper_fd = -1,
		.filler_fd = -1,
		.pin_fd = -1};
	_cleanup_(config_free_p) struct config *config = NULL;
	char error[CONFIG_ERROR_MAX];

	parse_options(argc, argv, &c);
	if (c.keeper_fd >= 0)
		return node_run_keeper(&c.node, c.keeper_fd);
	if (c.filler_fd >= 0)
		return filler_run(c.filler_fd);
	if (c.pin_fd >= 0)
		return pin_run(c.pin_fd);
	if (config_load(c.node.config_dir, &config, error) < 0) {
		fprintf(stderr, "causewayd: %s\n", error);
		return EXIT_FAILURE;
	}
	c.node.config = config;
	log_set_level((int)config->log_level);
	if (c.print_config) {
		config_print(config, stdout);
		return EXIT_SUCCESS;
	}
	if (c.daemon_fd >= 0)
		return node_run_daemon(&c.node, c.daemon_fd);
	return node_run_first(&c.node);
}
