/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors to poll on, and waiting for many: rsmapi.md §4.10, §5.5, §5.6. */
#include "agent.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static rsm_memseg_export_handle_t export;
static rsm_memseg_id_t id;

static rsm_memseg_import_handle_t begin(void)
{
	export = rig_export(rig_memory(1), 1, &id);
	return rig_import(id, RSM_PERM_RDWR, NULL);
}

static struct pollfd pollfd_of(void *segment)
{
	struct pollfd fd = {.fd = -1};

	NEED(rsm_memseg_get_pollfd(segment, &fd));
	return fd;
}

/* What plain poll says now. */
static bool is_readable(struct pollfd fd)
{
	fd.revents = 0;
	return poll(&fd, 1, 0) == 1 && fd.revents == POLLRDNORM;
}

/* A descriptor may take a moment to say what another process did. */
static bool becomes_readable(struct pollfd fd)
{
	fd.revents = 0;
	return poll(&fd, 1, 5000) == 1 && fd.revents == POLLRDNORM;
}

/* §4.10, §9.8 beaten */
static void bad_handles_are_refused(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fd;

	EXPECT(rsm_memseg_get_pollfd(NULL, &fd), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_get_pollfd(NULL, NULL), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_release_pollfd(NULL), RSMERR_BAD_SEG_HNDL);
	/* Not documented; row 5 of §3 has 5 for NULL out pointers, row 16 has 16 for NULL. */
	EXPECT_ONE(rsm_memseg_get_pollfd(import, NULL), RSMERR_BAD_SEG_HNDL, RSMERR_BAD_ADDR);
	/* And that took no reference. */
	NEED(rsm_memseg_import_disconnect(import));
	NEED(rsm_memseg_export_destroy(export));
	EXPECT(rsm_memseg_get_pollfd(import, &fd), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_get_pollfd(export, &fd), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_release_pollfd(import), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_release_pollfd(export), RSMERR_BAD_SEG_HNDL);
}

/* §4.10 */
static void a_pollfd_asks_for_normal_data(void)
{
	rsm_memseg_import_handle_t import = begin();
	void *segments[2] = {import, export};

	for (int i = 0; i < 2; i++) {
		struct pollfd fd = {.fd = -7, .events = 0x55, .revents = 0x1234};

		EXPECT(rsm_memseg_get_pollfd(segments[i], &fd), RSM_SUCCESS);
		CHECK(fd.fd >= 0);
		CHECK_EQUAL(fd.events, POLLRDNORM);
		CHECK_EQUAL(fd.revents, 0x1234);
		CHECK(fcntl(fd.fd, F_GETFD) & FD_CLOEXEC);
	}
}

/* §4.10: [M] wants it published, the reference does not ask */
static void a_bound_export_may_have_a_pollfd(void)
{
	rsm_memseg_export_handle_t bound;
	struct pollfd fd;
	int code;

	begin();
	bound = rig_create(rig_memory(1), 1);
	code = rsm_memseg_get_pollfd(bound, &fd);
	EXPECT_ONE(code, RSM_SUCCESS, RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_memseg_export_destroy(bound),
		code == RSM_SUCCESS ? RSMERR_POLLFD_IN_USE : RSM_SUCCESS);
}

/* §5.5: readable with POLLRDNORM while the count is above 0; poll takes nothing */
static void check_readable(void *target, void *source)
{
	struct pollfd fd = pollfd_of(target);

	CHECK(!is_readable(fd));
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 3; i++)
			NEED(rsm_intr_signal_post(source, 0));
		for (int i = 0; i < 3; i++) {
			CHECK(becomes_readable(fd));
			CHECK(becomes_readable(fd));
			EXPECT(rsm_intr_signal_wait(target, 0), RSM_SUCCESS);
		}
		CHECK(!is_readable(fd));
		EXPECT(rsm_intr_signal_wait(target, 0), RSMERR_TIMEOUT);
	}
}

static void an_exports_descriptor_is_readable_while_signals_pend(void)
{
	rsm_memseg_import_handle_t import = begin();

	check_readable(export, import);
}

static void an_imports_descriptor_is_readable_while_signals_pend(void)
{
	rsm_memseg_import_handle_t import = begin();

	check_readable(import, export);
}

