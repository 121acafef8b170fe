/* SPDX-License-Identifier: Apache-2.0 */

/* What a process can do against the daemon that watches it, or against the kernel's promises. */

#include <sys/resource.h>
#include "base/cleanup.h"
#include "memory/test-watched.h"

/* --- the kernel's race --- */

static void load_all_the_time(char *map, struct words *words)
{
	for (;;) {
		words->value[0] = *(volatile uint64_t *)map;
		words->ready++;
	}
}

/* The kernel loses a mark when a load races with the punch; protecting again, while the page is
 * absent, sets it. */
static void a_mark_that_a_punch_has_lost_is_set_again(void **state)
{
	unsigned int lost = 0, rounds = getenv("MAPPER_ROUNDS")
						? (unsigned int)atoi(getenv("MAPPER_ROUNDS"))
						: 3000;
	uint64_t content[PAGE / 8] = {1}, random = 1;
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	d.silent = true;
	w = child_start(&d, 0, load_all_the_time, &child);
	for (unsigned int i = 0; i < rounds; i++) {
		uint64_t end;

		assert_int_equal(page_store_write(&d.store, 0, content, PAGE), 0);
		mapper_wake(&w->pieces[0], 0, PAGE);
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		end = clock_now() + (random >> 40) % 20000;
		while (clock_now() < end)
			cpu_relax();
		assert_int_equal(page_store_punch(&d.store, 0, PAGE), 0);
		lost += !page_is_marked(child.pid, child.address);
		assert_int_equal(mapper_protect(&w->pieces[0], 0, PAGE), MAPPER_OK);
		assert_true(page_is_marked(child.pid, child.address));
	}
	print_message("%u of %u punches lost the mark\n", lost, rounds);
	assert_true(child.words->ready > 1);
	assert_int_equal(child_kill(&child), SIGKILL);
	daemon_end(&d);
}

/* --- who may only read --- */

static void read_twice(char *map, struct words *words)
{
	words->value[0] = *(volatile uint64_t *)(map + PAGE);
	words->ready = 1;
	child_wait(&words->go, 1);
	words->value[1] = *(volatile uint64_t *)(map + PAGE);
	words->ready = 2;
}

static void who_may_only_read_sees_what_is_filled_in_again_and_again(void **state)
{
	uint64_t content[PAGE / 8] = {4711};
	struct child child;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	child_start(&d, CHILD_READ_ONLY, read_twice, &child);
	until(child.words->ready == 1);
	assert_int_equal(child.words->value[0], daemon_pattern(1));
	pthread_mutex_lock(&d.lock);
	assert_int_equal(page_store_punch(&d.store, PAGE, PAGE), 0);
	d.silent = true;
	d.faults = 0;
	pthread_mutex_unlock(&d.lock);
	child.words->go = 1;
	until(d.faults > 0);
	assert_true(child_is_stopped(&child, 2));
	assert_int_equal(page_store_write(&d.store, PAGE, content, PAGE), 0);
	mapper_wake(&d.watched[0]->pieces[0], PAGE, PAGE);
	until(child.words->ready == 2);
	assert_int_equal(child.words->value[1], 4711);
	assert_int_equal(child_end(&child), 0);
	daemon_end(&d);
}

/* Everything that could reach the memory through a private, read-only mapping. */
static void force_stores(char *map, struct words *words)
{
	char mine[PAGE];
	struct uffdio_copy copy = {.src = (uintptr_t)mine, .len = PAGE};
	struct uffdio_zeropage zero = {.range = {(uintptr_t)map + 4 * PAGE, PAGE}};
	struct uffdio_continue proceed = {.range = {(uintptr_t)map + 5 * PAGE, PAGE}};
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC), p[2];

	memset(mine, 0x66, sizeof(mine));
	/* a page that is there, and one that is absent */
	(void)*(volatile char *)map;
	child_require(pwrite(mem, mine, 8, (off_t)(uintptr_t)map) == 8);
	(void)!pwrite(mem, mine, 8, (off_t)(uintptr_t)(map + PAGE));
	copy.dst = (uintptr_t)map + 3 * PAGE;
	(void)ioctl(child_uffd, UFFDIO_COPY, &copy);
	(void)ioctl(child_uffd, UFFDIO_ZEROPAGE, &zero);
	(void)*(volatile char *)(map + 5 * PAGE);
	(void)ioctl(child_uffd, UFFDIO_CONTINUE, &proceed);
	child_require(mprotect(map, WATCHED_SIZE, PROT_READ | PROT_WRITE) == 0);
	for (unsigned int i = 0; i < 8; i++)
		map[i * PAGE] = 0x66;
	child_require(pipe(p) == 0 && write(p[1], mine, 8) == 8);
	child_require(read(p[0], map + 8 * PAGE, 8) == 8);
	(void)madvise(map + 9 * PAGE, PAGE, MADV_REMOVE);
	map[9 * PAGE] = 0x66;
	words->ready = 1;
}

