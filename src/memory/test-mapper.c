/* SPDX-License-Identifier: Apache-2.0 */

/* What is done with the mappings of other processes: protecting, allowing, taking away, arming. */

#include <sys/auxv.h>
#include "memory/test-watched.h"
#include "memory/test-writers.h"

/* --- where things are --- */

static void an_address_is_found_in_its_mapper(void **state)
{
	struct mapper m = {NULL, 0x10000, 0x3000, 0x2000, false};
	uint64_t offset = 1;

	assert_false(mapper_find(&m, 0xf000, &offset));
	assert_false(mapper_find(&m, 0x12000, &offset));
	assert_int_equal(offset, 1);
	assert_true(mapper_find(&m, 0x11000, &offset));
	assert_int_equal(offset, 0x4000);
}

static void unmapping_leaves_what_lies_before_and_behind(void **state)
{
	struct mapper m = {NULL, 0x10000, 0x3000, 0x8000, false}, left[2];
	struct watch_event e = {.type = WATCH_UNMAPPED, .address = 0x12000, .end = 0x14000};

	assert_int_equal(mapper_change(&m, &e, left), 2);
	assert_int_equal(left[0].address, 0x10000);
	assert_int_equal(left[0].offset, 0x3000);
	assert_int_equal(left[0].length, 0x2000);
	assert_int_equal(left[1].address, 0x14000);
	assert_int_equal(left[1].offset, 0x7000);
	assert_int_equal(left[1].length, 0x4000);

	e.address = 0;
	assert_int_equal(mapper_change(&m, &e, left), 1);
	assert_int_equal(left[0].address, 0x14000);
	e.end = 0x10000;
	assert_int_equal(mapper_change(&m, &e, left), 1);
	assert_int_equal(left[0].length, 0x8000);
	e.end = UINT64_MAX;
	assert_int_equal(mapper_change(&m, &e, left), 0);
}

static void what_has_moved_is_in_both_places_until_it_is_unmapped(void **state)
{
	struct mapper m = {NULL, 0x10000, 0x3000, 0x8000, false}, left[2];
	struct watch_event e = {
		.type = WATCH_MOVED, .address = 0x16000, .end = 0x1a000, .to = 0x50000};

	assert_int_equal(mapper_change(&m, &e, left), 2);
	assert_int_equal(left[0].length, 0x8000);
	assert_int_equal(left[1].address, 0x50000);
	assert_int_equal(left[1].offset, 0x9000);
	assert_int_equal(left[1].length, 0x2000);
	e.address = 0x20000;
	e.end = 0x21000;
	assert_int_equal(mapper_change(&m, &e, left), 1);
}

/* --- faults --- */

static void read_then_store(char *map, struct words *words)
{
	volatile uint64_t *word = (volatile uint64_t *)(map + 5 * PAGE);

	words->value[0] = word[0];
	words->ready = 1;
	child_wait(&words->go, 1);
	word[1] = 77;
	words->ready = 2;
	child_wait(&words->go, 2);
	words->value[1] = word[0];
}

static void an_absent_page_is_filled_and_a_store_waits_until_it_is_allowed(void **state)
{
	uint64_t content[PAGE / 8];
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	w = child_start(&d, 0, read_then_store, &child);
	until(child.words->ready == 1);
	assert_int_equal(child.words->value[0], daemon_pattern(5));
	assert_int_equal(d.faults, 1);
	d.silent = true;
	child.words->go = 1;
	until(d.faults == 2);
	assert_true(child_is_stopped(&child, 2));
	d.silent = false;
	mapper_allow(&w->pieces[0], 5 * PAGE, PAGE);
	until(child.words->ready == 2);
	pthread_mutex_lock(&d.lock);
	daemon_drop(&d, 5, content);
	pthread_mutex_unlock(&d.lock);
	assert_int_equal(content[1], 77);
	child.words->go = 2;
	assert_int_equal(child_end(&child), 0);
	daemon_end(&d);
}

static void disarming_lets_everybody_go_on(void **state)
{
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	d.silent = true;
	w = child_start(&d, 0, read_then_store, &child);
	until(d.faults > 0);
	assert_true(child_is_stopped(&child, 1));
	mapper_disarm(&w->pieces[0]);
	child.words->go = 2;
	assert_int_equal(child_end(&child), 0);
	assert_int_equal(d.faults, 1);
	daemon_end(&d);
}

