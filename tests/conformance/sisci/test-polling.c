/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that poll, and measure processor time while they do: sisci.md trap T28. Calls that are
 * made in loops do not sleep; the library's own threads take nothing while nothing happens; and who
 * spins does not keep from the processor those that he waits for.
 */
#include "rig.h"

#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define PAGE  4096u
#define LARGE ((size_t)16 << 20)
#define CALLS 20000u
#define TRIPS 20u

static sci_desc_t sd;
static unsigned int id;

static sci_callback_action_t on_segment(void *arg, sci_local_segment_t segment,
	sci_segment_cb_reason_t reason, unsigned int node, unsigned int adapter, sci_error_t status)
{
	(void)arg, (void)segment, (void)reason, (void)node, (void)adapter, (void)status;
	return SCI_CALLBACK_CONTINUE;
}

static sci_callback_action_t on_interrupt(
	void *arg, sci_local_interrupt_t interrupt, sci_error_t status)
{
	(void)arg, (void)interrupt, (void)status;
	return SCI_CALLBACK_CONTINUE;
}

static sci_callback_action_t on_dma(void *arg, sci_dma_queue_t queue, sci_error_t status)
{
	(void)arg, (void)queue, (void)status;
	return SCI_CALLBACK_CONTINUE;
}

/* What a program polls. */
static struct {
	sci_local_segment_t local, source;
	sci_remote_segment_t remote;
	sci_map_t map;
	sci_sequence_t sequence;
	sci_dma_queue_t queue;
	sci_local_interrupt_t interrupt;
	sci_remote_interrupt_t trigger;
	sci_local_data_interrupt_t data;
	volatile char *p;
} has;

static void prepared(size_t size)
{
	unsigned int number = 0, data_number = 0;

	sd = rig_open();
	id = rig_id();
	has.local = rig_segment(sd, id, size);
	has.remote = rig_connect(sd, rig_node(), id);
	has.p = SCIMapRemoteSegment(has.remote, &has.map, 0, size, NULL, 0, &(sci_error_t){0});
	NEED_TRUE(has.p);
	NEED(SCICreateMapSequence, has.map, &has.sequence, 0);
	NEED(SCICreateSegment, sd, &has.source, 0, size, NULL, NULL, SCI_FLAG_PRIVATE);
	NEED(SCIPrepareSegment, has.source, 0, SCI_FLAG_DMA_SOURCE_ONLY);
	NEED(SCICreateDMAQueue, sd, &has.queue, 0, 1, 0);
	NEED(SCICreateInterrupt, sd, &has.interrupt, 0, &number, NULL, NULL, 0);
	NEED(SCIConnectInterrupt, sd, &has.trigger, rig_node(), 0, number, 0, 0);
	NEED(SCICreateDataInterrupt, sd, &has.data, 0, &data_number, NULL, NULL, 0);
}

static void poll_flush(void)
{
	SCIFlush(NULL, 0);
	SCIFlush(has.sequence, SCI_FLAG_FLUSH_CPU_BUFFERS_ONLY);
}

static void poll_barrier(void)
{
	SCIStoreBarrier(has.sequence, 0);
}

static void poll_cache(void)
{
	(void)SAYS(SCICacheSync, has.map, (void *)has.p, PAGE, SCI_FLAG_CACHE_INVALIDATE);
}

static void poll_sequence(void)
{
	sci_error_t e;

	(void)SCIStartSequence(has.sequence, 0, &e);
	(void)SCICheckSequence(has.sequence, 0, &e);
}

static void poll_copy(void)
{
	char bytes[64];

	(void)SAYS(SCIMemCpy, has.sequence, bytes, has.map, 0, sizeof(bytes), SCI_FLAG_BLOCK_READ);
}

static void poll_dma(void)
{
	(void)SCIDMAQueueState(has.queue);
	(void)SAYS(SCIWaitForDMAQueue, has.queue, 0, 0);
}

static void poll_interrupts(void)
{
	unsigned int length = 0;

	(void)SAYS(SCIWaitForInterrupt, has.interrupt, 0, 0);
	(void)SAYS(SCIWaitForDataInterrupt, has.data, NULL, &length, 0, 0);
	(void)SAYS(SCITriggerInterrupt, has.trigger, 0);
}

static void poll_events(void)
{
	(void)SAYS(SCIWaitForLocalSegmentEvent, has.local, NULL, NULL, 0, 0);
	(void)SAYS(SCIWaitForRemoteSegmentEvent, has.remote, NULL, 0, 0);
}

/* How often this thread has slept. */
static long n_sleeps(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

/* T28: one in a thousand may meet a lock */
static void calls_that_poll_do_not_sleep(void)
{
	static const struct {
		const char *what;
		void (*poll)(void);
	} calls[] = {{"SCIFlush", poll_flush}, {"SCIStoreBarrier", poll_barrier},
		{"SCICacheSync", poll_cache}, {"SCICheckSequence", poll_sequence},
		{"SCIMemCpy", poll_copy}, {"SCIDMAQueueState", poll_dma},
		{"SCIWaitForInterrupt", poll_interrupts}, {"SCIWaitFor...Event", poll_events}};

	rig_skip_under_tsan();
	prepared(PAGE);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		long before = n_sleeps();

		for (unsigned int n = 0; n < CALLS; n++)
			calls[i].poll();
		if (n_sleeps() - before > CALLS / 1000)
			rig_failed(__FILE__, __LINE__, calls[i].what);
	}
}

