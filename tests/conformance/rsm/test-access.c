/* SPDX-License-Identifier: Apache-2.0 */
/* Put and get: rsmapi.md §4.6, Decision 1 for ranges. */
#include "rig.h"

#include <limits.h>
#include <string.h>

#define SIZE 8192

static char *memory;
static rsm_memseg_export_handle_t export;
static rsm_memseg_id_t id;
static rsmapi_barrier_t barrier;

static rsm_memseg_import_handle_t begin(rsm_permission_t permission, rsmapi_barrier_t *with_barrier)
{
	memory = rig_memory(SIZE / rig_page());
	export = rig_export(memory, SIZE / rig_page(), &id);
	return rig_import(id, permission, with_barrier);
}

/*
 * The ten functions in one form, so that each rule is tested on all of them; plain get and put have
 * items of one byte.
 */
typedef int (*access_t)(rsm_memseg_import_handle_t import, off_t offset, void *data, ulong_t count);

#define SIZED(bits)                                                                                \
	static int get##bits(                                                                      \
		rsm_memseg_import_handle_t import, off_t offset, void *data, ulong_t count)        \
	{                                                                                          \
		return rsm_memseg_import_get##bits(import, offset, data, count);                   \
	}                                                                                          \
	static int put##bits(                                                                      \
		rsm_memseg_import_handle_t import, off_t offset, void *data, ulong_t count)        \
	{                                                                                          \
		return rsm_memseg_import_put##bits(import, offset, data, count);                   \
	}
SIZED(8)
SIZED(16)
SIZED(32)
SIZED(64)

static const struct {
	access_t get, put;
	size_t width;
} pairs[] = {
	{get8, put8, 1},
	{get16, put16, 2},
	{get32, put32, 4},
	{get64, put64, 8},
	{rsm_memseg_import_get, rsm_memseg_import_put, 1},
};

#define EACH_PAIR(i) for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)

/* §4.6 order of checks: NULL handle, NULL data, data alignment, offset alignment, state */
static void check_order(access_t access, size_t width, rsm_memseg_import_handle_t wrong_kind)
{
	static uint64_t space[2];
	char *odd = (char *)space + 1;

	EXPECT(access(NULL, 1, NULL, 1), RSMERR_BAD_SEG_HNDL);
	EXPECT(access(NULL, 0, space, 1), RSMERR_BAD_SEG_HNDL);
	EXPECT(access(wrong_kind, 1, NULL, 1), RSMERR_BAD_ADDR);
	EXPECT(access(wrong_kind, 0, space, 1), RSMERR_BAD_SEG_HNDL);
	if (width == 1)
		return;
	EXPECT(access(wrong_kind, 1, odd, 1), RSMERR_BAD_MEM_ALIGNMENT);
	EXPECT(access(wrong_kind, 1, space, 1), RSMERR_BAD_MEM_ALIGNMENT);
	EXPECT(access(wrong_kind, (off_t)width / 2, space, 1), RSMERR_BAD_MEM_ALIGNMENT);
}

static void access_checks_its_arguments_in_order(void)
{
	rsm_memseg_import_handle_t wrong_kind;

	begin(RSM_PERM_RDWR, NULL);
	wrong_kind = (rsm_memseg_import_handle_t)(void *)export;
	EACH_PAIR(i)
	{
		check_order(pairs[i].get, pairs[i].width, wrong_kind);
		check_order(pairs[i].put, pairs[i].width, wrong_kind);
	}
}

/* §4.6: alignment counts for a connected import too, in both arguments; none for plain get and put
 */
static void sized_access_is_aligned(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, &barrier);
	uint64_t space[2] = {0};

	EACH_PAIR(i)
	{
		int code = pairs[i].width > 1 ? RSMERR_BAD_MEM_ALIGNMENT : RSM_SUCCESS;

		EXPECT(pairs[i].get(import, 0, (char *)space + 1, 1), code);
		EXPECT(pairs[i].put(import, 0, (char *)space + 1, 1), code);
		EXPECT(pairs[i].get(import, 1, space, 1), code);
		EXPECT(pairs[i].put(import, 1, space, 1), code);
		EXPECT(pairs[i].put(import, -1, space, 1), code ? code : RSMERR_BAD_OFFSET);
	}
}