/* What came before get_pollfd counts too */
static void earlier_signals_make_it_readable(void)
{
	rsm_memseg_import_handle_t import = begin();

	NEED(rsm_intr_signal_post(import, 0));
	NEED(rsm_intr_signal_post(export, 0));
	CHECK(becomes_readable(pollfd_of(export)));
	CHECK(becomes_readable(pollfd_of(import)));
}

static void signals_without_accumulation_make_it_readable(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fd = pollfd_of(export);

	for (int i = 0; i < 3; i++)
		NEED(rsm_intr_signal_post(import, RSM_SIGPOST_NO_ACCUMULATE));
	CHECK(becomes_readable(fd));
	EXPECT(rsm_intr_signal_wait(export, 0), RSM_SUCCESS);
	CHECK(!is_readable(fd));
}

/* §5.6, Advice: 34 for destroy and disconnect, after the state; nothing else is refused */
static void a_pollfd_in_use_keeps_the_segment(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fd;
	void *address = NULL;

	fd = pollfd_of(export);
	fd = pollfd_of(import);
	EXPECT(rsm_memseg_export_destroy(export), RSMERR_POLLFD_IN_USE);
	NEED(rsm_memseg_import_map(import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, rig_page()));
	EXPECT(rsm_memseg_import_disconnect(import), RSMERR_SEG_STILL_MAPPED);
	EXPECT(rsm_memseg_import_unmap(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSMERR_POLLFD_IN_USE);
	/* Refused means: all is as before. */
	NEED(rsm_intr_signal_post(export, 0));
	CHECK(becomes_readable(fd));
	EXPECT(rsm_intr_signal_wait(import, 0), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_unpublish(export), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSMERR_POLLFD_IN_USE);
	EXPECT(rsm_memseg_import_disconnect(import), RSMERR_POLLFD_IN_USE);
	EXPECT(rsm_memseg_release_pollfd(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_release_pollfd(export), RSM_SUCCESS);
	EXPECT(rsm_memseg_export_destroy(export), RSM_SUCCESS);
}

/* §5.6: a reference for each get; at 0 a release is silently nothing */
static void references_are_counted(void)
{
	rsm_memseg_import_handle_t import = begin();
	rsm_memseg_import_handle_t other = rig_import(id, RSM_PERM_RDWR, NULL);
	struct pollfd fd;

	EXPECT(rsm_memseg_release_pollfd(import), RSM_SUCCESS);
	for (int i = 0; i < 3; i++)
		fd = pollfd_of(import);
	for (int i = 0; i < 3; i++) {
		EXPECT(rsm_memseg_import_disconnect(import), RSMERR_POLLFD_IN_USE);
		NEED(rsm_intr_signal_post(export, RSM_SIGPOST_NO_ACCUMULATE));
		CHECK(becomes_readable(fd));
		EXPECT(rsm_intr_signal_wait(import, 0), RSM_SUCCESS);
		EXPECT(rsm_memseg_release_pollfd(import), RSM_SUCCESS);
	}
	EXPECT(rsm_memseg_release_pollfd(import), RSM_SUCCESS);
	/* References of one handle are nothing to another. */
	EXPECT(rsm_memseg_import_disconnect(other), RSM_SUCCESS);
	fd = pollfd_of(import);
	EXPECT(rsm_memseg_import_disconnect(import), RSMERR_POLLFD_IN_USE);
	EXPECT(rsm_memseg_release_pollfd(import), RSM_SUCCESS);
	EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
}

static int lowest_free_descriptor(void)
{
	int fd = dup(STDIN_FILENO);

	close(fd);
	return fd;
}

/* §6.5 */
static void descriptors_go_back(void)
{
	rsm_memseg_import_handle_t import = begin();
	int before = -1;

	pollfd_of(import);
	NEED(rsm_memseg_release_pollfd(import));
	for (int i = 0; i < 300; i++) {
		rsm_memseg_import_handle_t other = rig_import(id, RSM_PERM_RDWR, NULL);

		pollfd_of(other);
		pollfd_of(other);
		NEED(rsm_memseg_release_pollfd(other));
		NEED(rsm_memseg_release_pollfd(other));
		NEED(rsm_memseg_import_disconnect(other));
		if (i == 10)
			before = lowest_free_descriptor();
	}
	CHECK_EQUAL(lowest_free_descriptor(), before);
}

/* From another process, asleep in poll */
static void signals_of_other_processes_make_it_readable(void)
{
	agent_t peer = agent_start();
	rsm_memseg_import_handle_t import = begin();
	struct pollfd ours, theirs;

	agent_import(&peer, id);
	ours = pollfd_of(export);
	NEED(rsm_memseg_import_disconnect(import));
	for (int i = 0; i < 20; i++) {
		agent_begin(&peer, AGENT_IMPORT_POST, 0);
		CHECK(becomes_readable(ours));
		EXPECT(agent_finish(&peer), RSM_SUCCESS);
		EXPECT(rsm_intr_signal_wait(export, 0), RSM_SUCCESS);
		CHECK(!is_readable(ours));
	}
	import = rig_import(agent_export(&peer, 1), RSM_PERM_READ, NULL);
	theirs = pollfd_of(import);
	for (int i = 0; i < 20; i++) {
		agent_begin(&peer, AGENT_EXPORT_POST, 0);
		CHECK(becomes_readable(theirs));
		EXPECT(agent_finish(&peer), RSM_SUCCESS);
		EXPECT(rsm_intr_signal_wait(import, 0), RSM_SUCCESS);
		CHECK(!is_readable(theirs));
	}
}

static int wait_for(struct pollfd *fds, nfds_t n, int timeout, int *ret_ready)
{
	*ret_ready = 4711;
	return rsm_intr_signal_wait_pollfd(fds, n, timeout, ret_ready);
}

/* §4.10: 16 where poll has EFAULT */
static void a_wait_refuses_no_array(void)
{
	int ready = 9;

	begin();
	EXPECT(rsm_intr_signal_wait_pollfd(NULL, 1, 0, &ready), RSMERR_BAD_ADDR);
	EXPECT(rsm_intr_signal_wait_pollfd(NULL, 1, 0, NULL), RSMERR_BAD_ADDR);
}

/* §4.10: 117 where poll has EINVAL */
static void a_wait_refuses_more_than_the_limit(void)
{
	static struct pollfd fds[100];
	struct rlimit limit;
	int ready;

	begin();
	for (int i = 0; i < 100; i++)
		fds[i].fd = -1;
	NEED(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 64;
	NEED(setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT(wait_for(fds, 100, 0, &ready), RSMERR_BAD_ARGS_ERRORS);
	CHECK_EQUAL(ready, 0);
	EXPECT(rsm_intr_signal_wait_pollfd(fds, 100, -1, NULL), RSMERR_BAD_ARGS_ERRORS);
	EXPECT(wait_for(fds, 64, 0, &ready), RSMERR_TIMEOUT);
}

/* §4.10: 0 = look, n = milliseconds; numfdsp is 0 before anything else */
static void a_wait_without_events_times_out(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fds[2] = {pollfd_of(import), pollfd_of(export)};
	int64_t start;
	int ready;

	EXPECT(wait_for(fds, 2, 0, &ready), RSMERR_TIMEOUT);
	CHECK_EQUAL(ready, 0);
	EXPECT(rsm_intr_signal_wait_pollfd(fds, 2, 0, NULL), RSMERR_TIMEOUT);
	start = rig_now();
	EXPECT(wait_for(fds, 2, 60, &ready), RSMERR_TIMEOUT);
	EXPECT(wait_for(fds, 0, 60, &ready), RSMERR_TIMEOUT);
	CHECK(rig_now() - start >= 118 && rig_now() - start < 5000);
	CHECK(fds[0].revents == 0 && fds[1].revents == 0);
}

/* §4.10: one event of each segment is taken */
static void a_wait_takes_one_event_of_each_segment(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fds[2] = {pollfd_of(import), pollfd_of(export)};
	int ready;

	for (int i = 0; i < 3; i++)
		NEED(rsm_intr_signal_post(import, 0));
	NEED(rsm_intr_signal_post(export, 0));
	/* Both are known to be there before both are waited for. */
	CHECK(becomes_readable(fds[0]) && becomes_readable(fds[1]));
	EXPECT(wait_for(fds, 2, -1, &ready), RSM_SUCCESS);
	CHECK_EQUAL(ready, 2);
	CHECK(fds[0].revents == POLLRDNORM && fds[1].revents == POLLRDNORM);
	EXPECT(wait_for(fds, 2, 1000, &ready), RSM_SUCCESS);
	CHECK_EQUAL(ready, 1);
	CHECK(fds[0].revents == 0 && fds[1].revents == POLLRDNORM);
	EXPECT(rsm_intr_signal_wait_pollfd(fds, 2, 0, NULL), RSM_SUCCESS);
	CHECK(fds[0].revents == 0 && fds[1].revents == POLLRDNORM);
	EXPECT(wait_for(fds, 2, 0, &ready), RSMERR_TIMEOUT);
	CHECK_EQUAL(ready, 0);
	EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_TIMEOUT);
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
}

/* Among many segments those that are ready are named, and only they lose an event */
static void several_segments_are_ready_at_once(void)
{
	enum { N = 24 };
	rsm_memseg_export_handle_t exports[N];
	rsm_memseg_import_handle_t imports[N];
	struct pollfd fds[N];
	int ready;

	begin();
	for (int i = 0; i < N; i++) {
		rsm_memseg_id_t its_id;

		exports[i] = rig_export(rig_memory(1), 1, &its_id);
		imports[i] = rig_import(its_id, RSM_PERM_RDWR, NULL);
		fds[i] = pollfd_of(exports[i]);
	}
	for (unsigned int set = 1; set < 40; set++) {
		int n = 0;

		for (int i = 0; i < N; i++) {
			if (set * 2654435761u >> (i + 4) & 1) {
				NEED(rsm_intr_signal_post(imports[i], 0));
				CHECK(becomes_readable(fds[i]));
				n++;
			}
		}
		EXPECT(wait_for(fds, N, 0, &ready), n ? RSM_SUCCESS : RSMERR_TIMEOUT);
		CHECK_EQUAL(ready, n);
		for (int i = 0; i < N; i++)
			CHECK_EQUAL(
				fds[i].revents, set * 2654435761u >> (i + 4) & 1 ? POLLRDNORM : 0);
	}
	for (int i = 0; i < N; i++)
		EXPECT(rsm_intr_signal_wait(exports[i], 0), RSMERR_TIMEOUT);
}

/* §4.10: ordinary descriptors as poll has them, entries below 0 are left out */
static void pipes_and_sockets_may_be_among_them(void)
{
	rsm_memseg_import_handle_t import = begin();
	int channel[2], sockets[2], ready;
	struct pollfd fds[6];

	NEED(pipe(channel));
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	fds[0] = (struct pollfd){.fd = channel[0], .events = POLLIN};
	fds[1] = pollfd_of(export);
	fds[2] = (struct pollfd){.fd = -1, .events = POLLIN, .revents = 0x77};
	fds[3] = (struct pollfd){.fd = sockets[0], .events = POLLIN | POLLOUT};
	fds[4] = pollfd_of(import);
	fds[5] = (struct pollfd){.fd = sockets[1], .events = POLLIN};

	NEED(rsm_intr_signal_post(export, 0));
	CHECK(becomes_readable(fds[4]));
	EXPECT(wait_for(fds, 6, -1, &ready), RSM_SUCCESS);
	CHECK_EQUAL(ready, 2);
	CHECK(fds[0].revents == 0 && fds[1].revents == 0 && fds[2].revents == 0);
	CHECK(fds[3].revents == POLLOUT && fds[4].revents == POLLRDNORM && fds[5].revents == 0);

	NEED_TRUE(write(channel[1], "x", 1) == 1 && write(sockets[0], "y", 1) == 1);
	NEED(rsm_intr_signal_post(import, 0));
	CHECK(becomes_readable(fds[1]));
	EXPECT(wait_for(fds, 6, -1, &ready), RSM_SUCCESS);
	CHECK_EQUAL(ready, 4);
	CHECK(fds[0].revents == POLLIN && fds[1].revents == POLLRDNORM);
	CHECK(fds[3].revents == POLLOUT && fds[4].revents == 0 && fds[5].revents == POLLIN);
	/* Nothing was read from them. */
	EXPECT(wait_for(fds, 6, -1, &ready), RSM_SUCCESS);
	CHECK_EQUAL(ready, 3);
	CHECK(fds[0].revents == POLLIN && fds[1].revents == 0 && fds[5].revents == POLLIN);
}

/* §5.5: 0 when others only are ready; the segments' events stay */
static void other_descriptors_alone_end_the_wait(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fds[2] = {pollfd_of(import), {.events = POLLIN}};
	int channel[2], ready;

	NEED(pipe(channel));
	fds[1].fd = channel[0];
	NEED_TRUE(write(channel[1], "x", 1) == 1);
	EXPECT(wait_for(fds, 2, -1, &ready), RSM_SUCCESS);
	CHECK(ready == 1 && fds[0].revents == 0 && fds[1].revents == POLLIN);
	EXPECT(wait_for(fds + 1, 1, -1, &ready), RSM_SUCCESS);
	CHECK_EQUAL(ready, 1);
	/* Hangup and closed descriptors are events of poll too. */
	close(channel[1]);
	NEED_TRUE(read(channel[0], &ready, 1) == 1);
	EXPECT(wait_for(fds, 2, -1, &ready), RSM_SUCCESS);
	CHECK(ready == 1 && fds[1].revents == POLLHUP);
	close(channel[0]);
	EXPECT(wait_for(fds, 2, -1, &ready), RSM_SUCCESS);
	CHECK(ready == 1 && fds[1].revents == POLLNVAL);
}

/* A segment that is not among them keeps its events */
static void segments_outside_of_the_array_lose_nothing(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fd = pollfd_of(import);
	int ready;

	pollfd_of(export);
	NEED(rsm_intr_signal_post(import, 0));
	EXPECT(wait_for(&fd, 1, 50, &ready), RSMERR_TIMEOUT);
	EXPECT(rsm_intr_signal_wait(export, 0), RSM_SUCCESS);
}

static void *post_later(void *segment)
{
	rig_sleep(60);
	NEED(rsm_intr_signal_post(segment, 0));
	return NULL;
}

static void *write_later(void *fd)
{
	rig_sleep(60);
	NEED_TRUE(write(*(int *)fd, "x", 1) == 1);
	return NULL;
}

/* What happens while it sleeps wakes it */
static void a_sleeping_wait_is_woken(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fds[2] = {pollfd_of(import), {.events = POLLIN}};
	int channel[2], ready;
	pthread_t thread;

	NEED(pipe(channel));
	fds[1].fd = channel[0];
	for (int round = 0; round < 4; round++) {
		NEED(pthread_create(&thread, NULL, post_later, export));
		EXPECT(wait_for(fds, 2, round % 2 ? -1 : 5000, &ready), RSM_SUCCESS);
		CHECK(ready == 1 && fds[0].revents == POLLRDNORM && fds[1].revents == 0);
		NEED(pthread_join(thread, NULL));
	}
	NEED(pthread_create(&thread, NULL, write_later, &channel[1]));
	EXPECT(wait_for(fds, 2, -1, &ready), RSM_SUCCESS);
	CHECK(ready == 1 && fds[0].revents == 0 && fds[1].revents == POLLIN);
	NEED(pthread_join(thread, NULL));
}

static void on_alarm(int number)
{
	(void)number;
}

/* §6.8: 41 for a handled signal, whatever it says about restarts */
static void a_handled_signal_interrupts_a_wait(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fd = pollfd_of(import);
	static const int flags[] = {0, SA_RESTART};

	for (int i = 0; i < 2; i++) {
		struct itimerval timer = {.it_value = {0, 50000}};
		struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags[i]};
		int ready;

		sigaction(SIGALRM, &action, NULL);
		setitimer(ITIMER_REAL, &timer, NULL);
		EXPECT(wait_for(&fd, 1, 5000, &ready), RSMERR_INTERRUPTED);
		CHECK_EQUAL(ready, 0);
	}
}

static void *wait_400(void *code)
{
	struct pollfd fd = pollfd_of(export);

	*(int *)code = rsm_intr_signal_wait_pollfd(&fd, 1, 400, NULL);
	return NULL;
}

/* §5.5: of those who wait for one event one gets it; the others have 42, at the latest in time */
static void a_stolen_event_is_a_timeout(void)
{
	rsm_memseg_import_handle_t import = begin();
	int codes[3] = {-1, -1, -1}, n_won = 0, n_lost = 0;
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		NEED(pthread_create(&threads[i], NULL, wait_400, &codes[i]));
	rig_sleep(100);
	NEED(rsm_intr_signal_post(import, 0));
	for (int i = 0; i < 3; i++) {
		NEED(pthread_join(threads[i], NULL));
		n_won += codes[i] == RSM_SUCCESS;
		n_lost += codes[i] == RSMERR_TIMEOUT;
	}
	CHECK(n_won == 1 && n_lost == 2);
}

enum { N_WAITERS = 3, N_POSTS = 3000 };

static atomic_int n_taken;

static void *take_many(void *fds)
{
	struct pollfd mine[2];

	memcpy(mine, fds, sizeof(mine));
	while (n_taken < N_POSTS) {
		int ready = 0, code = rsm_intr_signal_wait_pollfd(mine, 2, 20, &ready);

		EXPECT_ONE(code, RSM_SUCCESS, RSMERR_TIMEOUT);
		CHECK((code == RSM_SUCCESS) == (ready > 0));
		n_taken += ready;
	}
	return NULL;
}

/* None is taken twice and none is lost, with several waiters for two segments */
static void no_event_is_lost_or_taken_twice(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fds[2] = {pollfd_of(import), pollfd_of(export)};
	pthread_t threads[N_WAITERS];

	for (int i = 0; i < N_WAITERS; i++)
		NEED(pthread_create(&threads[i], NULL, take_many, fds));
	for (int i = 0; i < N_POSTS; i++)
		NEED(rsm_intr_signal_post(i % 2 ? (void *)import : (void *)export, 0));
	for (int i = 0; i < N_WAITERS; i++)
		NEED(pthread_join(threads[i], NULL));
	CHECK_EQUAL(n_taken, N_POSTS);
	EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_TIMEOUT);
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
}

/* §9.3 beaten: who waits on a descriptor is not left asleep when the exporter dies */
static void the_death_of_the_exporter_ends_a_wait(void)
{
	agent_t exporters[2] = {agent_start(), agent_start()};
	rsm_memseg_import_handle_t import;
	struct pollfd fd;

	begin();
	for (int i = 0; i < 2; i++) {
		int64_t start = rig_now();

		import = rig_import(agent_export(&exporters[i], 1), RSM_PERM_RDWR, NULL);
		fd = pollfd_of(import);
		/* Waiting when it happens, and waiting only afterwards. */
		if (i == 0)
			agent_begin(&exporters[i], AGENT_EXIT, 0);
		else
			agent_kill(&exporters[i], SIGKILL);
		EXPECT_ONE(rsm_intr_signal_wait_pollfd(&fd, 1, 10000, NULL), RSMERR_CONN_ABORTED,
			RSM_SUCCESS);
		CHECK(rig_now() - start < 5000);
		EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_CONN_ABORTED);
		EXPECT(rsm_memseg_release_pollfd(import), RSM_SUCCESS);
		EXPECT(rsm_memseg_import_disconnect(import), RSM_SUCCESS);
	}
}

