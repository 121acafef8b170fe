/* SPDX-License-Identifier: Apache-2.0 */
/* Scatter/gather and local memory handles: rsmapi.md §4.7, §9.5; row 14 of §3 for bad entries. */
#include "rig.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE	8192
#define ENTRIES RSM_MAX_SGIOREQS
/* Bytes of an entry in the vectors of these tests. */
#define PIECE 24

static char *memory; /* the exporter's */
static rsm_memseg_export_handle_t export;
static rsm_memseg_id_t id;
static rsmapi_barrier_t barrier;
static char local[SIZE] __attribute__((aligned(4096)));
static rsm_iovec_t entries[ENTRIES + 1];
static rsm_scat_gath_t sg;

static rsm_memseg_import_handle_t begin(rsm_permission_t permission)
{
	memory = rig_memory(SIZE / rig_page());
	export = rig_export(memory, SIZE / rig_page(), &id);
	return rig_import(id, permission, &barrier);
}

static rsm_iovec_t entry(void *address, size_t local_offset, size_t remote_offset, size_t length)
{
	rsm_iovec_t made = {.io_type = RSM_VA_TYPE,
		.local_offset = local_offset,
		.remote_offset = remote_offset,
		.transfer_length = length};

	made.local.vaddr = address;
	return made;
}

static rsm_iovec_t handle_entry(
	rsm_localmemory_handle_t handle, size_t local_offset, size_t remote_offset, size_t length)
{
	rsm_iovec_t made = entry(NULL, local_offset, remote_offset, length);

	made.io_type = RSM_HANDLE_TYPE;
	made.local.handle = handle;
	return made;
}

/* A vector of n good entries: piece i is local at i * 100, remote at i * 200 + 3. */
static void make_vector(rsm_memseg_import_handle_t import, ulong_t n)
{
	memset(&sg, 0, sizeof(sg));
	sg.local_nodeid = 0xDEADBEEF; /* is never read */
	sg.io_request_count = n;
	sg.io_residual_count = 4711;
	sg.remote_handle = import;
	sg.iovec = entries;
	for (ulong_t i = 0; i < n && i <= ENTRIES; i++)
		entries[i] = entry(local, i * 100, i * 200 + 3, PIECE);
}

static void fill(char *bytes, char seed)
{
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (char)(seed + (char)(i * 13) + (char)(i >> 7));
}

/* Pieces from..to have arrived and nothing else has: the receiver was zero. */
static void only_these_arrived(bool put, ulong_t from, ulong_t to)
{
	static char expected[SIZE];

	memset(expected, 0, SIZE);
	for (ulong_t i = from; i < to; i++) {
		size_t here = i * 100, there = i * 200 + 3;

		if (put)
			memcpy(expected + there, local + here, PIECE);
		else
			memcpy(expected + here, memory + there, PIECE);
	}
	CHECK(memcmp(put ? memory : local, expected, SIZE) == 0);
}

static void prepare(bool put)
{
	fill(put ? local : memory, 7);
	memset(put ? memory : local, 0, SIZE);
}

/* The two calls; each rule is tested on both. */
#define EACH_TRANSFER(put) for (int put = 0; put < 2; put++)

static int transfer_of(rsm_scat_gath_t *vector, int put)
{
	return put ? rsm_memseg_import_putv(vector) : rsm_memseg_import_getv(vector);
}

static int transfer(int put)
{
	return transfer_of(&sg, put);
}

/* §4.7 order: NULL, NULL import, count */
static void vectors_check_their_arguments_in_order(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	EACH_TRANSFER(put)
	{
		EXPECT(transfer_of(NULL, put), RSMERR_BAD_SGIO);
		make_vector(NULL, 0);
		EXPECT(transfer(put), RSMERR_BAD_SEG_HNDL);
		make_vector(NULL, 1);
		EXPECT(transfer(put), RSMERR_BAD_SEG_HNDL);
		make_vector(import, 0);
		EXPECT(transfer(put), RSMERR_BAD_SGIO);
		make_vector(import, 17);
		EXPECT(transfer(put), RSMERR_BAD_SGIO);
		make_vector(import, 1ul << 60);
		EXPECT(transfer(put), RSMERR_BAD_SGIO);
		make_vector(import, 1);
		sg.iovec = NULL;
		EXPECT(transfer(put), RSMERR_BAD_SGIO);
	}
}