static void who_may_only_read_stores_to_copies_of_its_own(int flags)
{
	uint64_t content[PAGE / 8];
	struct child child;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	d.device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (flags & CHILD_USER && d.device < 0) {
		print_message("skip: no /dev/userfaultfd\n");
		daemon_end(&d);
		skip();
	}
	child_start(&d, CHILD_READ_ONLY | flags, force_stores, &child);
	assert_int_equal(child_end(&child), 0);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(page_store_read(&d.store, i * PAGE, content, PAGE), 0);
		if (content[0])
			assert_int_equal(content[0], daemon_pattern(i));
	}
	assert_int_equal(daemon_page(&d, 7), PAGE_THERE);
	fd_close(d.device);
	daemon_end(&d);
}

static void root_that_may_only_read_changes_nothing(void **state)
{
	who_may_only_read_stores_to_copies_of_its_own(0);
}

static void nobody_that_may_only_read_changes_nothing(void **state)
{
	who_may_only_read_stores_to_copies_of_its_own(CHILD_USER);
}

/* --- storms --- */

static void *unmap_for_ever(void *userdata)
{
	char *map = userdata;

	for (unsigned int i = 100;; i = i + 1 < 300 ? i + 1 : 100) {
		(void)munmap(map + i * PAGE, PAGE);
		(void)madvise(map + 50 * PAGE, PAGE, MADV_DONTNEED);
	}
	return NULL;
}

static void *fork_for_ever(void *userdata)
{
	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
	return NULL;
}

static void storm(char *map, struct words *words)
{
	_Atomic uint64_t *word = (_Atomic uint64_t *)map;
	pthread_t thread;

	child_require(pthread_create(&thread, NULL, unmap_for_ever, map) == 0);
	child_require(pthread_create(&thread, NULL, unmap_for_ever, map) == 0);
	child_require(pthread_create(&thread, NULL, fork_for_ever, map) == 0);
	words->ready = 1;
	while (words->go == 0) {
		atomic_fetch_add(word, 1);
		words->value[0]++;
	}
	words->ready = 2;
	pause();
}

/* Either protecting succeeds in the end, and then it holds; or the daemon is told in time. */
static void changing_mappings_without_end_is_borne_or_told_in_time(void **state)
{
	uint64_t content[PAGE / 8], again[PAGE / 8], longest = 0;
	unsigned int n = 0, busy = 0;
	struct child child;
	struct daemon d;

	need_rights();
	need_children_without_tsan();
	daemon_init(&d);
	child_start(&d, 0, storm, &child);
	until(child.words->ready == 1);
	for (int i = 0; i < 100 && !busy; i++) {
		uint64_t begun;
		int r;

		usleep(1000);
		pthread_mutex_lock(&d.lock);
		begun = clock_now();
		r = daemon_protect(&d, 0, PAGE);
		longest = MAX(longest, clock_now() - begun);
		if (r == 0 && d.store.map[0] != PAGE_ABSENT) {
			assert_int_equal(page_store_read(&d.store, 0, content, PAGE), 0);
			usleep(100);
			assert_int_equal(page_store_read(&d.store, 0, again, PAGE), 0);
			assert_int_equal(content[0], again[0]);
			n++;
		}
		busy = r == -EBUSY;
		pthread_mutex_unlock(&d.lock);
	}
	print_message("%u times protected, longest %llu us%s\n", n,
		(unsigned long long)(longest / NSEC_PER_USEC), busy ? ", then given up" : "");
	assert_true(n > 0 || busy);
	assert_true(longest < 5 * NSEC_PER_SEC);
	if (!busy) {
		child.words->go = 1;
		until(child.words->ready == 2);
		assert_int_equal(page_store_read(&d.store, 0, content, PAGE), 0);
		assert_int_equal(content[0], daemon_pattern(0) + child.words->value[0]);
	}
	assert_int_equal(child_kill(&child), SIGKILL);
	daemon_end(&d);
}

static void unmap_when_told(char *map, struct words *words)
{
	child_wait(&words->go, 1);
	words->ready = 1;
	munmap(map + 100 * PAGE, PAGE);
	words->ready = 2;
}

