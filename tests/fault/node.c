/* SPDX-License-Identifier: Apache-2.0 */
#include "node.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_PATIENCE 10000 /* ms */

static void path_of(const node_t *node, const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", node->directory, name);
}

void directory_new(char path[DIRECTORY_MAX])
{
	const char *parent = getenv("TMPDIR");
	int n = snprintf(path, DIRECTORY_MAX, "%s/fault-XXXXXX", parent ? parent : "/tmp");

	if (n >= DIRECTORY_MAX || !mkdtemp(path))
		abort();
}

struct fault_control *control_new(const char *directory)
{
	char path[128];
	void *p;
	int fd;

	snprintf(path, sizeof(path), "%s/control", directory);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(struct fault_control)))
		abort();
	p = mmap(NULL, sizeof(struct fault_control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		abort();
	close(fd);
	setenv("FAULT_CONTROL", path, 1);
	return p;
}

void node_init(node_t *node, const char *causewayd)
{
	char path[128];

	*node = (node_t){.causewayd = causewayd};
	directory_new(node->directory);
	path_of(node, "config", path);
	mkdir(path, 0700);
	path_of(node, "socket", path);
	setenv("CAUSEWAY_SOCKET", path, 1);
	setenv("CAUSEWAY_CONNECT_TIMEOUT", "1", 1);
	setenv("CAUSEWAY_TIMEOUT", "1", 1);
}

static _Noreturn void node_exec(const node_t *node, const char *inject, int ready)
{
	char config[128], said[128];
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	path_of(node, "config", config);
	path_of(node, "said", said);
	fd = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	close(fd);
	if (ready != 3) {
		dup2(ready, 3);
		close(ready);
	}
	if (inject)
		setenv("LD_PRELOAD", inject, 1);
	execl(node->causewayd, "causewayd", "--socket", getenv("CAUSEWAY_SOCKET"), "--config",
		config, "--ready-fd", "3", NULL);
	_exit(127);
}

static void node_wait(node_t *node)
{
	if (node->pid > 0 && waitpid(node->pid, &node->status, 0) == node->pid)
		node->pid = 0;
}

bool node_start(node_t *node, const char *inject)
{
	int ready[2], n;
	char byte;
	struct pollfd p;

	if (pipe(ready))
		abort();
	fflush(stdout);
	node->pid = fork();
	if (node->pid == 0) {
		close(ready[0]);
		node_exec(node, inject, ready[1]);
	}
	close(ready[1]);
	p = (struct pollfd){.fd = ready[0], .events = POLLIN};
	n = poll(&p, 1, START_PATIENCE);
	if (n == 0) {
		printf("# it neither serves nor ends\n");
		kill(node->pid, SIGKILL);
	} else if (read(ready[0], &byte, 1) == 1) {
		close(ready[0]);
		return true;
	}
	close(ready[0]);
	node_wait(node);
	return false;
}

bool node_stop(node_t *node)
{
	if (!node->pid)
		return false;
	kill(node->pid, SIGTERM);
	node_wait(node);
	return WIFEXITED(node->status) && WEXITSTATUS(node->status) == 0;
}

bool node_said(const node_t *node, bool show)
{
	char path[128], line[512];
	bool any = false;
	FILE *f;

	path_of(node, "said", path);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		any = true;
		if (show)
			printf("#   %s%s", line, strchr(line, '\n') ? "" : "\n");
	}
	if (f)
		fclose(f);
	return any;
}

void node_deinit(node_t *node)
{
	static const char *const names[] = {"control", "said", "socket", "socket.lock"};
	char path[128];

	if (node->pid)
		node_stop(node);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		path_of(node, names[i], path);
		unlink(path);
	}
	path_of(node, "config", path);
	rmdir(path);
	if (rmdir(node->directory))
		printf("# %s is not empty\n", node->directory);
}

unsigned int count_descriptors(pid_t pid)
{
	unsigned int n = 0;
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

unsigned int count_memfd_maps(pid_t pid)
{
	char path[64], line[512];
	unsigned int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "/memfd:"))
			n++;
	if (f)
		fclose(f);
	return n;
}