/* §3 row 5 */
static void other_handles_are_bad_handles(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	EACH_TRANSFER(put)
	{
		make_vector((rsm_memseg_import_handle_t)(void *)export, 1);
		EXPECT(transfer(put), RSMERR_BAD_SEG_HNDL);
	}
	NEED(rsm_memseg_import_disconnect(import));
	EACH_TRANSFER(put)
	{
		make_vector(import, 1);
		EXPECT(transfer(put), RSMERR_BAD_SEG_HNDL);
	}
}

static void check_counts(rsm_memseg_import_handle_t import)
{
	EACH_TRANSFER(put)
	{
		for (ulong_t n = 1; n <= ENTRIES; n++) {
			prepare(put);
			make_vector(import, n);
			EXPECT(transfer(put), RSM_SUCCESS);
			CHECK_EQUAL(sg.io_residual_count, 0);
			CHECK_EQUAL(sg.io_request_count, n);
			only_these_arrived(put, 0, n);
		}
	}
}

/* §4.7, §11.10 */
static void one_to_sixteen_entries_are_transferred(void)
{
	check_counts(begin(RSM_PERM_RDWR));
}

static void explicit_mode_transfers_all_entries(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
	NEED(rsm_memseg_import_open_barrier(&barrier));
	check_counts(import);
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
}

static void mapped_imports_transfer_all_entries(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	void *address = NULL;

	NEED(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SIZE));
	check_counts(import);
}

/* §4.7 advice: an uninitialised barrier is accepted here */
static void vectors_need_no_barrier(void)
{
	begin(RSM_PERM_RDWR);
	check_counts(rig_import(id, RSM_PERM_RDWR, NULL));
}

/* The reference forgets the offset of a partial map */
static void offsets_count_from_the_segments_start(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	void *address = NULL;

	NEED(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 4096, 4096));
	EACH_TRANSFER(put)
	{
		prepare(put);
		make_vector(import, 1);
		entries[0] = entry(local, 4, 5000, 100);
		EXPECT(transfer(put), RSM_SUCCESS);
		CHECK(memcmp(local + 4, memory + 5000, 100) == 0);
		CHECK_EQUAL((put ? memory : local)[put ? 904 : 104], 0);
	}
}

/* What may be wrong with an entry, and the codes for it */
static const struct {
	int io_type;
	bool no_memory;
	size_t remote_offset, length;
	int codes[2];
} flaws[] = {
	{RSM_VA_TYPE, false, SIZE, 1, {RSMERR_BAD_OFFSET, RSMERR_BAD_OFFSET}},
	{RSM_VA_TYPE, false, SIZE - 8, 9, {RSMERR_BAD_OFFSET, RSMERR_BAD_OFFSET}},
	{RSM_VA_TYPE, false, SIZE_MAX, 1, {RSMERR_BAD_OFFSET, RSMERR_BAD_OFFSET}},
	{RSM_VA_TYPE, false, SIZE_MAX - 7, 8, {RSMERR_BAD_OFFSET, RSMERR_BAD_OFFSET}},
	{RSM_VA_TYPE, false, SIZE_MAX / 2 + 1, 8, {RSMERR_BAD_OFFSET, RSMERR_BAD_OFFSET}},
	{RSM_VA_TYPE, false, 0, SIZE + 1, {RSMERR_BAD_LENGTH, RSMERR_BAD_LENGTH}},
	{RSM_VA_TYPE, false, 8, SIZE_MAX, {RSMERR_BAD_LENGTH, RSMERR_BAD_LENGTH}},
	{RSM_VA_TYPE, false, 8, SIZE_MAX / 2, {RSMERR_BAD_LENGTH, RSMERR_BAD_LENGTH}},
	{0, false, 0, PIECE, {RSMERR_BAD_SGIO, RSMERR_BAD_SGIO}},
	{RSM_VA_TYPE | RSM_HANDLE_TYPE, false, 0, PIECE, {RSMERR_BAD_SGIO, RSMERR_BAD_SGIO}},
	{-1, false, 0, PIECE, {RSMERR_BAD_SGIO, RSMERR_BAD_SGIO}},
	{RSM_VA_TYPE, true, 0, PIECE, {RSMERR_BAD_ADDR, RSMERR_BAD_SGIO}},
	{RSM_HANDLE_TYPE, true, 0, PIECE, {RSMERR_BAD_SGIO, RSMERR_BAD_LOCALMEM_HNDL}},
};

