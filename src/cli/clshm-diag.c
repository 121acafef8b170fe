/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clshm_diag: does every partition's daemon answer? A program of its own, since there was one of
 * this name. One thread.
 */
#include "cli/clshm.h"
#include "cli/command.h"

static void print(const struct partitions *all, uint32_t own, bool json)
{
	struct json_object *root;

	if (json) {
		root = json_object_new_object();
		json_object_object_add(root, "partition", json_object_new_int64(own));
		json_object_object_add(root, "partitions", partitions_json(all));
		json_print(root, stdout);
		return;
	}
	for (size_t i = 0; i < all->n; i++) {
		const struct partition *p = &all->rows[i];

		if (p->is_up)
			printf("partition %u: %s%s\n", p->number, p->host,
				p->number == own ? " (this one)" : "");
		else
			printf("partition %u: not up: %s\n", p->number, p->reason);
	}
}

static int run(bool json)
{
	_cleanup_(partitions_deinit) struct partitions all = {0};
	struct wire_shm_hello_reply hello;
	struct node node;
	int r = clshm_find(false, &node, &hello);

	if (!r)
		r = partitions_fetch(&all);
	if (r)
		return r;
	print(&all, hello.partition, json);
	return EXIT_OK;
}

static const char help[] =
	"Usage: clshm_diag [--json]\n"
	"\n"
	"Ask the daemon of every partition for its host's name: a line for each.\n"
	"The exit status is 1 if this partition's own daemon does not answer.\n";

int main(int argc, char **argv)
{
	char **words;
	bool json;
	int r;

	if (!clshm_options(argc, argv, "clshm_diag", help, &json, &words, &r))
		return r;
	if (words[0])
		return cli_usage("'%s' is not understood: it takes no words.", words[0]);
	return cli_flushed(run(json));
}
