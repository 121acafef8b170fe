/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring between two processes at the speed of memory. The consumer exports it, the producer maps
 *it; then messages go by loads and stores alone, and nobody calls anything but to sleep: who finds
 *the ring empty or full looks for a while, says that it sleeps, looks once more, and waits for a
 *signal.
 *
 *	ring [MESSAGES]		sends so many messages (default 4,000,000), checks every byte,
 *prints rates ring --self-test	a short run
 *
 * One producer, one consumer, no lock. Each counter has one writer and a cache line of its own.
 */
#include <rsmapi.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CACHE_LINE 64
#define SLOTS	   256 /* a power of two; 256 KiB of messages stay in a processor's cache */
#define WORDS	   128 /* of 8 bytes in a message */
#define BATCH	   16  /* messages that are made known together */
#define LOOKS	   4000

/* What one side writes and the other one reads. */
struct side {
	_Alignas(CACHE_LINE) _Atomic uint64_t done; /* messages written, or read */
	_Alignas(CACHE_LINE) _Atomic uint32_t
		sleeps; /* wants a signal when the other's done moves */
};

struct ring {
	struct side writer, reader;
	_Alignas(4096) uint64_t slots[SLOTS][WORDS];
};

static struct ring memory
	__attribute__((aligned(4096))); /* the consumer's; it is exported in place */

static void must(const char *what, int code)
{
	if (code == RSM_SUCCESS)
		return;
	fprintf(stderr, "ring: %s: RSM error %d\n", what, code);
	exit(1);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int passed(struct side *s, uint64_t mark, uint64_t *ret_done)
{
	*ret_done = atomic_load(&s->done);
	return (int64_t)(*ret_done - mark) > 0;
}

/*
 * Waits until the other side has done more than mark, and says how much. That we sleep is stored
 * before the last look, and the other side stores what it did before it looks whether we sleep: so
 * one of the two sees the other.
 */
static uint64_t wait_for(struct side *other, struct side *own, uint64_t mark, void *segment)
{
	uint64_t done;

	for (;;) {
		for (int i = 0; i < LOOKS; i++) {
			if (passed(other, mark, &done))
				return done;
			relax();
		}
		atomic_store(&own->sleeps, 1);
		if (!passed(other, mark, &done)) {
			int code = rsm_intr_signal_wait(segment, 10000);

			if (code == RSMERR_TIMEOUT) {
				fprintf(stderr, "ring: the other side is gone or stuck\n");
				exit(1);
			}
			must("wait", code == RSMERR_INTERRUPTED ? RSM_SUCCESS : code);
		}
		atomic_store(&own->sleeps, 0);
	}
}

/* Makes known what was done, and wakes the other side if it sleeps. */
static void advance(struct side *own, struct side *other, uint64_t done, void *segment)
{
	atomic_store(&own->done, done);
	if (atomic_load(&other->sleeps) && atomic_exchange(&other->sleeps, 0))
		must("signal", rsm_intr_signal_post(segment, RSM_SIGPOST_NO_ACCUMULATE));
}

/* No two messages near each other have a word in common. */
static uint64_t seed_of(uint64_t n)
{
	return n * 0x9e3779b97f4a7c15;
}

static void fill(uint64_t *slot, uint64_t n)
{
	uint64_t seed = seed_of(n);

	for (int w = 0; w < WORDS; w++)
		slot[w] = seed + (uint64_t)w;
}

static int is_whole(const uint64_t *slot, uint64_t n)
{
	uint64_t seed = seed_of(n), wrong = 0;

	for (int w = 0; w < WORDS; w++)
		wrong |= slot[w] ^ (seed + (uint64_t)w);
	return !wrong;
}

static void produce(rsm_memseg_id_t id, uint64_t n_messages)
{
	char name[] = "loopback";
	rsmapi_controller_handle_t controller;
	rsm_memseg_import_handle_t segment;
	void *address = NULL;
	struct ring *ring;
	uint64_t read = 0;

	must("controller", rsm_get_controller(name, &controller));
	must("connect", rsm_memseg_import_connect(controller, 0, id, RSM_PERM_RDWR, &segment));
	must("map", rsm_memseg_import_map(
			    segment, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, sizeof(*ring)));
	ring = address;
	for (uint64_t n = 0; n < n_messages; n++) {
		if (n - read == SLOTS)
			read = wait_for(&ring->reader, &ring->writer, n - SLOTS, segment);
		fill(ring->slots[n % SLOTS], n);
		if ((n + 1) % BATCH == 0 || n + 1 == n_messages)
			advance(&ring->writer, &ring->reader, n + 1, segment);
	}
	must("unmap", rsm_memseg_import_unmap(segment));
	must("disconnect", rsm_memseg_import_disconnect(segment));
}

/* Takes all messages; the time from the first to the last. */
static uint64_t take(struct ring *ring, uint64_t n_messages, rsm_memseg_export_handle_t segment)
{
	uint64_t written = 0, begin = 0;

	for (uint64_t n = 0; n < n_messages; n++) {
		if (n == written)
			written = wait_for(&ring->writer, &ring->reader, n, segment);
		if (n == 0)
			begin = now_ns();
		if (!is_whole(ring->slots[n % SLOTS], n)) {
			fprintf(stderr, "ring: message %llu is not what was sent\n",
				(unsigned long long)n);
			exit(1);
		}
		if ((n + 1) % BATCH == 0 || n + 1 == n_messages)
			advance(&ring->reader, &ring->writer, n + 1, segment);
	}
	return now_ns() - begin;
}

/* Exports the ring, says its id, and takes all messages. */
static void consume(int say, uint64_t n_messages)
{
	char name[] = "loopback";
	rsmapi_controller_handle_t controller;
	rsm_memseg_export_handle_t segment;
	rsm_memseg_id_t id = 0;
	double ns;

	must("controller", rsm_get_controller(name, &controller));
	must("create", rsm_memseg_export_create(controller, &segment, &memory, sizeof(memory), 0));
	must("publish", rsm_memseg_export_publish(segment, &id, NULL, 0));
	if (write(say, &id, sizeof(id)) != sizeof(id))
		exit(1);
	ns = (double)take(&memory, n_messages, segment);
	printf("%llu messages of %zu bytes, all whole: %.2f GB/s, %.2f million messages/s\n",
		(unsigned long long)n_messages, sizeof(memory.slots[0]),
		(double)n_messages * sizeof(memory.slots[0]) / ns, (double)n_messages * 1000 / ns);
	must("destroy", rsm_memseg_export_destroy(segment));
	must("release", rsm_release_controller(controller));
}

/* Two processes that have nothing to do with each other but the segment's id, which a pipe carries.
 */
int main(int argc, char **argv)
{
	uint64_t n_messages = 4000000;
	int channel[2], status;
	rsm_memseg_id_t id;
	pid_t producer;

	if (argc > 1)
		n_messages = strcmp(argv[1], "--self-test") ? strtoull(argv[1], NULL, 0) : 100003;
	if (argc > 2 || !n_messages || pipe(channel) < 0) {
		fprintf(stderr, "usage: ring [MESSAGES | --self-test]\n");
		return 2;
	}
	producer = fork(); /* before either has called the library */
	if (producer < 0)
		return 1;
	if (producer == 0) {
		close(channel[1]);
		if (read(channel[0], &id, sizeof(id)) == sizeof(id))
			produce(id, n_messages);
		return 0;
	}
	close(channel[0]);
	consume(channel[1], n_messages);
	if (waitpid(producer, &status, 0) != producer || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}
