/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes answer: `probe -rn 8` asks one, `probe` all that can have an id. */
#include "common.h"

#define WHAT "say which nodes answer"
#define LAST 248

static int probe(const options_t *o, sci_desc_t sd, unsigned int node, int say_no)
{
	sci_error_t error;
	int there = SCIProbeNode(sd, o->adapter, node, 0, &error);

	if (there)
		printf("Node %u answers%s\n", node, node == o->local_node ? " (this node)" : "");
	else if (say_no || error != SCI_ERR_NO_SUCH_NODEID)
		printf("Node %u does not answer: %s\n", node, SCIGetErrorString(error));
	return there;
}

int main(int argc, char **argv)
{
	options_t o = {.adapter = 0};
	int one = 0, n = 0;
	sci_desc_t sd;

	for (int i = 1; i < argc; i++)
		one |= !strcmp(argv[i], "-rn") || !strcmp(argv[i], "-r");
	read_options(argc, argv, WHAT, &o);
	CALL(SCIOpen, &sd, 0);
	if (one)
		n = probe(&o, sd, o.remote_node, 1);
	else
		for (unsigned int node = 4; node <= LAST; node += 4)
			n += probe(&o, sd, node, 0);
	CALL(SCIClose, sd, 0);
	SCITerminate();
	return n == 0;
}
