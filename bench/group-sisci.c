/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SISCI between two processes of one node: copies by DMA and by SCIMemCpy beside memcpy between the
 * very same pages, stores and what orders them, triggers. The limits of what has a published figure
 * are these: of other hardware, two hosts and a cable (spec/sisci.md, 10).
 */

#include <string.h>
#include <unistd.h>
#include "sisci.h"

#define LARGEST (16ul << 20)
#define PAGE	4096u
#define TRIPS	1000u
#define BATCH	200u /* triggers; fewer than the queue holds */

/* --- the other process --- */

enum order {
	TRIPS_BACK, /* answer so many stores */
	DRAIN,	    /* take all data interrupts, then answer */
};

struct offered {
	struct sisci_own memory, word;
	sci_local_interrupt_t interrupt;
	sci_local_data_interrupt_t data;
	unsigned int number, data_number;
};

static void create_interrupts(struct offered *o)
{
	sci_error_t e;

	SCICreateInterrupt(sisci_desc(), &o->interrupt, 0, &o->number, NULL, NULL, 0, &e);
	bench_sisci(e, "SCICreateInterrupt");
	SCICreateDataInterrupt(sisci_desc(), &o->data, 0, &o->data_number, NULL, NULL, 0, &e);
	bench_sisci(e, "SCICreateDataInterrupt");
}

static void wait_for_word(const volatile uint32_t *word, uint32_t value)
{
	while (*word != value)
		;
}

static void answer_stores(
	const volatile uint32_t *own, volatile uint32_t *other, uint32_t from, uint32_t n)
{
	for (uint32_t i = from + 1; i <= from + n; i++) {
		wait_for_word(own, i);
		*other = i;
		SCIFlush(NULL, 0);
	}
}

static void drain(sci_local_data_interrupt_t data)
{
	unsigned int length;
	char message[64];
	sci_error_t e;

	do {
		length = sizeof(message);
		SCIWaitForDataInterrupt(data, message, &length, 0, 0, &e);
	} while (e == SCI_ERR_OK);
	if (e != SCI_ERR_TIMEOUT)
		bench_sisci(e, "SCIWaitForDataInterrupt");
}

static void serve(int channel, void *context)
{
	struct offered o = {.memory = sisci_own(LARGEST, true), .word = sisci_own(PAGE, true)};
	struct sisci_other word;

	bench_pin(0, bench_cpu(0));
	create_interrupts(&o);
	bench_send(channel, o.memory.id);
	bench_send(channel, o.word.id);
	bench_send(channel, o.number);
	bench_send(channel, o.data_number);
	word = sisci_other(sisci_node(), (unsigned int)bench_receive(channel), PAGE, true);
	for (;;) {
		uint64_t what = bench_receive(channel);

		if (what == DRAIN)
			drain(o.data);
		bench_send(channel, what);
		if (what == TRIPS_BACK)
			answer_stores((volatile uint32_t *)o.word.memory,
				(volatile uint32_t *)word.memory,
				*(volatile uint32_t *)o.word.memory, TRIPS);
	}
}

/* --- this one --- */

struct work {
	struct sisci_copy copy;
	struct sisci_own word;
	struct sisci_other other_word;
	struct bench_partner partner;
	sci_remote_interrupt_t interrupt;
	sci_remote_data_interrupt_t data;
};

static void begin(struct work *w)
{
	unsigned int node, id, word, number, data_number;
	sci_error_t e;

	w->partner = bench_partner(serve, NULL);
	node = sisci_node();
	id = (unsigned int)bench_receive(w->partner.channel);
	word = (unsigned int)bench_receive(w->partner.channel);
	number = (unsigned int)bench_receive(w->partner.channel);
	data_number = (unsigned int)bench_receive(w->partner.channel);
	sisci_copy_begin(&w->copy, node, id, LARGEST, true);
	w->other_word = sisci_other(node, word, PAGE, true);
	w->word = sisci_own(PAGE, true);
	memset(w->word.memory, 1, sizeof(uint32_t)); /* as the other side's */
	SCIConnectInterrupt(
		sisci_desc(), &w->interrupt, node, 0, number, SCI_INFINITE_TIMEOUT, 0, &e);
	bench_sisci(e, "SCIConnectInterrupt");
	SCIConnectDataInterrupt(
		sisci_desc(), &w->data, node, 0, data_number, SCI_INFINITE_TIMEOUT, 0, &e);
	bench_sisci(e, "SCIConnectDataInterrupt");
	bench_send(w->partner.channel, w->word.id);
}

