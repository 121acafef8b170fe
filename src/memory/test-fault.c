/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Each system call of adoption and move fails once, in turn: afterwards every store is there, the
 * range is wholly in the old memory or wholly in the new, as the result says, and nothing has
 * leaked.
 */

#include <sys/syscall.h>
#include "base/cleanup.h"
#include "memory/adopter.h"
#include "memory/sys.h"
#include "memory/test-memory.h"
#include "memory/test-writers.h"
#include "memory/vma.h"

#define PIECE (32 * MEBIBYTE)
#define ROOM  (3 * PIECE)
#define SLACK 32 /* pages that the heap of this test may grow */
#define POLLS 12 /* calls of loops that wait for another thread: more of them show nothing new */

int main(void);

static atomic_bool no_memory; /* every anonymous map fails */
static atomic_uint calls, polls, fail_at;
static atomic_int fail_with;
static pthread_t tested;

long __real_memory_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_memory_syscall(long number, long a, long b, long c, long d, long e, long f);

/* What has no way to fail in the kernel, given our arguments. */
static bool cannot_fail(long number, long old)
{
	return number == SYS_close || number == SYS_gettid ||
	       (number == SYS_rt_sigprocmask && !old);
}

/* How often a thread looks whether another is ready depends on the machine's load. */
static bool is_poll(long number)
{
	return (number == SYS_wait4 || number == SYS_futex || number == SYS_clock_nanosleep) &&
	       atomic_fetch_add(&polls, 1) >= POLLS;
}

/* The helper that stops threads looks to pthread_self() like the thread that made it. */
static bool is_tested(long number, long c)
{
	return pthread_equal(pthread_self(), tested) && !cannot_fail(number, c) && !is_poll(number);
}

long __wrap_memory_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (is_tested(number, c) && atomic_fetch_add(&calls, 1) + 1 == atomic_load(&fail_at))
		return atomic_load(&fail_with);
	if (number == SYS_mmap && d & MAP_ANONYMOUS && atomic_load(&no_memory))
		return -ENOMEM;
	return __real_memory_syscall(number, a, b, c, d, e, f);
}

static void arm(unsigned int call, int error)
{
	atomic_store(&calls, 0);
	atomic_store(&polls, 0);
	atomic_store(&fail_at, call);
	atomic_store(&fail_with, error);
}

/* True if the armed call has been reached. */
static bool disarm(void)
{
	bool fired = atomic_load(&calls) >= atomic_load(&fail_at);

	atomic_store(&fail_at, 0);
	return fired;
}

static int take_inode(const struct vma *v, void *userdata)
{
	*(uint64_t *)userdata = v->inode;
	return 1;
}

static bool is_wholly(char *memory, size_t size, uint64_t inode)
{
	uint64_t first = 0, last = 0, end = (uintptr_t)memory + size;

	assert_int_equal(vma_for_each((uintptr_t)memory, end, take_inode, &first), 1);
	assert_int_equal(vma_for_each(end - PAGE, end, take_inode, &last), 1);
	return first == inode && last == inode;
}

/* Size of the address space. */
static uint64_t count_pages(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	uint64_t pages = 0;

	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return pages;
}

struct scene {
	MemoryAdopter *tested;
	MemoryAdopter *quick; /* for all that is not tested */
	char *memory;
	size_t size;
	unsigned int fds; /* before */
	uint64_t pages;
	bool stopping; /* slow: one kind of failure must do */
};

/* A memfd to move to. */
struct place {
	int fd;
	struct stat st;
};

static struct place place_new(const struct scene *s)
{
	struct place p;

	p.fd = new_reserved(s->size, &p.st);
	return p;
}

static int scene_move(const struct scene *s, MemoryAdopter *adopter, const struct place *from,
	int fd_from, int fd_to)
{
	return memory_move(
		adopter, s->memory, s->size, from->st.st_dev, from->st.st_ino, fd_from, fd_to);
}

static void scene_adopt(const struct scene *s, const struct place *to)
{
	assert_int_equal(memory_adopt(s->quick, s->memory, s->size, to->fd), 0);
}

static void scene_undo(const struct scene *s, const struct place *from)
{
	assert_int_equal(scene_move(s, s->quick, from, from->fd, -1), 0);
	assert_true(is_wholly(s->memory, s->size, 0));
}

static void check_nothing_leaked(const struct scene *s)
{
	assert_int_equal(count_descriptors(), s->fds);
	assert_int_equal(count_mappings("test (deleted)"), 0);
	assert_in_range(count_pages(), 1, s->pages + SLACK);
}

/* One adoption, undo, or move, with one failure. True if it was reached. */
static bool adopt_once(const struct scene *s, unsigned int call, int error)
{
	struct place to = place_new(s);
	bool fired;
	int r;

	arm(call, error);
	r = memory_adopt(s->tested, s->memory, s->size, to.fd);
	fired = disarm();
	if (!fired)
		assert_int_equal(r, 0);
	assert_int_equal(is_private(s->memory, s->size), r != 0);
	if (r == 0)
		scene_undo(s, &to);
	close(to.fd);
	return fired;
}