#define N_FLAWS (sizeof(flaws) / sizeof(flaws[0]))

static void spoil(rsm_iovec_t *victim, size_t flaw)
{
	victim->io_type = flaws[flaw].io_type;
	victim->remote_offset = flaws[flaw].remote_offset;
	victim->transfer_length = flaws[flaw].length;
	victim->local_offset = 0;
	if (flaws[flaw].no_memory)
		victim->local.vaddr = NULL;
}

static void check_flaws(rsm_memseg_import_handle_t import, uint_t flags)
{
	EACH_TRANSFER(put)
	{
		for (ulong_t k = 0; k < ENTRIES; k++) {
			for (size_t flaw = 0; flaw < N_FLAWS; flaw++) {
				prepare(put);
				make_vector(import, ENTRIES);
				sg.flags = flags;
				spoil(&entries[k], flaw);
				EXPECT_ONE(
					transfer(put), flaws[flaw].codes[0], flaws[flaw].codes[1]);
				CHECK_EQUAL(sg.io_residual_count, ENTRIES - k);
				CHECK_EQUAL(sg.flags, flags);
				only_these_arrived(put, 0, k);
			}
		}
	}
	/* No signal when an entry failed. */
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
}

/* §4.7: entries complete in order; the first bad one ends it, and the residual counts it too */
static void the_residual_is_exact_at_every_entry(void)
{
	check_flaws(begin(RSM_PERM_RDWR), 0);
}

static void the_residual_is_exact_in_explicit_mode(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
	NEED(rsm_memseg_import_open_barrier(&barrier));
	check_flaws(import, 0);
	/* A refused entry is no failure of the connection. */
	EXPECT(rsm_memseg_import_close_barrier(&barrier), RSM_SUCCESS);
}

/* §4.7 RSM_IMPLICIT_SIGPOST: no post when any entry failed */
static void a_failed_vector_posts_no_signal(void)
{
	check_flaws(begin(RSM_PERM_RDWR), RSM_IMPLICIT_SIGPOST);
	check_flaws(begin(RSM_PERM_RDWR), RSM_IMPLICIT_SIGPOST | RSM_SIGPOST_NO_ACCUMULATE);
}

/* §9.5 beaten */
static void vectors_respect_the_rights_of_the_connection(void)
{
	rsm_memseg_import_handle_t reader = begin(RSM_PERM_READ);
	rsm_memseg_import_handle_t writer = rig_import(id, RSM_PERM_WRITE, NULL);
	rsm_memseg_import_handle_t nobody = rig_import(id, RSM_PERM_NONE, NULL);
	rsm_memseg_import_handle_t denied[2][2] = {{writer, nobody}, {reader, nobody}};

	EACH_TRANSFER(put)
	{
		make_vector(put ? writer : reader, 3);
		EXPECT(transfer(put), RSM_SUCCESS);
		for (int i = 0; i < 2; i++) {
			prepare(put);
			make_vector(denied[put][i], 3);
			sg.flags = RSM_IMPLICIT_SIGPOST;
			EXPECT(transfer(put), RSMERR_PERM_DENIED);
			CHECK_EQUAL(sg.io_residual_count, 3);
			only_these_arrived(put, 0, 0);
		}
	}
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
}

