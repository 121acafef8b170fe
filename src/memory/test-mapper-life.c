/* SPDX-License-Identifier: Apache-2.0 */

/* What happens to a mapper in the life of its process, and of the daemon. */

#include <spawn.h>
#include "memory/test-watched.h"

extern char **environ;

/* --- signals and death while blocked --- */

static void load_one(char *map, struct words *words)
{
	words->value[0] = *(volatile uint64_t *)(map + PAGE);
	words->ready = 1;
}

/* read(2) into an absent page: the fault is in the kernel. */
static void read_into_one(char *map, struct words *words)
{
	int p[2];

	child_require(pipe(p) == 0 && write(p[1], "12345678", 8) == 8);
	child_require(read(p[0], map + PAGE, 8) == 8);
	words->value[0] = *(volatile uint64_t *)(map + PAGE);
	words->ready = 1;
}

static void kill_while_blocked(child_body body)
{
	char content[PAGE];
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	d.silent = true;
	w = child_start(&d, 0, body, &child);
	until(d.faults > 0);
	assert_true(child_is_stopped(&child, 1));
	assert_int_equal(child_kill(&child), SIGKILL);
	/* what cannot be reached cannot be wrong */
	pthread_mutex_lock(&d.lock);
	assert_int_equal(mapper_protect(&w->pieces[0], 0, WATCHED_SIZE), MAPPER_OK);
	assert_true(watch_gone(w->watch));
	daemon_drop(&d, 1, content);
	mapper_allow(&w->pieces[0], 0, WATCHED_SIZE);
	mapper_wake(&w->pieces[0], 0, WATCHED_SIZE);
	mapper_disarm(&w->pieces[0]);
	pthread_mutex_unlock(&d.lock);
	daemon_end(&d);
}

static void a_process_that_waits_for_a_page_can_be_killed(void **state)
{
	kill_while_blocked(load_one);
}

static void a_process_that_waits_in_a_system_call_can_be_killed(void **state)
{
	kill_while_blocked(read_into_one);
}

static _Atomic uint64_t *handler_word;

static void count_signal(int sig)
{
	(*handler_word)++;
}

static void handle_signals(struct words *words)
{
	struct sigaction a = {.sa_handler = count_signal};

	handler_word = &words->value[1];
	child_require(sigaction(SIGUSR1, &a, NULL) == 0);
}

static void load_with_handler(char *map, struct words *words)
{
	handle_signals(words);
	words->ready = 1;
	words->value[0] = *(volatile uint64_t *)(map + PAGE);
	words->ready = 2;
}

static void read_with_handler(char *map, struct words *words)
{
	handle_signals(words);
	words->ready = 1;
	read_into_one(map, words);
	words->ready = 2;
}

static void a_handler_runs_while_its_thread_waits_for_a_page(void **state)
{
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	need_children_without_tsan();
	daemon_init(&d);
	d.silent = true;
	w = child_start(&d, 0, load_with_handler, &child);
	until(d.faults == 1);
	kill(child.pid, SIGUSR1);
	until(child.words->value[1] == 1);
	until(d.faults == 2); /* the access is tried again */
	assert_int_equal(child.words->ready, 1);
	d.silent = false;
	mapper_wake(&w->pieces[0], PAGE, PAGE);
	until(child.words->ready == 2);
	assert_int_equal(child.words->value[0], daemon_pattern(1));
	assert_int_equal(child_end(&child), 0);
	daemon_end(&d);
}

/* The handler runs after the call; until then the kernel tries the access again and again, tens of
 * thousands of times a second. */
static void a_signal_in_a_system_call_floods_nobody(void **state)
{
	struct watch_event event;
	unsigned int n = 0;
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	d.silent = true;
	w = child_start(&d, 0, read_with_handler, &child);
	until(d.faults == 1);
	pthread_mutex_lock(&d.lock); /* the holder is busy elsewhere */
	kill(child.pid, SIGUSR1);
	usleep(100000);
	while (watch_fault(w->watch, &event))
		n++;
	assert_in_range(n, 1, 4);
	assert_int_equal(d.forgotten, 0);
	pthread_mutex_unlock(&d.lock);
	d.silent = false;
	mapper_wake(&w->pieces[0], 0, WATCHED_SIZE);
	until(child.words->ready == 2);
	assert_int_equal(child.words->value[1], 1);
	assert_int_equal(child_end(&child), 0);
	daemon_end(&d);
}