static void tell(const struct work *w, enum order what)
{
	bench_send(w->partner.channel, what);
	(void)bench_receive(w->partner.channel);
}

/* --- copies --- */

static void copy_out(void *context, unsigned long n)
{
	struct sisci_copy *copy = context;

	for (unsigned long i = 0; i < n; i++) {
		memcpy((void *)copy->to.memory, copy->from.memory, copy->size);
		__asm__ volatile("" ::: "memory");
	}
}

static void copy_in(void *context, unsigned long n)
{
	struct sisci_copy *copy = context;

	for (unsigned long i = 0; i < n; i++) {
		memcpy(copy->from.memory, (void *)copy->to.memory, copy->size);
		__asm__ volatile("" ::: "memory");
	}
}

/* published: ns; 0: there is no such figure. */
static const struct line {
	const char *name;
	size_t size;
	unsigned long n;
	bench_work ours, copy;
	double published, most; /* most: times memcpy, 0: whatever it is */
} lines[] = {
	{"SCIMemCpy of 4 KiB", 4096, 200, sisci_memcpy_write, copy_out, 1290, 0},
	{"SCIMemCpy of 64 KiB", 65536, 50, sisci_memcpy_write, copy_out, 8522, 1 / 0.97},
	{"SCIMemCpy of 1 MiB", 1 << 20, 5, sisci_memcpy_write, copy_out, 136179, 1 / 0.97},
	{"SCIMemCpy of 16 MiB", LARGEST, 1, sisci_memcpy_write, copy_out, 2207528, 1 / 0.97},
	{"SCIMemCpy of 1 MiB, read", 1 << 20, 5, sisci_memcpy_read, copy_in, 116508000, 1 / 0.97},
	{"DMA of 1 byte", 1, 1, sisci_dma_write, copy_out, 8900, 0},
	{"DMA of 64 KiB", 65536, 1, sisci_dma_write, copy_out, 14963, 0},
	{"DMA of 1 MiB", 1 << 20, 1, sisci_dma_write, copy_out, 151310, 0},
	{"DMA of 1 MiB, in the caller", 1 << 20, 1, sisci_dma_wait, copy_out, 151310, 0},
	{"DMA of 16 MiB", LARGEST, 1, sisci_dma_write, copy_out, 1613201, 0},
	{"DMA of 16 MiB, read", LARGEST, 1, sisci_dma_read, copy_in, 3355443, 0},
	{"DMA of a vector, 16 x 1 MiB", LARGEST, 1, sisci_dma_vector, copy_out, 1644825, 0},
};

#define N_LINES (sizeof(lines) / sizeof(*lines))

static void sample_copy(struct bench_row *row, const struct line *line, struct sisci_copy *copy)
{
	struct bench_side sides[2] = {
		{.work = line->ours, .context = copy},
		{.work = line->copy, .context = copy},
	};

	copy->size = line->size;
	bench_time_two(sides, line->n);
	bench_sample(row, "Causeway", sides[0].median, BENCH_NONE);
	bench_sample(row, "memcpy, the same pages", sides[1].median, BENCH_NONE);
}

/* --- single stores, and what orders them --- */

static void flush(void *context, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		SCIFlush(NULL, 0);
}

static void store_and_flush(void *context, unsigned long n)
{
	volatile uint32_t *word = (volatile uint32_t *)((struct work *)context)->other_word.memory;

	for (unsigned long i = 0; i < n; i++) {
		word[1] = (uint32_t)i;
		SCIFlush(NULL, 0);
	}
}