static int64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* T28: callbacks of every kind, DMA, and a map of a multicast group */
static void threads_of_the_library_rest(void)
{
	unsigned int number = 0, group = rig_id();
	sci_local_segment_t other, member;
	sci_local_interrupt_t interrupt;
	sci_remote_segment_t all;
	sci_map_t map;
	int64_t used;

	prepared(PAGE);
	NEED(SCICreateSegment, sd, &other, rig_id(), PAGE, on_segment, NULL, SCI_FLAG_USE_CALLBACK);
	NEED(SCICreateInterrupt, sd, &interrupt, 0, &number, on_interrupt, NULL,
		SCI_FLAG_USE_CALLBACK);
	NEED(SCIStartDmaTransfer, has.queue, has.source, has.remote, 0, 8, 0, on_dma, NULL,
		SCI_FLAG_USE_CALLBACK);
	NEED(SCICreateSegment, sd, &member, group, PAGE, NULL, NULL, SCI_FLAG_BROADCAST);
	NEED(SCIPrepareSegment, member, 0, 0);
	NEED(SCISetSegmentAvailable, member, 0, 0);
	NEED(SCIConnectSegment, sd, &all, DIS_BROADCAST_NODEID_GROUP_ALL, group, 0, NULL, NULL, 0,
		SCI_FLAG_BROADCAST);
	NEED_TRUE(SCIMapRemoteSegment(all, &map, 0, PAGE, NULL, 0, &(sci_error_t){0}));
	rig_sleep(200);
	used = cpu_ms();
	rig_sleep(1000);
	used = cpu_ms() - used;
	CHECK(used <= 100);
}

/* Before the library is first called, so that it sees no other. */
static void use_one_cpu(void)
{
	cpu_set_t all, one;

	NEED_TRUE(!sched_getaffinity(0, sizeof(all), &all));
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	NEED_TRUE(!sched_setaffinity(0, sizeof(one), &one));
}

static void answer_stores(void *data)
{
	volatile unsigned int *own, *other;
	sci_map_t map;
	unsigned int theirs;

	(void)data;
	use_one_cpu();
	sd = rig_open();
	id = rig_id();
	theirs = rig_hear_parent();
	own = SCIMapLocalSegment(
		rig_segment(sd, id, PAGE), &map, 0, PAGE, NULL, 0, &(sci_error_t){0});
	other = SCIMapRemoteSegment(
		rig_connect(sd, rig_node(), theirs), &map, 0, PAGE, NULL, 0, &(sci_error_t){0});
	rig_tell_parent(id);
	for (unsigned int i = 1; i <= TRIPS; i++) {
		while (*own != i)
			SCIFlush(NULL, 0);
		*other = i;
	}
}

/* T28, program C's ping-pong */
static void two_that_spin_share_a_processor(void)
{
	rig_peer_t peer = rig_here(answer_stores, NULL);
	volatile unsigned int *own, *other;
	sci_map_t map;

	use_one_cpu();
	sd = rig_open();
	id = rig_id();
	own = SCIMapLocalSegment(
		rig_segment(sd, id, PAGE), &map, 0, PAGE, NULL, 0, &(sci_error_t){0});
	rig_tell(peer, id);
	other = SCIMapRemoteSegment(rig_connect(sd, rig_node(), rig_hear(peer)), &map, 0, PAGE,
		NULL, 0, &(sci_error_t){0});
	for (unsigned int i = 1; i <= TRIPS; i++) {
		*other = i;
		while (*own != i)
			SCIFlush(NULL, 0);
	}
	CHECK_EQUAL(*own, TRIPS);
	rig_end(peer);
}

/* T28: the library's thread does the work, on the processor of who polls */
static void a_transfer_goes_on_while_its_program_polls(void)
{
	use_one_cpu();
	prepared(LARGE);
	for (unsigned int i = 0; i < 5; i++) {
		OK(SCIStartDmaTransfer, has.queue, has.source, has.remote, 0, LARGE, 0, NULL, NULL,
			0);
		while (SCIDMAQueueState(has.queue) == SCI_DMAQUEUE_POSTED)
			;
		CHECK_EQUAL(SCIDMAQueueState(has.queue), SCI_DMAQUEUE_DONE);
	}
}

static const rig_test_t tests[] = {
	TEST(calls_that_poll_do_not_sleep),
	TEST(threads_of_the_library_rest),
	TEST(two_that_spin_share_a_processor),
	TEST(a_transfer_goes_on_while_its_program_polls),
};

RIG_MAIN(tests)
