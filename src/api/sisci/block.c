/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/copy.h"
#include "api/sisci/dispatch.h"
#include "api/sisci/wait.h"
#include "api/sisci/work.h"

/* Block transfers, the old way to copy from one map to another: at once, or by the work thread. */

struct block_transfer {
	struct object object;
	struct map *from, *to; /* referenced */
	uint64_t from_offset, to_offset, size;
	sci_cb_block_transfer_t callback;
	void *callback_arg;
	struct work work;
	_Atomic uint32_t done; /* what waiters sleep on */
	_Atomic bool told;
	sci_error_t result;
};

static struct block_transfer *block_of(struct object *o)
{
	return container_of(o, struct block_transfer, object);
}

static sci_error_t carry_out(
	struct map *from, uint64_t from_offset, struct map *to, uint64_t to_offset, uint64_t size)
{
	uint8_t *source, *place;
	sci_error_t e = map_range(from, from_offset, size, &source);

	if (!e)
		e = map_range(to, to_offset, size, &place);
	if (e || size == 0)
		return e;
	/* what lies on this node is one side of the copy */
	if (to->local)
		return map_read(from, from_offset, place, size);
	return map_write(to, to_offset, source, size);
}

static sci_error_t transfer(sci_map_t source, uint64_t source_offset, sci_map_t destination,
	uint64_t destination_offset, uint64_t size)
{
	_cleanup_object_ struct map *from = object_get(source, SISCI_MAP);
	_cleanup_object_ struct map *to = object_get(destination, SISCI_MAP);

	if (!from || !to)
		return SCI_ERR_ILLEGAL_PARAMETER;
	return carry_out(from, source_offset, to, destination_offset, size);
}

SCI_CALL void SCITransferBlock(sci_map_t sourceMap, size_t sourceOffset, sci_map_t destinationMap,
	size_t destinationOffset, size_t size, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error,
		e ? e : transfer(sourceMap, sourceOffset, destinationMap, destinationOffset, size));
}

/* asynchronous */

static void block_release(struct object *o)
{
	struct block_transfer *b = block_of(o);

	object_put(&b->from->object);
	object_put(&b->to->object);
	free(b);
}

static void run_work(struct work *work)
{
	struct block_transfer *b = container_of(work, struct block_transfer, work);

	b->result = carry_out(b->from, b->from_offset, b->to, b->to_offset, b->size);
	atomic_store(&b->done, 1);
	wake_word(&b->done);
	dispatch_kick();
	object_put(&b->object);
}

static bool run_callback(struct object *o, sci_callback_action_t *ret_action)
{
	struct block_transfer *b = block_of(o);

	if (!atomic_load(&b->done) || atomic_exchange(&b->told, true))
		return false;
	(void)b->callback(b->callback_arg, object_handle(o), b->result);
	return true;
}

static const struct dispatch_ops callbacks = {.run = run_callback};

static sci_error_t block_start(struct block_transfer *b, sci_block_transfer_t *ret_block)
{
	int r = object_new(&b->object, SISCI_BLOCK_TRANSFER, b->from->object.desc);

	if (r) {
		block_release(&b->object);
		return code_of(CODE_CREATE, r);
	}
	*ret_block = object_handle(&b->object);
	if (b->callback)
		r = dispatch_add(&b->object, &callbacks);
	object_ref(&b->object);
	if (r == 0)
		r = work_submit(&b->work);
	if (r < 0) {
		object_end(&b->object);
		object_put(&b->object);
	}
	return code_of(CODE_CREATE, r);
}

static sci_error_t transfer_later(sci_map_t source, sci_map_t destination,
	const struct block_transfer *what, sci_block_transfer_t *ret_block)
{
	_cleanup_object_ struct map *from = object_get(source, SISCI_MAP);
	_cleanup_object_ struct map *to = object_get(destination, SISCI_MAP);
	struct block_transfer *b;
	uint8_t *place;
	sci_error_t e;

	if (!from || !to || !ret_block)
		return SCI_ERR_ILLEGAL_PARAMETER;
	e = map_range(from, what->from_offset, what->size, &place);
	if (!e)
		e = map_range(to, what->to_offset, what->size, &place);
	if (e)
		return e;
	b = malloc(sizeof(*b));
	if (!b)
		return SCI_ERR_NOSPC;
	*b = *what;
	b->from = from;
	b->to = to;
	object_ref(&from->object);
	object_ref(&to->object);
	b->work.run = run_work;
	b->object.release = block_release;
	return block_start(b, ret_block);
}

SCI_CALL void SCITransferBlockAsync(sci_map_t sourceMap, size_t sourceOffset,
	sci_map_t destinationMap, size_t destinationOffset, size_t size,
	sci_block_transfer_t *block, sci_cb_block_transfer_t callback, void *callbackArg,
	unsigned int flags, sci_error_t *error)
{
	const struct block_transfer what = {.from_offset = sourceOffset,
		.to_offset = destinationOffset,
		.size = size,
		.callback = flags & SCI_FLAG_USE_CALLBACK ? callback : NULL,
		.callback_arg = callbackArg};
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : transfer_later(sourceMap, destinationMap, &what, block));
}

static sci_error_t take_end(struct object *o, void *arg)
{
	return atomic_load(&block_of(o)->done) ? SCI_ERR_OK : WAIT_MORE;
}

static const _Atomic uint32_t *done_word(struct object *o)
{
	return &block_of(o)->done;
}

static const struct wait_ops waiting = {.take = take_end, .word = done_word};

/* The handle ends with the wait that sees the end. */
static sci_error_t block_wait(sci_block_transfer_t block, unsigned int milliseconds)
{
	_cleanup_object_ struct object *o = object_get(block, SISCI_BLOCK_TRANSFER);
	sci_error_t e;

	if (!o)
		return SCI_ERR_ILLEGAL_PARAMETER;
	object_ref(o);
	e = object_wait(o, &waiting, NULL, milliseconds);
	if (e)
		return e;
	object_end(o);
	return block_of(o)->result;
}

SCI_CALL void SCIWaitForBlockTransfer(
	sci_block_transfer_t block, unsigned int timeout, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : block_wait(block, timeout));
}

/* What has begun is carried out. */
static sci_error_t block_abort(sci_block_transfer_t block)
{
	_cleanup_object_ struct object *o = object_get(block, SISCI_BLOCK_TRANSFER);

	if (!o)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (work_withdraw(&block_of(o)->work))
		object_put(o);
	object_end(o);
	return SCI_ERR_OK;
}

SCI_CALL void SCIAbortBlockTransfer(
	sci_block_transfer_t block, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : block_abort(block));
}