static void store_everywhere(char *map, struct words *words)
{
	handle_signals(words);
	words->ready = 1;
	for (unsigned int round = 0; round < 8; round++)
		for (unsigned int i = 0; i < WATCHED_PAGES; i++)
			(*(volatile uint64_t *)(map + i * PAGE))++;
	words->ready = 2;
}

static void a_flood_of_signals_loses_no_store(void **state)
{
	uint64_t content[PAGE / 8];
	struct child child;
	struct daemon d;
	int i = 0;

	need_rights();
	daemon_init(&d);
	child_start(&d, 0, store_everywhere, &child);
	until(child.words->ready > 0);
	for (; child.words->ready < 2 && i < 100000; i++) {
		kill(child.pid, SIGUSR1);
		if (i % 4)
			continue;
		pthread_mutex_lock(&d.lock);
		if (d.store.map[i % WATCHED_PAGES] != PAGE_ABSENT)
			assert_int_equal(
				daemon_protect(&d, (uint64_t)(i % WATCHED_PAGES) * PAGE, PAGE), 0);
		pthread_mutex_unlock(&d.lock);
	}
	until(child.words->ready == 2);
	assert_int_equal(child_end(&child), 0);
	for (unsigned int k = 0; k < WATCHED_PAGES; k++) {
		assert_int_equal(page_store_read(&d.store, k * PAGE, content, PAGE), 0);
		assert_int_equal(content[0], daemon_pattern(k) + 8);
	}
	daemon_end(&d);
}

/* --- fork --- */

static void fork_and_count(char *map, struct words *words)
{
	_Atomic uint64_t *word = (_Atomic uint64_t *)(map + 2 * PAGE);
	pid_t pid;

	atomic_fetch_add(word, 1);
	pid = fork();
	child_require(pid >= 0);
	for (int i = 0; words->go == 0; i++) {
		atomic_fetch_add(word, 1);
		words->value[pid == 0]++;
	}
	if (pid == 0)
		_exit(0);
	child_require(waitpid(pid, NULL, 0) == pid);
	/* a page that only the child touches would have been read as zeros there */
	words->ready = 1;
}

static void a_forked_child_is_protected_and_served(void **state)
{
	uint64_t content[PAGE / 8], last = 0;
	struct child child;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	child_start(&d, 0, fork_and_count, &child);
	until(d.forks == 1 && child.words->value[0] && child.words->value[1]);
	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&d.lock);
		if (d.store.map[2] != PAGE_ABSENT) {
			daemon_drop(&d, 2, content);
			assert_true(content[0] >= last);
			last = content[0];
			d.store.map[2] = PAGE_THERE;
			assert_int_equal(page_store_write(&d.store, 2 * PAGE, content, PAGE), 0);
		}
		pthread_mutex_unlock(&d.lock);
		usleep(200);
	}
	child.words->go = 1;
	until(child.words->ready == 1);
	assert_int_equal(page_store_read(&d.store, 2 * PAGE, content, PAGE), 0);
	assert_int_equal(
		content[0], daemon_pattern(2) + 1 + child.words->value[0] + child.words->value[1]);
	assert_int_equal(child_end(&child), 0);
	until(daemon_sees_end(d.watched[1]));
	daemon_end(&d);
}

/* Children of children that store at once, while the page is taken away all the time: none may slip
 * through between the reading of an event and what is done about it. */
static void fork_often(char *map, struct words *words)
{
	_Atomic uint64_t *word = (_Atomic uint64_t *)(map + 2 * PAGE);

	for (int i = 0; i < 30; i++) {
		pid_t pid = fork();

		child_require(pid >= 0);
		for (int k = 0; k < 20000; k++) {
			atomic_fetch_add(word, 1);
			words->value[0]++;
		}
		if (pid == 0)
			_exit(0);
		child_require(waitpid(pid, NULL, 0) == pid);
	}
	words->ready = 1;
}

