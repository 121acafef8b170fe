/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/page-guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "base/parse.h"

#define PLACES	  16
#define IDLE	  40 /* looks without a call, until the thread ends */
#define TEXT_SIZE 512

static struct place {
	_Atomic uint64_t since; /* 0: free */
	_Atomic int memory;
	_Atomic pid_t thread;
	/* of the guard */
	uint64_t seen;	      /* the since that n_looks is of */
	unsigned int n_looks; /* at which it waited */
} places[PLACES];
static atomic_bool running;
static atomic_uint n_calls; /* ever */
static void (*_Atomic teller)(pid_t pid);

/* --- what another process does --- */

/* The file of a descriptor, as the kernel tells of it without asking the file itself, which might
 * never answer. */
struct file {
	unsigned long inode;
	unsigned int mount;
	bool writable;
};

static int read_text(int dir, const char *path, char text[TEXT_SIZE])
{
	_cleanup_close_ int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_SIZE - 1);

	if (n < 0)
		return negative_errno();
	text[n] = '\0';
	return 0;
}

static bool find_value(const char *text, const char *name, int base, unsigned long *ret_value)
{
	const char *line = strstr(text, name);

	if (!line)
		return false;
	*ret_value = strtoul(line + strlen(name), NULL, base);
	return true;
}

/* fdinfo: the directory of that name of a process */
static int file_of(int fdinfo, const char *descriptor, struct file *ret_file)
{
	unsigned long flags, mount, inode;
	char text[TEXT_SIZE];
	int r = read_text(fdinfo, descriptor, text);

	if (r < 0)
		return r;
	if (!find_value(text, "flags:", 8, &flags) || !find_value(text, "mnt_id:", 10, &mount) ||
		!find_value(text, "ino:", 10, &inode))
		return -EBADMSG;
	*ret_file = (struct file){inode, (unsigned int)mount, (flags & O_ACCMODE) != O_RDONLY};
	return 0;
}

static bool is_same(const struct file *a, const struct file *b)
{
	return a->inode == b->inode && a->mount == b->mount;
}

/* Which argument of a system call is the descriptor that it writes to; -1: it writes to none. */
static int written_argument(long number)
{
	switch (number) {
	case SYS_write:
	case SYS_pwrite64:
	case SYS_writev:
	case SYS_pwritev:
	case SYS_pwritev2:
	case SYS_fallocate:
	case SYS_ftruncate:
	case SYS_sendfile:
	case SYS_vmsplice:
		return 0;
	case SYS_splice:
	case SYS_copy_file_range:
		return 2;
	}
	return -1;
}

/* "18 0x3 0x7f…": the descriptor that the thread waits to write to; -1: none. */
static int written_by(int tasks, const char *thread)
{
	unsigned long argument[3];
	char path[64], text[TEXT_SIZE];
	long number;
	int which;

	snprintf(path, sizeof(path), "%.20s/syscall", thread);
	if (read_text(tasks, path, text) < 0 ||
		sscanf(text, "%ld %lx %lx %lx", &number, &argument[0], &argument[1],
			&argument[2]) != 4)
		return -1;
	which = written_argument(number);
	return which < 0 ? -1 : (int)argument[which];
}

/* A folder of a process, to be listed. */
static DIR *open_folder(int process, const char *name)
{
	int fd = openat(process, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		fd_close(fd);
	return dir;
}

enum target {
	THIS_FILE,
	CLOSED, /* what has been closed since */
	ANYTHING,
};

static bool hits(int fdinfo, int fd, enum target target, const struct file *file)
{
	struct file other;
	char name[16];
	int r;

	if (fd < 0)
		return false;
	snprintf(name, sizeof(name), "%d", fd);
	r = target == ANYTHING ? 0 : file_of(fdinfo, name, &other);
	switch (target) {
	case THIS_FILE:
		return r == 0 && is_same(&other, file);
	case CLOSED:
		return r == -ENOENT;
	case ANYTHING:
		break;
	}
	return true;
}

static bool writes_to(int process, enum target target, const struct file *file)
{
	DIR *tasks = open_folder(process, "task"), *fdinfo = open_folder(process, "fdinfo");
	struct dirent *entry;
	bool found = false;

	while (tasks && fdinfo && !found && (entry = readdir(tasks)))
		found = hits(dirfd(fdinfo), written_by(dirfd(tasks), entry->d_name), target, file);
	if (tasks)
		closedir(tasks);
	if (fdinfo)
		closedir(fdinfo);
	return found;
}

static bool may_write(int process, const struct file *file)
{
	DIR *fdinfo = open_folder(process, "fdinfo");
	struct dirent *entry;
	bool found = false;

	while (fdinfo && !found && (entry = readdir(fdinfo))) {
		struct file other;

		if (entry->d_name[0] != '.' && file_of(dirfd(fdinfo), entry->d_name, &other) == 0)
			found = other.writable && is_same(&other, file);
	}
	if (fdinfo)
		closedir(fdinfo);
	return found;
}

/* --- ending them --- */

static bool is_in_the_way(int proc, const char *name, const struct file *file, unsigned int n_looks)
{
	_cleanup_close_ int process = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (process < 0)
		return false;
	if (writes_to(process, THIS_FILE, file))
		return true;
	if (n_looks >= PAGE_GUARD_LATE && writes_to(process, ANYTHING, file) &&
		may_write(process, file))
		return true;
	return n_looks >= PAGE_GUARD_LAST && writes_to(process, CLOSED, file);
}

/* The descriptor comes first, so that what is looked at is what is ended. */
static bool end_if_in_the_way(
	int proc, const char *name, const struct file *file, unsigned int n_looks)
{
	_cleanup_close_ int process = -1;
	uint32_t pid;

	if (parse_u32(name, &pid) < 0 || (pid_t)pid == getpid() || (pid_t)pid == getppid())
		return false;
	process = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (process < 0 || !is_in_the_way(proc, name, file, n_looks) ||
		syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) < 0)
		return false;
	if (atomic_load(&teller))
		atomic_load (&teller)((pid_t)pid);
	return true;
}

