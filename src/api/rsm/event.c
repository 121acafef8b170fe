/* SPDX-License-Identifier: Apache-2.0 */
/* Signals between exporter and importers, and waiting for them with poll(2) or beside other files.
 */
#include <stdint.h>
#include "api/rsm/codes.h"
#include "base/clock.h"
#include "client/pollfd.h"
#include "client/signal.h"
#include "wire/status.h"

static enum rsm_about about(void *memseg)
{
	return cw_handle_kind((cw_handle)memseg) == CW_EXPORT_SEGMENT ? ABOUT_EXPORT : ABOUT_IMPORT;
}

RSM_API int rsm_intr_signal_post(void *memseg, uint_t flags)
{
	return rsm_code(cw_signal_post((cw_handle)memseg, !(flags & RSM_SIGPOST_NO_ACCUMULATE)),
		about(memseg));
}

static uint64_t nanoseconds(int timeout)
{
	return timeout < 0 ? UINT64_MAX : (uint64_t)timeout * NSEC_PER_MSEC;
}

RSM_API int rsm_intr_signal_wait(void *memseg, int timeout)
{
	int r = cw_signal_wait((cw_handle)memseg, nanoseconds(timeout));

	return r == STATUS_TIMED_OUT ? RSMERR_TIMEOUT : rsm_code(r, about(memseg));
}

RSM_API int rsm_memseg_get_pollfd(void *memseg, struct pollfd *fd)
{
	uint32_t kind = cw_handle_kind((cw_handle)memseg);
	int number, r;

	if (!memseg || (kind != CW_EXPORT_SEGMENT && kind != CW_IMPORT_SEGMENT))
		return RSMERR_BAD_SEG_HNDL;
	if (!fd)
		return RSMERR_BAD_ADDR;
	r = cw_pollfd_get((cw_handle)memseg, &number);
	if (r)
		return rsm_code(r, about(memseg));
	fd->fd = number;
	fd->events = POLLRDNORM;
	return RSM_SUCCESS;
}

RSM_API int rsm_memseg_release_pollfd(void *memseg)
{
	return rsm_code(cw_pollfd_release((cw_handle)memseg), about(memseg));
}

RSM_API int rsm_intr_signal_wait_pollfd(struct pollfd fds[], nfds_t nfds, int timeout, int *numfdsp)
{
	int ready, r;

	if (numfdsp)
		*numfdsp = 0;
	if (!fds && nfds)
		return RSMERR_BAD_ADDR;
	r = cw_pollfd_wait(fds, nfds, nanoseconds(timeout), &ready);
	if (!r && numfdsp)
		*numfdsp = ready;
	return rsm_code_wait_pollfd(r);
}
