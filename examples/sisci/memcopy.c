/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client copies data into the server's segment with SCIMemCpy() and a sequence that tells
 *whether it arrived; the server checks it; then the client copies it back.
 *
 *	memcopy -rn 8 -server &		on node 4
 *	memcopy -rn 4 -client		on node 8
 */
#include "common.h"

#define WHAT "copy with SCIMemCpy and check on the other side"

typedef struct {
	volatile uint32_t full, checked;
	volatile uint64_t sum;
} flags_t;

static void wait_for(const volatile uint32_t *word, uint32_t value)
{
	for (unsigned int turns = 0; *word != value; turns++)
		if (turns > 1000)
			pause_ms(1);
}

static int serve(const options_t *o, sci_desc_t sd)
{
	sci_local_segment_t segment = publish(o, sd, o->id, o->size + sizeof(flags_t));
	unsigned char *data;
	volatile flags_t *flags;
	uint32_t wrong = 0;
	sci_map_t map;

	data = map_local(segment, &map, o->size + sizeof(flags_t));
	flags = (volatile flags_t *)(data + o->size);
	for (uint32_t round = 1; round <= o->loops; round++) {
		wait_for(&flags->full, round);
		wrong += checksum(data, o->size) != flags->sum;
		flags->checked = round;
	}
	printf("%u copies of %zu bytes came: %u were wrong\n", o->loops, o->size, wrong);
	/* the client reads once more */
	wait_for(&flags->full, 0);
	CALL(SCIUnmapSegment, map, 0);
	CALL(SCIRemoveSegment, segment, 0);
	return wrong > 0;
}

static void copy(
	sci_sequence_t sequence, void *memory, sci_map_t map, size_t size, unsigned int flags)
{
	sci_error_t error;

	/* as programs do: again until it has arrived */
	do
		SCIMemCpy(sequence, memory, map, 0, size, SCI_FLAG_ERROR_CHECK | flags, &error);
	while (error == SCI_ERR_TRANSFER_FAILED);
	if (error != SCI_ERR_OK)
		failed("SCIMemCpy", error);
}

static int copy_all(const options_t *o, sci_desc_t sd)
{
	sci_remote_segment_t segment = connect_to(o, sd, o->id);
	unsigned char *buffer = malloc(o->size);
	volatile flags_t *flags;
	volatile void *remote;
	sci_sequence_t sequence;
	double begin, us = 0;
	sci_map_t map;
	uint64_t sum = 0;

	if (!buffer)
		return 1;
	remote = map_remote(segment, &map, o->size + sizeof(flags_t));
	flags = (volatile flags_t *)((volatile unsigned char *)remote + o->size);
	CALL(SCICreateMapSequence, map, &sequence, 0);
	for (uint32_t round = 1; round <= o->loops; round++) {
		for (size_t i = 0; i < o->size; i++)
			buffer[i] = (unsigned char)(i * 31 + i / 256 + round);
		sum = checksum(buffer, o->size);
		begin = now_us();
		copy(sequence, buffer, map, o->size, 0);
		us += now_us() - begin;
		flags->sum = sum;
		SCIFlush(sequence, 0);
		flags->full = round;
		wait_for(&flags->checked, round);
	}
	memset(buffer, 0, o->size);
	copy(sequence, buffer, map, o->size, SCI_FLAG_BLOCK_READ);
	printf("%u copies of %zu bytes: %.2f us each, %.0f MB/s; read back %s\n", o->loops, o->size,
		us / o->loops, (double)o->size * o->loops / us,
		checksum(buffer, o->size) == sum ? "right" : "wrong");
	flags->full = 0;
	CALL(SCIRemoveSequence, sequence, 0);
	CALL(SCIUnmapSegment, map, 0);
	CALL(SCIDisconnectSegment, segment, 0);
	sum = checksum(buffer, o->size) - sum;
	free(buffer);
	return sum != 0;
}

int main(int argc, char **argv)
{
	options_t o = {.id = 0x3000, .size = 65536, .loops = 100};
	sci_desc_t sd;
	int status;

	read_options(argc, argv, WHAT, &o);
	need_role(argv, WHAT, &o);
	print_options(&o);
	o.size = (o.size + 7) / 8 * 8;
	CALL(SCIOpen, &sd, 0);
	status = o.server ? serve(&o, sd) : copy_all(&o, sd);
	CALL(SCIClose, sd, 0);
	SCITerminate();
	return status;
}
