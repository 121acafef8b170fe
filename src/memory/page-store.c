/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/page-store.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "memory/memfd.h"
#include "memory/page-guard.h"

#define PAGE  4096ull
#define CHUNK (64u << 10) /* bytes moved at once, on the stack */
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static bool within(const struct page_store *store, uint64_t offset, uint64_t n)
{
	return range_within(offset, n, store->size);
}

/* --- whole transfers --- */

static int read_all(int fd, uint64_t offset, char *data, size_t n)
{
	while (n) {
		ssize_t r = pread(fd, data, n, (off_t)offset);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? negative_errno() : -EIO;
		data += r;
		offset += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

static int write_all(int fd, uint64_t offset, const char *data, size_t n)
{
	while (n) {
		ssize_t r = pwrite(fd, data, n, (off_t)offset);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? negative_errno() : -EIO;
		data += r;
		offset += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

static int copy_all(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t n)
{
	char buffer[CHUNK];

	while (n) {
		size_t step = MIN(n, sizeof(buffer));
		int r = read_all(from, from_offset, buffer, step);

		if (r == 0)
			r = write_all(to, to_offset, buffer, step);
		if (r < 0)
			return r;
		from_offset += step;
		to_offset += step;
		n -= step;
	}
	return 0;
}

static int allocate(int fd, int mode, uint64_t offset, uint64_t n)
{
	int r;

	do
		r = fallocate(fd, mode, (off_t)offset, (off_t)n);
	while (r < 0 && errno == EINTR);
	return r < 0 ? negative_errno() : 0;
}

/* --- the store --- */

static void store_empty(struct page_store *store)
{
	*store = (struct page_store){.memory = -1, .table = -1, .aside = -1};
}

static int store_map(struct page_store *store, size_t table_size)
{
	void *map = mmap(NULL, table_size, PROT_READ | PROT_WRITE, MAP_SHARED, store->table, 0);

	if (map == MAP_FAILED)
		return negative_errno();
	store->map = map;
	store->map_size = table_size;
	return 0;
}

/* Takes over what it is given only on success. */
static int store_finish(struct page_store *store, size_t table_size, struct page_store *ret_store)
{
	int r = store_map(store, table_size);

	if (r < 0)
		return r;
	store->aside_bytes = store->size;
	*ret_store = *store;
	return 0;
}

static bool sizes_make_sense(uint64_t offset, uint64_t size, size_t table_size)
{
	return size && table_size && !((offset | size) % PAGE) &&
	       range_within(offset, size, INT64_MAX);
}

static int table_new(size_t size, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	int r = memfd_new("causeway-pages", size, &fd);

	if (r == 0)
		r = memfd_reserve(fd, 0, size); /* it is used by stores, which must not fail */
	if (r < 0)
		return r;
	*ret_fd = take_fd(&fd);
	return 0;
}

int page_store_new(uint64_t size, struct page_store *ret_store)
{
	_cleanup_close_ int memory = -1, table = -1, aside = -1;
	struct page_store store;
	int r;

	if (!sizes_make_sense(0, size, size / PAGE))
		return -EINVAL;
	r = memfd_new("causeway-map", size, &memory);
	if (r == 0)
		r = table_new(size / PAGE, &table);
	if (r == 0)
		r = memfd_new("causeway-aside", size, &aside);
	if (r < 0)
		return r;
	store_empty(&store);
	store.size = size;
	store.memory = memory;
	store.table = table;
	store.aside = aside;
	r = store_finish(&store, size / PAGE, ret_store);
	if (r < 0)
		return r;
	memory = table = aside = -1;
	return 0;
}

static int check_memory(int memory, uint64_t offset, uint64_t size)
{
	struct stat st;

	if (fstat(memory, &st) < 0)
		return negative_errno();
	return S_ISREG(st.st_mode) && range_within(offset, size, (uint64_t)st.st_size) ? 0
										       : -EBADMSG;
}

int page_store_new_home(
	int memory, uint64_t offset, uint64_t size, size_t table_size, struct page_store *ret_store)
{
	_cleanup_close_ int table = -1, shadow = -1;
	struct page_store store;
	int r;

	if (!sizes_make_sense(offset, size, table_size))
		return -EINVAL;
	r = check_memory(memory, offset, size);
	if (r == 0)
		r = table_new(table_size, &table);
	if (r == 0)
		r = memfd_new("causeway-shadow", size, &shadow);
	if (r < 0)
		return r;
	store_empty(&store);
	store.size = size;
	store.memory = memory;
	store.offset = offset;
	store.home = true;
	store.table = table;
	store.aside = shadow;
	r = store_finish(&store, table_size, ret_store);
	if (r < 0)
		return r;
	table = shadow = -1;
	return 0;
}

int page_store_open(bool home, int memory, uint64_t offset, uint64_t size, size_t table_size,
	int table, int aside, struct page_store *ret_store)
{
	struct page_store store;

	if (!sizes_make_sense(offset, size, table_size) || check_memory(memory, offset, size) < 0 ||
		memfd_check(table, table_size) < 0 || memfd_check(aside, size) < 0 ||
		(!home && (offset || table_size != size / PAGE)))
		return -EBADMSG;
	store_empty(&store);
	store.size = size;
	store.memory = memory;
	store.offset = offset;
	store.home = home;
	store.table = table;
	store.aside = aside;
	return store_finish(&store, table_size, ret_store);
}

void page_store_close(struct page_store *store)
{
	if (store->map)
		(void)munmap(store->map, store->map_size);
	fd_close(store->table);
	fd_close(store->aside);
	if (!store->home)
		fd_close(store->memory);
	store_empty(store);
}

/* --- the memory, which others may write to and so may keep us waiting for --- */

int page_store_read(const struct page_store *store, uint64_t offset, void *data, size_t n)
{
	if (!within(store, offset, n))
		return -EINVAL;
	return read_all(store->memory, store->offset + offset, data, n);
}

int page_store_write(const struct page_store *store, uint64_t offset, const void *data, size_t n)
{
	int place, r;

	if (!within(store, offset, n))
		return -EINVAL;
	place = page_guard_enter(store->memory);
	r = write_all(store->memory, store->offset + offset, data, n);
	page_guard_leave(place);
	return r;
}

static int allocate_guarded(const struct page_store *store, int mode, uint64_t offset, uint64_t n)
{
	int place, r;

	if (!n || !within(store, offset, n))
		return -EINVAL;
	place = page_guard_enter(store->memory);
	r = allocate(store->memory, mode, store->offset + offset, n);
	page_guard_leave(place);
	return r;
}

int page_store_reserve(const struct page_store *store, uint64_t offset, uint64_t n)
{
	return allocate_guarded(store, 0, offset, n);
}

int page_store_punch(const struct page_store *store, uint64_t offset, uint64_t n)
{
	return allocate_guarded(store, PUNCH, offset, n);
}

int page_store_present(const struct page_store *store,
	void (*each)(void *userdata, uint64_t offset, uint64_t n), void *userdata)
{
	off_t end = (off_t)(store->offset + store->size), at = (off_t)store->offset, hole;

	while (at < end) {
		at = lseek(store->memory, at, SEEK_DATA);
		if (at < 0)
			return errno == ENXIO ? 0 : negative_errno();
		hole = at < end ? lseek(store->memory, at, SEEK_HOLE) : at;
		if (hole < 0)
			return negative_errno();
		hole = MIN(hole, end);
		if (at < hole)
			each(userdata, (uint64_t)at - store->offset, (uint64_t)(hole - at));
		at = MAX(hole, at);
	}
	return 0;
}

/* --- aside --- */

/* A node's processes could otherwise make it hold their segments twice. */
static int aside_check_room(const struct page_store *store, uint64_t n)
{
	struct stat st;
	uint64_t has;

	if (store->home || store->aside_bytes >= store->size)
		return 0;
	if (fstat(store->aside, &st) < 0)
		return negative_errno();
	has = (uint64_t)st.st_blocks * 512;
	return has <= store->aside_bytes && n <= store->aside_bytes - has ? 0 : -ENOSPC;
}

int page_store_save(const struct page_store *store, uint64_t offset, uint64_t n)
{
	int r;

	if (!within(store, offset, n))
		return -EINVAL;
	r = aside_check_room(store, n);
	if (r < 0)
		return r;
	return copy_all(store->memory, store->offset + offset, store->aside, offset, n);
}

int page_store_recover(const struct page_store *store, uint64_t offset, uint64_t n)
{
	int place, r;

	if (!within(store, offset, n))
		return -EINVAL;
	place = page_guard_enter(store->memory);
	r = copy_all(store->aside, offset, store->memory, store->offset + offset, n);
	page_guard_leave(place);
	return r;
}

int page_store_read_aside(const struct page_store *store, uint64_t offset, void *data, size_t n)
{
	if (!within(store, offset, n))
		return -EINVAL;
	return read_all(store->aside, offset, data, n);
}

int page_store_write_aside(
	const struct page_store *store, uint64_t offset, const void *data, size_t n)
{
	if (!within(store, offset, n))
		return -EINVAL;
	return write_all(store->aside, offset, data, n);
}

int page_store_forget_aside(const struct page_store *store, uint64_t offset, uint64_t n)
{
	if (!n || !within(store, offset, n))
		return -EINVAL;
	return allocate(store->aside, PUNCH, offset, n);
}

int page_store_lend(const struct page_store *store, bool read_only, int *ret_fd)
{
	return read_only ? memfd_reopen_readonly(store->memory, ret_fd)
			 : memfd_reopen(store->memory, ret_fd);
}