static void store_and_check(void *context, unsigned long n)
{
	struct work *w = context;
	sci_error_t e;

	for (unsigned long i = 0; i < n; i++) {
		w->copy.to.memory[0] = 1;
		if (SCICheckSequence(w->copy.sequence, 0, &e) != SCI_SEQ_OK)
			bench_fail("SCICheckSequence");
	}
}

static double trips(struct work *w)
{
	volatile uint32_t *own = (volatile uint32_t *)w->word.memory;
	volatile uint32_t *other = (volatile uint32_t *)w->other_word.memory;
	double times[TRIPS];
	uint32_t from = *own;

	tell(w, TRIPS_BACK);
	for (uint32_t i = 0; i < TRIPS; i++) {
		uint64_t start = bench_now();

		*other = from + i + 1;
		SCIFlush(NULL, 0);
		wait_for_word(own, from + i + 1);
		times[i] = (double)(bench_now() - start);
	}
	return bench_median(times, TRIPS);
}

/* --- triggers, whose receiver is not waiting --- */

static void trigger(void *context, unsigned long n)
{
	struct work *w = context;
	sci_error_t e;

	for (unsigned long i = 0; i < n; i++) {
		SCITriggerInterrupt(w->interrupt, 0, &e);
		bench_sisci(e, "SCITriggerInterrupt");
	}
}

static double data_triggers(struct work *w)
{
	double times[100];
	char message[50] = "";
	sci_error_t e;

	for (unsigned int i = 0; i < 100; i++) {
		uint64_t start;

		tell(w, DRAIN);
		start = bench_now();
		for (unsigned int j = 0; j < BATCH; j++) {
			SCITriggerDataInterrupt(w->data, message, sizeof(message), 0, &e);
			bench_sisci(e, "SCITriggerDataInterrupt");
		}
		times[i] = (double)(bench_now() - start) / BATCH;
	}
	return bench_median(times, 100);
}

static struct bench_row *published(
	struct bench *bench, const char *name, const char *unit, double scale, double most)
{
	return bench_row(bench, name, unit, scale, BENCH_ABSOLUTE, most);
}

void group_sisci(struct bench *bench)
{
	struct bench_row *copies[N_LINES];
	struct bench_row *flushes = published(bench, "SCIFlush(NULL)", "ns", 1, 10);
	struct bench_row *stores = published(bench, "a store and SCIFlush", "ns", 1, 300);
	struct bench_row *checks = published(bench, "a store and SCICheckSequence", "ns", 1, 2770);
	struct bench_row *pingpong = published(bench, "stores to and fro", "ns", 1, 2160);
	struct bench_row *triggers = published(bench, "SCITriggerInterrupt", "ns", 1, 1900);
	struct bench_row *data =
		published(bench, "SCITriggerDataInterrupt of 50 bytes", "ns", 1, 2630);
	struct work w;

	for (size_t i = 0; i < N_LINES; i++) {
		copies[i] = published(bench, lines[i].name, "µs", 1000, lines[i].published);
		if (lines[i].most > 0)
			bench_limit_too(copies[i], "memcpy, the same pages", lines[i].most);
	}
	begin(&w);
	bench_pin(0, bench_cpu(1));
	while (bench_round(bench)) {
		for (size_t i = 0; i < N_LINES; i++)
			sample_copy(copies[i], &lines[i], &w.copy);
		bench_sample(flushes, "Causeway", bench_time(flush, NULL, 10000, NULL), BENCH_NONE);
		bench_sample(stores, "Causeway", bench_time(store_and_flush, &w, 1000, NULL),
			BENCH_NONE);
		bench_sample(checks, "Causeway", bench_time(store_and_check, &w, 1000, NULL),
			BENCH_NONE);
		bench_sample(pingpong, "Causeway", trips(&w), BENCH_NONE);
		bench_sample(triggers, "Causeway", bench_time(trigger, &w, 1000, NULL), BENCH_NONE);
		bench_sample(data, "Causeway", data_triggers(&w), BENCH_NONE);
	}
}
