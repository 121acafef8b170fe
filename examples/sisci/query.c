/* SPDX-License-Identifier: Apache-2.0 */
/* What the library, this node and its adapter say of themselves. */
#include "common.h"

#define WHAT "print what the library and the adapter say of themselves"

static void print_text(const char *what, unsigned int command)
{
	char text[128];
	sci_query_string_t q = {text, sizeof(text)};

	CALL(SCIQuery, command, &q, 0);
	printf("%-28s %s\n", what, text);
}

static void print_adapter(const char *what, unsigned int adapter, unsigned int subcommand)
{
	unsigned int value = 0;
	sci_query_adapter_t q = {adapter, 0, subcommand, &value};
	sci_error_t error;

	SCIQuery(SCI_Q_ADAPTER, &q, 0, &error);
	if (error == SCI_ERR_OK)
		printf("  %-26s %u\n", what, value);
	else
		printf("  %-26s %s\n", what, SCIGetErrorString(error));
}

int main(int argc, char **argv)
{
	options_t o = {.adapter = 0};
	unsigned int value, n = 0, node;
	sci_query_system_t q = {SCI_Q_SYSTEM_CPU_CACHE_LINE_SIZE, &value};
	sci_error_t error;

	read_options(argc, argv, WHAT, &o);
	print_text("API", SCI_Q_API);
	print_text("Driver", SCI_Q_SISCI_DRIVER_VERSION);
	print_text("Vendor", SCI_Q_VENDORID);
	CALL(SCIQuery, SCI_Q_SYSTEM, &q, 0);
	printf("%-28s %u\n", "Cache line", value);
	for (;; n++) {
		SCIGetLocalNodeId(n, &node, 0, &error);
		if (error != SCI_ERR_OK)
			break;
		printf("Adapter %u\n", n);
		print_adapter("node id", n, SCI_Q_ADAPTER_NODEID);
		print_adapter("links", n, SCI_Q_ADAPTER_NUMBER_OF_LINKS);
		print_adapter("link is operational", n, SCI_Q_ADAPTER_LINK_OPERATIONAL);
		print_adapter("multicast groups", n, SCI_Q_ADAPTER_MCAST_MAX_GROUPS);
		print_adapter("bytes of a DMA", n, SCI_Q_ADAPTER_DMA_MTU);
		print_adapter("alignment of a DMA", n, SCI_Q_ADAPTER_DMA_SIZE_ALIGNMENT);
	}
	SCITerminate();
	return n == 0;
}
