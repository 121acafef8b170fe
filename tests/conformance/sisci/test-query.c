/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes, adapters and queries: sisci.md §5.1, §5.9, §7, trap T24.
 */
#include "rig.h"

#include <string.h>
#include <unistd.h>

#define PAGE 4096u

/* T24; conventionally multiples of 4, from 4 on */
static void the_node_id_needs_no_descriptor(void)
{
	unsigned int node = 0, queried = 1;
	sci_query_adapter_t q = {0, 0, SCI_Q_ADAPTER_NODEID, &queried};

	NEED(SCIInitialize, 0);
	OK(SCIGetLocalNodeId, 0, &node, 0);
	OK(SCIQuery, SCI_Q_ADAPTER, &q, 0);
	CHECK_EQUAL(node, queried);
	CHECK(node >= 4 && node % 4 == 0 && node <= 248);
}

/* program K counts adapters so */
static void adapters_end_somewhere(void)
{
	unsigned int node;

	NEED(SCIInitialize, 0);
	CODE(SCI_ERR_NO_SUCH_ADAPTERNO, SCIGetLocalNodeId, 1, &node, 0);
	CODE(SCI_ERR_NO_SUCH_ADAPTERNO, SCIGetLocalNodeId, 127, &node, 0);
	CODE(SCI_ERR_ILLEGAL_ADAPTERNO, SCIGetLocalNodeId, 128, &node, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIGetLocalNodeId, 0, NULL, 0);
}

static void texts_fit_their_buffers(void)
{
	char text[64], tiny[4];
	sci_query_string_t q = {text, sizeof(text)}, small = {tiny, sizeof(tiny)}, none = {NULL, 9};
	unsigned int commands[] = {SCI_Q_API, SCI_Q_VENDORID, SCI_Q_SISCI_DRIVER_VERSION};

	NEED(SCIInitialize, 0);
	for (int i = 0; i < 3; i++) {
		OK(SCIQuery, commands[i], &q, 0);
		CHECK(strlen(text) > 3);
		OK(SCIQuery, commands[i], &small, 0);
		CHECK(strlen(tiny) == 3);
		CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIQuery, commands[i], &none, 0);
	}
}

static unsigned int adapter_says(unsigned int subcommand)
{
	unsigned int data = 0xdead;
	sci_query_adapter_t q = {0, 0, subcommand, &data};

	OK(SCIQuery, SCI_Q_ADAPTER, &q, 0);
	return data;
}

static void every_adapter_query_is_answered(void)
{
	NEED(SCIInitialize, 0);
	for (unsigned int c = SCI_Q_ADAPTER_SERIAL_NUMBER; c <= SCI_Q_ADAPTER_IO_BUS_FREQUENCY; c++)
		(void)adapter_says(c);
	CHECK_EQUAL(adapter_says(SCI_Q_ADAPTER_LINK_OPERATIONAL), 1);
	CHECK(adapter_says(SCI_Q_ADAPTER_MCAST_MAX_GROUPS) >= 6);
	CHECK_EQUAL(adapter_says(SCI_Q_ADAPTER_DMA_SIZE_ALIGNMENT), 1);
	CHECK_EQUAL(adapter_says(SCI_Q_ADAPTER_DMA_OFFSET_ALIGNMENT), 1);
}

/* program K gives it two bytes */
static void the_bdf_is_two_bytes(void)
{
	struct {
		unsigned short bdf, neighbour;
	} data = {7, 7};
	sci_query_adapter_t q = {0, 0, SCI_Q_ADAPTER_BDF, &data.bdf};

	NEED(SCIInitialize, 0);
	OK(SCIQuery, SCI_Q_ADAPTER, &q, 0);
	CHECK_EQUAL(data.neighbour, 7);
}

static void unknown_queries_are_illegal(void)
{
	unsigned int data;
	sci_query_adapter_t a = {0, 0, 0x7fffffff, &data},
			    far = {9, 0, SCI_Q_ADAPTER_NODEID, &data};
	sci_query_adapter_t nowhere = {0, 0, SCI_Q_ADAPTER_NODEID, NULL};
	sci_query_system_t s = {0x7fffffff, &data};
	sci_query_dma_t d = {0, 0x7fffffff, &data};

	NEED(SCIInitialize, 0);
	CODE(SCI_ERR_ILLEGAL_QUERY, SCIQuery, 0x12345678, &data, 0);
	CODE(SCI_ERR_ILLEGAL_QUERY, SCIQuery, SCI_Q_ADAPTER, &a, 0);
	CODE(SCI_ERR_NO_SUCH_ADAPTERNO, SCIQuery, SCI_Q_ADAPTER, &far, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIQuery, SCI_Q_ADAPTER, &nowhere, 0);
	CODE(SCI_ERR_ILLEGAL_QUERY, SCIQuery, SCI_Q_SYSTEM, &s, 0);
	CODE(SCI_ERR_ILLEGAL_QUERY, SCIQuery, SCI_Q_DMA, &d, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIQuery, SCI_Q_ADAPTER, NULL, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIQuery, SCI_Q_DEVICE, &a, 0);
}

