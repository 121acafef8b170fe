/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SEGMENT_H
#define BENCH_SEGMENT_H

/*
 * What most groups need of RSM: a published segment in one process, an import of it in another.
 */

#include <rsmapi.h>
#include "bench.h"

struct bench_export {
	rsm_memseg_export_handle_t handle;
	rsm_memseg_id_t id;
	void *memory;
	size_t size;
};

rsmapi_controller_handle_t bench_controller(void);
/* New private memory, exported and published for everybody. */
struct bench_export bench_export(size_t size);
void bench_unexport(struct bench_export *segment);
rsm_memseg_import_handle_t bench_import(rsm_memseg_id_t id);

/* A process that exports a segment of this size and then sleeps; returns the segment's id. */
rsm_memseg_id_t bench_exporter(size_t size);

#endif
