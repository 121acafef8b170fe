/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/copy.h"

#include <string.h>
#include "api/sisci/call.h"
#include "api/sisci/map.h"
#include "api/sisci/sequence.h"
#include "api/sisci/work.h"

/*
 * Data moved by the processor. Where a map is this node's memory that is memcpy(3); into and out of
 * another node's it goes straight to that node's daemon, past the pages of the map, which the
 * daemons keep coherent with it.
 */

/* Stores that are still in the processor's buffers leave it. */
static inline void drain_stores(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_sfence();
#else
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

static bool goes_by_memory(const struct map *m)
{
	return m->local || (m->remote->peek && !m->remote->peek->remote);
}

/* A remote segment that is over takes what is stored and keeps it to itself. */
static sci_error_t arrived(const struct map *m)
{
	if (m->local || remote_segment_ready(m->remote) == SCI_ERR_OK)
		return SCI_ERR_OK;
	return SCI_ERR_TRANSFER_FAILED;
}

sci_error_t map_write(struct map *m, uint64_t offset, const void *from, uint64_t size)
{
	if (goes_by_memory(m)) {
		memcpy(m->address + offset, from, size);
		return arrived(m);
	}
	return remote_segment_write(m->remote, m->offset + offset, from, size);
}

sci_error_t map_read(struct map *m, uint64_t offset, void *to, uint64_t size)
{
	if (goes_by_memory(m)) {
		memcpy(to, m->address + offset, size);
		return arrived(m);
	}
	return remote_segment_read(m->remote, m->offset + offset, to, size);
}

static struct map *map_get(sci_map_t map)
{
	return object_get(map, SISCI_MAP);
}

/* The map is held as data calls hold theirs (client/handle.h): two stores instead of two atomic
 * additions. False: it is none for this, or something is wrong with the range. */
static bool copy_quickly(void *memory, sci_map_t map, uint64_t offset, uint64_t size, bool read,
	sci_error_t *ret_error)
{
	struct object *o = cw_enter((cw_handle)(uintptr_t)map, CW_SISCI);
	struct map *m = container_of(o, struct map, object);
	bool done;

	if (!o)
		return false;
	done = o->kind == SISCI_MAP && goes_by_memory(m) && range_within(offset, size, m->size);
	if (done)
		*ret_error = read ? map_read(m, offset, memory, size)
				  : map_write(m, offset, memory, size);
	cw_leave();
	return done;
}

static sci_error_t copy_slowly(
	void *memory, sci_map_t map, uint64_t offset, uint64_t size, bool read)
{
	_cleanup_object_ struct map *m = map_get(map);
	uint8_t *place;
	sci_error_t e;

	if (!m || (!memory && size > 0))
		return SCI_ERR_ILLEGAL_PARAMETER;
	e = map_range(m, offset, size, &place);
	if (e || size == 0)
		return e;
	return read ? map_read(m, offset, memory, size) : map_write(m, offset, memory, size);
}

/* Between nodes there are system calls on the way. */
static sci_error_t copy(void *memory, sci_map_t map, uint64_t offset, uint64_t size, bool read)
{
	sci_error_t e;

	if (likely(memory && copy_quickly(memory, map, offset, size, read, &e)))
		return e;
	e = call_begin(0);
	if (!e)
		e = copy_slowly(memory, map, offset, size, read);
	call_end(NULL, e);
	return e;
}

static void tell(sci_error_t *error, sci_error_t result)
{
	if (error)
		*error = result;
}

/* A sequence may be NULL where nothing is to be checked; one that is given must be one. */
static sci_error_t check_sequence(sci_sequence_t sequence, unsigned int flags)
{
	struct object *o;
	bool valid;

	if (!sequence)
		return flags & SCI_FLAG_ERROR_CHECK ? SCI_ERR_ILLEGAL_PARAMETER : SCI_ERR_OK;
	o = cw_enter((cw_handle)(uintptr_t)sequence, CW_SISCI);
	if (!o)
		return SCI_ERR_ILLEGAL_PARAMETER;
	valid = o->kind == SISCI_SEQUENCE;
	cw_leave();
	return valid ? SCI_ERR_OK : SCI_ERR_ILLEGAL_PARAMETER;
}

static sci_error_t mem_cpy(sci_sequence_t sequence, void *memory, sci_map_t map, uint64_t offset,
	uint64_t size, unsigned int flags)
{
	sci_error_t e = check_sequence(sequence, flags);

	return e ? e : copy(memory, map, offset, size, flags & SCI_FLAG_BLOCK_READ);
}

SCI_CALL void SCIMemCpy(sci_sequence_t sequence, void *memAddr, sci_map_t remoteMap,
	size_t remoteOffset, size_t size, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_check(flags);

	tell(error, e ? e : mem_cpy(sequence, memAddr, remoteMap, remoteOffset, size, flags));
}

SCI_CALL void SCIMemCpy_dual(sci_sequence_t sequence, void *memAddr, sci_map_t remoteMap,
	size_t remoteOffset, size_t size, unsigned int flags, sci_error_t *error)
{
	SCIMemCpy(sequence, memAddr, remoteMap, remoteOffset, size, flags, error);
}

SCI_CALL void SCIMemCopy(void *memAddr, sci_map_t remoteMap, size_t remoteOffset, size_t size,
	unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_check(flags);

	tell(error,
		e ? e : copy(memAddr, remoteMap, remoteOffset, size, flags & SCI_FLAG_BLOCK_READ));
}

static sci_error_t mem_write(const void *from, volatile void *to, size_t size)
{
	if (size > 0 && (!from || !to))
		return SCI_ERR_ILLEGAL_PARAMETER;
	memcpy((void *)to, from, size);
	return SCI_ERR_OK;
}

SCI_CALL void SCIMemWrite(void *memAddr, volatile void *remoteAddr, size_t size, unsigned int flags,
	sci_error_t *error)
{
	sci_error_t e = call_check(flags);

	tell(error, e ? e : mem_write(memAddr, remoteAddr, size));
}

/* Neither looks at its sequence: programs call them in loops, in threads that are cancelled, and
 * with sequences whose map is gone. */
SCI_CALL void SCIFlush(sci_sequence_t sequence, unsigned int flags)
{
	drain_stores();
	if (work_has_ticks())
		work_tick_settle();
}

SCI_CALL void SCIStoreBarrier(sci_sequence_t sequence, unsigned int flags)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (work_has_ticks())
		work_tick_settle();
}

SCI_CALL void SCIFlushReadBuffers(sci_sequence_t sequence)
{
	atomic_thread_fence(memory_order_seq_cst);
}

/* Memory is coherent. */
static sci_error_t cache_sync(sci_map_t map)
{
	_cleanup_object_ struct map *m = map ? map_get(map) : NULL;

	if (map && !m)
		return SCI_ERR_ILLEGAL_PARAMETER;
	atomic_thread_fence(memory_order_seq_cst);
	return SCI_ERR_OK;
}

SCI_CALL void SCICacheSync(
	sci_map_t map, void *addr, size_t length, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : cache_sync(map));
}

/* The original has several ways to copy; here there is one. */
static _Atomic int copy_function;

SCI_CALL void SetSciMemCopyFunction(int number)
{
	atomic_store(&copy_function, number);
}

SCI_CALL int GetSciMemCopyFunction(void)
{
	return atomic_load(&copy_function);
}