static void no_store_of_a_child_slips_through_while_it_is_born(void **state)
{
	uint64_t content[PAGE / 8], again[PAGE / 8];
	struct child child;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	child_start(&d, 0, fork_often, &child);
	while (child.words->ready == 0) {
		pthread_mutex_lock(&d.lock);
		if (d.store.map[2] != PAGE_ABSENT) {
			assert_int_equal(daemon_protect(&d, 2 * PAGE, PAGE), 0);
			assert_int_equal(page_store_read(&d.store, 2 * PAGE, content, PAGE), 0);
			usleep(300);
			assert_int_equal(page_store_read(&d.store, 2 * PAGE, again, PAGE), 0);
			assert_int_equal(content[0], again[0]);
		}
		pthread_mutex_unlock(&d.lock);
		usleep(100);
	}
	assert_int_equal(d.forks, 30);
	assert_int_equal(child_end(&child), 0);
	assert_int_equal(page_store_read(&d.store, 2 * PAGE, content, PAGE), 0);
	assert_int_equal(content[0], daemon_pattern(2) + 30 * 2 * 20000);
	daemon_end(&d);
}

static void *load_pages(void *userdata)
{
	for (unsigned int round = 0; round < 2; round++)
		for (unsigned int i = 0; i < 100; i++)
			(*(volatile uint64_t *)((char *)userdata + i * PAGE))++;
	return NULL;
}

static void fork_while_storing(char *map, struct words *words)
{
	pthread_t thread;

	child_require(pthread_create(&thread, NULL, load_pages, map) == 0);
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();

		child_require(pid >= 0);
		if (pid == 0)
			_exit(0);
		child_require(waitpid(pid, NULL, 0) == pid);
	}
	child_require(pthread_join(thread, NULL) == 0);
	words->ready = 1;
}

/* It reads what it waits for itself. */
static void a_reader_may_protect_its_own_process(void **state)
{
	uint64_t content[PAGE / 8];
	struct child child;
	struct daemon d;

	need_rights();
	need_children_without_tsan();
	daemon_init(&d);
	d.protects = true;
	child_start(&d, 0, fork_while_storing, &child);
	until(child.words->ready == 1);
	until(d.forks == 20);
	assert_int_equal(child_end(&child), 0);
	assert_int_equal(d.busy, 0);
	assert_int_equal(page_store_read(&d.store, 0, content, PAGE), 0);
	assert_int_equal(content[0], daemon_pattern(0) + 2);
	daemon_end(&d);
}

static void spawn_true(char *map, struct words *words)
{
	char name[] = "true", *argv[] = {name, NULL};
	pid_t pid;
	int status;

	map[0] = 1;
	child_require(posix_spawnp(&pid, name, NULL, NULL, argv, environ) == 0);
	child_require(waitpid(pid, &status, 0) == pid && status == 0);
	child_require(system("true") == 0);
	map[PAGE] = 1;
	words->ready = 1;
}

static void spawning_a_program_is_no_fork(void **state)
{
	struct child child;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	child_start(&d, 0, spawn_true, &child);
	assert_int_equal(child_end(&child), 0);
	assert_int_equal(d.forks, 0);
	assert_int_equal(daemon_page(&d, 1), PAGE_WRITABLE);
	daemon_end(&d);
}

static void exec_true(char *map, struct words *words)
{
	map[0] = 1;
	words->ready = 1;
	execlp("sleep", "sleep", "20", (char *)NULL);
	_exit(1);
}

static void a_program_that_is_replaced_is_gone(void **state)
{
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	w = child_start(&d, 0, exec_true, &child);
	until(child.words->ready == 1);
	until(daemon_sees_end(w));
	assert_int_equal(mapper_protect(&w->pieces[0], 0, WATCHED_SIZE), MAPPER_OK);
	assert_int_equal(child_kill(&child), SIGKILL);
	daemon_end(&d);
}

static void exit_at_once(char *map, struct words *words)
{
	map[0] = 1;
	_exit(0);
}

static void a_program_that_ends_is_gone(void **state)
{
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	w = child_start(&d, 0, exit_at_once, &child);
	assert_int_equal(child_end(&child), 0);
	assert_true(daemon_sees_end(w));
	daemon_end(&d);
}