/* §4.6: rights, then range, then barrier */
static void rights_come_before_the_range(void)
{
	rsm_memseg_import_handle_t reader = begin(RSM_PERM_READ, NULL);
	rsm_memseg_import_handle_t writer = rig_import(id, RSM_PERM_WRITE, NULL);
	uint64_t space = 0;

	EACH_PAIR(i)
	{
		EXPECT(pairs[i].put(reader, SIZE, &space, 1), RSMERR_PERM_DENIED);
		EXPECT(pairs[i].get(writer, SIZE, &space, 1), RSMERR_PERM_DENIED);
		EXPECT(pairs[i].get(reader, SIZE, &space, 1), RSMERR_BAD_OFFSET);
		EXPECT(pairs[i].get(reader, 0, &space, 1), RSMERR_BARRIER_UNINITIALIZED);
		EXPECT(pairs[i].put(writer, 0, &space, 1), RSMERR_BARRIER_UNINITIALIZED);
	}
}

/* §6.1 advice: imports with one right work without a map */
static void imports_with_one_right_need_no_map(void)
{
	rsm_memseg_import_handle_t reader = begin(RSM_PERM_READ, &barrier);
	rsmapi_barrier_t other;
	rsm_memseg_import_handle_t writer = rig_import(id, RSM_PERM_WRITE, &other);
	uint64_t space = 0x0101010101010101;

	EACH_PAIR(i)
	{
		EXPECT(pairs[i].put(writer, 64, &space, 1), RSM_SUCCESS);
		EXPECT(pairs[i].get(reader, 64, &space, 1), RSM_SUCCESS);
		EXPECT(pairs[i].put(reader, 64, &space, 1), RSMERR_PERM_DENIED);
		EXPECT(pairs[i].get(writer, 64, &space, 1), RSMERR_PERM_DENIED);
	}
}

/* Decision 1: 20 when the length alone exceeds the segment, else 18 */
static void check_ranges(access_t access, size_t width, rsm_memseg_import_handle_t import)
{
	static char space[SIZE + 8] __attribute__((aligned(8)));
	ulong_t n = SIZE / width;
	off_t last = (off_t)(SIZE - width);

	EXPECT(access(import, 0, space, n), RSM_SUCCESS);
	EXPECT(access(import, last, space, 1), RSM_SUCCESS);
	EXPECT(access(import, (off_t)width, space, n), RSMERR_BAD_OFFSET);
	EXPECT(access(import, last, space, 2), RSMERR_BAD_OFFSET);
	EXPECT(access(import, SIZE, space, 1), RSMERR_BAD_OFFSET);
	EXPECT(access(import, SIZE * 16, space, 1), RSMERR_BAD_OFFSET);
	EXPECT(access(import, (off_t)(LONG_MAX & -8L), space, 1), RSMERR_BAD_OFFSET);
	EXPECT(access(import, -8, space, 1), RSMERR_BAD_OFFSET);
	EXPECT(access(import, -8, space, 8 / width), RSMERR_BAD_OFFSET);
	EXPECT(access(import, LONG_MIN, space, 1), RSMERR_BAD_OFFSET);
	EXPECT(access(import, 0, space, n + 1), RSMERR_BAD_LENGTH);
	/* Products and sums that overflow */
	EXPECT(access(import, 0, space, ULONG_MAX / 2 / width + 1), RSMERR_BAD_LENGTH);
	EXPECT(access(import, 0, space, 1ul << 61), RSMERR_BAD_LENGTH);
	EXPECT(access(import, 0, space, 1ul << 63), RSMERR_BAD_LENGTH);
	EXPECT(access(import, 0, space, ULONG_MAX), RSMERR_BAD_LENGTH);
	EXPECT(access(import, 8, space, ULONG_MAX - 7), RSMERR_BAD_LENGTH);
}

static void ranges_are_checked(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, &barrier);

	EACH_PAIR(i)
	{
		check_ranges(pairs[i].get, pairs[i].width, import);
		check_ranges(pairs[i].put, pairs[i].width, import);
	}
}

/* The same once more after an explicit map (§4.6: the reference differs here, we do not) */
static void ranges_are_checked_when_mapped(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, &barrier);
	void *address = NULL;

	NEED(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SIZE));
	EACH_PAIR(i)
	{
		check_ranges(pairs[i].get, pairs[i].width, import);
		check_ranges(pairs[i].put, pairs[i].width, import);
	}
}

