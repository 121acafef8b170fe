/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/closer.h"
#include "base/error.h"
#include "base/fd.h"
#include "daemon/keeper-link.h"
#include "daemon/log.h"

#define PACKETS_PER_TURN 256
#define QUICK_DEATH	 NSEC_PER_SEC /* a daemon that lived shorter is in trouble */
#define QUICK_DEATHS_MAX 5
#define PAUSE_DOUBLINGS	 6 /* of 50 ms */
#define STOP_TIMEOUT	 (10 * NSEC_PER_SEC)
#define ARGUMENTS_MAX	 32

struct entry {
	struct entry *next;
	uint64_t key;
	uint32_t kind;
	int fd;
};

struct Keeper {
	struct keeper_options options;
	struct entry **buckets;
	uint32_t n_buckets, n_entries; /* n_buckets: a power of 2 */

	int signals; /* signalfd */
	int link;    /* to the daemon; -1: it closed it */
	int daemon;  /* pidfd; -1: there is none */
	int pid;     /* of a daemon that is our child, else 0 */
	bool ready;  /* options.ready has been called */

	bool giving;		  /* entries are being given to a new daemon */
	uint32_t give_bucket;	  /* next one */
	struct entry *give_entry; /* next one in the bucket before; NULL: at its end */

	uint64_t started;	/* the daemon, CLOCK_MONOTONIC */
	uint64_t deadline;	/* of what is being waited for: restart or stop; 0: nothing */
	unsigned int deaths;	/* quick ones in a row */
	unsigned int shortages; /* that kept the daemon from starting, in a row */
	bool stopping;		/* by signal */
	bool ended;		/* the daemon said so */
	int status;
};

DEFINE_CLEANUP(Keeper *, keeper_free);

/* What is held */

static uint32_t bucket_of(const Keeper *k, uint32_t kind, uint64_t key)
{
	uint64_t h = (key * 16 + kind) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(h >> 32) & (k->n_buckets - 1);
}

static struct entry **entry_find(Keeper *k, uint32_t kind, uint64_t key)
{
	struct entry **p = &k->buckets[bucket_of(k, kind, key)];

	while (*p && ((*p)->kind != kind || (*p)->key != key))
		p = &(*p)->next;
	return p;
}

/* Without memory for more buckets the chains just grow longer. */
static void buckets_grow(Keeper *k)
{
	uint32_t n_old = k->n_buckets;
	struct entry **old = k->buckets, **buckets = calloc(2 * (size_t)n_old, sizeof(*buckets));

	if (!buckets)
		return;
	k->buckets = buckets;
	k->n_buckets = 2 * n_old;
	for (uint32_t i = 0; i < n_old; i++) {
		for (struct entry *e = old[i], *next; e; e = next) {
			struct entry **p = &buckets[bucket_of(k, e->kind, e->key)];

			next = e->next;
			e->next = *p;
			*p = e;
		}
	}
	free(old);
}

/* What a client may have filled may block who closes it; the rest need not trouble a thread. */
static void kept_close(uint32_t kind, int fd)
{
	if (kind == KEEP_SOCKET || kind == KEEP_UFFD || kind == KEEP_ROUTE)
		closer_close(fd);
	else
		fd_close(fd);
}

int keeper_store(Keeper *k, uint32_t kind, uint64_t key, int fd)
{
	struct entry **p = entry_find(k, kind, key), *e = *p;

	if (e) {
		kept_close(kind, e->fd);
		e->fd = fd;
		return 0;
	}
	e = malloc(sizeof(*e));
	if (!e) {
		kept_close(kind, fd);
		return -ENOMEM;
	}
	*e = (struct entry){.key = key, .kind = kind, .fd = fd};
	*p = e;
	if (++k->n_entries > k->n_buckets)
		buckets_grow(k);
	return 0;
}

static void keeper_drop(Keeper *k, uint32_t kind, uint64_t key)
{
	struct entry **p = entry_find(k, kind, key), *e = *p;

	if (!e)
		return;
	*p = e->next;
	kept_close(kind, e->fd);
	free(e);
	k->n_entries--;
}