static bool undo_with(const struct scene *s, unsigned int call, int error, bool source)
{
	struct place from = place_new(s), other = place_new(s);
	bool fired;
	int r;

	scene_adopt(s, &from);
	arm(call, error);
	r = scene_move(s, s->tested, &from, source ? from.fd : -1, -1);
	fired = disarm();
	if (r) {
		assert_int_equal(r, -ENOMEM);
		assert_true(is_wholly(s->memory, s->size, from.st.st_ino));
		scene_undo(s, &from);
	}
	assert_true(is_private(s->memory, s->size));
	/* what found no memory is a private map of the memfd */
	if (!is_wholly(s->memory, s->size, 0)) {
		assert_true(source);
		scene_adopt(s, &other);
		scene_undo(s, &other);
	}
	close(from.fd);
	close(other.fd);
	return fired;
}

static bool undo_once(const struct scene *s, unsigned int call, int error)
{
	return undo_with(s, call, error, false);
}

static bool undo_from_source_once(const struct scene *s, unsigned int call, int error)
{
	return undo_with(s, call, error, true);
}

static bool move_once(const struct scene *s, unsigned int call, int error)
{
	struct place from = place_new(s), to = place_new(s);
	bool fired;
	int r;

	scene_adopt(s, &from);
	arm(call, error);
	r = scene_move(s, s->tested, &from, -1, to.fd);
	fired = disarm();
	if (r) {
		assert_int_equal(r, -ENOMEM);
		assert_true(is_wholly(s->memory, s->size, from.st.st_ino));
		assert_int_equal(scene_move(s, s->quick, &from, -1, to.fd), 0);
	}
	assert_true(is_wholly(s->memory, s->size, to.st.st_ino));
	scene_undo(s, &to);
	close(from.fd);
	close(to.fd);
	return fired;
}

typedef bool once_fn(const struct scene *s, unsigned int call, int error);

static void fail_each_call(struct scene *s, once_fn *once, bool still)
{
	static const int errors[] = {-ENOMEM, -EINVAL, -EINTR};

	s->fds = count_descriptors();
	s->pages = count_pages();
	for (size_t e = 0; e < (s->stopping ? 1 : ELEMENTS(errors)); e++) {
		unsigned int call = 1;

		while (once(s, call, errors[e])) {
			if (still)
				assert_true(pattern_holds(s->memory, s->size, 1));
			check_nothing_leaked(s);
			assert_in_range(++call, 1, 500);
		}
		assert_in_range(call, 5, 500);
	}
}

/* Pieces end at multiples of at most PIECE: a small range with two of them. */
static char *across_pieces(char *room, size_t size)
{
	return (char *)(((uintptr_t)room + PIECE) / PIECE * PIECE + PIECE - size / 2);
}

static void fail_alone(once_fn *once)
{
	struct scene s = {.size = 2 * MEBIBYTE};
	char *room = new_anonymous(ROOM);

	tested = pthread_self();
	s.memory = across_pieces(room, s.size);
	pattern_fill(s.memory, s.size, 1);
	assert_int_equal(memory_adopter_new(-1, &s.tested), 0);
	assert_int_equal(memory_adopter_new(-1, &s.quick), 0);
	fail_each_call(&s, once, true);
	memory_adopter_free(s.tested);
	memory_adopter_free(s.quick);
	munmap(room, ROOM);
}

/* stopping: without userfaultfd the writers are stopped instead. */
static void fail_under_writers(once_fn *once, bool stopping)
{
	struct scene s = {.size = 2 * MEBIBYTE, .stopping = stopping};
	char *room = new_anonymous(ROOM);
	struct writers w;

	tested = pthread_self();
	s.memory = across_pieces(room, s.size);
	assert_int_equal(memory_adopter_new(-1, &s.tested), 0);
	assert_int_equal(memory_adopter_new(-1, &s.quick), 0);
	if (stopping)
		s.tested->fd = fd_close(s.tested->fd);
	writers_start(&w, s.memory, s.size, 1);
	fail_each_call(&s, once, false);
	assert_int_equal(writers_finish(&w), 0);
	/* an ordinary user's userfaultfd, all that is left once stopping was made to fail, turns
	 * the kernel's own access away */
	if (!s.tested->user_only)
		assert_int_equal(w.kernel_failed, 0);
	memory_adopter_free(s.tested);
	memory_adopter_free(s.quick);
	munmap(room, ROOM);
}

static void adoption_by_one_thread_survives_each_failure(void **state)
{
	fail_alone(adopt_once);
}

static void undo_by_one_thread_survives_each_failure(void **state)
{
	fail_alone(undo_once);
}

