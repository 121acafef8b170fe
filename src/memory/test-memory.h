/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_TEST_MEMORY_H
#define MEMORY_TEST_MEMORY_H

/* What the tests of this folder share: patterns, children, and a count of what a process holds. */

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "memory/adopt.h"
#include "memory/memfd.h"

#define PAGE	 4096ul
#define MEBIBYTE (1ul << 20)

/* Asserts in a child process, where cmocka's would return into the parent's list of tests. */
#define child_require(condition)                                                                   \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition,  \
				errno);                                                            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static inline void run_in_child(void (*body)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(60);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static inline void pattern_fill(void *memory, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size / 8; i++)
		((uint64_t *)memory)[i] = (i + seed) * 0x9e3779b97f4a7c15ull;
}

static inline bool pattern_holds(const void *memory, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size / 8; i++)
		if (((const uint64_t *)memory)[i] != (i + seed) * 0x9e3779b97f4a7c15ull)
			return false;
	return true;
}

static inline unsigned int count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Lines of the maps of this process that contain text. */
static inline unsigned int count_mappings(const char *text)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	char line[512];

	while (fgets(line, sizeof(line), f))
		n += !!strstr(line, text);
	fclose(f);
	return n;
}

static inline int new_reserved(size_t size, struct stat *ret_stat)
{
	int fd = -1;

	if (memfd_new("test", size, &fd) < 0 || memfd_reserve(fd, 0, size) < 0 ||
		fstat(fd, ret_stat) < 0)
		abort();
	return fd;
}

static inline char *new_anonymous(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static inline void *idle_run(void *userdata)
{
	for (;;)
		pause();
	return NULL;
}

/* A second thread, so that the process has more than one. */
static inline pthread_t idle_start(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, idle_run, NULL))
		abort();
	return thread;
}

static inline void idle_stop(pthread_t thread)
{
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}

/* Private and adopted memory look alike to loads; the kernel tells what it is. */
static inline bool is_private(void *memory, size_t size)
{
	enum memory_kind kind;

	return memory_classify(memory, size, &kind) == 0 && kind == MEMORY_PRIVATE;
}

#endif