/* Giving it back. The entries do not change meanwhile: nothing is read from the daemon. */

static void give_begin(Keeper *k)
{
	k->giving = true;
	k->give_bucket = 0;
	k->give_entry = NULL;
}

static struct entry *give_next(Keeper *k)
{
	while (!k->give_entry && k->give_bucket < k->n_buckets)
		k->give_entry = k->buckets[k->give_bucket++];
	return k->give_entry;
}

static void give_some(Keeper *k)
{
	struct keeper_packet done = {.op = KEEPER_DONE};
	struct entry *e;

	for (unsigned int i = 0; i < PACKETS_PER_TURN && (e = give_next(k)); i++) {
		struct keeper_packet p = {.op = KEEPER_STORE, .kind = e->kind, .key = e->key};
		int r = fd_send(k->link, &p, sizeof(p), &e->fd, 1, MSG_DONTWAIT);

		/* The kernel bounds descriptors under way; the daemon must read some first. */
		if (r == -ETOOMANYREFS)
			poll(NULL, 0, 1);
		if (r < 0)
			return;
		k->give_entry = e->next;
	}
	if (!give_next(k) && fd_send(k->link, &done, sizeof(done), NULL, 0, MSG_DONTWAIT) == 0)
		k->giving = false;
}

/* The daemon's packets */

static void handle_packet(Keeper *k, const struct keeper_packet *p, int *fd)
{
	switch (p->op) {
	case KEEPER_STORE:
		if (*fd < 0)
			break;
		if (p->kind == KEEPER_KIND_DAEMON) {
			fd_close(k->daemon);
			k->daemon = take_fd(fd);
			break;
		}
		if (k->options.stored)
			k->options.stored(p->kind, *fd);
		if (keeper_store(k, p->kind, p->key, take_fd(fd)) < 0)
			log_limited("keeper: out of memory; a restart would lose kind %u, key %llu",
				p->kind, (unsigned long long)p->key);
		break;
	case KEEPER_DROP:
		keeper_drop(k, p->kind, p->key);
		break;
	case KEEPER_READY:
		if (!k->ready && k->options.ready)
			k->options.ready(k->options.userdata);
		k->ready = true;
		break;
	case KEEPER_END:
		k->ended = true;
		k->status = (int)p->key;
		break;
	}
}

/* Returns false when there is nothing more to read. */
static bool receive_packet(Keeper *k)
{
	struct keeper_packet p;
	int fds[FD_PACKET_MAX];
	unsigned int n_fds = 0;
	ssize_t n;

	n = fd_recv_from_stranger(k->link, &p, sizeof(p), fds, &n_fds, MSG_DONTWAIT, closer_close);
	if (n == -EAGAIN)
		return false;
	if (n == -EINTR)
		return true;
	if (n == -EMFILE || n == -EMSGSIZE) {
		log_limited("keeper: a packet did not fit (out of descriptors?); a restart would "
			    "lose something");
		return true;
	}
	if (n <= 0) {
		k->link = fd_close(k->link);
		return false;
	}
	if (n == sizeof(p) && n_fds <= 1) {
		int fd = n_fds ? fds[0] : -1;

		handle_packet(k, &p, &fd);
		fds[0] = fd;
	}
	closer_close_many(fds, n_fds);
	return true;
}

static void receive_some(Keeper *k)
{
	for (unsigned int i = 0; i < PACKETS_PER_TURN && k->link >= 0; i++)
		if (!receive_packet(k))
			return;
}

/* The daemon's life */