static void undo_from_a_descriptor_by_one_thread_survives_each_failure(void **state)
{
	fail_alone(undo_from_source_once);
}

static void undo_from_a_descriptor_under_writers_survives_each_failure(void **state)
{
	fail_under_writers(undo_from_source_once, false);
}

static void undo_without_memory(bool under_writers)
{
	size_t size = 2 * MEBIBYTE;
	char *p = new_anonymous(size), byte;
	MemoryAdopter *adopter;
	struct writers w;
	struct stat st;
	int fd = new_reserved(size, &st);

	assert_int_equal(memory_adopter_new(-1, &adopter), 0);
	if (under_writers)
		writers_start(&w, p, size, 1);
	assert_int_equal(memory_adopt(adopter, p, size, fd), 0);
	if (!under_writers)
		pattern_fill(p, size, 1);
	atomic_store(&no_memory, true);
	assert_int_equal(memory_move(adopter, p, size, st.st_dev, st.st_ino, -1, -1), -ENOMEM);
	assert_true(is_wholly(p, size, st.st_ino));
	assert_int_equal(memory_move(adopter, p, size, st.st_dev, st.st_ino, fd, -1), 0);
	atomic_store(&no_memory, false);
	assert_true(is_private(p, size));
	if (under_writers)
		assert_int_equal(writers_finish(&w), 0);
	else
		assert_true(pattern_holds(p, size, 1));
	p[0] = 42;
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_not_equal(byte, 42);
	memory_adopter_free(adopter);
	munmap(p, size);
	close(fd);
}

static void undo_without_memory_needs_a_descriptor(void **state)
{
	undo_without_memory(false);
	undo_without_memory(true);
}

static void revocation_by_one_thread_survives_each_failure(void **state)
{
	fail_alone(move_once);
}

static void adoption_under_writers_survives_each_failure(void **state)
{
	fail_under_writers(adopt_once, false);
}

static void undo_under_writers_survives_each_failure(void **state)
{
	fail_under_writers(undo_once, false);
}

static void revocation_under_writers_survives_each_failure(void **state)
{
	fail_under_writers(move_once, false);
}

static void adoption_by_stopping_survives_each_failure(void **state)
{
	fail_under_writers(adopt_once, true);
}

static void undo_by_stopping_survives_each_failure(void **state)
{
	fail_under_writers(undo_once, true);
}

static void revocation_by_stopping_survives_each_failure(void **state)
{
	fail_under_writers(move_once, true);
}

/* classify() opens, then asks: the second call is the question that this kernel may not know. */
static int classify_by_text(void *address, size_t size)
{
	enum memory_kind kind = 99;
	int r;

	arm(2, -ENOTTY);
	r = memory_classify(address, size, &kind);
	assert_true(disarm());
	return r ? r : 100 + (int)kind;
}

static void a_kernel_without_questions_about_maps_is_read_as_text(void **state)
{
	char *p = new_anonymous(4 * PAGE), local;
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

	tested = pthread_self();
	assert_int_equal(classify_by_text(p, 4 * PAGE), 100 + MEMORY_PRIVATE);
	assert_int_equal(classify_by_text(&local, 1), MEMORY_WRONG_KIND);
	assert_ptr_equal(mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, zero, 0), p);
	assert_int_equal(classify_by_text(p, PAGE), 100 + MEMORY_SHARED_ANON);
	assert_int_equal(classify_by_text(p, 2 * PAGE), MEMORY_WRONG_KIND);
	munmap(p + 2 * PAGE, PAGE);
	assert_int_equal(classify_by_text(p + PAGE, 2 * PAGE), MEMORY_BAD_ADDRESS);
	assert_int_equal(classify_by_text((void *)(uintptr_t)main, 1), MEMORY_BAD_ADDRESS);
	munmap(p, 4 * PAGE);
	close(zero);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kernel_without_questions_about_maps_is_read_as_text),
		cmocka_unit_test(adoption_by_one_thread_survives_each_failure),
		cmocka_unit_test(undo_by_one_thread_survives_each_failure),
		cmocka_unit_test(undo_from_a_descriptor_by_one_thread_survives_each_failure),
		cmocka_unit_test(undo_from_a_descriptor_under_writers_survives_each_failure),
		cmocka_unit_test(undo_without_memory_needs_a_descriptor),
		cmocka_unit_test(revocation_by_one_thread_survives_each_failure),
		cmocka_unit_test(adoption_under_writers_survives_each_failure),
		cmocka_unit_test(undo_under_writers_survives_each_failure),
		cmocka_unit_test(revocation_under_writers_survives_each_failure),
		cmocka_unit_test(adoption_by_stopping_survives_each_failure),
		cmocka_unit_test(undo_by_stopping_survives_each_failure),
		cmocka_unit_test(revocation_by_stopping_survives_each_failure),
	};

	alarm(120);
	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
