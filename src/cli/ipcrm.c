/* SPDX-License-Identifier: Apache-2.0 */
/* causeway ipcrm: removes segments of clshm, on whichever partition they are */
#include "base/error.h"
#include "cli/clshm.h"
#include "cli/command.h"
#include "wire/status.h"

/* "cannot remove key 0x1000017 (shmid 16777240): …" */
static int fail(const char *what, uint32_t number, uint32_t shmid, int result)
{
	uint32_t partition = WIRE_SHM_PARTITION(shmid);
	char name[64];

	snprintf(name, sizeof(name), *what == 'k' ? "%s 0x%08x" : "%s %u", what, number);
	switch (result) {
	case STATUS_NOT_FOUND:
		return cli_fail(
			"cannot remove %s: partition %u has no such segment", name, partition);
	case STATUS_WITHDRAWN:
		return cli_fail(
			"cannot remove %s: it is removed, and goes with its last attach", name);
	case STATUS_NOT_CREATOR:
		return cli_fail("cannot remove %s: only its owner, its creator and root of "
				"partition %u may",
			name, partition);
	case STATUS_NODE_UNKNOWN:
	case STATUS_NODE_UNREACHABLE:
		return cli_fail("cannot remove %s: partition %u is not up", name, partition);
	}
	return cli_fail(
		"cannot remove %s of partition %u: %s", name, partition, node_result_text(result));
}

/* A key's segment is found where all are listed: only who may know of it can. */
static int find_key(uint32_t key, uint32_t *ret_shmid)
{
	_cleanup_(shm_rows_deinit) struct shm_rows s = {0};
	int result, r = shm_rows_fetch(WIRE_SHM_PARTITION(key), &s, &result);

	if (r)
		return r;
	if (result)
		return fail("key", key, key, result);
	for (size_t i = 0; i < s.n; i++) {
		if (s.rows[i].key != key)
			continue;
		*ret_shmid = s.rows[i].shmid;
		return 0;
	}
	return fail("key", key, key, STATUS_NOT_FOUND);
}

static int remove_one(const char *what, uint32_t number)
{
	struct wire_message request = {
		.type = WIRE_SHM_CONTROL, .shm_control = {.command = WIRE_SHM_REMOVE}};
	uint32_t shmid = number;
	struct cw_reply reply;
	int r = *what == 'k' ? find_key(number, &shmid) : 0;

	if (r)
		return r;
	request.shm_control.shmid = shmid;
	r = cw_call(&request, NULL, 0, &reply);
	return r ? fail(what, number, shmid, r) : 0;
}

int ipcrm_run(const struct invocation *in)
{
	bool ids = in->option[OPTION_SHMEM_ID], keys = in->option[OPTION_SHMEM_KEY];
	const char *what = keys ? "key" : "shmid";
	struct wire_shm_hello_reply hello;
	struct node node;
	uint32_t number;
	int r = 0;

	if (ids == keys)
		return cli_usage("either --shmem-id (-m) or --shmem-key (-M) is needed.");
	for (int i = 0; r == 0 && i < in->n_args; i++)
		r = shm_number_parse(what, in->args[i], &number);
	if (!r)
		r = clshm_find(false, &node, &hello);
	if (r)
		return r;
	for (int i = 0; i < in->n_args; i++) {
		shm_number_parse(what, in->args[i], &number);
		if (remove_one(what, number))
			r = EXIT_FAILED;
	}
	return r;
}
