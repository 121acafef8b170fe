/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporter of the demo: reads a file into memory of its own, lets others use that memory, and
 * sleeps until somebody has written a result into it.
 *
 *	demo-export FILE		prints the segment's id and size, then waits
 */
#include "demo.h"

#include <stdarg.h>
#include <unistd.h>
#include "file.h"
#include "sha256.h"

static __attribute__((format(printf, 1, 2))) void say(const char *format, ...)
{
	va_list ap;

	printf("  exporter %d: ", (int)getpid());
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	rsmapi_controller_handle_t controller;
	rsm_memseg_export_handle_t segment;
	const struct demo_result *result;
	rsm_memseg_id_t id = 0;
	size_t size, rounded;
	char sha[65];
	char *buffer;

	if (argc != 2) {
		fprintf(stderr, "usage: demo-export FILE\n");
		return 2;
	}
	buffer = read_file(argv[1], &size, &rounded);
	say("read %s, %zu bytes, into a buffer of its own", argv[1], size);
	if (sha256_hex(buffer, size, sha) < 0) {
		fprintf(stderr, "demo-export: sha256sum does not work here\n");
		return 1;
	}
	say("SHA-256 of the file   %s", sha);

	must("demo-export", "rsm_get_controller",
		rsm_get_controller((char *)"loopback", &controller));
	must("demo-export", "rsm_memseg_export_create",
		rsm_memseg_export_create(controller, &segment, buffer, rounded, 0));
	must("demo-export", "rsm_memseg_export_publish",
		rsm_memseg_export_publish(segment, &id, NULL, 0));
	say("exported that buffer where it is; the segment's id is 0x%x", id);
	printf("segment %u %zu\n", id, size);
	fflush(stdout);

	say("sleeps until somebody signals");
	must("demo-export", "rsm_intr_signal_wait", rsm_intr_signal_wait(segment, -1));
	result = (const void *)buffer;
	say("woke up and finds in its own buffer: %llu words, SHA-256 %s the file's",
		(unsigned long long)result->words,
		strcmp(result->sha256, sha) ? "NOT" : "equal to");
	if (strcmp(result->sha256, sha))
		return 1;
	say("stays until it is killed");
	for (;;)
		pause();
}