/* --- poison --- */

static sigjmp_buf hit;
static void *_Atomic hit_at;

static void on_hit(int signal, siginfo_t *info, void *context)
{
	hit_at = info->si_addr;
	siglongjmp(hit, 1);
}

static void touch_what_is_lost(char *map, struct words *words)
{
	const struct sigaction action = {.sa_sigaction = on_hit, .sa_flags = SA_SIGINFO};
	int fds[2];

	(void)sigaction(SIGBUS, &action, NULL);
	if (sigsetjmp(hit, 1) == 0)
		words->value[3] = *(volatile char *)(map + 5 * PAGE);
	words->value[0] = hit_at == map + 5 * PAGE;
	hit_at = NULL;
	if (sigsetjmp(hit, 1) == 0)
		*(volatile char *)(map + 5 * PAGE) = 1;
	words->value[0] += hit_at == map + 5 * PAGE;
	words->ready = 1;
	if (pipe(fds) < 0)
		return;
	words->value[1] = write(fds[1], map + 6 * PAGE, 8) < 0 ? errno : 0;
	if (write(fds[1], fds, 8) == 8)
		words->value[2] = read(fds[0], map + 6 * PAGE, 8) < 0 ? errno : 0;
	words->ready = 2;
}

static void what_is_poisoned_raises_a_signal_and_fails_system_calls(void **state)
{
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	if (!mapper_can_poison(-1)) {
		print_message("not tried: this kernel cannot poison (Linux 6.6 or later can)\n");
		skip();
	}
	daemon_init(&d);
	d.silent = true;
	w = child_start(&d, 0, touch_what_is_lost, &child);
	until(d.faults == 1);
	assert_true(child_is_stopped(&child, 1));
	mapper_poison(&w->pieces[0], 5 * PAGE);
	until(child.words->ready == 1);
	assert_int_equal(child.words->value[0], 2);
	until(d.faults == 2);
	assert_true(child_is_stopped(&child, 2));
	mapper_poison(&w->pieces[0], 6 * PAGE);
	until(child.words->ready == 2);
	assert_int_equal(child.words->value[1], EFAULT);
	assert_int_equal(child.words->value[2], EFAULT);
	assert_int_equal(child_end(&child), 0);
	daemon_end(&d);
}

/* --- two mappers --- */

static void count_in_turn(char *map, struct words *words)
{
	_Atomic uint64_t *word = (_Atomic uint64_t *)(map + 3 * PAGE);

	words->ready = 1;
	while (words->go == 0) {
		atomic_fetch_add(word, 1);
		words->value[0]++;
	}
	words->ready = 2;
}

static void no_increment_is_lost_between_two_processes_when_pages_come_and_go(void **state)
{
	struct child child[2];
	uint64_t sum = 0, content[PAGE / 8];
	struct daemon d;

	need_rights();
	daemon_init(&d);
	for (int i = 0; i < 2; i++)
		child_start(&d, 0, count_in_turn, &child[i]);
	for (int i = 0; i < 300; i++) {
		pthread_mutex_lock(&d.lock);
		if (d.store.map[3] != PAGE_ABSENT) {
			daemon_drop(&d, 3, content);
			/* aside, and back */
			assert_int_equal(
				page_store_write_aside(&d.store, 3 * PAGE, content, PAGE), 0);
			d.store.map[3] = PAGE_THERE;
			assert_int_equal(page_store_recover(&d.store, 3 * PAGE, PAGE), 0);
		}
		pthread_mutex_unlock(&d.lock);
		usleep(200);
	}
	for (int i = 0; i < 2; i++) {
		child[i].words->go = 1;
		until(child[i].words->ready == 2);
		sum += child[i].words->value[0];
	}
	assert_int_equal(page_store_read(&d.store, 3 * PAGE, content, PAGE), 0);
	assert_int_equal(content[0], daemon_pattern(3) + sum);
	for (int i = 0; i < 2; i++)
		assert_int_equal(child_end(&child[i]), 0);
	daemon_end(&d);
}

/* --- arming --- */

