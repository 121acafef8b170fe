/* SPDX-License-Identifier: Apache-2.0 */
/* Signals between exporter and importers. */
#include <stdint.h>
#include "api/rsm/codes.h"
#include "base/clock.h"
#include "client/signal.h"
#include "wire/status.h"

static enum rsm_about about(void *memseg)
{
	return cw_handle_kind((cw_handle)memseg) == CW_EXPORT_SEGMENT ? ABOUT_EXPORT : ABOUT_IMPORT;
}

RSM_API int rsm_intr_signal_post(void *memseg, uint_t flags)
{
	return rsm_code(
		cw_signal_post((cw_handle)memseg, !(flags & RSM_SIGPOST_NO_ACCUMULATE)), about(memseg));
}

RSM_API int rsm_intr_signal_wait(void *memseg, int timeout)
{
	int r = cw_signal_wait(
		(cw_handle)memseg, timeout < 0 ? UINT64_MAX : (uint64_t)timeout * NSEC_PER_MSEC);

	return r == STATUS_TIMED_OUT ? RSMERR_TIMEOUT : rsm_code(r, about(memseg));
}
