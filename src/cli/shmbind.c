/* SPDX-License-Identifier: Apache-2.0 */
/* causeway shmbind: System V segments bound to NUMA nodes from the shell */
#include <shmbind.h>

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include "base/error.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/shm-show.h"
#include "placement/nodeset.h"

static const struct {
	const char *name;
	int flag;
} words[] = {
	{"firstref", MEM_FIRSTREF},
	{"stripe", MEM_STRIPE},
	{"mostfree", MEM_MOSTFREE},
	{"hard", MEM_HARDBIND},
	{"soft", MEM_SOFTBIND},
};

static int word_flag(const char *word, size_t length)
{
	for (size_t i = 0; i < ELEMENTS(words); i++)
		if (strlen(words[i].name) == length && !strncmp(words[i].name, word, length))
			return words[i].flag;
	return 0;
}

/* "stripe,hard" */
static int parse_policy(const char *text, int *ret_policy)
{
	int policy = 0, flag;
	size_t n;

	for (; *text; text += n + (text[n] == ',')) {
		n = strcspn(text, ",");
		flag = word_flag(text, n);
		if (!flag)
			return cli_usage("there is no policy '%.*s': firstref, stripe or mostfree; "
					 "hard or soft.",
				(int)n, text);
		policy |= flag;
	}
	*ret_policy = policy;
	return 0;
}

/* As ipcs(1) shows them: ids in decimal, keys after 0x. */
static int parse_segment(const char *text, int *ret_shmid)
{
	uint32_t number;
	int shmid;

	if (parse_u32(text, &number) < 0)
		return cli_usage("'%s' is neither the id of a segment nor, after 0x, a key.", text);
	shmid = (int)number;
	if (!strncmp(text, "0x", 2))
		shmid = shmget((key_t)number, 0, 0);
	if (shmid < 0)
		return cli_fail("there is no segment with the key %s: %s", text, strerror(errno));
	*ret_shmid = shmid;
	return 0;
}

/* shmbind() says EINVAL for many reasons; the first one that applies. */
static const char *reason(int shmid, int error)
{
	struct shmid_ds d;

	switch (error) {
	case EPERM:
		return "you may not read and write it";
	case ENOMEM:
		return "its nodes do not have the memory for it";
	case ENOSYS:
		return "this kernel knows no nodes";
	case EINVAL:
		break;
	default:
		return strerror(error);
	}
	if (shmctl(shmid, IPC_STAT, &d) < 0)
		return "there is no such segment";
	if (d.shm_nattch > 0)
		return "it is attached";
	return "it has pages already, or a node is not there, has no memory or is not allowed to "
	       "you, or the policy contradicts itself";
}

static int bind_segment(const struct invocation *in, int shmid)
{
	const char *policy_text = in->option[OPTION_POLICY],
		   *nodes_text = in->option[OPTION_NODE_SET];
	struct nodeset nodes;
	int policy = 0, r;

	if (!nodes_text)
		return cli_usage("which --nodes? Or --show?");
	if (nodeset_parse(nodes_text, &nodes) < 0 || nodeset_empty(&nodes))
		return cli_usage("'%s' is no list of nodes such as 0-2,5.", nodes_text);
	r = policy_text ? parse_policy(policy_text, &policy) : 0;
	if (r)
		return r;
	if (in->option[OPTION_COMMIT])
		policy |= MEM_COMMIT;
	if (shmbind(shmid, policy, nodes.bits, NODES_MAX) < 0)
		return cli_fail("segment %d cannot be bound: %s", shmid, reason(shmid, errno));
	return 0;
}

int shmbind_run(const struct invocation *in)
{
	bool show = in->option[OPTION_SHOW_PAGES];
	int shmid = -1, r;

	r = parse_segment(in->args[0], &shmid);
	if (r)
		return r;
	if (!show || in->option[OPTION_NODE_SET]) {
		r = bind_segment(in, shmid);
		if (r)
			return r;
	}
	return show ? shm_show(shmid, in) : EXIT_OK;
}