int keeper_spawn(const char *const *argv, const char *name, int fd, int *ret_pid)
{
	const char *full[ARGUMENTS_MAX + 3];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	extern char **environ;
	char number[16];
	unsigned int n = 0;
	sigset_t set;
	int r, pid;

	for (; argv[n] && n < ARGUMENTS_MAX; n++)
		full[n] = argv[n];
	snprintf(number, sizeof(number), "%d", fd);
	full[n++] = name;
	full[n++] = number;
	full[n] = NULL;

	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_init(&actions);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attributes, &set);
	sigfillset(&set);
	posix_spawnattr_setsigdefault(&attributes, &set);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	/* A dup2 onto itself takes close-on-exec away, in the child alone. */
	posix_spawn_file_actions_adddup2(&actions, fd, fd);
	r = posix_spawn(
		&pid, "/proc/self/exe", &actions, &attributes, (char *const *)full, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (r)
		return -r;
	*ret_pid = pid;
	return 0;
}

static int daemon_start(Keeper *k)
{
	_cleanup_close_ int theirs = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return negative_errno();
	k->link = pair[0];
	theirs = pair[1];
	k->deadline = 0;
	k->started = clock_now();
	r = keeper_spawn(k->options.argv, "--daemon-fd", theirs, &k->pid);
	if (r < 0)
		return r;
	k->daemon = (int)syscall(SYS_pidfd_open, k->pid, 0);
	if (k->daemon < 0) {
		r = negative_errno();
		kill(k->pid, SIGKILL);
		waitpid(k->pid, NULL, 0);
		k->pid = 0;
		return r;
	}
	give_begin(k);
	return 0;
}

enum death {
	DEATH_OWN,
	DEATH_KILLED,	/* SIGKILL: says nothing against the daemon itself */
	DEATH_SHORTAGE, /* nor does this */
};

static enum death say_death(const Keeper *k)
{
	int status;

	if (k->pid <= 0 || waitpid(k->pid, &status, 0) != k->pid) {
		log_warning("the daemon died");
		return DEATH_OWN;
	}
	if (!WIFSIGNALED(status)) {
		log_warning(
			"the daemon (pid %d) ended with status %d", k->pid, WEXITSTATUS(status));
		return k->ready && WEXITSTATUS(status) == KEEPER_STATUS_SHORTAGE ? DEATH_SHORTAGE
										 : DEATH_OWN;
	}
	log_warning("the daemon (pid %d) was killed by signal %d", k->pid, WTERMSIG(status));
	return WTERMSIG(status) == SIGKILL ? DEATH_KILLED : DEATH_OWN;
}

/* Decides what follows a death that was not announced: at once, later, or never again. */
static bool daemon_restart(Keeper *k, enum death death)
{
	uint64_t now = clock_now();
	unsigned int n;

	k->shortages = death == DEATH_SHORTAGE ? k->shortages + 1 : 0;
	if (death != DEATH_SHORTAGE)
		k->deaths =
			now - k->started < QUICK_DEATH && death == DEATH_OWN ? k->deaths + 1 : 0;
	if (k->deaths >= QUICK_DEATHS_MAX) {
		log_error("the daemon died %u times in a row, each within a second of its start; "
			  "this node ends. Please report this with the lines above",
			k->deaths);
		return false;
	}
	n = MIN(k->deaths + k->shortages, PAUSE_DOUBLINGS);
	k->deadline = now;
	if (n > 1)
		k->deadline += 50 * NSEC_PER_MSEC << n;
	return true;
}

/* Returns false if the node ends. What the dead daemon said last is still in the socket. */
static bool daemon_died(Keeper *k)
{
	enum death death;

	while (k->link >= 0 && receive_packet(k))
		;
	k->link = fd_close(k->link);
	k->daemon = fd_close(k->daemon);
	k->giving = false;
	if (k->ended || k->stopping) {
		if (k->pid > 0)
			waitpid(k->pid, NULL, 0);
		return false;
	}
	death = say_death(k);
	k->pid = 0;
	k->status = EXIT_FAILURE;
	return daemon_restart(k, death);
}

static void daemon_stop(Keeper *k, int sig)
{
	if (k->daemon >= 0)
		syscall(SYS_pidfd_send_signal, k->daemon, sig, NULL, 0);
}

