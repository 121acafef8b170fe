/* SPDX-License-Identifier: Apache-2.0 */
/* The demo's receiver: publishes a segment, sleeps until the interrupt comes, writes what has come
 * into a file. `demo-receiver -size BYTES FILE`; it does not end by itself. */
#include "demo.h"

static int write_file(const char *name, const void *data, size_t size)
{
	FILE *f = fopen(name, "wb");
	size_t n;

	if (!f)
		return -1;
	n = fwrite(data, 1, size, f);
	return fclose(f) == 0 && n == size ? 0 : -1;
}

static uint64_t sum_of_file(const char *name, void *buffer, size_t size)
{
	FILE *f = fopen(name, "rb");
	size_t n;

	if (!f)
		return 0;
	n = fread(buffer, 1, size, f);
	fclose(f);
	return n == size ? checksum(buffer, size) : 0;
}

int main(int argc, char **argv)
{
	const char *file = argc > 1 ? argv[argc - 1] : "picture";
	options_t o = {.size = 16 << 20};
	unsigned int number = INTERRUPT_NO;
	sci_local_segment_t segment;
	sci_local_interrupt_t interrupt;
	unsigned char *memory;
	header_t *header;
	sci_map_t map;
	sci_desc_t sd;

	read_options(argc - 1, argv, "receive a picture", &o);
	CALL(SCIOpen, &sd, 0);
	segment = publish(&o, sd, SEGMENT_ID, o.size);
	memory = map_local(segment, &map, o.size);
	header = (header_t *)memory;
	CALL(SCICreateInterrupt, sd, &interrupt, o.adapter, &number, NULL, NULL,
		SCI_FLAG_FIXED_INTNO);
	printf("receiver: node %u waits for interrupt 0x%x\n", o.local_node, number);
	fflush(stdout);
	for (;;) {
		size_t size;
		uint64_t sum;
		void *copy;

		CALL(SCIWaitForInterrupt, interrupt, SCI_INFINITE_TIMEOUT, 0);
		size = header->size;
		if (size > o.size - HEADER_SIZE)
			return 1;
		copy = malloc(size);
		if (!copy || write_file(file, memory + HEADER_SIZE, size))
			return 1;
		sum = sum_of_file(file, copy, size);
		free(copy);
		printf("receiver: %zu bytes by %s: wrote %s, checksum %016llx: %s\n", size,
			ways[header->way % (N_WAYS + 1)], file, (unsigned long long)sum,
			sum == header->sum ? "the same" : "NOT the same");
		fflush(stdout);
		memset(memory + HEADER_SIZE, 0, size);
		header->checked = sum == header->sum ? header->way : WRONG;
	}
}