/* §4.7, as for put and get of nothing */
static void entries_of_length_zero_succeed(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	EACH_TRANSFER(put)
	{
		prepare(put);
		make_vector(import, 4);
		for (int i = 0; i < 4; i++)
			entries[i].transfer_length = i == 2 ? PIECE : 0;
		EXPECT(transfer(put), RSM_SUCCESS);
		CHECK_EQUAL(sg.io_residual_count, 0);
		only_these_arrived(put, 2, 3);
	}
}

/* §4.7: in order, so the last one stays */
static void overlapping_entries_are_done_in_order(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	EACH_TRANSFER(put)
	{
		char *from = put ? local : memory, *to = put ? memory : local;

		prepare(put);
		make_vector(import, 3);
		for (size_t i = 0; i < 3; i++) {
			/* Sources lie apart, targets overlap by half. */
			size_t source = 1000 * i, target = 500 + 50 * i;

			entries[i] =
				entry(local, put ? source : target, put ? target : source, 100);
		}
		EXPECT(transfer(put), RSM_SUCCESS);
		CHECK(memcmp(to + 500, from, 50) == 0);
		CHECK(memcmp(to + 550, from + 1000, 50) == 0);
		CHECK(memcmp(to + 600, from + 2000, 100) == 0);
		CHECK(to[499] == 0 && to[700] == 0);
	}
}

/* One entry may be as large as the segment */
static void an_entry_may_be_the_whole_segment(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	EACH_TRANSFER(put)
	{
		prepare(put);
		make_vector(import, 1);
		entries[0] = entry(local, 0, 0, SIZE);
		EXPECT(transfer(put), RSM_SUCCESS);
		CHECK(memcmp(local, memory, SIZE) == 0);
	}
}

static ulong_t n_signals(void)
{
	ulong_t n = 0;

	while (rsm_intr_signal_wait(export, 0) == RSM_SUCCESS)
		n++;
	return n;
}

static void check_signals(rsm_memseg_import_handle_t import)
{
	EACH_TRANSFER(put)
	{
		static const struct {
			uint_t flags;
			ulong_t signals;
		} cases[] = {
			{0, 0},
			{RSM_IMPLICIT_SIGPOST, 3},
			{RSM_SIGPOST_NO_ACCUMULATE, 0},
			{RSM_IMPLICIT_SIGPOST | RSM_SIGPOST_NO_ACCUMULATE, 1},
		};

		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			for (int n = 0; n < 3; n++) {
				make_vector(import, 5);
				sg.flags = cases[i].flags;
				EXPECT(transfer(put), RSM_SUCCESS);
				CHECK_EQUAL(sg.flags, cases[i].flags);
			}
			CHECK_EQUAL(n_signals(), cases[i].signals);
		}
	}
}

/* §4.7: one signal for a vector; §9.1: not accumulated when so asked */
static void a_vector_posts_one_signal(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);

	check_signals(import);
	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
	NEED(rsm_memseg_import_open_barrier(&barrier));
	check_signals(import);
	/* The signal goes to the exporter, not to importers. */
	EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_TIMEOUT);
}

/* §5.3, §9.5 beaten: no success into nowhere. [M] has 39 for it. */
static void vectors_fail_when_the_connection_is_gone(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	rsmapi_barrier_t another;
	rsm_memseg_import_handle_t used = rig_import(id, RSM_PERM_RDWR, &another);

	make_vector(used, 2);
	NEED(rsm_memseg_import_putv(&sg));
	NEED(rsm_memseg_export_unpublish(export));
	EACH_TRANSFER(put)
	{
		for (int i = 0; i < 2; i++) {
			make_vector(i ? used : import, 5);
			sg.flags = RSM_IMPLICIT_SIGPOST;
			EXPECT_ONE(
				transfer(put), RSMERR_CONN_ABORTED, RSMERR_REMOTE_NODE_UNREACHABLE);
			CHECK_EQUAL(sg.io_residual_count, 5);
		}
	}
	CHECK_EQUAL(n_signals(), 0);
	/* Explicit: told at the end of the span. */
	NEED(rsm_memseg_import_set_mode(used, RSM_BARRIER_MODE_EXPLICIT));
	EXPECT_ONE(
		rsm_memseg_import_open_barrier(&another), RSM_SUCCESS, RSMERR_BARRIER_OPEN_FAILED);
	make_vector(used, 5);
	EXPECT_ONE(rsm_memseg_import_putv(&sg), RSM_SUCCESS, RSMERR_CONN_ABORTED);
	EXPECT(rsm_memseg_import_close_barrier(&another), RSMERR_CONN_ABORTED);
}