/* §5.5: pending events outlive unpublish, and the descriptor with them */
static void a_descriptor_outlives_unpublish(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fd = pollfd_of(export);

	NEED(rsm_intr_signal_post(import, 0));
	CHECK(becomes_readable(fd));
	NEED(rsm_memseg_export_unpublish(export));
	CHECK(becomes_readable(fd));
	id = rig_id();
	NEED(rsm_memseg_export_publish(export, &id, NULL, 0));
	EXPECT(rsm_intr_signal_wait_pollfd(&fd, 1, 0, NULL), RSM_SUCCESS);
	CHECK(!is_readable(fd));
	NEED(rsm_intr_signal_post(rig_import(id, RSM_PERM_RDWR, NULL), 0));
	CHECK(becomes_readable(fd));
}

/* §5.5: recognised by the table that get_pollfd fills: whatever the descriptor became later */
static void a_released_descriptor_is_no_segment_any_more(void)
{
	rsm_memseg_import_handle_t import = begin();
	struct pollfd fd = pollfd_of(import);
	int channel[2], ready;

	NEED(rsm_memseg_release_pollfd(import));
	NEED(rsm_intr_signal_post(export, 0));
	NEED(pipe(channel));
	NEED_TRUE(write(channel[1], "x", 1) == 1);
	if (fd.fd != channel[0] && fd.fd != channel[1])
		NEED_TRUE(dup2(channel[0], fd.fd) == fd.fd);
	else
		fd.fd = channel[0];
	fd.events = POLLIN;
	EXPECT(wait_for(&fd, 1, 0, &ready), RSM_SUCCESS);
	CHECK(ready == 1 && fd.revents == POLLIN);
	EXPECT(rsm_intr_signal_wait(import, 0), RSM_SUCCESS);
}

