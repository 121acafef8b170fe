/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "api/sisci/codes.h"
#include "api/sisci/group.h"
#include "api/sisci/segment.h"
#include "client/remote.h"
#include "wire/status.h"

/* Bytes to and from remote segments, over whatever leads there. */

sci_error_t remote_segment_ready(struct remote_segment *s)
{
	if (atomic_load(&s->state) != REMOTE_CONNECTED)
		return SCI_ERR_SEGMENT_NOT_CONNECTED;
	if (s->group)
		return group_is_over(s->group) ? SCI_ERR_NOT_CONNECTED : SCI_ERR_OK;
	return cw_import_ready(s->peek) ? SCI_ERR_NOT_CONNECTED : SCI_ERR_OK;
}

sci_error_t remote_segment_range(const struct remote_segment *s, uint64_t offset, uint64_t size)
{
	return range_within(offset, size, s->size) ? SCI_ERR_OK : SCI_ERR_OUT_OF_RANGE;
}

/* The import, entered, for a transfer between nodes. */
static struct cw_import *enter(const struct remote_segment *s)
{
	return cw_enter(s->import, CW_IMPORT_SEGMENT);
}

static int write_one(struct remote_segment *s, uint64_t offset, const void *from, uint64_t size)
{
	struct cw_import *import;
	uint8_t *base;
	int r;

	if (s->peek->remote) {
		import = enter(s);
		return import ? cw_remote_put(import, offset, from, size, 0, false)
			      : STATUS_REVOKED;
	}
	r = cw_import_base(s->peek, &base);
	if (r)
		return r;
	memmove(base + offset, from, size);
	return cw_import_ready(s->peek);
}

static int read_one(struct remote_segment *s, uint64_t offset, void *to, uint64_t size)
{
	struct cw_import *import;
	uint8_t *base;
	int r;

	if (s->peek->remote) {
		import = enter(s);
		return import ? cw_remote_get(import, offset, to, size, 0) : STATUS_REVOKED;
	}
	r = cw_import_base(s->peek, &base);
	if (r)
		return r;
	memmove(to, base + offset, size);
	return cw_import_ready(s->peek);
}

sci_error_t remote_segment_write(
	struct remote_segment *s, uint64_t offset, const void *from, uint64_t size)
{
	if (s->group)
		return group_write(s->group, offset, from, size);
	return code_of(CODE_TRANSFER, size ? write_one(s, offset, from, size) : 0);
}

sci_error_t remote_segment_read(struct remote_segment *s, uint64_t offset, void *to, uint64_t size)
{
	if (s->group)
		return group_read(s->group, offset, to, size);
	return code_of(CODE_TRANSFER, size ? read_one(s, offset, to, size) : 0);
}
