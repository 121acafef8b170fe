/* SPDX-License-Identifier: Apache-2.0 */
/* Atomic operations on a segment: here by the processor, at another node by its daemon's. */
#include "base/cleanup.h"
#include "client/import.h"
#include "client/remote.h"

DEFINE_CLEANUP(struct cw_import *, cw_import_put);

static int check(const struct cw_import *import, uint64_t offset, unsigned int width)
{
	if (width != 4 && width != 8)
		return STATUS_BAD_SIZE;
	if ((import->rights & (WIRE_READ | WIRE_WRITE)) != (WIRE_READ | WIRE_WRITE))
		return STATUS_DENIED;
	if (import->foreign_endian)
		return STATUS_NOT_SUPPORTED;
	return offset % width ? STATUS_BAD_OFFSET : cw_import_range(import, offset, width);
}

static uint64_t add(uint8_t *at, unsigned int width, uint64_t value)
{
	return width == 4 ? __atomic_fetch_add(
				    (uint32_t *)(void *)at, (uint32_t)value, __ATOMIC_SEQ_CST)
			  : __atomic_fetch_add((uint64_t *)(void *)at, value, __ATOMIC_SEQ_CST);
}

static uint64_t swap(uint8_t *at, unsigned int width, uint64_t expected, uint64_t value)
{
	uint32_t e = (uint32_t)expected;

	if (width == 4) {
		__atomic_compare_exchange_n((uint32_t *)(void *)at, &e, (uint32_t)value, false,
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		return e;
	}
	__atomic_compare_exchange_n((uint64_t *)(void *)at, &expected, value, false,
		__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return expected;
}

int cw_import_fetch_add(
	cw_handle handle, uint64_t offset, unsigned int width, uint64_t value, uint64_t *ret_old)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(handle);
	uint64_t old;
	uint8_t *base;
	int r = import ? check(import, offset, width) : STATUS_BAD_HANDLE;

	if (r)
		return r;
	if (import->remote)
		return remote_fetch_add(import, offset, width, value, ret_old);
	r = cw_import_base(import, &base);
	if (r)
		return r;
	old = add(base + offset, width, value);
	r = cw_import_ready(import);
	if (!r)
		*ret_old = old;
	return r;
}

int cw_import_compare_swap(cw_handle handle, uint64_t offset, unsigned int width, uint64_t expected,
	uint64_t value, uint64_t *ret_old)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref(handle);
	uint64_t old;
	uint8_t *base;
	int r = import ? check(import, offset, width) : STATUS_BAD_HANDLE;

	if (r)
		return r;
	if (import->remote)
		return remote_compare_swap(import, offset, width, expected, value, ret_old);
	r = cw_import_base(import, &base);
	if (r)
		return r;
	old = swap(base + offset, width, expected, value);
	r = cw_import_ready(import);
	if (!r)
		*ret_old = old;
	return r;
}
