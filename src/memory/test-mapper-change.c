/* SPDX-License-Identifier: Apache-2.0 */

/* What a process does to its mapping: mremap, munmap, mprotect, madvise. */

#include "memory/test-watched.h"

static void move_it(char *map, struct words *words)
{
	char *room = mmap(NULL, WATCHED_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *to;

	child_require(room != MAP_FAILED);
	map[0] = 1;
	map[9 * PAGE] = 1;
	/* its middle, to a place that is taken */
	to = mremap(map + 8 * PAGE, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	child_require(to == room);
	words->ready = 1;
	child_wait(&words->go, 1);
	to[PAGE + 8] = 2; /* there, and to be stored to only when that is allowed */
	words->value[0] = *(volatile uint64_t *)(to + 2 * PAGE);
	map[8] = 3;
	words->value[1] = *(volatile uint64_t *)(map + 20 * PAGE);
	words->ready = 2;
}

static void what_is_moved_stays_coherent(void **state)
{
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	w = child_start(&d, 0, move_it, &child);
	until(child.words->ready == 1);
	/* read, so that the process goes on, and dealt with a moment later */
	until(d.moves == 1 && d.unmaps == 1);
	pthread_mutex_lock(&d.lock);
	assert_int_equal(w->n_pieces, 3);
	assert_int_equal(daemon_protect(&d, 0, WATCHED_SIZE), 0);
	d.silent = true;
	d.faults = 0;
	pthread_mutex_unlock(&d.lock);
	child.words->go = 1;
	until(d.faults == 1);
	assert_true(child_is_stopped(&child, 2));
	pthread_mutex_lock(&d.lock);
	d.silent = false;
	for (unsigned int i = 0; i < w->n_pieces; i++)
		mapper_wake(&w->pieces[i], 0, WATCHED_SIZE);
	pthread_mutex_unlock(&d.lock);
	until(child.words->ready == 2);
	assert_int_equal(child.words->value[0], daemon_pattern(10));
	assert_int_equal(child.words->value[1], daemon_pattern(20));
	assert_int_equal(d.faults, 5);
	assert_int_equal(child_end(&child), 0);
	daemon_end(&d);
}

static void move_and_keep(char *map, struct words *words)
{
	/* glibc 2.36 passes rubbish for the address */
	char *to = (char *)syscall(
		SYS_mremap, map, WATCHED_SIZE, WATCHED_SIZE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);

	child_require(to != MAP_FAILED);
	words->ready = 1;
	child_wait(&words->go, 1);
	map[PAGE] = 1;
	to[2 * PAGE] = 1;
	words->ready = 2;
}

static void a_mapping_that_is_doubled_is_protected_in_both_places(void **state)
{
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	assert_int_equal(page_store_reserve(&d.store, 0, WATCHED_SIZE), 0);
	memset(d.store.map, PAGE_THERE, WATCHED_PAGES);
	w = child_start(&d, 0, move_and_keep, &child);
	until(child.words->ready == 1);
	until(d.moves == 1);
	pthread_mutex_lock(&d.lock);
	assert_int_equal(w->n_pieces, 2);
	for (unsigned int i = 0; i < 2; i++)
		assert_true(page_is_marked(child.pid, w->pieces[i].address + 3 * PAGE));
	pthread_mutex_unlock(&d.lock);
	child.words->go = 1;
	assert_int_equal(child_end(&child), 0);
	assert_int_equal(d.faults, 2);
	daemon_end(&d);
}

static void unmap_the_middle(char *map, struct words *words)
{
	map[0] = 1;
	child_require(munmap(map + 8 * PAGE, 8 * PAGE) == 0);
	map[PAGE] = 1;
	words->value[0] = *(volatile uint64_t *)(map + 16 * PAGE);
	words->ready = 1;
	child_wait(&words->go, 1);
}

static void neighbours_of_what_is_unmapped_go_on(void **state)
{
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	w = child_start(&d, 0, unmap_the_middle, &child);
	until(child.words->ready == 1);
	assert_int_equal(child.words->value[0], daemon_pattern(16));
	until(d.unmaps == 1);
	pthread_mutex_lock(&d.lock);
	assert_int_equal(w->n_pieces, 2);
	assert_int_equal(daemon_protect(&d, 0, WATCHED_SIZE), 0);
	pthread_mutex_unlock(&d.lock);
	assert_true(page_is_marked(child.pid, child.address + 16 * PAGE));
	child.words->go = 1;
	assert_int_equal(child_end(&child), 0);
	daemon_end(&d);
}

static void change_protection_and_advice(char *map, struct words *words)
{
	map[0] = 1;
	child_require(mprotect(map, WATCHED_SIZE, PROT_READ) == 0);
	child_require(mprotect(map, WATCHED_SIZE, PROT_READ | PROT_WRITE) == 0);
	words->ready = 1;
	child_wait(&words->go, 1);
	map[8] = 2;
	words->ready = 2;
	child_wait(&words->go, 2);
	child_require(madvise(map, WATCHED_SIZE, MADV_DONTNEED) == 0);
	words->value[0] = *(volatile uint64_t *)map;
	words->ready = 3;
	child_wait(&words->go, 3);
	map[16] = 3;
	words->ready = 4;
	child_wait(&words->go, 4);
	child_require(madvise(map, PAGE, MADV_REMOVE) == 0);
	words->value[1] = *(volatile uint64_t *)map;
	words->ready = 5;
}

static void marks_survive_mprotect_and_madvise(void **state)
{
	struct child child;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	child_start(&d, 0, change_protection_and_advice, &child);
	for (unsigned int step = 1; step <= 3; step += 2) {
		until(child.words->ready == step);
		pthread_mutex_lock(&d.lock);
		assert_int_equal(daemon_protect(&d, 0, WATCHED_SIZE), 0);
		pthread_mutex_unlock(&d.lock);
		if (step == 1)
			assert_int_equal(daemon_page(&d, 0), PAGE_THERE);
		child.words->go = step;
		until(child.words->ready >= step + 1);
		assert_int_equal(daemon_page(&d, 0), PAGE_WRITABLE);
		child.words->go = step + 1;
	}
	until(child.words->ready == 5);
	assert_int_equal(child.words->value[0] & 0xff, 1);
	/* its own page, that it has destroyed: there, and zeros */
	assert_int_equal(child.words->value[1], 0);
	until(d.removes >= 1);
	assert_int_equal(child_end(&child), 0);
	daemon_end(&d);
}

/* Unmaps it all and maps it again at the same place, as a program does that connects anew. */
static void map_anew(char *map, struct words *words)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)map,
		(unsigned long)map + WATCHED_SIZE);
	fd = open(path, O_RDWR | O_CLOEXEC);
	child_require(fd >= 0);
	child_wait(&words->go, 1);
	child_require(munmap(map, WATCHED_SIZE) == 0);
	child_require(mmap(map, WATCHED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			      0) == map);
	words->ready = 1;
	child_wait(&words->go, 2);
	words->value[0] = *(volatile uint64_t *)(map + PAGE);
}

