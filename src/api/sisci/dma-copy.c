/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "api/sisci/codes.h"
#include "api/sisci/dma.h"
#include "base/cleanup.h"
#include "client/remote.h"
#include "wire/status.h"

/* What a DMA does: memcpy(3) on one node; between nodes puts and gets, of which two are under way.
 */

#define CHUNK	    (4u << 20) /* bytes after which an abort is looked for */
#define LOCAL_CHUNK (1u << 20)

static bool is_between_nodes(const struct dma_piece *p)
{
	return p->remote->peek && p->remote->peek->remote;
}

static sci_error_t copy_chunk(const struct dma_piece *p, uint64_t at, uint64_t n)
{
	if (p->read)
		return remote_segment_read(p->remote, p->remote_offset + at, p->address + at, n);
	return remote_segment_write(p->remote, p->remote_offset + at, p->address + at, n);
}

static sci_error_t copy_here(const struct dma_piece *p, const _Atomic bool *abort)
{
	sci_error_t e = SCI_ERR_OK;

	for (uint64_t at = 0; at < p->size && !e; at += LOCAL_CHUNK) {
		if (atomic_load(abort))
			return SCI_ERR_CANCELLED;
		e = copy_chunk(p, at, MIN(LOCAL_CHUNK, p->size - at));
	}
	return e;
}

/* A long piece: the next part is begun before the last one is done. */
static sci_error_t copy_parts(const struct dma_piece *p, const _Atomic bool *abort)
{
	struct cw_import *import = p->remote->peek;
	cw_handle under_way[2] = {0, 0};
	unsigned int turn = 0;
	uint64_t at = 0;
	int r = 0, ended;

	while (r == 0 && at < p->size && !atomic_load(abort)) {
		uint64_t n = MIN(CHUNK, p->size - at);

		if (under_way[turn])
			r = cw_remote_finish(under_way[turn], UINT64_MAX);
		under_way[turn] = 0;
		if (r == 0)
			r = cw_remote_start(import, !p->read, p->remote_offset + at,
				p->address + at, n, &under_way[turn]);
		at += n;
		turn ^= 1;
	}
	for (unsigned int i = 0; i < 2; i++, turn ^= 1) {
		ended = under_way[turn] ? cw_remote_finish(under_way[turn], UINT64_MAX) : 0;
		r = r ? r : ended;
	}
	if (r == 0 && at < p->size)
		return SCI_ERR_CANCELLED;
	return code_of(CODE_TRANSFER, r);
}

/* Pieces that go the same way to the same segment. */
static uint32_t count_alike(const struct dma_piece *pieces, uint32_t n)
{
	uint32_t i = 1;

	while (i < n && pieces[i].remote == pieces[0].remote && pieces[i].read == pieces[0].read &&
		pieces[i].size <= CHUNK)
		i++;
	return i;
}

static sci_error_t copy_vector(const struct dma_piece *pieces, uint32_t n)
{
	_cleanup_free_ struct fabric_piece *vector = calloc(n, sizeof(*vector));
	struct cw_import *import = pieces[0].remote->peek;
	size_t done;
	int r;

	if (!vector)
		return SCI_ERR_NOSPC;
	for (uint32_t i = 0; i < n; i++)
		vector[i] = (struct fabric_piece){
			pieces[i].remote_offset, pieces[i].address, pieces[i].size};
	r = pieces[0].read ? cw_remote_getv(import, vector, n, &done)
			   : cw_remote_putv(import, vector, n, false, &done);
	return code_of(CODE_TRANSFER, r);
}

sci_error_t dma_carry_out(const struct dma_piece *pieces, uint32_t n, const _Atomic bool *abort)
{
	sci_error_t e = SCI_ERR_OK;
	uint32_t taken;

	for (uint32_t i = 0; i < n && !e; i += taken) {
		const struct dma_piece *p = &pieces[i];

		taken = 1;
		if (atomic_load(abort))
			return SCI_ERR_CANCELLED;
		e = remote_segment_ready(p->remote) ? SCI_ERR_TRANSFER_FAILED : SCI_ERR_OK;
		if (e || p->size == 0)
			continue;
		if (!is_between_nodes(p))
			e = copy_here(p, abort);
		else if (p->size > CHUNK)
			e = copy_parts(p, abort);
		else if ((taken = count_alike(p, n - i)) == 1)
			e = copy_chunk(p, 0, p->size);
		else
			e = copy_vector(p, taken);
	}
	return e;
}