/* §4.6: nothing to copy passes after the same checks */
static void a_count_of_zero_passes_after_the_checks(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_READ, &barrier);
	rsm_memseg_import_handle_t bare = rig_import(id, RSM_PERM_RDWR, NULL);
	uint64_t space = 0;

	EACH_PAIR(i)
	{
		EXPECT(pairs[i].get(import, 0, &space, 0), RSM_SUCCESS);
		EXPECT(pairs[i].get(import, 0, NULL, 0), RSMERR_BAD_ADDR);
		EXPECT(pairs[i].put(import, 0, &space, 0), RSMERR_PERM_DENIED);
		EXPECT(pairs[i].get(import, SIZE + 8, &space, 0), RSMERR_BAD_OFFSET);
		/* Zero bytes just behind the end: within, or not. */
		EXPECT_ONE(pairs[i].get(import, SIZE, &space, 0), RSM_SUCCESS, RSMERR_BAD_OFFSET);
		EXPECT(pairs[i].get(bare, 0, &space, 0), RSMERR_BARRIER_UNINITIALIZED);
	}
}

/* §11.4 */
static void implicit_mode_needs_a_barrier(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, NULL);
	uint64_t space = 0;

	EACH_PAIR(i)
	{
		EXPECT(pairs[i].get(import, 0, &space, 1), RSMERR_BARRIER_UNINITIALIZED);
		EXPECT(pairs[i].put(import, 0, &space, 1), RSMERR_BARRIER_UNINITIALIZED);
	}
	NEED(rsm_memseg_import_init_barrier(import, RSM_BAR_DEFAULT, &barrier));
	EACH_PAIR(i)
	{
		EXPECT(pairs[i].get(import, 0, &space, 1), RSM_SUCCESS);
		EXPECT(pairs[i].put(import, 0, &space, 1), RSM_SUCCESS);
	}
	NEED(rsm_memseg_import_destroy_barrier(&barrier));
	EACH_PAIR(i)
	EXPECT(pairs[i].get(import, 0, &space, 1), RSMERR_BARRIER_UNINITIALIZED);
}

/* §4.6: explicit mode asks for none */
static void explicit_mode_needs_no_barrier(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, NULL);
	uint64_t space = 0;

	NEED(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
	EACH_PAIR(i)
	{
		EXPECT(pairs[i].put(import, 0, &space, 1), RSM_SUCCESS);
		EXPECT(pairs[i].get(import, 0, &space, 1), RSM_SUCCESS);
	}
}

/* §8: true shared memory; every width, every count, nothing beside */
static void data_arrives_whole_and_nothing_beside(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, &barrier);
	static char out[SIZE] __attribute__((aligned(8))), in[SIZE] __attribute__((aligned(8)));
	static const size_t counts[] = {1, 2, 3, 7, 8, 31, 64, 100, 1000};

	for (size_t i = 0; i < SIZE; i++)
		out[i] = (char)(i * 31 + 1);
	EACH_PAIR(i)
	{
		for (size_t j = 0; j < sizeof(counts) / sizeof(counts[0]); j++) {
			size_t width = pairs[i].width, length = counts[j] * width;
			size_t offset = width * 3;

			memset(memory, 0, SIZE);
			memset(in, 0, SIZE);
			EXPECT(pairs[i].put(import, (off_t)offset, out, counts[j]), RSM_SUCCESS);
			CHECK(memcmp(memory + offset, out, length) == 0);
			CHECK(memory[offset - 1] == 0 && memory[offset + length] == 0);
			EXPECT(pairs[i].get(import, (off_t)offset, in, counts[j]), RSM_SUCCESS);
			CHECK(memcmp(in, out, length) == 0 && in[length] == 0);
		}
	}
}

/* §4.6: plain put and get at any alignment */
static void plain_access_takes_any_alignment(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, &barrier);
	char out[64], in[64];

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (char)(i + 1);
	for (off_t offset = 4080; offset < 4112; offset++) {
		size_t shift = (size_t)offset % 7;

		EXPECT(rsm_memseg_import_put(import, offset, out + shift, 50), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_get(import, offset, in + 7 - shift, 50), RSM_SUCCESS);
		CHECK(memcmp(in + 7 - shift, out + shift, 50) == 0);
	}
}

/* §6.10: no byte order but the machine's, on one machine */
static void values_keep_their_byte_order(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, &barrier);
	uint64_t value = 0x0102030405060708;
	uint32_t half = 0x11223344;
	uint16_t quarter = 0x5566;

	NEED(rsm_memseg_import_put64(import, 0, &value, 1));
	NEED(rsm_memseg_import_put32(import, 8, &half, 1));
	NEED(rsm_memseg_import_put16(import, 12, &quarter, 1));
	CHECK_EQUAL(*(uint64_t *)(void *)memory, value);
	CHECK_EQUAL(*(uint32_t *)(void *)(memory + 8), half);
	CHECK_EQUAL(*(uint16_t *)(void *)(memory + 12), quarter);
}