static void rubbish_is_refused(void **state)
{
	uint64_t address = (uintptr_t)new_anonymous(4 * PAGE);
	enum uffd_kind kind;
	struct mapper m;
	Watch *watch;
	int uffd;

	need_rights();
	assert_int_equal(uffd_new(-1, &kind, &uffd), 0);
	assert_int_equal(watch_begin(uffd), 0);
	assert_int_equal(watch_begin(uffd), -EINVAL);
	assert_int_equal(watch_new(uffd, &watch), 0);
	munmap((void *)address, 4 * PAGE);

	m = (struct mapper){watch, address, 0, 4 * PAGE, false};
	assert_int_equal(mapper_arm(&m), -EINVAL); /* nothing is mapped there */
	m.length = 0;
	assert_int_equal(mapper_arm(&m), -EINVAL);
	m.length = 4 * PAGE + 1;
	assert_int_equal(mapper_arm(&m), -EINVAL);
	m.length = 4 * PAGE;
	m.offset = 8;
	assert_int_equal(mapper_arm(&m), -EINVAL);
	m.offset = 0ull - PAGE;
	assert_int_equal(mapper_arm(&m), -EINVAL);
	m.offset = 0;
	m.address = 0ull - PAGE;
	assert_int_equal(mapper_arm(&m), -EINVAL);
	m.address = INT64_MAX & ~(PAGE - 1);
	assert_int_equal(mapper_arm(&m), -EINVAL);
	mapper_disarm(&m);
	watch_free(watch);
	close(uffd);
}

static void memory_that_cannot_be_watched_is_refused(void **state)
{
	struct stat st;
	enum uffd_kind kind;
	int memfd = new_reserved(4 * PAGE, &st), ro, uffd, other;
	uint64_t vdso;
	Watch *watch;
	void *p;

	need_rights();
	assert_int_equal(uffd_new(-1, &kind, &uffd), 0);
	/* without events: nobody would read them here */
	assert_int_equal(uffd_api(uffd, UFFD_FEATURE_WP_HUGETLBFS_SHMEM), 0);
	assert_int_equal(watch_new(uffd, &watch), 0);
	assert_int_equal(memfd_reopen_readonly(memfd, &ro), 0);

	p = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, ro, 0);
	assert_int_equal(
		mapper_arm(&(struct mapper){watch, (uintptr_t)p, 0, 4 * PAGE, false}), -EPERM);
	munmap(p, 4 * PAGE);

	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	assert_int_equal(uffd_new(-1, &kind, &other), 0);
	assert_int_equal(uffd_api(other, 0), 0);
	assert_int_equal(uffd_register_missing(other, (uintptr_t)p, PAGE), 0);
	assert_int_equal(
		mapper_arm(&(struct mapper){watch, (uintptr_t)p, 0, 4 * PAGE, false}), -EBUSY);
	close(other);
	/* twice, and overlapping */
	assert_int_equal(mapper_arm(&(struct mapper){watch, (uintptr_t)p, 0, 4 * PAGE, false}), 0);
	assert_int_equal(mapper_arm(&(struct mapper){watch, (uintptr_t)p, 0, 4 * PAGE, false}), 0);
	assert_int_equal(
		mapper_arm(&(struct mapper){watch, (uintptr_t)p + PAGE, 0, PAGE, false}), 0);
	munmap(p, 4 * PAGE);

	/* the kernel's own page in every process */
	vdso = getauxval(AT_SYSINFO_EHDR);
	assert_int_equal(mapper_arm(&(struct mapper){watch, vdso, 0, PAGE, false}), -EINVAL);
	watch_free(watch);
	close(uffd);
	close(ro);
	close(memfd);
}