static void what_was_unmapped_before_is_not_taken_for_what_is_mapped_now(void **state)
{
	struct child child;
	struct watched *w;
	struct mapper anew;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	w = child_start(&d, 0, map_anew, &child);
	anew = w->pieces[0];
	pthread_mutex_lock(&d.lock); /* so that what is read is not dealt with */
	child.words->go = 1;
	while (mapper_arm(&anew) != MAPPER_CHANGED)
		usleep(100);
	daemon_changes(w);
	assert_int_equal(w->n_pieces, 0);
	pthread_mutex_unlock(&d.lock);
	until(child.words->ready == 1);
	pthread_mutex_lock(&d.lock);
	assert_int_equal(mapper_arm(&anew), MAPPER_OK);
	daemon_add_piece(w, &anew);
	pthread_mutex_unlock(&d.lock);
	child.words->go = 2;
	assert_int_equal(child_end(&child), 0);
	assert_int_equal(d.faults, 1);
	daemon_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_moved_stays_coherent),
		cmocka_unit_test(a_mapping_that_is_doubled_is_protected_in_both_places),
		cmocka_unit_test(neighbours_of_what_is_unmapped_go_on),
		cmocka_unit_test(marks_survive_mprotect_and_madvise),
		cmocka_unit_test(what_was_unmapped_before_is_not_taken_for_what_is_mapped_now),
	};

	return cmocka_run_group_tests_name("mapper-change", tests, NULL, NULL);
}
