/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The importer of the demo: a process that has nothing to do with the exporter but the segment's
 *id.
 *
 *	demo-import ID SIZE		reads by get and by map, counts words, puts the result,
 *signals, then tells what it notices when the exporter ends
 */
#include "demo.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>
#include "sha256.h"

static __attribute__((format(printf, 1, 2))) void say(const char *format, ...)
{
	va_list ap;

	printf("  importer %d: ", (int)getpid());
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

static uint64_t count_words(const char *text, size_t size)
{
	uint64_t words = 0;
	bool inside = false;

	for (size_t i = 0; i < size; i++) {
		bool blank = isspace((unsigned char)text[i]);

		words += !blank && !inside;
		inside = !blank;
	}
	return words;
}

static void hash(const char *data, size_t size, char hex[65])
{
	if (sha256_hex(data, size, hex) == 0)
		return;
	fprintf(stderr, "demo-import: sha256sum does not work here\n");
	exit(1);
}

/* Reads the segment both ways and answers in it. Returns the map. */
static const char *work(rsm_memseg_import_handle_t segment, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), rounded = (size + page - 1) / page * page;
	struct demo_result result = {{0}, 0};
	void *address = NULL;
	char sha_map[65], *copy = malloc(size);

	if (!copy)
		exit(1);
	must("demo-import", "rsm_memseg_import_map",
		rsm_memseg_import_map(segment, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, rounded));
	must("demo-import", "rsm_memseg_import_get", rsm_memseg_import_get(segment, 0, copy, size));
	hash(copy, size, result.sha256);
	free(copy);
	say("read it with get;      SHA-256 %s", result.sha256);
	hash(address, size, sha_map);
	say("read it through a map; SHA-256 %s", sha_map);
	result.words = count_words(address, size);
	say("counted %llu words there; puts that back and signals",
		(unsigned long long)result.words);
	must("demo-import", "rsm_memseg_import_put",
		rsm_memseg_import_put(segment, 0, &result, sizeof(result)));
	must("demo-import", "rsm_intr_signal_post", rsm_intr_signal_post(segment, 0));
	return address;
}

int main(int argc, char **argv)
{
	rsmapi_controller_handle_t controller;
	rsm_memseg_import_handle_t segment;
	rsmapi_barrier_t barrier;
	const char *map;
	char byte;
	int code;

	if (argc != 3) {
		fprintf(stderr, "usage: demo-import ID SIZE\n");
		return 2;
	}
	must("demo-import", "rsm_get_controller",
		rsm_get_controller((char *)"loopback", &controller));
	must("demo-import", "rsm_memseg_import_connect",
		rsm_memseg_import_connect(controller, 0, (rsm_memseg_id_t)strtoul(argv[1], NULL, 0),
			RSM_PERM_RDWR, &segment));
	must("demo-import", "rsm_memseg_import_init_barrier",
		rsm_memseg_import_init_barrier(segment, RSM_BARRIER_SEGMENT, &barrier));
	say("connected to the segment");
	map = work(segment, strtoul(argv[2], NULL, 0));

	say("waits for a signal that will not come");
	code = rsm_intr_signal_wait(segment, 60000);
	say("the wait ended with RSM error %d: %s", code, rsm_text(code));
	code = rsm_memseg_import_get(segment, 0, &byte, 1);
	say("a get now gives RSM error %d; its map can still be read: \"%.20s…\"", code, map);
	must("demo-import", "rsm_memseg_import_unmap", rsm_memseg_import_unmap(segment));
	must("demo-import", "rsm_memseg_import_disconnect", rsm_memseg_import_disconnect(segment));
	say("unmapped and disconnected");
	return code == RSMERR_CONN_ABORTED ? 0 : 1;
}
