/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/closer.h"
#include "base/fd.h"
#include "daemon/binding.h"
#include "daemon/coherent.h"
#include "daemon/data.h"
#include "daemon/guest.h"
#include "daemon/keeper.h"
#include "daemon/log.h"
#include "daemon/manager-peer.h"
#include "daemon/rdma.h"
#include "daemon/route.h"
#include "daemon/shm-record.h"

#define ACCEPTS_PER_TURN  16
#define KEEPER_DEATHS_MAX 5

int manager_save_counters(Manager *m)
{
	struct engine_counters counters;

	engine_counters_save(m->engine, &counters);
	if (m->counters_slot == JOURNAL_NO_SLOT)
		return journal_add(m->journal, RECORD_COUNTERS, &counters, sizeof(counters),
			&m->counters_slot);
	journal_update(m->journal, m->counters_slot, &counters, sizeof(counters));
	return 0;
}

/* Accepting */

/* Out of descriptors: without this the connection would stay in the queue and wake us for ever. */
static int refuse_one(Manager *m, int listen)
{
	int socket, r = 0;

	m->spare = fd_close(m->spare);
	socket = accept4(listen, NULL, NULL, SOCK_CLOEXEC);
	if (socket < 0)
		r = negative_errno();
	closer_hang_up(socket);
	/* perhaps only the next time, when that is closed */
	m->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return r;
}

/* A connection that stays in the queue wakes us again at once. A pause that each turn has costs the
 * others little, and nothing can fail in it, as setting a timer may. */
void manager_accept_failed(Manager *m, int listen, int r)
{
	if (r == -EMFILE || r == -ENFILE)
		r = refuse_one(m, listen);
	if (r == 0 || r == -EAGAIN || r == -EINTR || r == -ECONNABORTED)
		return;
	log_limited("no connection can be accepted now: %s", strerror(-r));
	poll(NULL, 0, 1);
}

static unsigned int count_handshakes(const Manager *m, uid_t uid)
{
	const ManagerClient *c;
	unsigned int n = 0;

	list_for_each (c, &m->handshakes, link)
		n += c->identity.uid == uid;
	return n;
}

/* Makes room for a new handshake at the cost of the user who has most of them. */
static void refuse_oldest(Manager *m)
{
	ManagerClient *c, *oldest = NULL;
	unsigned int n, most = 0;

	list_for_each (c, &m->handshakes, link) {
		n = count_handshakes(m, c->identity.uid);
		if (n > most) {
			most = n;
			oldest = c;
		}
	}
	log_limited("user %u has %u connections that say nothing; the oldest is cut off",
		oldest->identity.uid, most);
	manager_client_free(oldest);
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Manager *m = userdata;

	for (unsigned int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int socket = accept4(fd, NULL, NULL, SOCK_CLOEXEC), r;

		if (socket < 0) {
			manager_accept_failed(m, fd, negative_errno());
			break;
		}
		if (m->n_handshakes >= MANAGER_HANDSHAKES_MAX)
			refuse_oldest(m);
		r = manager_client_accept(m, socket);
		if (r < 0)
			log_limited("a connection could not be accepted: %s", strerror(-r));
	}
	return 0;
}

/* Idle exit */

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
	Manager *m = userdata;
	struct pollfd p = {.fd = m->listen, .events = POLLIN};

	if (m->n_handshakes > 0 || poll(&p, 1, 0) > 0) {
		manager_check_idle(m);
		return 0;
	}
	return sd_event_exit(m->event, EXIT_SUCCESS);
}

