/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clshmctl: clshm of this node's daemon, switched on and off and configured until the node ends. A
 * program of its own, since there was one of this name. One thread.
 */
#include <string.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "cli/clshm.h"
#include "cli/command.h"
#include "wire/status.h"

/* As CallTimeout= and MaxPages= in causeway.conf(5) are bounded. */
#define TIMEOUT_MIN_MS 100u
#define TIMEOUT_MAX_MS 600000u
#define MAX_PAGES_MAX  (UINT64_C(1) << 47)

struct verb {
	const char *name;
	const char *argument; /* NULL: none */
	int (*run)(const char *argument, bool json);
};

/* getcfg */

enum {
	CFG_PARTITION,
	CFG_STATE,
	CFG_MAX_PAGES,
	CFG_TIMEOUT,
	CFG_ON_LOSS,
	CFG_VERSION,
	CFG_COLUMNS,
};

static const struct column columns[CFG_COLUMNS] = {
	[CFG_PARTITION] = {"partition", "this node's number", 0},
	[CFG_STATE] = {"state", "up or shut down", 0},
	[CFG_MAX_PAGES] = {"maxpgs", "pages that all segments may have together", 0},
	[CFG_TIMEOUT] = {"timeout", "milliseconds that a call waits", 0},
	[CFG_ON_LOSS] = {"on loss", "what becomes of who has memory of a lost partition", 0},
	[CFG_VERSION] = {"version", "of the daemon's clshm", 0},
};

static const char *loss_name(uint32_t loss)
{
	switch (loss) {
	case WIRE_SHM_LOSS_SIGBUS:
		return "sigbus";
	case WIRE_SHM_LOSS_KILL:
		return "kill";
	case WIRE_SHM_LOSS_ZERO:
		return "zero";
	}
	return "?";
}

static void fill(Table *t, const struct wire_shm_hello_reply *c)
{
	uint64_t ms = c->timeout / NSEC_PER_MSEC;

	table_number(t, CFG_MAX_PAGES, c->max_pages);
	table_number_as(t, CFG_TIMEOUT, ms, "%llu ms", (unsigned long long)ms);
	table_text(t, CFG_ON_LOSS, "%s", loss_name(c->loss));
	table_text(t, CFG_VERSION, "%u.%u", c->version >> 16, c->version & 0xffff);
}

static int getcfg(const char *argument, bool json)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, CFG_COLUMNS);
	struct wire_shm_hello_reply hello = {0};
	struct node node;
	int r = node_find(false, &node);

	if (r)
		return r;
	r = clshm_hello(&hello);
	if (r && r != STATUS_NO_DAEMON)
		return cli_fail("%s", clshm_hello_text(r));
	table_row(t);
	table_number(t, CFG_PARTITION, node.status.node);
	table_text(t, CFG_STATE, "%s", r ? "shut down" : "up");
	if (!r)
		fill(t, &hello);
	if (json)
		json_print(table_json_row(t), stdout);
	else
		table_print_lines(t, stdout);
	return EXIT_OK;
}

/* what changes something */

static int configure(bool may_start, enum wire_shm_setting what, uint64_t value, const char *doing)
{
	struct wire_message request = {
		.type = WIRE_SHM_CONFIGURE, .shm_configure = {.what = what, .value = value}};
	struct cw_reply reply;
	struct node node;
	int r = node_find(may_start, &node);

	if (r)
		return r;
	r = cw_call(&request, NULL, 0, &reply);
	if (r == STATUS_DENIED || r == STATUS_NOT_CREATOR)
		return cli_fail("cannot %s: only root and the daemon's own user may", doing);
	return r ? cli_fail("cannot %s: %s", doing, clshm_hello_text(r)) : EXIT_OK;
}

static int startup(const char *argument, bool json)
{
	return configure(true, WIRE_SHM_STARTUP, 0, "start clshm");
}

static int shut_down(const char *argument, bool json)
{
	return configure(false, WIRE_SHM_SHUTDOWN, 0, "shut clshm down");
}

static int maxpgs(const char *argument, bool json)
{
	uint64_t pages;

	if (parse_u64(argument, &pages) < 0 || pages > MAX_PAGES_MAX)
		return cli_usage("maxpgs %s: must be a number of pages from 0 to %llu.", argument,
			(unsigned long long)MAX_PAGES_MAX);
	return configure(false, WIRE_SHM_MAX_PAGES, pages, "change maxpgs");
}

static int timeout(const char *argument, bool json)
{
	uint32_t ms;

	if (parse_u32(argument, &ms) < 0 || ms < TIMEOUT_MIN_MS || ms > TIMEOUT_MAX_MS)
		return cli_usage("timeout %s: must be milliseconds from %u to %u.", argument,
			TIMEOUT_MIN_MS, TIMEOUT_MAX_MS);
	return configure(false, WIRE_SHM_TIMEOUT, ms * NSEC_PER_MSEC, "change the timeout");
}

/* the command line */

static const struct verb verbs[] = {
	{"startup", NULL, startup},
	{"shutdown", NULL, shut_down},
	{"getcfg", NULL, getcfg},
	{"maxpgs", "PAGES", maxpgs},
	{"timeout", "MILLISECONDS", timeout},
};

static const char help[] =
	"Usage: clshmctl startup|shutdown\n"
	"       clshmctl getcfg [--json]\n"
	"       clshmctl maxpgs PAGES\n"
	"       clshmctl timeout MILLISECONDS\n"
	"\n"
	"Control clshm, System V shared memory across partitions, of this node.\n"
	"Only root and the daemon's own user may change something; it holds until\n"
	"the node ends. [Clshm] in causeway.conf says how a node begins.\n";

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ELEMENTS(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static int run(char **words, bool json)
{
	const struct verb *v = words[0] ? find_verb(words[0]) : NULL;
	int n = 0;

	while (words[n])
		n++;
	if (!n)
		return cli_usage("startup, shutdown, getcfg, maxpgs or timeout?");
	if (!v)
		return cli_usage("there is no '%s': startup, shutdown, getcfg, maxpgs or timeout.",
			words[0]);
	if (v->argument && n < 2)
		return cli_usage("'%s' needs %s.", v->name, v->argument);
	if (n > 1 + (v->argument != NULL))
		return cli_usage("'%s' does not take '%s'.", v->name, words[n - 1]);
	if (json && v->run != getcfg)
		return cli_usage("'%s' prints nothing, so there is no JSON of it.", v->name);
	return v->run(words[1], json);
}

int main(int argc, char **argv)
{
	char **words;
	bool json;
	int r;

	if (!clshm_options(argc, argv, "clshmctl", help, &json, &words, &r))
		return r;
	return cli_flushed(run(words, json));
}