/* §8: plain put and get are overlap-safe: local memory may be the import's own map */
static void overlapping_copies_are_safe(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, &barrier);
	char expected[1000];
	void *address = NULL;
	char *map;

	for (size_t i = 0; i < 1000; i++)
		memory[i] = expected[i] = (char)(i * 7);
	NEED(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SIZE));
	map = address;
	EXPECT(rsm_memseg_import_put(import, 10, map, 1000), RSM_SUCCESS);
	CHECK(memcmp(memory + 10, expected, 1000) == 0);
	EXPECT(rsm_memseg_import_get(import, 10, map, 1000), RSM_SUCCESS);
	CHECK(memcmp(memory, expected, 1000) == 0);
}

/*
 * §4.6, §4.8: the reference maps at the first access, so that a map gives 9 after it and unmap
 * undoes it; the manual knows nothing of that, so a map may as well succeed
 */
static void the_first_access_is_at_most_an_implicit_map(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, &barrier);
	void *address = NULL;
	uint64_t value = 0;

	NEED(rsm_memseg_import_get64(import, 0, &value, 1));
	EXPECT_ONE(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, SIZE),
		RSM_SUCCESS, RSMERR_SEG_ALREADY_MAPPED);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_unmap(import), RSMERR_SEG_NOT_MAPPED);
	EXPECT(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, SIZE),
		RSM_SUCCESS);
	EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSM_SUCCESS);
}

/* §5.2: unmap leads back to CONNECTED, from where access and map begin anew; see above for the
 * codes */
static void access_and_map_begin_anew_after_unmap(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, &barrier);
	uint64_t value = 0;

	for (int i = 0; i < 2; i++) {
		void *address = NULL;

		NEED(rsm_memseg_import_map(
			import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 4096, 4096));
		if (i)
			EXPECT(rsm_memseg_import_put64(import, 4096, &value, 1), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_get64(import, 0, &value, 1), RSM_SUCCESS);
		EXPECT_ONE(rsm_memseg_import_map(
				   import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SIZE),
			RSM_SUCCESS, RSMERR_SEG_ALREADY_MAPPED);
		EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_unmap(import), RSMERR_SEG_NOT_MAPPED);
	}
}

/* §6.1: put checks the rights of the connection, not those of the map */
static void put_works_beside_a_read_only_map(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, &barrier);
	void *address = NULL;
	uint64_t value = 99;

	NEED(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, SIZE));
	EXPECT(rsm_memseg_import_put64(import, 16, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(*(volatile uint64_t *)(void *)((char *)address + 16), 99);
}

/* §4.6: offsets count from the segment's start, whatever is mapped; 18 outside the window (§3) */
static void offsets_count_from_the_segments_start(void)
{
	rsm_memseg_import_handle_t import = begin(RSM_PERM_RDWR, &barrier);
	void *address = NULL;
	uint64_t value = 5;

	NEED(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 4096, 4096));
	EXPECT(rsm_memseg_import_put64(import, 4096, &value, 1), RSM_SUCCESS);
	CHECK_EQUAL(*(uint64_t *)(void *)(memory + 4096), 5);
	/* Outside of the window but inside of the segment. */
	EXPECT_ONE(rsm_memseg_import_put64(import, 0, &value, 1), RSM_SUCCESS, RSMERR_BAD_OFFSET);
}

static const rig_test_t tests[] = {
	TEST(access_checks_its_arguments_in_order),
	TEST(sized_access_is_aligned),
	TEST(rights_come_before_the_range),
	TEST(imports_with_one_right_need_no_map),
	TEST(ranges_are_checked),
	TEST(ranges_are_checked_when_mapped),
	TEST(a_count_of_zero_passes_after_the_checks),
	TEST(implicit_mode_needs_a_barrier),
	TEST(explicit_mode_needs_no_barrier),
	TEST(data_arrives_whole_and_nothing_beside),
	TEST(plain_access_takes_any_alignment),
	TEST(values_keep_their_byte_order),
	TEST(overlapping_copies_are_safe),
	TEST(the_first_access_is_at_most_an_implicit_map),
	TEST(access_and_map_begin_anew_after_unmap),
	TEST(put_works_beside_a_read_only_map),
	TEST(offsets_count_from_the_segments_start),
};

RIG_MAIN(tests)
