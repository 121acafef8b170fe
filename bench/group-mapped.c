/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain loads and stores through a map of an import beside the same on shared anonymous memory.
 */

#include <sys/mman.h>
#include "access.h"
#include "segment.h"

/* Exports anew for each word, and destroys at the next. */
static void export_again(int channel, void *unused)
{
	for (;;) {
		struct bench_export segment;

		bench_receive(channel);
		segment = bench_export(ACCESS_SIZE);
		bench_send(channel, segment.id);
		bench_receive(channel);
		bench_unexport(&segment);
		bench_send(channel, 0);
	}
}

static void *make_anonymous(void)
{
	return bench_shared_memory(ACCESS_SIZE);
}

static void drop_anonymous(void *memory)
{
	munmap(memory, ACCESS_SIZE);
}

/* Both memories are new in each round. */
void group_mapped(struct bench *bench)
{
	int channel = bench_partner(export_again, NULL).channel;
	static const char *const names[2] = {"causeway", "shared anonymous memory"};
	struct bench_row *rows[ACCESS_PATTERNS];
	size_t ours = 0, theirs = 0;

	access_rows(bench, "mapped", 1.03, rows);
	while (bench_round(bench)) {
		void *anonymous, *mapped = NULL;
		rsm_memseg_import_handle_t import;

		bench_pin(0, bench_cpu(1));
		bench_send(channel, 0);
		import = bench_import((rsm_memseg_id_t)bench_receive(channel));
		bench_rsm(rsm_memseg_import_map(
				  import, &mapped, RSM_MAP_NONE, RSM_PERM_RDWR, 0, ACCESS_SIZE),
			"rsm_memseg_import_map");
		access_touch(mapped);
		anonymous = access_memory_like(
			bench_frames(mapped, ACCESS_SIZE), make_anonymous, drop_anonymous);
		ours += bench_frames(mapped, ACCESS_SIZE);
		theirs += bench_frames(anonymous, ACCESS_SIZE);
		access_sample(rows, names, mapped, anonymous);
		drop_anonymous(anonymous);
		bench_rsm(rsm_memseg_import_unmap(import), "rsm_memseg_import_unmap");
		bench_rsm(rsm_memseg_import_disconnect(import), "rsm_memseg_import_disconnect");
		bench_send(channel, 0);
		bench_receive(channel);
	}
	bench_note(rows[ACCESS_PATTERNS - 1], "physical 2 MiB frames in all rounds: %zu and %zu",
		ours, theirs);
}
