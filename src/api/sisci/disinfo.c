/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disinfo and dis_config, as scripts for the vendor's installation call them: the ids of nodes. One
 * program, which looks at its name; `causeway install-sisci` puts it where scripts expect it.
 */
#include <stdio.h>
#include <string.h>
#include <sisci_api.h>

static int usage(const char *name)
{
	fprintf(stderr,
		"usage: disinfo get-nodeid [-hostname NAME]\n"
		"       dis_config -gn\n"
		"%s knows nothing else of what the vendor's does.\n",
		name);
	return 2;
}

static sci_error_t find(const char *host, unsigned int *ret_node)
{
	dis_nodeId_list_t nodes;
	dis_virt_adapter_t type;
	char name[256];
	sci_error_t e;

	if (!host) {
		SCIGetLocalNodeId(0, ret_node, 0, &e);
		return e;
	}
	snprintf(name, sizeof(name), "%s", host);
	SCIGetNodeIdByAdapterName(name, &nodes, &type, 0, &e);
	if (e == SCI_ERR_OK)
		*ret_node = nodes[0];
	return e;
}

static int print_node(const char *name, const char *host)
{
	unsigned int node = 0;
	sci_error_t e;

	SCIInitialize(0, &e);
	if (e == SCI_ERR_OK)
		e = find(host, &node);
	if (e != SCI_ERR_OK) {
		fprintf(stderr, "%s: %s: %s\n", name, host ? host : "this node",
			SCIGetErrorString(e));
		return 1;
	}
	printf("%u\n", node);
	SCITerminate();
	return 0;
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];

	if (!strcmp(name, "dis_config"))
		return argc == 2 && !strcmp(argv[1], "-gn") ? print_node(name, NULL) : usage(name);
	if (argc < 2 || strcmp(argv[1], "get-nodeid"))
		return usage(name);
	if (argc == 2)
		return print_node(name, NULL);
	return argc == 4 && !strcmp(argv[2], "-hostname") ? print_node(name, argv[3]) : usage(name);
}