static void child_releases(void *segment)
{
	EXPECT_ONE(rsm_memseg_release_pollfd(segment), RSM_SUCCESS, RSMERR_NOT_CREATOR);
}

/* §6.6: what a child gives back of its copy is the parent's still */
static void the_release_of_a_child_leaves_the_parents(void)
{
	rsm_memseg_import_handle_t import = begin();
	void *segments[2] = {export, import}, *others[2] = {import, export};

	for (int i = 0; i < 2; i++) {
		struct pollfd fd = pollfd_of(segments[i]);

		NEED(rsm_intr_signal_post(others[i], 0));
		CHECK(becomes_readable(fd));
		EXPECT(rsm_intr_signal_wait(segments[i], 0), RSM_SUCCESS);
		rig_in_child(child_releases, segments[i]);
		NEED(rsm_intr_signal_post(others[i], 0));
		CHECK(becomes_readable(fd));
		EXPECT(rsm_intr_signal_wait(segments[i], 0), RSM_SUCCESS);
	}
}

/* poll(2): a closed descriptor is an event, and no reason to wait on */
static void a_closed_descriptor_is_told(void)
{
	struct pollfd fd;
	int ready = -1;

	begin();
	fd = pollfd_of(export);
	close(fd.fd);
	EXPECT(wait_for(&fd, 1, 1000, &ready), RSM_SUCCESS);
	CHECK(ready == 1 && fd.revents == POLLNVAL);
}

