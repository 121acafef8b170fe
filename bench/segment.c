/* SPDX-License-Identifier: Apache-2.0 */
#include "segment.h"
#include <sys/mman.h>
#include <unistd.h>

rsmapi_controller_handle_t bench_controller(void)
{
	static rsmapi_controller_handle_t controller;
	char name[] = "loopback";

	if (!controller)
		bench_rsm(rsm_get_controller(name, &controller), "rsm_get_controller");
	return controller;
}

struct bench_export bench_export(size_t size)
{
	struct bench_export segment = {.memory = bench_memory(size), .size = size};

	bench_rsm(rsm_memseg_export_create(
			  bench_controller(), &segment.handle, segment.memory, size, 0),
		"rsm_memseg_export_create");
	bench_rsm(rsm_memseg_export_publish(segment.handle, &segment.id, NULL, 0),
		"rsm_memseg_export_publish");
	return segment;
}

void bench_unexport(struct bench_export *segment)
{
	bench_rsm(rsm_memseg_export_destroy(segment->handle), "rsm_memseg_export_destroy");
	munmap(segment->memory, segment->size);
}

rsm_memseg_import_handle_t bench_import(rsm_memseg_id_t id)
{
	rsm_memseg_import_handle_t import;

	bench_rsm(rsm_memseg_import_connect(bench_controller(), 0, id, RSM_PERM_RDWR, &import),
		"rsm_memseg_import_connect");
	return import;
}

static void sleep_with_segment(int channel, void *context)
{
	struct bench_export segment = bench_export(*(size_t *)context);

	bench_send(channel, segment.id);
	for (;;)
		pause();
}

rsm_memseg_id_t bench_exporter(size_t size)
{
	struct bench_partner partner = bench_partner(sleep_with_segment, &size);

	return (rsm_memseg_id_t)bench_receive(partner.channel);
}
