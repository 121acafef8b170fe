/* SPDX-License-Identifier: Apache-2.0 */
/* The file of reserved segment ids: the first line of the input is the application, the rest the
 * file. A range that comes out is one, and nothing comes out of a failure. */
#include "fuzz.h"

#include <string.h>
#include "api/rsm/segmentid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
	size_t n = newline ? (size_t)(newline - data) : size;
	rsm_memseg_id_t base = 7;
	uint32_t length = 7;
	char name[256];
	FILE *file;
	int code;

	if (!newline || n >= sizeof(name) || n + 1 == size)
		return 0;
	memcpy(name, data, n);
	name[n] = '\0';
	file = fmemopen((void *)(newline + 1), size - n - 1, "r");
	MUST(file);
	code = segmentid_search(file, name, &base, &length);
	fclose(file);
	MUST(code == RSM_SUCCESS || code == RSMERR_BAD_APPID || code == RSMERR_BAD_CONF);
	MUST(code == RSM_SUCCESS || (base == 7 && length == 7));
	return 0;
}
