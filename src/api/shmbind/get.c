/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shmbind_get(): what the kernel has for a segment, whoever bound it, said in our flags.
 */
#include <shmbind.h>

#include "api/shmbind/codes.h"
#include "api/shmbind/segment.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/usercopy.h"
#include "placement/apply.h"
#include "placement/mask.h"

static int flags_of(const struct placement *p)
{
	static const int orders[] = {[PLACE_FIRSTREF] = MEM_FIRSTREF,
		[PLACE_STRIPE] = MEM_STRIPE,
		[PLACE_MOSTFREE] = MEM_MOSTFREE};

	return orders[p->order] | (p->hard ? MEM_HARDBIND : MEM_SOFTBIND);
}

/* As fine as a plan's finest ranges. Huge pages have no policy that would outlive a map: none. */
static int find(const struct sysv_segment *s, struct placement *ret_placement)
{
	_cleanup_(attachment_deinit) struct attachment a = {0};
	int r;

	r = attachment_make(s, false, &a);
	if (r < 0)
		return r;
	r = placement_find(a.address, a.n_pages, PLAN_STRIPES_MAX, ret_placement);
	return r == PLACEMENT_NONE ? -ENODATA : r == PLACEMENT_MIXED ? -ENOTSUP : r;
}

static int get(int shmid, int *policy, unsigned long *mask, int length)
{
	struct placement placement;
	struct sysv_segment s;
	int flags, r;

	if (length <= 0)
		return -EINVAL;
	r = segment_find(shmid, &s);
	if (r == 0)
		r = segment_check_rights(&s, SEGMENT_READ);
	if (r == 0)
		r = find(&s, &placement);
	if (r == 0)
		r = mask_write(mask, length, &placement.nodes);
	if (r < 0)
		return r;
	flags = flags_of(&placement);
	return user_write(policy, &flags, sizeof(flags));
}

SHMBIND_API int shmbind_get(int shmid, int *policy, unsigned long *mask_ptr, int mask_len)
{
	return shmbind_code(get(shmid, policy, mask_ptr, mask_len));
}