static rsm_localmemory_handle_t local_handle(void *address, size_t length)
{
	rsm_localmemory_handle_t handle = NULL;

	NEED(rsm_create_localmemory_handle(rig_controller(), &handle, address, length));
	return handle;
}

/* §4.7 order: alignment (NULL passes), controller, out pointer, length */
static void local_memory_checks_its_arguments_in_order(void)
{
	rsmapi_controller_handle_t controller = rig_controller();
	rsm_localmemory_handle_t handle;

	EXPECT(rsm_create_localmemory_handle(NULL, NULL, local + 8, 0), RSMERR_BAD_ADDR);
	EXPECT(rsm_create_localmemory_handle(controller, &handle, local + 1, SIZE),
		RSMERR_BAD_ADDR);
	EXPECT(rsm_create_localmemory_handle(NULL, NULL, local, 0), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_create_localmemory_handle(NULL, NULL, NULL, 0), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_create_localmemory_handle(controller, NULL, local, 0), RSMERR_BAD_LOCALMEM_HNDL);
	EXPECT(rsm_create_localmemory_handle(controller, &handle, local, 0), RSMERR_BAD_LENGTH);
	EXPECT(rsm_create_localmemory_handle(controller, &handle, NULL, SIZE), RSMERR_BAD_ADDR);
}

/* §4.7; §9.11 beaten: what was freed stays freed */
static void free_localmemory_checks_its_arguments_in_order(void)
{
	rsm_localmemory_handle_t handle = local_handle(local, SIZE);
	rsmapi_controller_handle_t controller = rig_controller();

	EXPECT(rsm_free_localmemory_handle(NULL, NULL), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_free_localmemory_handle(NULL, handle), RSMERR_BAD_CTLR_HNDL);
	EXPECT(rsm_free_localmemory_handle(controller, NULL), RSMERR_BAD_LOCALMEM_HNDL);
	EXPECT(rsm_free_localmemory_handle(controller, handle), RSM_SUCCESS);
	EXPECT(rsm_free_localmemory_handle(controller, handle), RSMERR_BAD_LOCALMEM_HNDL);
}

/* §4.7: data at the handle's base plus local_offset; handles and addresses in one vector */
static void local_memory_handles_are_transferred(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	rsm_localmemory_handle_t handle = local_handle(local, SIZE);

	EACH_TRANSFER(put)
	{
		prepare(put);
		make_vector(import, ENTRIES);
		for (ulong_t i = 0; i < ENTRIES; i += 1 + i % 2)
			entries[i] = handle_entry(handle, i * 100, i * 200 + 3, PIECE);
		EXPECT(transfer(put), RSM_SUCCESS);
		CHECK_EQUAL(sg.io_residual_count, 0);
		only_these_arrived(put, 0, ENTRIES);
		/* To the last byte. */
		make_vector(import, 1);
		entries[0] = handle_entry(handle, SIZE - 10, SIZE - 10, 10);
		EXPECT(transfer(put), RSM_SUCCESS);
		CHECK(memcmp(local + SIZE - 10, memory + SIZE - 10, 10) == 0);
	}
	EXPECT(rsm_free_localmemory_handle(rig_controller(), handle), RSM_SUCCESS);
}