static unsigned int end_all_in_the_way(const struct file *file, unsigned int n_looks)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	unsigned int n = 0;

	while (proc && (entry = readdir(proc)))
		n += end_if_in_the_way(dirfd(proc), entry->d_name, file, n_looks);
	if (proc)
		closedir(proc);
	return n;
}

/* --- the thread --- */

/* Not merely for a CPU, nor because all of us are stopped. */
static bool is_waiting(pid_t thread)
{
	char path[48], text[TEXT_SIZE], *state;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
	if (read_text(AT_FDCWD, path, text) < 0)
		return false;
	state = strrchr(text, ')');
	return state && !strncmp(state, ") D", 3);
}

static void end_who_keeps(struct place *place, uint64_t since)
{
	_cleanup_close_ int fdinfo = open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct file file;
	char name[16];

	snprintf(name, sizeof(name), "%d", atomic_load(&place->memory));
	if (fdinfo < 0 || file_of(fdinfo, name, &file) < 0 || atomic_load(&place->since) != since)
		return;
	if (end_all_in_the_way(&file, place->n_looks) == 0 && place->n_looks == PAGE_GUARD_LAST &&
		atomic_load(&teller))
		atomic_load (&teller)(0);
}

static void look_at(struct place *place)
{
	uint64_t since = atomic_load(&place->since);

	if (!since || since != place->seen) {
		place->seen = since;
		place->n_looks = 0;
		return;
	}
	if (!is_waiting(atomic_load(&place->thread)))
		return;
	place->n_looks++;
	if (place->n_looks >= PAGE_GUARD_SOON && place->n_looks <= PAGE_GUARD_LAST)
		end_who_keeps(place, since);
}

static void *guard(void *userdata)
{
	struct timespec pause = clock_timespec(PAGE_GUARD_LOOK);
	unsigned int seen = 0, idle = 0;

	for (;;) {
		nanosleep(&pause, NULL);
		for (int i = 0; i < PLACES; i++)
			look_at(&places[i]);
		idle = seen == atomic_load(&n_calls) ? idle + 1 : 0;
		seen = atomic_load(&n_calls);
		for (int i = 0; i < PLACES; i++)
			idle = atomic_load(&places[i].since) ? 0 : idle;
		if (idle < IDLE)
			continue;
		atomic_store(&running, false);
		/* A call that came before saw a guard. */
		if (seen == atomic_load(&n_calls) || atomic_exchange(&running, true))
			return NULL;
		idle = 0;
	}
}

static void guard_start(void)
{
	pthread_attr_t attributes;
	sigset_t all, old;
	pthread_t thread;

	if (atomic_exchange(&running, true))
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attributes, guard, NULL) != 0)
		atomic_store(&running, false);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* --- calls --- */

static pid_t own_thread(void)
{
	static _Thread_local pid_t thread;

	if (!thread)
		thread = gettid();
	return thread;
}

int page_guard_enter(int memory)
{
	uint64_t now = clock_now();

	for (int i = 0; i < PLACES; i++) {
		uint64_t none = 0;

		if (atomic_load_explicit(&places[i].since, memory_order_relaxed) ||
			!atomic_compare_exchange_strong(&places[i].since, &none, now))
			continue;
		atomic_store_explicit(&places[i].memory, memory, memory_order_relaxed);
		atomic_store_explicit(&places[i].thread, own_thread(), memory_order_relaxed);
		atomic_fetch_add(&n_calls, 1);
		if (!atomic_load(&running))
			guard_start();
		return i;
	}
	return -1; /* the others are guarded: this one waits for what they wait for */
}

void page_guard_leave(int place)
{
	if (place >= 0)
		atomic_store_explicit(&places[place].since, 0, memory_order_release);
}

void page_guard_tell(void (*tell)(pid_t pid))
{
	atomic_store(&teller, tell);
}