/* Signals, time, loop */

static bool handle_signal(Keeper *k)
{
	struct signalfd_siginfo info;

	if (read(k->signals, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo == SIGHUP) {
		daemon_stop(k, SIGHUP);
		return true;
	}
	if (k->daemon < 0) {
		/* Between two daemons it is the end; an adopted one may not have sent its pidfd
		 * yet. */
		k->status = EXIT_SUCCESS;
		return k->link >= 0;
	}
	daemon_stop(k, k->stopping ? SIGKILL : SIGTERM);
	k->stopping = true;
	k->status = EXIT_SUCCESS;
	k->deadline = clock_now() + STOP_TIMEOUT;
	return true;
}

static bool handle_deadline(Keeper *k)
{
	int r;

	k->deadline = 0;
	if (k->stopping) {
		log_warning("the daemon did not stop when asked; it is killed");
		daemon_stop(k, SIGKILL);
		return true;
	}
	r = daemon_start(k);
	if (r == 0)
		return true;
	k->link = fd_close(k->link);
	log_error("the daemon could not be started: %s", strerror(-r));
	return k->ready && error_is_shortage(r) && daemon_restart(k, DEATH_SHORTAGE);
}

static int time_left(const Keeper *k)
{
	uint64_t now = clock_now();

	if (!k->deadline)
		return -1;
	return now >= k->deadline ? 0 : (int)((k->deadline - now) / NSEC_PER_MSEC) + 1;
}

static bool keeper_turn(Keeper *k)
{
	struct pollfd p[] = {
		{.fd = k->signals, .events = POLLIN},
		{.fd = k->link, .events = k->giving ? POLLOUT : POLLIN},
		{.fd = k->daemon, .events = POLLIN},
	};

	if (poll(p, ELEMENTS(p), time_left(k)) < 0)
		return true;
	if (p[2].revents)
		return daemon_died(k);
	if (p[1].revents) {
		if (!k->giving)
			receive_some(k);
		else if (p[1].revents & POLLOUT)
			give_some(k);
		else
			k->link = fd_close(k->link);
	}
	/* An adopted daemon that died before it said who it is. */
	if (k->link < 0 && k->daemon < 0 && !k->deadline)
		return false;
	if (p[0].revents && !handle_signal(k))
		return false;
	if (k->deadline && clock_now() >= k->deadline)
		return handle_deadline(k);
	return true;
}

int keeper_new(const struct keeper_options *options, Keeper **ret_keeper)
{
	_cleanup_(keeper_free_p) Keeper *k = calloc(1, sizeof(*k));
	sigset_t set;

	if (!k)
		return -ENOMEM;
	k->options = *options;
	k->link = k->daemon = k->signals = -1;
	k->status = EXIT_FAILURE;
	k->n_buckets = 64;
	k->buckets = calloc(k->n_buckets, sizeof(*k->buckets));
	if (!k->buckets)
		return -ENOMEM;
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	k->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (k->signals < 0)
		return negative_errno();
	*ret_keeper = take_ptr(k);
	return 0;
}

void keeper_free(Keeper *k)
{
	if (!k)
		return;
	for (uint32_t i = 0; k->buckets && i < k->n_buckets; i++) {
		while (k->buckets[i]) {
			struct entry *e = k->buckets[i];

			k->buckets[i] = e->next;
			closer_close(e->fd);
			free(e);
		}
	}
	free(k->buckets);
	fd_close(k->signals);
	fd_close(k->link);
	fd_close(k->daemon);
	free(k);
}

void keeper_adopt(Keeper *k, int link)
{
	k->link = link;
	k->ready = true;
	k->started = clock_now();
}

int keeper_run(Keeper *k)
{
	if (k->link < 0) {
		int r = daemon_start(k);

		if (r < 0) {
			log_error("the daemon could not be started: %s", strerror(-r));
			return EXIT_FAILURE;
		}
	}
	while (keeper_turn(k))
		;
	return k->status;
}