static void a_change_that_nobody_reads_ends_the_patience_and_killing_helps(void **state)
{
	struct child child;
	struct watched *w;
	uint64_t begun;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	w = child_start(&d, 0, unmap_when_told, &child);
	watched_stop(w);
	child.words->go = 1;
	until(child.words->ready == 1);
	usleep(20000);
	begun = clock_now();
	assert_int_equal(mapper_protect(&w->pieces[0], 0, PAGE), -EBUSY);
	assert_in_range(clock_now() - begun, WATCH_CREDIT / 2, 4 * WATCH_CREDIT);
	begun = clock_now();
	assert_int_equal(mapper_protect(&w->pieces[0], 0, PAGE), -EBUSY);
	assert_in_range(clock_now() - begun, 0, WATCH_CREDIT / 2);
	kill(child.pid, SIGKILL);
	watch_forgive(w->watch);
	assert_int_equal(mapper_protect(&w->pieces[0], 0, PAGE), MAPPER_OK);
	assert_int_equal(child_end(&child), SIGKILL);
	daemon_end(&d);
}

static void those_that_share_a_credit_use_it_up_once(void **state)
{
	struct watch_credit credit;
	struct watched *w[2];
	struct child child[2];
	uint64_t begun;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	watch_credit_init(&credit);
	for (unsigned int i = 0; i < 2; i++) {
		w[i] = child_start(&d, 0, unmap_when_told, &child[i]);
		watch_share_credit(w[i]->watch, &credit);
		watched_stop(w[i]);
		child[i].words->go = 1;
		until(child[i].words->ready == 1);
	}
	usleep(20000);
	assert_int_equal(mapper_protect(&w[0]->pieces[0], 0, PAGE), -EBUSY);
	begun = clock_now();
	assert_int_equal(mapper_protect(&w[1]->pieces[0], 0, PAGE), -EBUSY);
	assert_in_range(clock_now() - begun, 0, WATCH_CREDIT / 2);
	for (unsigned int i = 0; i < 2; i++) {
		kill(child[i].pid, SIGKILL);
		watch_forgive(w[i]->watch);
		assert_int_equal(mapper_protect(&w[i]->pieces[0], 0, PAGE), MAPPER_OK);
		assert_int_equal(child_end(&child[i]), SIGKILL);
	}
	daemon_end(&d);
}

/* --- its own copy of the userfaultfd --- */

static void *steal_events(void *userdata)
{
	struct uffd_msg message;

	for (;;) {
		fcntl(child_uffd, F_SETFL, O_NONBLOCK);
		(void)!read(child_uffd, &message, sizeof(message));
		fcntl(child_uffd, F_SETFL, 0);
	}
	return NULL;
}

static void clear_nonblock(char *map, struct words *words)
{
	pthread_t thread;

	child_require(pthread_create(&thread, NULL, steal_events, NULL) == 0);
	child_require(pthread_create(&thread, NULL, fork_for_ever, NULL) == 0);
	words->ready = 1;
	for (unsigned int i = 0; i < WATCHED_PAGES; i++)
		words->value[0] += *(volatile char *)(map + i * PAGE);
	words->ready = 2;
}

static void a_client_that_makes_reads_block_harms_itself(void **state)
{
	struct child hostile, good;
	struct watched *w;
	struct daemon d;

	need_rights();
	need_children_without_tsan();
	daemon_init(&d);
	d.protects = true; /* so that its reader reads with the lock, too */
	w = child_start(&d, 0, clear_nonblock, &hostile);
	until(hostile.words->ready > 0);
	usleep(50000);
	child_start(&d, 0, read_twice, &good);
	good.words->go = 1;
	until(good.words->ready == 2);
	pthread_mutex_lock(&d.lock);
	assert_in_range(mapper_protect(&w->pieces[0], 0, PAGE) + EBUSY, 0, EBUSY + MAPPER_CHANGED);
	pthread_mutex_unlock(&d.lock);
	assert_int_equal(child_end(&good), 0);
	(void)child_kill(&hostile);
	daemon_end(&d); /* its reader can be ended, wherever it is */
}

static void make_reads_block(char *map, struct words *words)
{
	fcntl(child_uffd, F_SETFL, 0);
	words->value[0] = *(volatile uint64_t *)map;
	words->ready = 1;
	pause();
}

