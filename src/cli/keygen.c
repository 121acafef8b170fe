/* SPDX-License-Identifier: Apache-2.0 */
/* causeway keygen */
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/directory.h"
#include "cli/keys.h"
#include "cli/peers.h"
#include "cli/table.h"

enum { FILE_NODE, FILE_PATH, FILE_CHANGED };

static const struct column columns[] = {
	[FILE_NODE] = {"NODE", "whose file it is", COLUMN_RIGHT},
	[FILE_PATH] = {"PATH", "the file", 0},
	[FILE_CHANGED] = {"CHANGED", "1 if it was written now", COLUMN_RIGHT},
};

static void print(const char *dir, const struct keys_report *report)
{
	unsigned int n = 0;

	for (size_t i = 0; i < report->n_files; i++)
		n += report->files[i].changed;
	if (n == 0) {
		printf("Nothing was missing: the %zu nodes in %s have keys for each other.\n",
			report->n_files, dir);
		return;
	}
	printf("Made %zu key%s. Copy, so that only its daemon can read it:\n", report->n_made,
		report->n_made == 1 ? "" : "s");
	for (size_t i = 0; i < report->n_files; i++)
		if (report->files[i].changed)
			printf("  %s/%u/keys to node %u, as /etc/causeway/keys\n", dir,
				report->files[i].node, report->files[i].node);
	puts("(KeyFile= in causeway.conf(5) names another place), then 'causeway reload' there.");
}

static void print_json(const char *dir, const struct keys_report *report)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, ELEMENTS(columns));
	struct json_object *root = json_object_new_object();

	for (size_t i = 0; i < report->n_files; i++) {
		table_row(t);
		table_number(t, FILE_NODE, report->files[i].node);
		table_text(t, FILE_PATH, "%s/%u/keys", dir, report->files[i].node);
		table_number(t, FILE_CHANGED, report->files[i].changed);
	}
	json_object_object_add(root, "made", json_object_new_int64((int64_t)report->n_made));
	json_object_object_add(root, "files", table_json(t));
	json_print(root, stdout);
}

int keygen_run(const struct invocation *in)
{
	_cleanup_(keys_report_deinit) struct keys_report report = {0};
	_cleanup_free_ uint32_t *nodes = calloc((size_t)in->n_args + 1, sizeof(*nodes));
	const char *text = in->option[OPTION_REPLACE];
	_cleanup_free_ char *dir = NULL;
	_cleanup_close_ int lock = -1;
	uint32_t replace = 0;
	int r = 0;

	if (!nodes)
		return cli_fail("out of memory");
	if (text)
		r = peer_parse(text, &replace);
	else if (in->n_args == 0)
		return cli_usage("'keygen' needs the numbers of nodes.");
	for (int i = 0; r == 0 && i < in->n_args; i++)
		r = peer_parse(in->args[i], &nodes[i]);
	if (!r)
		r = directory_open(in, true, &dir, &lock);
	if (!r)
		r = keys_make(dir, nodes, (size_t)in->n_args, replace, &report);
	if (r)
		return r;
	if (in->option[OPTION_JSON])
		print_json(dir, &report);
	else if (report.n_files < 2)
		return cli_fail("one node alone needs no key: name the others, too");
	else
		print(dir, &report);
	return EXIT_OK;
}
