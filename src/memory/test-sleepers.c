/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "memory/sleepers.h"

/* Locks as this machine's C library makes them. */

#define PAGE SLEEPERS_PAGE

struct locks {
	uint64_t before[7];
	pthread_mutex_t mutex, robust;
	uint64_t between[3];
	pthread_rwlock_t rwlock;
};

static int memory;
static struct locks *locks;

static int begin(void **state)
{
	pthread_mutexattr_t mutex;
	pthread_rwlockattr_t rwlock;

	memory = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(memory, 2 * PAGE), 0);
	locks = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, PAGE);
	assert_true(locks != MAP_FAILED);
	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&locks->mutex, &mutex);
	pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&locks->robust, &mutex);
	pthread_rwlockattr_init(&rwlock);
	pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
	pthread_rwlock_init(&locks->rwlock, &rwlock);
	return 0;
}

static int end(void **state)
{
	munmap(locks, PAGE);
	close(memory);
	return 0;
}

static bool found(const void *lock, size_t size)
{
	struct sleepers s;

	sleepers_find(locks, &s);
	for (unsigned int i = 0; i < s.n; i++) {
		size_t at = s.words[i] * 4u, from = (size_t)((char *)lock - (char *)locks);

		if (at >= from && at < from + size)
			return true;
	}
	return false;
}

static unsigned int count(const void *page)
{
	struct sleepers s;

	sleepers_find(page, &s);
	return s.n;
}

static void locks_without_sleepers_are_none(void **state)
{
	assert_int_equal(count(locks), 0);
	pthread_mutex_lock(&locks->mutex);
	pthread_mutex_lock(&locks->robust);
	pthread_rwlock_rdlock(&locks->rwlock);
	assert_int_equal(count(locks), 0);
	pthread_rwlock_unlock(&locks->rwlock);
	pthread_rwlock_wrlock(&locks->rwlock);
	assert_int_equal(count(locks), 0);
	pthread_rwlock_unlock(&locks->rwlock);
	pthread_mutex_unlock(&locks->robust);
	pthread_mutex_unlock(&locks->mutex);
}

/* A child that waits for a lock, without anybody who would wake it. */
static pid_t start(void (*wait)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		wait();
		_exit(0);
	}
	return pid;
}

static void lock_mutex(void)
{
	pthread_mutex_lock(&locks->mutex);
}

static void lock_robust(void)
{
	pthread_mutex_lock(&locks->robust);
}

static void read_rwlock(void)
{
	pthread_rwlock_rdlock(&locks->rwlock);
}

static void write_rwlock(void)
{
	pthread_rwlock_wrlock(&locks->rwlock);
}

/* It sleeps; the lock becomes free as if another node's process had done it, which wakes nobody
 * here; then we do. */
static void assert_woken(pid_t pid, const void *lock, size_t size, void (*unlock)(void))
{
	struct sleepers s;
	int status;

	for (int i = 0; i < 1000 && !found(lock, size); i++)
		usleep(1000);
	assert_true(found(lock, size));
	usleep(20000);
	sleepers_find(locks, &s);
	unlock();
	usleep(20000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(sleepers_wake(memory, PAGE, &s), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void unlock_mutex(void)
{
	pthread_mutex_t copy = locks->mutex;

	pthread_mutex_unlock(&copy);
	locks->mutex = copy;
}

/* The owner's list of robust ones knows the place: nobody has it. */
static void unlock_robust(void)
{
	memset(&locks->robust, 0, 12);
}

static void unlock_rwlock(void)
{
	pthread_rwlock_t copy = locks->rwlock;

	pthread_rwlock_unlock(&copy);
	locks->rwlock = copy;
}

static void who_sleeps_at_a_mutex_is_found_and_woken(void **state)
{
	pthread_mutex_lock(&locks->mutex);
	assert_woken(start(lock_mutex), &locks->mutex, sizeof(locks->mutex), unlock_mutex);
}

static void who_sleeps_at_a_robust_mutex_is_found_and_woken(void **state)
{
	pthread_mutex_lock(&locks->robust);
	assert_woken(start(lock_robust), &locks->robust, sizeof(locks->robust), unlock_robust);
}

static void who_sleeps_at_a_rwlock_is_found_and_woken(void **state)
{
	pthread_rwlock_wrlock(&locks->rwlock);
	assert_woken(start(read_rwlock), &locks->rwlock, sizeof(locks->rwlock), unlock_rwlock);
	pthread_rwlock_unlock(&locks->rwlock);
	pthread_rwlock_rdlock(&locks->rwlock);
	assert_woken(start(write_rwlock), &locks->rwlock, sizeof(locks->rwlock), unlock_rwlock);
}

static void data_is_no_lock(void **state)
{
	_Alignas(8) uint32_t page[PAGE / 4];

	for (uint64_t value = 0; value < 4; value++) {
		for (unsigned int i = 0; i < ELEMENTS(page); i++)
			page[i] = (uint32_t)value;
		assert_int_equal(count(page), 0);
	}
	memset(page, 0xff, sizeof(page));
	assert_int_equal(count(page), 0);
	srand(1);
	for (unsigned int round = 0; round < 100; round++) {
		for (unsigned int i = 0; i < ELEMENTS(page); i++)
			page[i] = (uint32_t)rand() << 1 ^ (uint32_t)rand();
		assert_int_equal(count(page), 0);
	}
}

static void no_more_words_than_there_is_room_for_are_found(void **state)
{
	_Alignas(8) uint32_t page[PAGE / 4] = {0};
	struct sleepers s, more = {2, {1, 5}};

	for (unsigned int i = 0; i + 5 <= ELEMENTS(page); i += 6) {
		page[i] = 2;
		page[i + 4] = 0x80;
	}
	sleepers_find(page, &s);
	assert_int_equal(s.n, SLEEPERS_WORDS);
	sleepers_add(&s, &more);
	assert_int_equal(s.n, SLEEPERS_WORDS);
	s = (struct sleepers){1, {5}};
	sleepers_add(&s, &more);
	assert_int_equal(s.n, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(locks_without_sleepers_are_none),
		TEST(who_sleeps_at_a_mutex_is_found_and_woken),
		TEST(who_sleeps_at_a_robust_mutex_is_found_and_woken),
		TEST(who_sleeps_at_a_rwlock_is_found_and_woken),
		TEST(data_is_no_lock),
		TEST(no_more_words_than_there_is_room_for_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