void manager_check_idle(Manager *m)
{
	if (!m->options.embedded || !m->idle)
		return;
	/* segments without clients are those of clshm, which outlive whoever made them */
	if (!list_empty(&m->clients) || engine_counts(m->engine).n_segments > 0) {
		sd_event_source_set_enabled(m->idle, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(m->idle, m->options.config->idle_exit / NSEC_PER_USEC);
	sd_event_source_set_enabled(m->idle, SD_EVENT_ONESHOT);
}

/* The keeper */

static void store_everything(Manager *m)
{
	_cleanup_close_ int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	EngineSegment *segment;
	EngineImport *import;
	ManagerClient *c;
	Route *route;
	uint32_t i;

	keeper_link_store(m->link, KEEPER_KIND_DAEMON, 0, self);
	keeper_link_store(m->link, KEEP_LOCK, 0, m->lock);
	keeper_link_store(m->link, KEEP_LISTEN, 0, m->listen);
	keeper_link_store(m->link, KEEP_JOURNAL, 0, journal_fd(m->journal));
	keeper_link_store(m->link, KEEP_NODE_PAGE, 0, m->node_fd);
	list_for_each (c, &m->clients, link) {
		manager_client_store(c);
		idtable_for_each (&c->engine->segments, i, segment)
			manager_segment_store(m, segment);
		idtable_for_each (&c->engine->imports, i, import)
			manager_import_store(m, import);
		idtable_for_each (&c->routes, i, route)
			route_store(route);
	}
	shm_store(m);
	guests_store(m);
	bindings_store(m);
	manager_peers_store(m);
	coherent_store(m);
	keeper_link_ready(m->link);
}

static int on_keeper_lost(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static int keeper_watch(Manager *m)
{
	return sd_event_add_io(m->event, &m->keeper_lost, m->link, EPOLLIN, on_keeper_lost, m);
}

static int keeper_restart(Manager *m)
{
	_cleanup_close_ int theirs = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return negative_errno();
	m->link = pair[0];
	theirs = pair[1];
	m->keeper_started = clock_now();
	r = keeper_spawn(m->options.argv, "--keeper-fd", theirs, &m->keeper_pid);
	if (r < 0)
		return r;
	theirs = fd_close(theirs);
	store_everything(m);
	return keeper_watch(m);
}

/* One that hangs would start a second daemon when this one ends. The number is its own as long as
 * it is our parent or child. */
static void keeper_kill(Manager *m)
{
	siginfo_t info;

	if (m->keeper_pid > 1 &&
		(getppid() == m->keeper_pid || waitid(P_PID, (id_t)m->keeper_pid, &info,
						       WEXITED | WNOHANG | WNOWAIT) == 0))
		kill(m->keeper_pid, SIGKILL);
	m->keeper_pid = 0;
}

static int on_keeper_lost(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	bool quick;
	Manager *m = userdata;
	int r = -EAGAIN;

	/* First of all, for systemd takes the end of the main process for the end of the service.
	 * The next keeper will say this of itself. */
	sd_notifyf(0, "MAINPID=%d", getpid());
	m->keeper_lost = sd_event_source_disable_unref(m->keeper_lost);
	m->link = fd_close(m->link);
	keeper_kill(m);
	quick = clock_now() - m->keeper_started < NSEC_PER_SEC;
	m->keeper_deaths = quick ? m->keeper_deaths + 1 : 0;
	log_warning("the keeper died%s", quick ? " soon after its start" : "");
	if (m->keeper_deaths < KEEPER_DEATHS_MAX)
		r = keeper_restart(m);
	if (r < 0) {
		m->link = fd_close(m->link);
		m->keeper_pid = 0;
		log_error("no keeper can be started (%s): this node would not survive the death of "
			  "its daemon. Restart it when possible",
			strerror(-r));
	}
	return 0;
}

/* Start */

static uint64_t bytes_limit(uint64_t configured)
{
	uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES);

	return configured ? configured : pages / 4 * 3 * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint32_t descriptors_limit(void)
{
	struct rlimit l = {.rlim_cur = RLIM_INFINITY};

	getrlimit(RLIMIT_NOFILE, &l);
	return (uint32_t)MIN(l.rlim_cur, (rlim_t)UINT32_MAX);
}

static int engine_start(Manager *m)
{
	const struct config *config = m->options.config;
	struct engine_limits limits = {
		.max_segment_bytes = bytes_limit(config->max_segment_bytes),
		.max_bytes_per_user = bytes_limit(config->max_bytes_per_user),
		.max_segments_per_user = config->max_segments_per_user,
		.max_imports_per_user = config->max_imports_per_user,
		.max_clients_per_user = config->max_clients_per_user,
		.max_imports_per_peer = config->max_imports_per_peer,
		.max_shm_segments = descriptors_limit() / 2,
		.detection = config->detection_time,
	};

	return engine_new(config->node_id, &limits, &manager_engine_ops, m, &m->engine);
}

static int node_page_start(Manager *m, struct keeper_stored *stored)
{
	int r;

	m->node_fd = keeper_stored_take(stored, KEEP_NODE_PAGE, 0);
	if (m->node_fd < 0) {
		r = node_page_new(
			m->options.config->node_id, journal_incarnation(m->journal), &m->node_fd);
		if (r < 0)
			return r;
		keeper_link_store(m->link, KEEP_NODE_PAGE, 0, m->node_fd);
	}
	r = node_page_map(m->node_fd, &m->node_page);
	return r < 0 ? r : node_page_take_over(m->node_page);
}

static int sources_start(Manager *m)
{
	static const int signals[] = {SIGTERM, SIGINT};
	int r;

	/* A keeper that we start is nobody we wait for; a pipe without a reader is no news. */
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ELEMENTS(signals); i++) {
		r = sd_event_add_signal(
			m->event, NULL, signals[i] | SD_EVENT_SIGNAL_PROCMASK, NULL, NULL);
		if (r < 0)
			return r;
	}
	r = sd_event_add_signal(
		m->event, NULL, SIGHUP | SD_EVENT_SIGNAL_PROCMASK, manager_peers_on_hangup, m);
	if (r >= 0)
		r = keeper_watch(m);
	if (r < 0 || !m->options.embedded)
		return r;
	r = sd_event_add_time(m->event, &m->idle, CLOCK_MONOTONIC, 0, 0, on_idle, m);
	return r < 0 ? r : sd_event_source_set_enabled(m->idle, SD_EVENT_OFF);
}

/* Everything that a predecessor left, or what a new node begins with. */
static int take_over(Manager *m, struct keeper_stored *stored)
{
	_cleanup_close_ int journal = keeper_stored_take(stored, KEEP_JOURNAL, 0);
	int r;

	m->lock = keeper_stored_take(stored, KEEP_LOCK, 0);
	m->listen = keeper_stored_take(stored, KEEP_LISTEN, 0);
	if (journal < 0 || m->listen < 0)
		return -EBADMSG;
	r = journal_open(journal, &m->journal);
	if (r < 0)
		return r;
	take_fd(&journal);
	r = engine_start(m);
	if (r == 0)
		r = shm_begin(m);
	if (r == 0)
		r = node_page_start(m, stored);
	if (r == 0)
		r = manager_peers_begin(m, stored);
	if (r == 0)
		r = manager_restore(m, stored);
	return r;
}

/* Clients that died while nobody looked go; the others say what they were not answered. */
static void clients_resume(Manager *m)
{
	ManagerClient *c, *tmp;

	list_for_each_safe (c, tmp, &m->clients, link)
		if (!manager_client_alive(c))
			manager_client_free(c);
	list_for_each_safe (c, tmp, &m->clients, link) {
		manager_client_ask_again(c);
		if (c->cut)
			manager_client_free(c);
	}
}

static int manager_start(Manager *m)
{
	struct keeper_stored stored = {0};
	uint32_t orphans;
	int r;

	r = sd_event_default(&m->event);
	if (r == 0 || r == 1)
		r = sources_start(m);
	if (r == 0)
		r = keeper_link_receive(m->link, &stored);
	if (r < 0)
		return r;
	r = take_over(m, &stored);
	orphans = keeper_stored_deinit(&stored, m->link);
	if (r < 0)
		return r;
	if (orphans > 0)
		log_info("%u descriptors without an owner were dropped", orphans);
	if (m->node_page->starts > 1)
		log_info("restarted: %u clients, %u segments, %u imports are back",
			engine_counts(m->engine).n_clients, engine_counts(m->engine).n_segments,
			engine_counts(m->engine).n_imports);
	rdma_begin(m);
	clients_resume(m);
	manager_check_idle(m);
	r = manager_peers_start(m);
	if (r < 0)
		return r;
	shm_peer_keep(m, m->shm->n_clients > 0);
	return sd_event_add_io(m->event, &m->accepting, m->listen, EPOLLIN, on_connection, m);
}

/* Half of the mappings that a process may have; the other half is for status pages and the rest. */
static uint32_t max_mappings(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned int n;

	if (!f || fscanf(f, "%u", &n) != 1)
		n = 65530;
	if (f)
		fclose(f);
	return n / 2;
}

static Manager *manager_alloc(const struct manager_options *options, int link)
{
	Manager *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->options = *options;
	m->link = link;
	m->lock = m->listen = m->node_fd = -1;
	m->keeper_pid = getppid();
	m->max_mappings = max_mappings();
	m->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	m->uffd_device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	list_init(&m->clients);
	list_init(&m->routes);
	list_init(&m->handshakes);
	list_init(&m->bindings);
	return m;
}

/* Without memory or descriptors it is not the end: the keeper tries again. */
static int manager_fail(const char *what, int link, int r)
{
	log_error("the daemon %s: %s", what, strerror(-r));
	if (error_is_shortage(r))
		return KEEPER_STATUS_SHORTAGE;
	keeper_link_end(link, EXIT_FAILURE);
	return EXIT_FAILURE;
}

/*
 * Nothing is taken apart at the end: clients must not see their imports revoked one by one when
 * what ends is the node.
 */
int manager_run(const struct manager_options *options, int link)
{
	static Manager *m; /* reachable to the last, for leak checkers */
	int r;

	m = manager_alloc(options, link);
	r = m ? manager_start(m) : -ENOMEM;
	if (r < 0)
		return manager_fail("could not start", m ? m->link : link, r);
	keeper_link_ready(m->link);
	/* The loop grows its queue; without memory for that it ends, and can be gone on with. */
	while ((r = sd_event_loop(m->event)) == -ENOMEM) {
		log_limited("the event loop is out of memory; it goes on");
		poll(NULL, 0, 10);
	}
	shm_leave(m);
	manager_peers_leave(m);
	coherent_free(m->coherent);
	rdma_free(m->rdma);
	data_free(m->data);
	if (r < 0)
		return manager_fail("cannot go on", m->link, r);
	keeper_link_end(m->link, EXIT_SUCCESS);
	return EXIT_SUCCESS;
}
