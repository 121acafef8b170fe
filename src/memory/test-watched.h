/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_TEST_WATCHED_H
#define MEMORY_TEST_WATCHED_H

/*
 * A small daemon for tests of mappers: it keeps one page store, watches child processes that map
 * its memory and give it their userfaultfds over a socket, and answers their faults, one lock for
 * all. Its table has a byte a page: absent, there, or to be written.
 *
 * Children run a function of the test on their map; they share a page of words with the test.
 */

#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "base/clock.h"
#include "base/fd.h"
#include "memory/mapper.h"
#include "memory/page-store.h"
#include "memory/test-memory.h"
#include "memory/uffd.h"

#define WATCHED_MAX   64
#define WATCHED_PAGES 320
#define WATCHED_SIZE  (WATCHED_PAGES * PAGE)
#define PIECES_MAX    16

enum { PAGE_ABSENT, PAGE_THERE, PAGE_WRITABLE };

struct words {
	_Atomic uint64_t go, ready, value[16];
};

struct daemon;

struct watched {
	struct daemon *daemon;
	Watch *watch;
	int uffd, number;
	pthread_t reader;
	bool reads;
	struct mapper pieces[PIECES_MAX];
	unsigned int n_pieces;
};

struct daemon {
	pthread_mutex_t lock;
	struct page_store store;
	struct watched *watched[WATCHED_MAX];
	unsigned int n_watched;
	_Atomic bool silent;   /* faults are counted, not answered */
	_Atomic bool protects; /* at each fault everything is protected first */
	int device;
	_Atomic unsigned int faults, forks, moves, unmaps, removes, forgotten, refused, busy;
};

struct child {
	pid_t pid;
	int sock;
	uint64_t address;
	struct words *words;
};

static inline void daemon_init(struct daemon *d)
{
	memset(d, 0, sizeof(*d));
	pthread_mutex_init(&d->lock, NULL);
	d->device = -1;
	assert_int_equal(page_store_new(WATCHED_SIZE, &d->store), 0);
}

static inline struct watched *daemon_watch(struct daemon *d, int uffd);

static inline void daemon_add_piece(struct watched *w, const struct mapper *piece)
{
	if (w->n_pieces == PIECES_MAX)
		abort();
	w->pieces[w->n_pieces++] = *piece;
}

static inline void daemon_change(struct watched *w, const struct watch_event *change)
{
	struct mapper old[PIECES_MAX], left[2];
	unsigned int n = w->n_pieces;

	if (change->type == WATCH_FORK) {
		struct watched *child = daemon_watch(w->daemon, change->uffd);

		w->daemon->forks++;
		for (unsigned int i = 0; i < n; i++) {
			struct mapper piece = w->pieces[i];

			piece.watch = child->watch;
			daemon_add_piece(child, &piece);
		}
		return;
	}
	w->daemon->moves += change->type == WATCH_MOVED;
	w->daemon->unmaps += change->type == WATCH_UNMAPPED;
	w->daemon->removes += change->type == WATCH_REMOVED;
	memcpy(old, w->pieces, sizeof(old));
	w->n_pieces = 0;
	for (unsigned int i = 0; i < n; i++) {
		unsigned int k = mapper_change(&old[i], change, left);

		for (unsigned int j = 0; j < k; j++)
			daemon_add_piece(w, &left[j]);
	}
}

static inline bool daemon_protect_all(struct watched *w)
{
	for (unsigned int i = 0; i < w->n_pieces; i++)
		if (mapper_protect(&w->pieces[i], 0, WATCHED_SIZE) == MAPPER_CHANGED)
			return false;
	return true;
}

static inline void daemon_changes(struct watched *w)
{
	struct watch_event change;
	bool moved = false;

	do
		while (watch_change(w->watch, &change)) {
			moved |= change.type == WATCH_MOVED;
			daemon_change(w, &change);
		}
	while (moved && !daemon_protect_all(w));
}

/* No process may store any more. -EBUSY: one could not be held. */
static inline int daemon_protect(struct daemon *d, uint64_t offset, uint64_t length)
{
	int r = 0, r2;

	for (unsigned int i = 0; i < d->n_watched; i++) {
		struct watched *w = d->watched[i];

		for (unsigned int k = 0; k < w->n_pieces; k++) {
			r2 = mapper_protect(&w->pieces[k], offset, length);
			if (r2 == MAPPER_CHANGED) {
				daemon_changes(w);
				i = UINT32_MAX;
				break;
			}
			r = r2 < 0 ? r2 : r;
		}
	}
	for (uint64_t page = offset / PAGE; page < (offset + length) / PAGE; page++)
		if (d->store.map[page] == PAGE_WRITABLE)
			d->store.map[page] = PAGE_THERE;
	return r;
}

static inline uint64_t daemon_pattern(uint64_t page)
{
	return 0xc0ffee00 + page;
}

