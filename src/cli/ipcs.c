/* SPDX-License-Identifier: Apache-2.0 */
/* causeway ipcs: the segments of clshm of all partitions */
#include <string.h>
#include "base/error.h"
#include "cli/clshm.h"
#include "cli/command.h"

enum {
	IPCS_KEY,
	IPCS_SHMID,
	IPCS_OWNER,
	IPCS_PERMS,
	IPCS_BYTES,
	IPCS_NATTCH,
	IPCS_STATUS,
	IPCS_PARTITION,
	IPCS_HOST,
	IPCS_GROUP,
	IPCS_CREATOR,
	IPCS_CREATOR_GROUP,
	IPCS_ATTACHED,
	IPCS_DETACHED,
	IPCS_CHANGED,
	IPCS_CPID,
	IPCS_LPID,
	IPCS_COMMAND,
	IPCS_INSTANCE,
	IPCS_COLUMNS,
};

static const struct column columns[IPCS_COLUMNS] = {
	[IPCS_KEY] = {"KEY", "its key; 0 once it is removed", 0},
	[IPCS_SHMID] = {"SHMID", "its number, as xp_shmget() says it", COLUMN_RIGHT},
	[IPCS_OWNER] = {"OWNER", "user who owns it", 0},
	[IPCS_PERMS] = {"PERMS", "rights of owner, group and others", COLUMN_RIGHT},
	[IPCS_BYTES] = {"BYTES", "size in bytes", COLUMN_RIGHT},
	[IPCS_NATTCH] = {"NATTCH", "number of attaches on all partitions", COLUMN_RIGHT},
	[IPCS_STATUS] = {"STATUS",
		"dest (removed, and goes with its last attach), auto (will be removed with its "
		"last "
		"attach), locked (in memory), placed (on chosen NUMA nodes)",
		0},
	[IPCS_PARTITION] = {"PARTITION", "partition that has it", COLUMN_RIGHT},
	[IPCS_HOST] = {"HOST", "this partition's host", 0},
	[IPCS_GROUP] = {"GROUP", "number of the group that owns it", COLUMN_RIGHT | COLUMN_EXTRA},
	[IPCS_CREATOR] = {"CREATOR", "user who made it", COLUMN_EXTRA},
	[IPCS_CREATOR_GROUP] = {"CREATOR_GROUP", "number of his group",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[IPCS_ATTACHED] = {"ATTACHED", "when it was last attached", COLUMN_EXTRA},
	[IPCS_DETACHED] = {"DETACHED", "when it was last detached", COLUMN_EXTRA},
	[IPCS_CHANGED] = {"CHANGED", "when it was made or its owner or rights were changed",
		COLUMN_EXTRA},
	[IPCS_CPID] = {"CPID", "process that made it, on its partition",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[IPCS_LPID] = {"LPID", "process that attached or detached last, on its partition",
		COLUMN_RIGHT | COLUMN_EXTRA},
	[IPCS_COMMAND] = {"COMMAND", "name of the process that made it", COLUMN_EXTRA},
	[IPCS_INSTANCE] = {"INSTANCE", "number that no other segment of this partition ever has",
		COLUMN_RIGHT | COLUMN_EXTRA},
};

/* What else to look at, in the manner of ipcs(1). */
static const struct {
	enum option_id option;
	const char *columns;
} views[] = {
	{OPTION_TIME, "SHMID,OWNER,ATTACHED,DETACHED,CHANGED,PARTITION"},
	{OPTION_PID, "SHMID,OWNER,CPID,LPID,COMMAND,PARTITION"},
	{OPTION_CREATOR, "SHMID,PERMS,CREATOR,CREATOR_GROUP,OWNER,GROUP,PARTITION"},
};

/* The columns that were asked for; NULL: the default ones. */
static int choose_columns(const struct invocation *in, const char **ret_list)
{
	const char *list = in->option[OPTION_COLUMNS];

	for (size_t i = 0; i < ELEMENTS(views); i++) {
		if (!in->option[views[i].option])
			continue;
		if (list)
			return cli_usage("only one of --columns, --time, --pid and --creator.");
		list = views[i].columns;
	}
	*ret_list = list;
	return 0;
}

static void set_status(Table *t, uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *word;
	} words[] = {
		{WIRE_SHM_REMOVED, "dest"},
		{WIRE_SHM_AUTO, "auto"},
		{WIRE_SHM_LOCKED, "locked"},
		{WIRE_SHM_PLACED, "placed"},
	};
	char text[64] = "";

	for (size_t i = 0; i < ELEMENTS(words); i++) {
		if (!(flags & words[i].flag))
			continue;
		if (*text)
			strcat(text, ",");
		strcat(text, words[i].word);
	}
	table_text(t, IPCS_STATUS, "%s", text);
}

static void set_times(Table *t, const struct wire_shm_row *row)
{
	if (row->attached)
		table_time(t, IPCS_ATTACHED, row->attached);
	if (row->detached)
		table_time(t, IPCS_DETACHED, row->detached);
	if (row->changed)
		table_time(t, IPCS_CHANGED, row->changed);
}

static void add_row(Table *t, const struct partition *p, const struct wire_shm_row *row)
{
	char user[64];

	table_row(t);
	table_number_as(t, IPCS_KEY, row->key, "0x%08x", row->key);
	table_number(t, IPCS_SHMID, row->shmid);
	table_text(t, IPCS_OWNER, "%s", user_name(row->uid, user));
	table_text(t, IPCS_PERMS, "%03o", row->mode & 0777);
	table_number(t, IPCS_BYTES, row->size);
	table_number(t, IPCS_NATTCH, row->n_attached);
	set_status(t, row->flags);
	table_number(t, IPCS_PARTITION, p->number);
	table_text(t, IPCS_HOST, "%s", p->host);
	table_number(t, IPCS_GROUP, row->gid);
	table_text(t, IPCS_CREATOR, "%s", user_name(row->cuid, user));
	table_number(t, IPCS_CREATOR_GROUP, row->cgid);
	set_times(t, row);
	table_number(t, IPCS_CPID, row->cpid);
	if (row->lpid)
		table_number(t, IPCS_LPID, row->lpid);
	table_text(t, IPCS_COMMAND, "%s", row->command);
	table_number(t, IPCS_INSTANCE, row->instance);
}

/* A partition that went down after all is one that is not up. */
static int add_partition(Table *t, struct partition *p)
{
	_cleanup_(shm_rows_deinit) struct shm_rows s = {0};
	int result = 0, r = p->is_up ? shm_rows_fetch(p->number, &s, &result) : 0;

	if (r)
		return r;
	if (result) {
		p->is_up = false;
		snprintf(p->reason, sizeof(p->reason), "%s", node_result_text(result));
	}
	if (!p->is_up)
		cli_fail("partition %u: %s; its segments are not shown", p->number, p->reason);
	for (size_t i = 0; i < s.n; i++)
		add_row(t, p, &s.rows[i]);
	return 0;
}

/* The one that --partition names; NULL for all. */
static int choose_partition(const struct invocation *in, const struct partitions *all,
	const struct partition **ret_partition)
{
	const char *text = in->option[OPTION_PARTITION];
	uint32_t number;
	int r;

	*ret_partition = NULL;
	if (!text)
		return 0;
	r = partition_parse(text, &number);
	if (r)
		return r;
	*ret_partition = partitions_find(all, number);
	if (!*ret_partition)
		return cli_fail(
			"there is no partition %u: this node's list does not have it", number);
	return 0;
}

static void print(const struct invocation *in, const struct node *node,
	const struct partitions *all, const Table *t)
{
	bool headings = !in->option[OPTION_NOHEADINGS];
	struct json_object *root;

	if (!in->option[OPTION_JSON]) {
		if (headings)
			node_print(node, stdout);
		if (headings && table_is_empty(t))
			puts("no segments of clshm that you may know of");
		table_print(t, headings, stdout);
		return;
	}
	root = json_object_new_object();
	json_object_object_add(root, "daemon", node_json(node));
	json_object_object_add(root, "partitions", partitions_json(all));
	json_object_object_add(root, "segments", table_json(t));
	json_print(root, stdout);
}

static int list(const struct invocation *in, struct partitions *all, Table *t)
{
	const struct partition *chosen;
	int r = choose_partition(in, all, &chosen);

	for (size_t i = 0; r == 0 && i < all->n; i++)
		if (!chosen || chosen == &all->rows[i])
			r = add_partition(t, &all->rows[i]);
	return r ? r : chosen && !chosen->is_up ? EXIT_FAILED : EXIT_OK;
}

int ipcs_run(const struct invocation *in)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, IPCS_COLUMNS);
	_cleanup_(partitions_deinit) struct partitions all = {0};
	struct wire_shm_hello_reply hello;
	const char *names = NULL;
	struct node node;
	uint32_t number;
	int r = choose_columns(in, &names);

	if (r)
		return r;
	if (names && !strcmp(names, "help")) {
		table_print_columns(t, stdout);
		return EXIT_OK;
	}
	r = names ? table_select(t, names) : 0;
	if (!r && in->option[OPTION_PARTITION])
		r = partition_parse(in->option[OPTION_PARTITION], &number);
	if (!r)
		r = clshm_find(false, &node, &hello);
	if (!r)
		r = partitions_fetch(&all);
	if (!r)
		r = list(in, &all, t);
	if (r)
		return r;
	print(in, &node, &all, t);
	return EXIT_OK;
}