static void system_and_dma_answer(void)
{
	unsigned int data = 0;
	sci_dma_capabilities_t caps;
	sci_query_system_t s = {SCI_Q_SYSTEM_CPU_CACHE_LINE_SIZE, &data};
	sci_query_dma_t d = {0, SCI_Q_DMA_AVAILABLE, &data}, c = {0, SCI_Q_DMA_CAPABILITIES, &caps};

	NEED(SCIInitialize, 0);
	OK(SCIQuery, SCI_Q_SYSTEM, &s, 0);
	CHECK(data >= 16 && (data & (data - 1)) == 0);
	OK(SCIQuery, SCI_Q_DMA, &d, SCI_FLAG_DMA_SYSDMA);
	CHECK_EQUAL(data, 1);
	memset(&caps, 0xff, sizeof(caps));
	OK(SCIQuery, SCI_Q_DMA, &c, SCI_FLAG_DMA_GLOBAL);
	CHECK_EQUAL(caps.max_vector_length, DIS_DMA_MAX_VECLEN);
	CHECK_EQUAL(caps.min_align_bytes, 1);
}

static void segments_and_maps_answer(void)
{
	sci_desc_t sd = rig_open();
	unsigned int id = rig_id();
	sci_local_segment_t l = rig_segment(sd, id, PAGE);
	sci_remote_segment_t r = rig_connect(sd, rig_node(), id);
	sci_query_local_segment_t ql = {.segment = l, .subcommand = SCI_Q_LOCAL_SEGMENT_PHYS_ADDR};
	sci_query_remote_segment_t qr = {.segment = r, .subcommand = SCI_Q_REMOTE_SEGMENT_IOADDR};
	sci_query_map_t qm = {.subcommand = SCI_Q_MAP_MAPPED_TO_LOCAL_TARGET};

	NEED_TRUE(SCIMapRemoteSegment(r, &qm.map, 0, PAGE, NULL, 0, &(sci_error_t){0}));
	OK(SCIQuery, SCI_Q_MAP, &qm, 0);
	CHECK_EQUAL(qm.data, 1);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIQuery, SCI_Q_LOCAL_SEGMENT, &ql, 0);
	CODE(SCI_ERR_NOT_SUPPORTED, SCIQuery, SCI_Q_REMOTE_SEGMENT, &qr, 0);
	qm.subcommand = SCI_Q_MAP_IOADDR;
	CODE(SCI_ERR_NOT_SUPPORTED, SCIQuery, SCI_Q_MAP, &qm, 0);
	ql.subcommand = qr.subcommand = qm.subcommand = 0;
	CODE(SCI_ERR_ILLEGAL_QUERY, SCIQuery, SCI_Q_LOCAL_SEGMENT, &ql, 0);
	CODE(SCI_ERR_ILLEGAL_QUERY, SCIQuery, SCI_Q_REMOTE_SEGMENT, &qr, 0);
	CODE(SCI_ERR_ILLEGAL_QUERY, SCIQuery, SCI_Q_MAP, &qm, 0);
	ql.segment = NULL;
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIQuery, SCI_Q_LOCAL_SEGMENT, &ql, 0);
}

static void nodes_can_be_probed(void)
{
	sci_desc_t sd = rig_open();
	sci_error_t error = RIG_POISON;

	CHECK(SCIProbeNode(sd, 0, rig_node(), 0, &error));
	CHECK_EQUAL(error, SCI_ERR_OK);
	CHECK(SCIProbeNode(sd, 0, SCI_LOCAL_HOST, 0, &error));
	CHECK(!SCIProbeNode(sd, 0, rig_node() + 800, 0, &error));
	CHECK_EQUAL(error, SCI_ERR_NO_SUCH_NODEID);
	CODE(SCI_ERR_ILLEGAL_NODEID, SCIProbeNode, sd, 0, 3, 0);
	CODE(SCI_ERR_NO_SUCH_ADAPTERNO, SCIProbeNode, sd, 2, rig_node(), 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIProbeNode, NULL, 0, rig_node(), 0);
}

static void hosts_have_node_ids(void)
{
	char own[256] = "", nobody[] = "no-such-host.invalid";
	dis_nodeId_list_t list;
	dis_adapter_type_t type;
	dis_virt_adapter_t kind;
	unsigned int adapter = 9;

	NEED(SCIInitialize, 0);
	gethostname(own, sizeof(own) - 1);
	OK(SCIGetNodeIdByAdapterName, own, &list, &kind, 0);
	CHECK_EQUAL(list[0], rig_node());
	CHECK_EQUAL(list[1], 0);
	OK(SCIGetNodeInfoByAdapterName, own, &adapter, &list, &type, 0);
	CHECK_EQUAL(adapter, 0);
	CHECK(strlen(SCIGetAdapterTypeString(type)) > 1);
	CHECK(strlen(SCIGetAdapterFamilyString(type)) > 1);
	CHECK(SCIGetAdapterTypeString((dis_adapter_type_t)77) != NULL);
	CODE(SCI_ERR_NO_SUCH_NODEID, SCIGetNodeIdByAdapterName, nobody, &list, &kind, 0);
	CHECK_EQUAL(list[0], 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIGetNodeIdByAdapterName, NULL, &list, NULL, 0);
	CODE(SCI_ERR_ILLEGAL_PARAMETER, SCIGetNodeInfoByAdapterName, own, NULL, NULL, NULL, 0);
}

static const rig_test_t tests[] = {
	TEST(the_node_id_needs_no_descriptor),
	TEST(adapters_end_somewhere),
	TEST(texts_fit_their_buffers),
	TEST(every_adapter_query_is_answered),
	TEST(the_bdf_is_two_bytes),
	TEST(unknown_queries_are_illegal),
	TEST(system_and_dma_answer),
	TEST(segments_and_maps_answer),
	TEST(nodes_can_be_probed),
	TEST(hosts_have_node_ids),
};

RIG_MAIN(tests)