/* Holes and strangers in the middle of a mapper, as a client that lies makes them. */
static void what_lies_behind_a_gap_is_protected_too(void **state)
{
	struct stat st;
	enum uffd_kind kind;
	int memfd = new_reserved(WATCHED_SIZE, &st), uffd;
	struct mapper m;
	Watch *watch;
	char *map;

	need_rights();
	assert_int_equal(uffd_new(-1, &kind, &uffd), 0);
	/* without events: nobody would read them here */
	assert_int_equal(uffd_api(uffd, UFFD_FEATURE_WP_HUGETLBFS_SHMEM), 0);
	assert_int_equal(watch_new(uffd, &watch), 0);
	map = mmap(NULL, WATCHED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	m = (struct mapper){watch, (uintptr_t)map, 0, WATCHED_SIZE, false};
	assert_int_equal(mapper_arm(&m), 0);
	mapper_allow(&m, 0, WATCHED_SIZE);
	memset(map, 1, WATCHED_SIZE);
	munmap(map + 7 * PAGE, PAGE);
	munmap(map + 20 * PAGE, 2 * PAGE);
	assert_ptr_not_equal(mmap(map + 20 * PAGE, PAGE, PROT_READ,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		MAP_FAILED);
	assert_int_equal(mprotect(map + 30 * PAGE, PAGE, PROT_READ), 0);
	assert_int_equal(mapper_protect(&m, 0, WATCHED_SIZE), MAPPER_OK);
	for (unsigned int i = 0; i < WATCHED_PAGES; i++)
		assert_int_equal(page_is_marked(getpid(), (uintptr_t)map + i * PAGE),
			i != 7 && i != 20 && i != 21);
	mapper_disarm(&m);
	for (unsigned int i = 0; i < WATCHED_PAGES; i++)
		if (i != 7 && i != 20 && i != 21 && i != 30)
			map[i * PAGE] = 3;
	munmap(map, WATCHED_SIZE);
	watch_free(watch);
	close(uffd);
	close(memfd);
}

static void write_all_the_time(char *map, struct words *words)
{
	struct writers writers;

	writers_start(&writers, map, WATCHED_SIZE, 2);
	words->ready = 1;
	child_wait(&words->go, 1);
	child_require(writers_finish(&writers) == 0);
	child_require(writers.kernel_done > 0 && writers.kernel_failed == 0);
	words->ready = 2;
}

/* As a home segment that is in use when another node maps it for the first time. */
static void arming_under_writers_loses_no_store(void **state)
{
	static char before[WATCHED_SIZE], after[WATCHED_SIZE];
	struct child child;
	struct watched *w;
	struct daemon d;
	int r;

	need_rights();
	need_children_without_tsan();
	daemon_init(&d);
	assert_int_equal(page_store_reserve(&d.store, 0, WATCHED_SIZE), 0);
	memset(d.store.map, PAGE_THERE, WATCHED_PAGES);
	w = child_start(&d, 0, write_all_the_time, &child);
	mapper_disarm(&w->pieces[0]);
	until(child.words->ready == 1);
	d.silent = true;
	for (int i = 0; i < 40; i++) {
		do
			r = mapper_arm(&w->pieces[0]);
		while (r == MAPPER_CHANGED);
		assert_int_equal(r, MAPPER_OK);
		assert_int_equal(page_store_read(&d.store, 0, before, WATCHED_SIZE), 0);
		usleep(1000);
		assert_int_equal(page_store_read(&d.store, 0, after, WATCHED_SIZE), 0);
		assert_memory_equal(before, after, WATCHED_SIZE);
		mapper_disarm(&w->pieces[0]);
		usleep(1000);
	}
	child.words->go = 1;
	assert_int_equal(child_end(&child), 0);
	assert_true(d.faults > 0);
	daemon_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_found_in_its_mapper),
		cmocka_unit_test(unmapping_leaves_what_lies_before_and_behind),
		cmocka_unit_test(what_has_moved_is_in_both_places_until_it_is_unmapped),
		cmocka_unit_test(an_absent_page_is_filled_and_a_store_waits_until_it_is_allowed),
		cmocka_unit_test(disarming_lets_everybody_go_on),
		cmocka_unit_test(what_is_poisoned_raises_a_signal_and_fails_system_calls),
		cmocka_unit_test(no_increment_is_lost_between_two_processes_when_pages_come_and_go),
		cmocka_unit_test(rubbish_is_refused),
		cmocka_unit_test(memory_that_cannot_be_watched_is_refused),
		cmocka_unit_test(what_lies_behind_a_gap_is_protected_too),
		cmocka_unit_test(arming_under_writers_loses_no_store),
	};

	return cmocka_run_group_tests_name("mapper", tests, NULL, NULL);
}
