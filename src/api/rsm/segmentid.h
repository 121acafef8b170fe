/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_RSM_SEGMENTID_H
#define API_RSM_SEGMENTID_H

/*
 * The file of segment ids that applications have reserved. A line is "reserve" or "reserved", the
 * application's name, the first id in hexadecimal and their number in decimal; what follows is left
 * alone. Plain functions of their arguments.
 */

#include <stdio.h>
#include <rsmapi.h>

/* The range of the first line that names appid, from the open file. An RSMERR_ code:
 * RSMERR_BAD_APPID if no line does, RSMERR_BAD_CONF if a line before it is malformed. */
int segmentid_search(
	FILE *file, const char *appid, rsm_memseg_id_t *ret_base, uint32_t *ret_length);

#endif
