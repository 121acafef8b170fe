/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLES_RSM_MESSAGE_H
#define EXAMPLES_RSM_MESSAGE_H

/*
 * What the two message programs agree on. One message at a time is in the segment: the importer
 * writes the text and then counts `in` up, the exporter prints it and counts `out` up. They differ
 * exactly while a message is there. An empty one is the last.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <rsmapi.h>

#define MESSAGE_SEGMENT 0x600000
#define MESSAGE_SIZE	8192
#define MESSAGE_TEXT	256

struct message {
	volatile uint32_t in;  /* stored by the importer only */
	volatile uint32_t out; /* stored by the exporter only */
	volatile char text[MESSAGE_TEXT];
};

static void must(const char *what, int code)
{
	if (code == RSM_SUCCESS)
		return;
	fprintf(stderr, "%s: RSM error %d\n", what, code);
	exit(1);
}

#endif
