/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

void rig_code(const char *file, int line, const char *what, sci_error_t got, sci_error_t code)
{
	char text[512];

	if (got == code)
		return;
	snprintf(text, sizeof(text), "%.300s: is %#x (%s), should be %#x", what, (unsigned int)got,
		SCIGetErrorString(got), (unsigned int)code);
	rig_failed(file, line, text);
}

unsigned int rig_id(void)
{
	static atomic_uint n_used;

	/* 256 numbers for each process id */
	return 0x600000 + (((uint32_t)getpid() * 256 + n_used++ % 256) & 0x3FFFFFFF);
}

sci_desc_t rig_open(void)
{
	sci_desc_t sd = NULL;

	NEED(SCIInitialize, 0);
	NEED(SCIOpen, &sd, 0);
	return sd;
}

unsigned int rig_node(void)
{
	unsigned int node = 0;

	NEED(SCIGetLocalNodeId, 0, &node, 0);
	return node;
}

sci_local_segment_t rig_segment(sci_desc_t sd, unsigned int id, size_t size)
{
	sci_local_segment_t segment = NULL;

	NEED(SCICreateSegment, sd, &segment, id, size, NULL, NULL, 0);
	NEED(SCIPrepareSegment, segment, 0, 0);
	NEED(SCISetSegmentAvailable, segment, 0, 0);
	return segment;
}

sci_remote_segment_t rig_connect(sci_desc_t sd, unsigned int node, unsigned int id)
{
	sci_remote_segment_t segment = NULL;

	NEED(SCIConnectSegment, sd, &segment, node, id, 0, NULL, NULL, SCI_INFINITE_TIMEOUT, 0);
	return segment;
}