static inline void daemon_fill(struct daemon *d, uint64_t page)
{
	uint64_t content[PAGE / 8] = {daemon_pattern(page)};

	d->store.map[page] = PAGE_THERE;
	if (page_store_write(&d->store, page * PAGE, content, PAGE) < 0)
		abort();
}

/* The page is taken away, with its content. */
static inline void daemon_drop(struct daemon *d, uint64_t page, void *ret_content)
{
	if (daemon_protect(d, page * PAGE, PAGE) < 0 ||
		page_store_read(&d->store, page * PAGE, ret_content, PAGE) < 0 ||
		page_store_punch(&d->store, page * PAGE, PAGE) < 0 ||
		daemon_protect(d, page * PAGE, PAGE) < 0)
		abort();
	d->store.map[page] = PAGE_ABSENT;
}

static inline void daemon_fault(struct watched *w, const struct watch_event *fault)
{
	struct daemon *d = w->daemon;
	uint64_t offset, page;

	d->faults++;
	if (d->protects && daemon_protect(d, 0, WATCHED_SIZE) < 0)
		d->busy++;
	for (unsigned int i = 0; i < w->n_pieces && !d->silent; i++) {
		if (!mapper_find(&w->pieces[i], fault->address, &offset))
			continue;
		page = offset / PAGE;
		if (d->store.map[page] == PAGE_ABSENT)
			daemon_fill(d, page);
		else if (fault->missing && page_store_reserve(&d->store, offset, PAGE) < 0)
			abort();
		if (fault->write && !w->pieces[i].read_only) {
			d->store.map[page] = PAGE_WRITABLE;
			mapper_allow(&w->pieces[i], offset, PAGE);
		} else {
			mapper_wake(&w->pieces[i], offset, PAGE);
		}
	}
}

static inline void daemon_faults(struct watched *w)
{
	struct watch_event fault;

	while (watch_fault(w->watch, &fault)) {
		if (fault.type == WATCH_FAULT) {
			daemon_fault(w, &fault);
			continue;
		}
		w->daemon->forgotten++;
		for (unsigned int i = 0; i < w->n_pieces; i++)
			mapper_wake(&w->pieces[i], 0, WATCHED_SIZE);
	}
}

static inline void *daemon_read(void *userdata)
{
	struct watched *w = userdata;

	while (watch_wait(w->watch) == 0 && watch_lock(w->watch, &w->daemon->lock) == 0) {
		daemon_changes(w);
		daemon_faults(w);
		pthread_mutex_unlock(&w->daemon->lock);
	}
	w->daemon->refused++;
	return NULL;
}

static inline void watched_start(struct watched *w)
{
	if (pthread_create(&w->reader, NULL, daemon_read, w))
		abort();
	w->reads = true;
}

static inline void watched_stop(struct watched *w)
{
	if (!w->reads)
		return;
	watch_stop(w->watch, w->reader);
	w->reads = false;
}

static inline struct watched *daemon_watch(struct daemon *d, int uffd)
{
	struct watched *w = calloc(1, sizeof(*w));

	if (!w || d->n_watched == WATCHED_MAX || watch_new(uffd, &w->watch) < 0)
		abort();
	w->daemon = d;
	w->uffd = uffd;
	w->number = (int)d->n_watched;
	d->watched[d->n_watched++] = w;
	watched_start(w);
	return w;
}

static inline uint8_t daemon_page(struct daemon *d, uint64_t page)
{
	uint8_t state;

	pthread_mutex_lock(&d->lock);
	state = d->store.map[page];
	pthread_mutex_unlock(&d->lock);
	return state;
}

static inline bool daemon_sees_end(struct watched *w)
{
	bool gone;

	pthread_mutex_lock(&w->daemon->lock);
	gone = watch_probe(w->watch, w->pieces[0].address);
	pthread_mutex_unlock(&w->daemon->lock);
	return gone;
}

/* Without waking anybody: what is left of a daemon that was killed. The descriptors are closed if
 * close_them. */
static inline void daemon_stop(struct daemon *d, bool close_them)
{
	for (unsigned int i = 0; i < d->n_watched; i++) {
		watched_stop(d->watched[i]);
		watch_free(d->watched[i]->watch);
		if (close_them)
			close(d->watched[i]->uffd);
		free(d->watched[i]);
	}
	d->n_watched = 0;
}

static inline void daemon_end(struct daemon *d)
{
	daemon_stop(d, true);
	page_store_close(&d->store);
	pthread_mutex_destroy(&d->lock);
}

/* --- children --- */

typedef void (*child_body)(char *map, struct words *words);

enum child_flags {
	CHILD_READ_ONLY = 1, /* maps as those do that may only read */
	CHILD_USER = 2,	     /* is nobody, with a lent device if there is one */
};

