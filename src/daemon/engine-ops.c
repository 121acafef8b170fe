/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-segment.h"

/* How the engine's decisions reach the world: which file carries out what. */
const struct engine_ops manager_engine_ops = {
	.import_state = manager_import_changed,
	.import_free = manager_import_free,
	.segment_free = manager_segment_free,
	.segment_cells = manager_segment_cells,
};
