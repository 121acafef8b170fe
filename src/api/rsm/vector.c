/* SPDX-License-Identifier: Apache-2.0 */
/*
 * putv and getv. Entries are done in their order, each like a put or get of its own, up to the
 * first that fails; what is left is the residual count. Every entry is checked before its bytes
 * move, those behind it have not been looked at then. To another node all that are in order up to
 * the first that is not go together, and are waited for once.
 */
#include <stdint.h>
#include "api/rsm/codes.h"
#include "api/rsm/localmemory.h"
#include "api/rsm/transfer.h"
#include "base/cleanup.h"
#include "client/signal.h"

DEFINE_CLEANUP(struct cw_import *, cw_import_put);

/* Where an entry's local bytes are. */
static inline int local_address(const rsm_iovec_t *v, void **ret_address)
{
	uintptr_t address;

	if (v->io_type == RSM_HANDLE_TYPE)
		return localmemory_range(
			v->local.handle, v->local_offset, v->transfer_length, ret_address);
	if (v->io_type != RSM_VA_TYPE)
		return RSMERR_BAD_SGIO;
	if (!v->local.vaddr)
		return RSMERR_BAD_ADDR;
	if (__builtin_add_overflow((uintptr_t)v->local.vaddr, v->local_offset, &address))
		return RSMERR_BAD_OFFSET;
	*ret_address = (void *)address;
	return RSM_SUCCESS;
}

TRANSFER_INLINE int entry(cw_handle remote, const rsm_iovec_t *v, enum direction d)
{
	struct cw_import *import;
	void *local;
	int r;

	r = local_address(v, &local);
	if (unlikely(r))
		return r;
	/* by entry and not by vector: the local handle is entered, too */
	import = cw_enter(remote, CW_IMPORT_SEGMENT);
	if (unlikely(!import))
		return RSMERR_BAD_SEG_HNDL;
	r = transfer_entered(import, v->remote_offset, local, v->transfer_length, 0, d, false);
	cw_leave();
	return r;
}

static int post(cw_handle remote, uint_t flags)
{
	return rsm_code(cw_signal_post(remote, !(flags & RSM_SIGPOST_NO_ACCUMULATE)), ABOUT_IMPORT);
}

/* The entry as a piece of an operation, if there is nothing wrong with it. */
static int piece(struct cw_import *import, const rsm_iovec_t *v, enum direction d,
	struct fabric_piece *ret_piece)
{
	void *local;
	int r;

	r = local_address(v, &local);
	if (!r)
		r = transfer_check(import, v->remote_offset, v->transfer_length, 0, d);
	if (!r)
		*ret_piece = (struct fabric_piece){
			.off = v->remote_offset, .local = local, .n = v->transfer_length};
	return r;
}

/* The whole vector for another node; the residual count is set. */
static int entries_remote(cw_handle remote, rsm_scat_gath_t *sg, enum direction d)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(remote);
	struct fabric_piece pieces[RSM_MAX_SGIOREQS];
	ulong_t n = sg->io_residual_count;
	bool explicit_mode;
	size_t n_good = 0, done = 0;
	int wrong = RSM_SUCCESS, r;

	if (!import)
		return RSMERR_BAD_SEG_HNDL;
	explicit_mode = barrier_mode_is_explicit(import);
	for (; n_good < n; n_good++) {
		wrong = piece(import, &sg->iovec[n_good], d, &pieces[n_good]);
		if (wrong)
			break;
	}
	if (d == PUT)
		r = cw_remote_putv(import, pieces, n_good, explicit_mode, &done);
	else
		r = cw_remote_getv(import, pieces, n_good, &done);
	r = rsm_code_transfer(r, explicit_mode);
	/* what failed in explicit mode is told by close_barrier */
	sg->io_residual_count = n - (r ? done : n_good);
	return r ? r : wrong;
}

TRANSFER_INLINE int vector(rsm_scat_gath_t *sg, enum direction d)
{
	cw_handle remote;
	const rsm_iovec_t *v;
	ulong_t n;

	if (!sg)
		return RSMERR_BAD_SGIO;
	n = sg->io_residual_count = sg->io_request_count;
	remote = (cw_handle)sg->remote_handle;
	v = sg->iovec;
	if (!cw_handle_peek(remote, CW_IMPORT_SEGMENT))
		return RSMERR_BAD_SEG_HNDL;
	if (!n || n > RSM_MAX_SGIOREQS || !v)
		return RSMERR_BAD_SGIO;
	for (; n; n--, v++) {
		int r = entry(remote, v, d);

		if (unlikely(r == TRANSFER_REMOTE)) {
			/* the first one, so all of them */
			r = entries_remote(remote, sg, d);
			if (r)
				return r;
			break;
		}
		if (unlikely(r)) {
			sg->io_residual_count = n;
			return r;
		}
	}
	sg->io_residual_count = 0;
	return sg->flags & RSM_IMPLICIT_SIGPOST ? post(remote, sg->flags) : RSM_SUCCESS;
}

RSM_API int rsm_memseg_import_putv(rsm_scat_gath_t *sg_io)
{
	return vector(sg_io, PUT);
}

RSM_API int rsm_memseg_import_getv(rsm_scat_gath_t *sg_io)
{
	return vector(sg_io, GET);
}