/* §4.7 advice: every entry is checked, at the local end too */
static void entries_stay_within_their_local_memory(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	rsm_localmemory_handle_t handle = local_handle(local, 4096);
	static const size_t bad[][2] = {
		{4096, 1}, {4090, 7}, {SIZE_MAX, 1}, {SIZE_MAX - 3, 8}, {0, 4097}, {1, 4096}};

	EACH_TRANSFER(put)
	{
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			prepare(put);
			make_vector(import, 3);
			entries[1] = handle_entry(handle, bad[i][0], 203, bad[i][1]);
			EXPECT_ONE(transfer(put), RSMERR_BAD_OFFSET, RSMERR_BAD_LENGTH);
			CHECK_EQUAL(sg.io_residual_count, 2);
			only_these_arrived(put, 0, 1);
		}
	}
}

/* §4.7: the length need not be a multiple of the page size */
static void a_local_length_may_be_odd(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	rsm_localmemory_handle_t handle = local_handle(local + 4096, 1000);

	EACH_TRANSFER(put)
	{
		prepare(put);
		make_vector(import, 1);
		entries[0] = handle_entry(handle, 900, 50, 100);
		EXPECT(transfer(put), RSM_SUCCESS);
		CHECK(memcmp(local + 4096 + 900, memory + 50, 100) == 0);
	}
}

/* §3 row 14 */
static void freed_and_foreign_local_handles_are_bad_entries(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	rsm_localmemory_handle_t freed = local_handle(local, SIZE);
	rsm_localmemory_handle_t wrong[3] = {freed, (rsm_localmemory_handle_t)(void *)import,
		(rsm_localmemory_handle_t)(void *)export};

	NEED(rsm_free_localmemory_handle(rig_controller(), freed));
	EACH_TRANSFER(put)
	{
		for (int i = 0; i < 3; i++) {
			prepare(put);
			make_vector(import, 2);
			entries[1] = handle_entry(wrong[i], 0, 0, PIECE);
			EXPECT_ONE(transfer(put), RSMERR_BAD_SGIO, RSMERR_BAD_LOCALMEM_HNDL);
			CHECK_EQUAL(sg.io_residual_count, 1);
			only_these_arrived(put, 0, 1);
		}
	}
}

/* A handle may lie over memory that is exported, its own importer's too */
static void local_memory_may_be_exported_memory(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR);
	rsm_localmemory_handle_t handle = local_handle(memory, SIZE);

	memset(memory, 'm', 100);
	make_vector(import, 1);
	entries[0] = handle_entry(handle, 0, 4096, 100);
	EXPECT(rsm_memseg_import_putv(&sg), RSM_SUCCESS);
	CHECK(memcmp(memory + 4096, memory, 100) == 0);
}

static const rig_test_t tests[] = {
	TEST(vectors_check_their_arguments_in_order),
	TEST(other_handles_are_bad_handles),
	TEST(one_to_sixteen_entries_are_transferred),
	TEST(explicit_mode_transfers_all_entries),
	TEST(mapped_imports_transfer_all_entries),
	TEST(vectors_need_no_barrier),
	TEST(offsets_count_from_the_segments_start),
	TEST(the_residual_is_exact_at_every_entry),
	TEST(the_residual_is_exact_in_explicit_mode),
	TEST(a_failed_vector_posts_no_signal),
	TEST(vectors_respect_the_rights_of_the_connection),
	TEST(entries_of_length_zero_succeed),
	TEST(overlapping_entries_are_done_in_order),
	TEST(an_entry_may_be_the_whole_segment),
	TEST(a_vector_posts_one_signal),
	TEST(vectors_fail_when_the_connection_is_gone),
	TEST(local_memory_checks_its_arguments_in_order),
	TEST(free_localmemory_checks_its_arguments_in_order),
	TEST(local_memory_handles_are_transferred),
	TEST(entries_stay_within_their_local_memory),
	TEST(a_local_length_may_be_odd),
	TEST(freed_and_foreign_local_handles_are_bad_entries),
	TEST(local_memory_may_be_exported_memory),
};

RIG_MAIN(tests)