static const rig_test_t tests[] = {
	TEST(bad_handles_are_refused),
	TEST(a_pollfd_asks_for_normal_data),
	TEST(a_bound_export_may_have_a_pollfd),
	TEST(an_exports_descriptor_is_readable_while_signals_pend),
	TEST(an_imports_descriptor_is_readable_while_signals_pend),
	TEST(earlier_signals_make_it_readable),
	TEST(signals_without_accumulation_make_it_readable),
	TEST(a_pollfd_in_use_keeps_the_segment),
	TEST(references_are_counted),
	TEST(descriptors_go_back),
	TEST(signals_of_other_processes_make_it_readable),
	TEST(a_wait_refuses_no_array),
	TEST(a_wait_refuses_more_than_the_limit),
	TEST(a_wait_without_events_times_out),
	TEST(a_wait_takes_one_event_of_each_segment),
	TEST(several_segments_are_ready_at_once),
	TEST(pipes_and_sockets_may_be_among_them),
	TEST(other_descriptors_alone_end_the_wait),
	TEST(segments_outside_of_the_array_lose_nothing),
	TEST(a_sleeping_wait_is_woken),
	TEST(a_handled_signal_interrupts_a_wait),
	TEST(a_stolen_event_is_a_timeout),
	TEST(no_event_is_lost_or_taken_twice),
	TEST(the_death_of_the_exporter_ends_a_wait),
	TEST(a_descriptor_outlives_unpublish),
	TEST(a_released_descriptor_is_no_segment_any_more),
	TEST(the_release_of_a_child_leaves_the_parents),
	TEST(a_closed_descriptor_is_told),
};

RIG_MAIN(tests)
