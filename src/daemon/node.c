/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/node.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/fd.h"
#include "daemon/journal.h"
#include "daemon/keeper-link.h"
#include "daemon/keeper.h"
#include "daemon/listen.h"
#include "daemon/log.h"
#include "daemon/manager.h"

/* As ps shows them. */
#define DAEMON_NAME "causewayd"
#define KEEPER_NAME "causeway-keep"

#define DESCRIPTORS_MAX (1u << 20)

DEFINE_CLEANUP(Keeper *, keeper_free);

struct arguments {
	const char *v[8];
};

/* What the process of this name is started with; its role's number is appended. */
static struct arguments arguments_of(
	const char *name, const struct node_options *o, const char *socket)
{
	struct arguments a = {{name, "--socket", socket}};
	unsigned int n = 3;

	if (o->config_dir) {
		a.v[n++] = "--config";
		a.v[n++] = o->config_dir;
	}
	if (o->embedded)
		a.v[n++] = "--embedded";
	return a;
}

/* Executed through a link the process would go by the link's name. */
static void role_begin(const char *name)
{
	prctl(PR_SET_NAME, name);
	umask(0077);
}

static void on_ready(void *userdata)
{
	int fd = *(const int *)userdata;

	sd_notify(0, "READY=1");
	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		log_warning("nobody waits for this node to be ready");
	fd_close(fd);
}

static int begin_journal(Keeper *keeper)
{
	struct timespec now;
	uint64_t incarnation;
	int journal, r;

	if (getrandom(&incarnation, sizeof(incarnation), 0) != sizeof(incarnation))
		return -EIO;
	clock_gettime(CLOCK_REALTIME, &now);
	r = journal_create(incarnation | 1,
		(uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec, &journal);
	if (r < 0) {
		log_error("the journal cannot be made: %s", strerror(-r));
		return r;
	}
	return keeper_store(keeper, KEEP_JOURNAL, 0, journal);
}

/* A new node's first descriptors. */
static int node_begin(Keeper *keeper, const char *path)
{
	int lock, listening, r;

	r = listen_open(path, &lock, &listening);
	if (r < 0)
		return r;
	r = keeper_store(keeper, KEEP_LOCK, 0, lock);
	if (r < 0) {
		fd_close(listening);
	} else {
		r = keeper_store(keeper, KEEP_LISTEN, 0, listening);
		if (r == 0)
			r = begin_journal(keeper);
	}
	if (r < 0)
		listen_remove(path);
	return r;
}

int node_run_first(const struct node_options *o)
{
	char path[LISTEN_PATH_MAX];
	_cleanup_(keeper_free_p) Keeper *keeper = NULL;
	const char *socket = o->socket ? o->socket : path;
	struct arguments arguments = arguments_of(DAEMON_NAME, o, socket);
	int ready_fd = o->ready_fd, status, r;
	struct keeper_options options = {
		.argv = arguments.v, .ready = on_ready, .userdata = &ready_fd};

	role_begin(KEEPER_NAME);
	fd_raise_limit(DESCRIPTORS_MAX);
	if (!o->socket && listen_default_path(path) < 0)
		return EXIT_FAILURE;
	r = keeper_new(&options, &keeper);
	if (r == 0)
		r = node_begin(keeper, socket);
	if (r < 0) {
		log_error("the node cannot begin: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	status = keeper_run(keeper);
	listen_remove(socket);
	return status;
}

int node_run_daemon(const struct node_options *o, int link)
{
	struct arguments arguments = arguments_of(KEEPER_NAME, o, o->socket);
	struct manager_options options = {
		.config = o->config, .argv = arguments.v, .embedded = o->embedded};

	role_begin(DAEMON_NAME);
	return manager_run(&options, link);
}

static void on_store(uint32_t kind, int fd)
{
	if (kind == KEEP_LOCK)
		listen_sign(fd);
}

int node_run_keeper(const struct node_options *o, int link)
{
	_cleanup_(keeper_free_p) Keeper *keeper = NULL;
	struct arguments arguments = arguments_of(DAEMON_NAME, o, o->socket);
	struct keeper_options options = {.argv = arguments.v, .stored = on_store};
	int status;

	role_begin(KEEPER_NAME);
	if (keeper_new(&options, &keeper) < 0)
		return EXIT_FAILURE;
	sd_notifyf(0, "MAINPID=%d", getpid());
	keeper_adopt(keeper, link);
	status = keeper_run(keeper);
	listen_remove(o->socket);
	return status;
}
