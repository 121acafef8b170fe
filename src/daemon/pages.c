/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/pages.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/fd.h"
#include "memory/memfd.h"
#include "memory/page-guard.h"
#include "wire/message.h"

#define PAGE 4096u

static void wake_all(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static int map_shared(int fd, size_t size, void *ret_map)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return negative_errno();
	*(void **)ret_map = p;
	return 0;
}

/* The head is written through the descriptor, so that nothing needs to be mapped for it. */
static int page_new(const char *name, size_t size, uint64_t incarnation, int *ret_fd)
{
	struct wire_page_head head = {
		.magic = WIRE_PAGE_MAGIC,
		.version = WIRE_MAJOR << 16 | WIRE_MINOR,
		.size = size,
		.incarnation = incarnation,
	};
	_cleanup_close_ int fd = -1;
	int r;

	r = memfd_new(name, size, &fd);
	if (r < 0)
		return r;
	r = memfd_reserve(fd, 0, MIN(size, PAGE));
	if (r < 0)
		return r;
	if (pwrite(fd, &head, sizeof(head), 0) != sizeof(head))
		return negative_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

/* An array of a shared page. */
struct array {
	size_t offset, entry; /* bytes */
	uint32_t n;
};

/* Reserves the memory of entries [*n, wanted), a page's worth at a time. */
static int reserve_entries(int fd, const struct array *array, uint32_t wanted, uint32_t *n)
{
	uint64_t begin = array->offset + *n * array->entry;
	uint64_t end = array->offset + MIN(wanted, array->n) * array->entry;
	int r;

	if (wanted <= *n)
		return 0;
	end = MIN((end + PAGE - 1) / PAGE * PAGE, array->offset + array->n * array->entry);
	r = memfd_reserve(fd, begin, end - begin);
	if (r < 0)
		return r == -ENOSPC ? -ENOMEM : r;
	*n = (uint32_t)((end - array->offset) / array->entry);
	return 0;
}

/* Node page */

static int node_mutex_init(struct wire_node_page *page)
{
	pthread_mutexattr_t a;
	int r;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	r = pthread_mutex_init(&page->mutex, &a);
	pthread_mutexattr_destroy(&a);
	return -r;
}

int node_page_new(uint32_t node, uint64_t incarnation, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	struct wire_node_page *page;
	int r;

	r = page_new("causeway-node", sizeof(*page), incarnation, &fd);
	if (r < 0)
		return r;
	r = node_page_map(fd, &page);
	if (r < 0)
		return r;
	page->node = node;
	r = node_mutex_init(page);
	munmap(page, sizeof(*page));
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

int node_page_map(int fd, struct wire_node_page **ret_page)
{
	int r = memfd_check(fd, sizeof(**ret_page));

	return r < 0 ? r : map_shared(fd, sizeof(**ret_page), ret_page);
}

int node_page_take_over(struct wire_node_page *page)
{
	int r = pthread_mutex_lock(&page->mutex);

	if (r == EOWNERDEAD)
		r = pthread_mutex_consistent(&page->mutex);
	if (r)
		return -r;
	page->starts++;
	/* Sleepers are not counted in the word; this has the kernel wake one when we die. */
	atomic_fetch_or(&page->alive, FUTEX_WAITERS);
	wake_all(&page->alive);
	return 0;
}

/* Status page and client page */

int status_page_new(uint64_t incarnation, struct status_page *ret_page)
{
	int fd, r;

	r = page_new("causeway-status", sizeof(struct wire_status_page), incarnation, &fd);
	if (r < 0)
		return r;
	r = status_page_open(fd, ret_page);
	if (r < 0)
		fd_close(fd);
	return r;
}

/* The words of an array that have their memory, from the page of its first one on. */
static int find_used(int fd, size_t at, uint32_t limit, uint32_t *ret_n)
{
	const off_t begin = (off_t)at, page = begin / PAGE * PAGE;
	off_t end = lseek(fd, page, SEEK_HOLE);

	if (end < 0)
		return negative_errno();
	*ret_n = end > begin ? MIN((uint32_t)((end - begin) / (off_t)sizeof(uint64_t)), limit) : 0;
	return 0;
}

/* Both get the lowest index that is free, so what was ever used is before the first hole. */
static int find_all_used(struct status_page *p)
{
	int r = find_used(p->fd, offsetof(struct wire_status_page, imports), WIRE_CLIENT_IMPORTS,
		&p->n_imports);

	return r < 0 ? r
		     : find_used(p->fd, offsetof(struct wire_status_page, routes),
			       WIRE_CLIENT_ROUTES, &p->n_routes);
}

int status_page_open(int fd, struct status_page *ret_page)
{
	struct status_page p = {.fd = fd};
	int r;

	r = memfd_check(fd, sizeof(*p.map));
	if (r == 0)
		r = find_all_used(&p);
	if (r == 0)
		r = map_shared(fd, sizeof(*p.map), &p.map);
	if (r == 0)
		*ret_page = p;
	return r;
}

void status_page_deinit(struct status_page *p)
{
	if (p->map)
		munmap(p->map, sizeof(*p->map));
	fd_close(p->fd);
	*p = STATUS_PAGE_NONE;
}

/* The words of coherent maps, as many as there are others. */
static int reserve_coherent(struct status_page *p, uint32_t n_imports, uint32_t n_exports)
{
	const struct {
		struct array array;
		uint32_t from, n;
	} all[] = {
		{{offsetof(struct wire_status_page, discards), sizeof(p->map->discards[0]),
			 WIRE_CLIENT_IMPORTS},
			p->n_imports, n_imports},
		{{offsetof(struct wire_status_page, leases), sizeof(p->map->leases[0]),
			 WIRE_CLIENT_IMPORTS},
			p->n_imports, n_imports},
		{{offsetof(struct wire_status_page, import_coherent),
			 sizeof(p->map->import_coherent[0]), WIRE_CLIENT_IMPORTS},
			p->n_imports, n_imports},
		{{offsetof(struct wire_status_page, export_coherent),
			 sizeof(p->map->export_coherent[0]), WIRE_CLIENT_EXPORTS},
			p->n_exports, n_exports},
	};

	for (size_t i = 0; i < ELEMENTS(all); i++) {
		uint32_t n = all[i].from;
		int r = reserve_entries(p->fd, &all[i].array, all[i].n, &n);

		if (r < 0)
			return r;
	}
	return 0;
}

int status_page_reserve(struct status_page *p, uint32_t n_imports, uint32_t n_exports)
{
	static const struct array imports = {offsetof(struct wire_status_page, imports),
		sizeof(p->map->imports[0]), WIRE_CLIENT_IMPORTS};
	static const struct array exports = {offsetof(struct wire_status_page, exports),
		sizeof(p->map->exports[0]), WIRE_CLIENT_EXPORTS};
	uint32_t new_imports = p->n_imports, new_exports = p->n_exports;
	int r = reserve_entries(p->fd, &imports, n_imports, &new_imports);

	if (r == 0)
		r = reserve_entries(p->fd, &exports, n_exports, &new_exports);
	if (r == 0)
		r = reserve_coherent(p, new_imports, new_exports);
	if (r < 0)
		return r;
	p->n_imports = new_imports;
	p->n_exports = new_exports;
	return 0;
}

int status_page_reserve_routes(struct status_page *p, uint32_t n_routes)
{
	static const struct array routes = {offsetof(struct wire_status_page, routes),
		sizeof(p->map->routes[0]), WIRE_CLIENT_ROUTES};

	return reserve_entries(p->fd, &routes, n_routes, &p->n_routes);
}

void status_word_show(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
	wake_all((_Atomic uint32_t *)wire_word_state(word));
}

int client_page_new(uint64_t incarnation, int *ret_fd)
{
	return page_new("causeway-maps", sizeof(struct wire_client_page), incarnation, ret_fd);
}

int client_page_read(int fd, uint32_t slot, struct wire_map *ret_map)
{
	uint64_t at = offsetof(struct wire_client_page, maps) + (uint64_t)slot * sizeof(*ret_map);
	struct wire_map map;

	if (slot >= WIRE_CLIENT_MAPS)
		return -ERANGE;
	if (pread(fd, &map, sizeof(map), (off_t)at) != sizeof(map))
		return negative_errno();
	*ret_map = map;
	return 0;
}

bool client_page_forked(int fd)
{
	off_t at = offsetof(struct wire_client_page, forked);
	uint32_t forked;

	return pread(fd, &forked, sizeof(forked), at) == sizeof(forked) && forked;
}

uint32_t client_page_maps(int fd)
{
	off_t at = offsetof(struct wire_client_page, n_maps);
	uint32_t n;

	return pread(fd, &n, sizeof(n), at) == sizeof(n) ? MIN(n, WIRE_CLIENT_MAPS) : 0;
}

/* A page from before there were counts ends before them and cannot grow. */
static int client_page_clear(int fd, uint64_t at, size_t size)
{
	static const uint8_t zeros[sizeof(struct wire_traffic)];
	int place, r;

	assert(size <= sizeof(zeros));
	/* the client, too, can write there */
	place = page_guard_enter(fd);
	r = pwrite(fd, zeros, size, (off_t)at) == (ssize_t)size ? 0 : negative_errno();
	page_guard_leave(place);
	if (r == -EPERM)
		return 0;
	return r == -ENOSPC ? -ENOMEM : r;
}

static uint64_t import_at(uint32_t import)
{
	return offsetof(struct wire_client_page, imports) +
	       (uint64_t)import * sizeof(struct wire_traffic);
}

static uint64_t export_at(uint32_t export)
{
	return offsetof(struct wire_client_page, export_posts) +
	       (uint64_t) export * sizeof(uint64_t);
}

int client_page_begin_import(int fd, uint32_t import)
{
	return client_page_clear(fd, import_at(import), sizeof(struct wire_traffic));
}

int client_page_begin_export(int fd, uint32_t export)
{
	return client_page_clear(fd, export_at(export), sizeof(uint64_t));
}

void client_page_add_import(int fd, uint32_t import, struct traffic *sum)
{
	struct traffic t;

	static_assert(offsetof(struct wire_traffic, posts) == offsetof(struct traffic, posts), "");
	if (pread(fd, &t, sizeof(t), (off_t)import_at(import)) != sizeof(t))
		return;
	sum->puts += t.puts;
	sum->gets += t.gets;
	sum->put_bytes += t.put_bytes;
	sum->get_bytes += t.get_bytes;
	sum->posts += t.posts;
}

uint64_t client_page_export_posts(int fd, uint32_t export)
{
	uint64_t n;

	return pread(fd, &n, sizeof(n), (off_t)export_at(export)) == sizeof(n) ? n : 0;
}

/* Cells */

int cells_new(struct cells *ret_cells)
{
	int fd, r;

	r = memfd_new("causeway-cells", WIRE_CELLS_SIZE, &fd);
	if (r < 0)
		return r;
	r = cells_open(fd, ret_cells);
	if (r < 0)
		fd_close(fd);
	return r;
}

int cells_open(int fd, struct cells *ret_cells)
{
	struct cells c = {.fd = fd};
	int r;

	r = memfd_check(fd, WIRE_CELLS_SIZE);
	if (r == 0)
		r = map_shared(fd, WIRE_CELLS_SIZE, &c.map);
	if (r == 0)
		r = cells_reserve(&c, 0);
	if (r == 0)
		*ret_cells = c;
	else if (c.map)
		munmap(c.map, WIRE_CELLS_SIZE);
	return r;
}

void cells_deinit(struct cells *c)
{
	if (c->map)
		munmap(c->map, WIRE_CELLS_SIZE);
	fd_close(c->fd);
	*c = CELLS_NONE;
}

int cells_reserve(struct cells *c, uint32_t cell)
{
	static const struct array all = {0, sizeof(struct wire_cell), WIRE_CELLS_MAX};

	return reserve_entries(c->fd, &all, cell + 1, &c->n);
}

void cells_clear(struct cells *c, uint32_t cell)
{
	struct wire_cell *w = &c->map[cell];

	atomic_store(&w->has_pipe, 0);
	atomic_store(&w->sleepers, 0);
	atomic_store(&w->once, 0);
	atomic_store(&w->total, 0);
	atomic_store(&w->total_once, 0);
	atomic_store(&w->word, 0);
}

void cells_begin_guest(struct cells *c, uint32_t cell)
{
	atomic_store(&c->map[cell].has_pipe, WIRE_CELL_GUEST);
}

void cells_look(struct cells *c, uint32_t cell, int pipe)
{
	atomic_fetch_or(&c->map[cell].word, WIRE_CELL_LOOK);
	wake_all(&c->map[cell].word);
	if (pipe >= 0)
		cell_pipe_fill(pipe);
}

void cells_kick(struct cells *c, uint32_t cell, int pipe)
{
	wake_all(&c->map[cell].word);
	if (pipe >= 0 && (atomic_load(&c->map[cell].word) & WIRE_CELL_COUNT))
		cell_pipe_fill(pipe);
}

/* Signals between nodes */

struct signals cells_totals(const struct cells *c, uint32_t cell)
{
	const struct wire_cell *w = &c->map[cell];

	return (struct signals){atomic_load(&w->total), atomic_load(&w->total_once)};
}

#define TAKE_ROUNDS 16u /* nobody who posts without end keeps us here */

struct signals cells_take(struct cells *c, uint32_t cell)
{
	struct wire_cell *w = &c->map[cell];
	uint32_t n;

	/* The total first: a daemon that is killed in between loses nothing. Whoever posts
	 * meanwhile sees a count and does not poke, so it must be 0 once before this ends. */
	for (unsigned int i = 0; i < TAKE_ROUNDS; i++) {
		n = atomic_load(&w->word) & WIRE_CELL_COUNT;
		if (!n)
			break;
		atomic_fetch_add(&w->total, n);
		atomic_fetch_sub(&w->word, n);
	}
	n = atomic_fetch_and(&w->word, ~WIRE_CELL_COUNT) & WIRE_CELL_COUNT;
	if (n)
		atomic_fetch_add(&w->total, n);
	if (atomic_load(&w->once)) {
		atomic_fetch_add(&w->total_once, 1);
		atomic_store(&w->once, 0);
	}
	return cells_totals(c, cell);
}

/* Adds n to the count, which stays in its bounds; or makes it 1 if it is 0. Returns true if it was
 * 0 before. */
static bool cell_count(struct wire_cell *w, uint32_t n, bool accumulate)
{
	uint32_t old = atomic_load(&w->word), count, room;

	do {
		count = old & WIRE_CELL_COUNT;
		room = WIRE_CELL_COUNT - count;
		if (old & WIRE_CELL_LOOK || (count && !accumulate))
			return false;
	} while (!atomic_compare_exchange_weak(&w->word, &old, old + MIN(n, room)));
	return !count;
}

static void cell_tell(struct wire_cell *w, bool first, int pipe)
{
	if (atomic_load(&w->sleepers))
		wake_all(&w->word);
	if (first && pipe >= 0)
		cell_pipe_fill(pipe);
}

void cell_post(struct wire_cell *w, bool accumulate, int pipe)
{
	cell_tell(w, cell_count(w, 1, accumulate), pipe);
}

void cells_put(struct cells *c, uint32_t cell, struct signals totals, int pipe)
{
	struct wire_cell *w = &c->map[cell];
	uint32_t n = totals.total - atomic_load(&w->total);
	bool first = false;

	if (n) {
		first |= cell_count(w, n, true);
		atomic_store(&w->total, totals.total);
	}
	if (totals.once != atomic_load(&w->total_once)) {
		first |= cell_count(w, 1, false);
		atomic_store(&w->total_once, totals.once);
	}
	cell_tell(w, first, pipe);
}

/* Operations done */

int done_page_new(int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	int r = memfd_new("causeway-done", DONE_WORDS * sizeof(uint64_t), &fd);

	if (r == 0)
		r = memfd_reserve(fd, 0, DONE_WORDS * sizeof(uint64_t));
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r == -ENOSPC ? -ENOMEM : r;
}

int done_page_map(int fd, _Atomic uint64_t **ret_words)
{
	int r = memfd_check(fd, DONE_WORDS * sizeof(uint64_t));

	return r < 0 ? r : map_shared(fd, DONE_WORDS * sizeof(uint64_t), ret_words);
}

/* Pipes */

int cell_pipe_new(int *ret_writer)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return negative_errno();
	fd_close(fds[0]);
	*ret_writer = fds[1];
	return 0;
}

int cell_pipe_reader(int writer, int *ret_reader)
{
	return fd_reopen(writer, O_RDONLY | O_NONBLOCK, ret_reader);
}

void cell_pipe_fill(int writer)
{
	int n = 0;

	/* Without a reader or with a full pipe there is nobody to tell anything new. */
	if (ioctl(writer, FIONREAD, &n) == 0 && n == 0 && write(writer, "", 1) < 0)
		errno = 0;
}