static void a_client_that_makes_reads_block_once_is_served(void **state)
{
	struct child child;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	child_start(&d, 0, make_reads_block, &child);
	until(child.words->ready == 1);
	assert_int_equal(child.words->value[0], daemon_pattern(0));
	assert_true(fcntl(d.watched[0]->uffd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(child_kill(&child), SIGKILL);
	daemon_end(&d);
}

/* --- too much of everything --- */

static char *threads_map;

static void *load_my_page(void *userdata)
{
	return (void *)(uintptr_t) *
	       (volatile uint64_t *)(threads_map + (uintptr_t)userdata * PAGE);
}

static void load_in_many_threads(char *map, struct words *words)
{
	static pthread_t threads[WATCHED_PAGES];
	pthread_attr_t attr;
	void *value;

	threads_map = map;
	child_wait(&words->go, 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (uintptr_t i = 0; i < WATCHED_PAGES; i++)
		child_require(pthread_create(&threads[i], &attr, load_my_page, (void *)i) == 0);
	words->ready = 1;
	for (uintptr_t i = 0; i < WATCHED_PAGES; i++) {
		child_require(pthread_join(threads[i], &value) == 0);
		child_require((uintptr_t)value == daemon_pattern(i));
	}
	words->ready = 2;
}

static void more_faults_than_are_kept_are_asked_again(void **state)
{
	struct child child;
	struct daemon d;

	need_rights();
	need_children_without_tsan();
	assert_true(WATCHED_PAGES > WATCH_FAULTS);
	daemon_init(&d);
	child_start(&d, 0, load_in_many_threads, &child);
	pthread_mutex_lock(&d.lock); /* the holder is busy elsewhere */
	child.words->go = 1;
	until(child.words->ready == 1);
	usleep(200000);
	pthread_mutex_unlock(&d.lock);
	until(child.words->ready == 2);
	assert_int_equal(child_end(&child), 0);
	assert_true(d.forgotten > 0);
	daemon_end(&d);
}

static void fork_when_told(char *map, struct words *words)
{
	pid_t pid;

	child_wait(&words->go, 1);
	pid = fork();

	if (pid == 0) {
		words->value[0] = *(volatile uint64_t *)map;
		_exit(0);
	}
	child_require(waitpid(pid, NULL, 0) == pid);
	words->ready = 1;
}

static void without_descriptors_a_fork_waits(void **state)
{
	struct rlimit old, few;
	struct child child;
	struct daemon d;
	int lowest_free;

	need_rights();
	daemon_init(&d);
	child_start(&d, 0, fork_when_told, &child);
	lowest_free = dup(0);
	close(lowest_free);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = (rlim_t)lowest_free;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	child.words->go = 1;
	usleep(50000);
	assert_int_equal(d.forks, 0);
	assert_int_equal(child.words->ready, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	until(child.words->ready == 1);
	assert_int_equal(d.forks, 1);
	assert_int_equal(child.words->value[0], daemon_pattern(0));
	assert_int_equal(child_end(&child), 0);
	daemon_end(&d);
}

/* --- rights --- */

static void ask_as_nobody(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	const char *why;

	child_require(watch_impossible(-1) == NULL);
	child_require(setgid(65534) == 0 && setuid(65534) == 0);
	why = watch_impossible(-1);
	child_require(why && *why);
	why = watch_impossible(device);
	child_require(why && *why);
	/* with the device it is the right to follow forks that lacks */
	child_require(device < 0 || strstr(why, "CAP_SYS_PTRACE"));
}

static void who_may_not_watch_is_told_why(void **state)
{
	need_rights();
	run_in_child(ask_as_nobody);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mark_that_a_punch_has_lost_is_set_again),
		cmocka_unit_test(who_may_only_read_sees_what_is_filled_in_again_and_again),
		cmocka_unit_test(root_that_may_only_read_changes_nothing),
		cmocka_unit_test(nobody_that_may_only_read_changes_nothing),
		cmocka_unit_test(changing_mappings_without_end_is_borne_or_told_in_time),
		cmocka_unit_test(a_change_that_nobody_reads_ends_the_patience_and_killing_helps),
		cmocka_unit_test(those_that_share_a_credit_use_it_up_once),
		cmocka_unit_test(a_client_that_makes_reads_block_harms_itself),
		cmocka_unit_test(a_client_that_makes_reads_block_once_is_served),
		cmocka_unit_test(more_faults_than_are_kept_are_asked_again),
		cmocka_unit_test(without_descriptors_a_fork_waits),
		cmocka_unit_test(who_may_not_watch_is_told_why),
	};

	return cmocka_run_group_tests_name("mapper-hostile", tests, NULL, NULL);
}
