/* SPDX-License-Identifier: Apache-2.0 */
#include "api/rsm/segmentid.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "api/rsm/codes.h"
#include "base/cleanup.h"
#include "base/error.h"

#define SEGMENTID_FILE "/etc/rsm/rsm.segmentid"
#define BLANKS	       " \t\r\n\v\f"
#define FIELDS	       4

struct entry {
	const char *appid;
	uint32_t base, length;
};

enum line {
	LINE_ENTRY,
	LINE_NOTHING,
	LINE_MALFORMED,
};

/* The whole word, without sign; strtol's silent 0 for what is no number is what we do not want. */
static bool parse_number(const char *s, int radix, uint32_t *ret)
{
	unsigned long long v;
	char *end;

	if (!isxdigit((unsigned char)*s))
		return false;
	errno = 0;
	v = strtoull(s, &end, radix);
	if (errno || *end || v > UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static unsigned int split(char *line, char *fields[FIELDS])
{
	unsigned int n = 0;
	char *rest = NULL;

	for (char *f = strtok_r(line, BLANKS, &rest); f && n < FIELDS;
		f = strtok_r(NULL, BLANKS, &rest))
		fields[n++] = f;
	return n;
}

/* The guide's spelling and the manual's. */
static bool is_keyword(const char *s)
{
	return !strcasecmp(s, "reserve") || !strcasecmp(s, "reserved");
}

/*
 * Blank lines and comments are nothing, also with blanks before the #. So is a stray word or two;
 * but a line of our keyword must be whole, and a whole line must have our keyword.
 */
static enum line parse_line(char *line, struct entry *ret_entry)
{
	char *fields[FIELDS];
	unsigned int n = split(line, fields);
	uint32_t base, length;

	if (!n || fields[0][0] == '#')
		return LINE_NOTHING;
	if (n < FIELDS)
		return is_keyword(fields[0]) ? LINE_MALFORMED : LINE_NOTHING;
	if (!is_keyword(fields[0]) || !parse_number(fields[2], 16, &base) ||
		!parse_number(fields[3], 10, &length) ||
		!range_within(base, length, (uint64_t)UINT32_MAX + 1))
		return LINE_MALFORMED;
	*ret_entry = (struct entry){fields[1], base, length};
	return LINE_ENTRY;
}

int segmentid_search(FILE *file, const char *appid, rsm_memseg_id_t *ret_base, uint32_t *ret_length)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, file) >= 0) {
		struct entry entry;
		enum line what = parse_line(line, &entry);

		if (what == LINE_MALFORMED)
			return RSMERR_BAD_CONF;
		if (what == LINE_NOTHING || strcasecmp(entry.appid, appid))
			continue;
		*ret_base = entry.base;
		*ret_length = entry.length;
		return RSM_SUCCESS;
	}
	return feof(file) && !ferror(file) ? RSMERR_BAD_APPID : RSMERR_BAD_CONF;
}

RSM_API int rsm_get_segmentid_range(const char *appid, rsm_memseg_id_t *baseid, uint32_t *length)
{
	const char *path = secure_getenv("RSM_SEGMENTID_FILE");
	FILE *file;
	int code;

	if (!appid || !baseid || !length)
		return RSMERR_BAD_ADDR;
	file = fopen(path ? path : SEGMENTID_FILE, "re");
	if (!file)
		return RSMERR_BAD_CONF;
	code = segmentid_search(file, appid, baseid, length);
	fclose(file);
	return code;
}