/* Another node's map must not fail because of it. */
static void arming_what_has_ended_is_success(void **state)
{
	struct child child;
	struct watched *w;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	w = child_start(&d, 0, exit_at_once, &child);
	assert_int_equal(child_end(&child), 0);
	assert_false(watch_gone(w->watch));
	assert_int_equal(mapper_arm(&w->pieces[0]), MAPPER_OK);
	assert_true(watch_gone(w->watch));
	daemon_end(&d);
}

/* --- death of the daemon --- */

static void wait_in_two_threads(char *map, struct words *words)
{
	map[0] = 1; /* page 0 is to be stored to, page 1 absent */
	words->ready = 1;
	child_wait(&words->go, 1);
	words->value[0] = *(volatile uint64_t *)(map + PAGE);
	map[8] = 5;
	words->ready = 2;
}

static void nobody_goes_on_without_a_daemon_and_a_successor_wakes_them(void **state)
{
	struct daemon d, next;
	struct child child;
	struct watched *w;
	int uffd;

	need_rights();
	daemon_init(&d);
	w = child_start(&d, 0, wait_in_two_threads, &child);
	until(child.words->ready == 1);
	pthread_mutex_lock(&d.lock);
	assert_int_equal(daemon_protect(&d, 0, WATCHED_SIZE), 0);
	d.silent = true;
	d.faults = 0;
	pthread_mutex_unlock(&d.lock);
	child.words->go = 1;
	until(d.faults == 1);
	uffd = dup(w->uffd); /* the keeper's */
	daemon_stop(&d, true);
	assert_true(child_is_stopped(&child, 2));

	/* the event has been read, and is not told again */
	next = d;
	next.silent = false;
	w = daemon_watch(&next, uffd);
	daemon_add_piece(w, &(struct mapper){w->watch, child.address, 0, WATCHED_SIZE, false});
	pthread_mutex_lock(&next.lock);
	assert_int_equal(daemon_protect(&next, 0, WATCHED_SIZE), 0);
	pthread_mutex_unlock(&next.lock);
	assert_true(child_is_stopped(&child, 2));
	mapper_wake(&w->pieces[0], 0, WATCHED_SIZE);
	until(child.words->ready == 2);
	assert_int_equal(child.words->value[0], daemon_pattern(1));
	assert_int_equal(child_end(&child), 0);
	daemon_end(&next);
}

/* No daemon holds it at all: the client's own reference keeps it waiting. */
static void closing_the_daemons_reference_lets_nobody_go_on(void **state)
{
	struct child child;
	struct daemon d;

	need_rights();
	daemon_init(&d);
	d.silent = true;
	child_start(&d, 0, load_one, &child);
	until(d.faults == 1);
	daemon_stop(&d, true);
	assert_true(child_is_stopped(&child, 1));
	assert_int_equal(child_kill(&child), SIGKILL);
	daemon_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_that_waits_for_a_page_can_be_killed),
		cmocka_unit_test(a_process_that_waits_in_a_system_call_can_be_killed),
		cmocka_unit_test(a_handler_runs_while_its_thread_waits_for_a_page),
		cmocka_unit_test(a_signal_in_a_system_call_floods_nobody),
		cmocka_unit_test(a_flood_of_signals_loses_no_store),
		cmocka_unit_test(a_forked_child_is_protected_and_served),
		cmocka_unit_test(no_store_of_a_child_slips_through_while_it_is_born),
		cmocka_unit_test(a_reader_may_protect_its_own_process),
		cmocka_unit_test(spawning_a_program_is_no_fork),
		cmocka_unit_test(a_program_that_is_replaced_is_gone),
		cmocka_unit_test(a_program_that_ends_is_gone),
		cmocka_unit_test(arming_what_has_ended_is_success),
		cmocka_unit_test(nobody_goes_on_without_a_daemon_and_a_successor_wakes_them),
		cmocka_unit_test(closing_the_daemons_reference_lets_nobody_go_on),
	};

	return cmocka_run_group_tests_name("mapper-life", tests, NULL, NULL);
}
