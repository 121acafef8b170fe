/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"
#include "core/shm.h"

/*
 * What a forked child has of its parent: an import of its own for each of the parent's in space
 * clshm. Whoever has memory attached may go on with it, so neither id nor mode is looked at: the
 * segment may be removed by now. That the child is one is the caller's to know.
 */

static bool has_segment(const EngineImport *import)
{
	return import && import->state == WIRE_IMPORT_CONNECTED && import->segment &&
	       import->segment->space == WIRE_SPACE_CLSHM;
}

static bool is_of_other_node(const EngineImport *import)
{
	return import->state == WIRE_IMPORT_CONNECTED && import->home &&
	       import->space == WIRE_SPACE_CLSHM;
}

static int inherit_here(EngineClient *child, const EngineImport *parent, EngineImport **ret_import)
{
	EngineSegment *segment = parent->segment;
	int r;

	r = engine_import_new(child, segment, parent->rights, ENGINE_LOWEST, 0, false, ret_import);
	if (r == 0 && child->identity.uid != segment->uid)
		segment->handed_out = true;
	return r;
}

int engine_shm_inherit(EngineClient *child, EngineImport *parent, EngineImport **ret_import)
{
	if (!has_segment(parent) && !is_of_other_node(parent))
		return STATUS_BAD_HANDLE;
	if (child->user->n_imports >= child->engine->limits.max_imports_per_user)
		return STATUS_NO_RESOURCES;
	return parent->home ? engine_remote_inherit(child, parent, ret_import)
			    : inherit_here(child, parent, ret_import);
}

int engine_inherit_judge(
	EnginePeer *peer, const struct wire_peer_connect *q, EngineSegment **ret_segment)
{
	const EngineImport *parent =
		engine_guest_import_find(peer, q->parent, q->parent_index, q->parent_generation);

	if (q->space != WIRE_SPACE_CLSHM || !has_segment(parent) || q->rights != parent->rights)
		return STATUS_BAD_HANDLE;
	*ret_segment = parent->segment;
	return 0;
}