static inline void child_wait(_Atomic uint64_t *word, uint64_t value)
{
	for (int i = 0; atomic_load(word) < value; i++)
		if (i > 1000)
			usleep(50);
}

static inline int child_begin(const struct daemon *d, int sock, int fd, int flags, char **ret_map)
{
	enum uffd_kind kind;
	uint64_t address;
	char *map;
	int uffd;

	alarm(60);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (flags & CHILD_USER)
		child_require(
			setgid(65534) == 0 && setuid(65534) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
	map = flags & CHILD_READ_ONLY
		      ? mmap(NULL, WATCHED_SIZE, PROT_READ, MAP_PRIVATE, fd, 0)
		      : mmap(NULL, WATCHED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	child_require(map != MAP_FAILED);
	close(fd);
	child_require(uffd_new(d->device, &kind, &uffd) == 0 && kind == UFFD_FULL);
	address = (uintptr_t)map;
	child_require(fd_send(sock, &address, sizeof(address), &uffd, 1, 0) == 0);
	*ret_map = map;
	return uffd; /* kept open by the child, as by every client */
}

/* The child's own userfaultfd, for those who do with it what they should not. */
static int child_uffd;

static inline void child_run(
	const struct daemon *d, int sock, int fd, int flags, child_body body, struct words *words)
{
	char *map, byte;

	child_uffd = child_begin(d, sock, fd, flags, &map);
	child_require(recv(sock, &byte, 1, 0) == 1);
	body(map, words);
	_exit(0);
}

/* Starts a child that maps the store, and watches it; its body begins at once. */
static inline struct watched *child_start(
	struct daemon *d, int flags, child_body body, struct child *ret_child)
{
	int s[2], fd, fds[FD_PACKET_MAX], r;
	struct watched *w;
	unsigned int n;

	ret_child->words =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(ret_child->words, MAP_FAILED);
	assert_int_equal(page_store_lend(&d->store, flags & CHILD_READ_ONLY, &fd), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	fflush(stdout);
	ret_child->pid = fork();
	assert_true(ret_child->pid >= 0);
	if (ret_child->pid == 0) {
		close(s[0]);
		for (unsigned int i = 0; i < d->n_watched; i++)
			close(d->watched[i]->uffd);
		page_store_close(&d->store);
		child_run(d, s[1], fd, flags, body, ret_child->words);
	}
	close(fd);
	close(s[1]);
	ret_child->sock = s[0];
	assert_int_equal(fd_recv(s[0], &ret_child->address, 8, fds, &n, 0), 8);
	assert_int_equal(n, 1);
	assert_true(uffd_check(fds[0]));
	assert_int_equal(watch_begin(fds[0]), 0);
	pthread_mutex_lock(&d->lock);
	w = daemon_watch(d, fds[0]);
	w->pieces[0] = (struct mapper){w->watch, ret_child->address, 0, WATCHED_SIZE,
		.read_only = flags & CHILD_READ_ONLY};
	w->n_pieces = 1;
	r = mapper_arm(&w->pieces[0]);
	pthread_mutex_unlock(&d->lock);
	assert_int_equal(r, MAPPER_OK);
	assert_int_equal(send(s[0], "", 1, 0), 1);
	return w;
}

/* Its wait status. */
static inline int child_end(struct child *child)
{
	int status;

	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	close(child->sock);
	munmap(child->words, PAGE);
	return status;
}

static inline int child_kill(struct child *child)
{
	kill(child->pid, SIGKILL);
	return child_end(child);
}

/* Waits, at most 10 s. */
#define until(condition)                                                                           \
	do {                                                                                       \
		uint64_t end_ = clock_now() + 10 * NSEC_PER_SEC;                                   \
		while (!(condition) && clock_now() < end_)                                         \
			usleep(100);                                                               \
		assert_true(condition);                                                            \
	} while (0)

/* True if the child has not come to the end of what it does within some ms. */
static inline bool child_is_stopped(const struct child *child, uint64_t word)
{
	usleep(20000);
	return atomic_load(&child->words->ready) < word;
}

/* Whether the kernel will tell of the next store to this page of the process. */
static inline bool page_is_marked(pid_t pid, uint64_t address)
{
	char path[32];
	uint64_t entry = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &entry, 8, (off_t)(address / PAGE * 8)), 8);
	close(fd);
	return entry >> 57 & 1;
}

/* TSan loses its way in a forked child that makes threads, and keeps signals from threads that call
 * nothing. */
static inline void need_children_without_tsan(void)
{
#ifdef __SANITIZE_THREAD__
	print_message("skip: not under TSan\n");
	skip();
#endif
}

/* Coherent maps need root, or to be skipped. */
static inline void need_rights(void)
{
	const char *why = watch_impossible(-1);

	if (why) {
		print_message("skip: %s\n", why);
		skip();
	}
}

#endif
