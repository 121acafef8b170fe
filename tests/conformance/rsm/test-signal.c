/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: rsmapi.md §4.10, §5.5. What a dying exporter does to waiters is in test-break.c. */
#include "agent.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

#define FOREVER ((uint64_t)-1)

static rsm_memseg_export_handle_t export;

static rsm_memseg_import_handle_t begin(void)
{
	rsm_memseg_id_t id;

	export = rig_export(rig_memory(1), 1, &id);
	return rig_import(id, RSM_PERM_RDWR, NULL);
}

/* §4.10 */
static void post_and_wait_refuse_bad_handles(void)
{
	rsm_memseg_import_handle_t import = begin();

	EXPECT(rsm_intr_signal_post(NULL, 0), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_intr_signal_wait(NULL, 0), RSMERR_BAD_SEG_HNDL);
	NEED(rsm_memseg_import_disconnect(import));
	NEED(rsm_memseg_export_destroy(export));
	EXPECT(rsm_intr_signal_post(import, 0), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_intr_signal_post(export, 0), RSMERR_BAD_SEG_HNDL);
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_BAD_SEG_HNDL);
}

/* §4.10: 0 = poll, n = milliseconds */
static void a_wait_without_signal_times_out(void)
{
	rsm_memseg_import_handle_t import = begin();
	int64_t start;

	EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_TIMEOUT);
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
	start = rig_now();
	EXPECT(rsm_intr_signal_wait(import, 60), RSMERR_TIMEOUT);
	EXPECT(rsm_intr_signal_wait(export, 60), RSMERR_TIMEOUT);
	CHECK(rig_now() - start >= 118 && rig_now() - start < 5000);
}

/* §5.5: +1 for each post, -1 for each wait, level-triggered */
static void n_posts_satisfy_n_waits(void)
{
	rsm_memseg_import_handle_t import = begin();

	for (int i = 0; i < 100; i++) {
		EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
		EXPECT(rsm_intr_signal_post(export, 0), RSM_SUCCESS);
	}
	for (int i = 0; i < 100; i++) {
		EXPECT(rsm_intr_signal_wait(export, i % 2 ? 0 : -1), RSM_SUCCESS);
		EXPECT(rsm_intr_signal_wait(import, i % 2 ? 1000 : 0), RSM_SUCCESS);
	}
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
	EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_TIMEOUT);
}

/* §4.10, §9.1 beaten: dropped when one is pending at the target */
static void signals_without_accumulation_collapse(void)
{
	rsm_memseg_import_handle_t import = begin();

	for (int i = 0; i < 5; i++)
		EXPECT(rsm_intr_signal_post(import, RSM_SIGPOST_NO_ACCUMULATE), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(export, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
	EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_post(import, RSM_SIGPOST_NO_ACCUMULATE), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(export, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(export, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
	for (int i = 0; i < 5; i++)
		EXPECT(rsm_intr_signal_post(export, RSM_SIGPOST_NO_ACCUMULATE), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(import, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(import, 0), RSMERR_TIMEOUT);
}

/* §5.5: each target has a count of its own for the rule above */
static void accumulation_is_decided_for_each_target(void)
{
	rsm_memseg_id_t id;
	rsm_memseg_import_handle_t first, second;

	export = rig_export(rig_memory(1), 1, &id);
	first = rig_import(id, RSM_PERM_RDWR, NULL);
	EXPECT(rsm_intr_signal_post(export, 0), RSM_SUCCESS);
	second = rig_import(id, RSM_PERM_RDWR, NULL);
	EXPECT(rsm_intr_signal_post(export, RSM_SIGPOST_NO_ACCUMULATE), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(first, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(first, 0), RSMERR_TIMEOUT);
	EXPECT(rsm_intr_signal_wait(second, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(second, 0), RSMERR_TIMEOUT);
}

/* §5.1: an export without importers, published or not, posts to nobody */
static void an_exporter_may_post_to_nobody(void)
{
	rsm_memseg_export_handle_t alone = rig_create(rig_memory(1), 1);
	rsm_memseg_id_t id = rig_id();

	EXPECT(rsm_intr_signal_post(alone, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(alone, 0), RSMERR_TIMEOUT);
	NEED(rsm_memseg_export_publish(alone, &id, NULL, 0));
	EXPECT(rsm_intr_signal_post(alone, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(alone, 0), RSMERR_TIMEOUT);
	/* A new import starts at 0. */
	EXPECT(rsm_intr_signal_wait(rig_import(id, RSM_PERM_RDWR, NULL), 0), RSMERR_TIMEOUT);
}

/* §5.5: pending events survive unpublish and publish */
static void pending_signals_survive_unpublish(void)
{
	rsm_memseg_import_handle_t import = begin();
	rsm_memseg_id_t id = rig_id();

	NEED(rsm_intr_signal_post(import, 0));
	NEED(rsm_memseg_export_unpublish(export));
	EXPECT(rsm_memseg_export_publish(export, &id, NULL, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(export, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
}

/* §4.10: an importer's post goes to the exporter, in another process, asleep or not */
static void an_importer_wakes_the_exporter(void)
{
	agent_t exporter = agent_start(), importer = agent_start();

	agent_import(&importer, agent_export(&exporter, 1));
	for (int i = 0; i < 20; i++) {
		agent_begin(&exporter, AGENT_EXPORT_WAIT, FOREVER);
		rig_sleep(i % 5);
		EXPECT(agent_do(&importer, AGENT_IMPORT_POST, 0, 0, 0), RSM_SUCCESS);
		EXPECT(agent_finish(&exporter), RSM_SUCCESS);
	}
	EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 0, 0, 0), RSMERR_TIMEOUT);
	EXPECT(agent_do(&importer, AGENT_IMPORT_WAIT, 0, 0, 0), RSMERR_TIMEOUT);
}

/* §4.10: an exporter's post goes to every importer, once */
static void an_exporter_wakes_every_importer(void)
{
	enum { N = 4 };
	agent_t exporter = agent_start(), importers[N];
	rsm_memseg_id_t id;

	for (int i = 0; i < N; i++)
		importers[i] = agent_start();
	id = agent_export(&exporter, 1);
	for (int i = 0; i < N; i++)
		agent_import(&importers[i], id);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < N; i++)
			agent_begin(&importers[i], AGENT_IMPORT_WAIT, FOREVER);
		rig_sleep(round % 5);
		EXPECT(agent_do(&exporter, AGENT_EXPORT_POST, 0, 0, 0), RSM_SUCCESS);
		for (int i = 0; i < N; i++)
			EXPECT(agent_finish(&importers[i]), RSM_SUCCESS);
	}
	for (int i = 0; i < N; i++)
		EXPECT(agent_do(&importers[i], AGENT_IMPORT_WAIT, 0, 0, 0), RSMERR_TIMEOUT);
	EXPECT(agent_do(&exporter, AGENT_EXPORT_WAIT, 0, 0, 0), RSMERR_TIMEOUT);
}

/* §5.5: every import of one process counts for itself */
static void each_import_of_a_process_has_its_count(void)
{
	rsm_memseg_id_t id;
	rsm_memseg_import_handle_t first, second;

	export = rig_export(rig_memory(1), 1, &id);
	first = rig_import(id, RSM_PERM_RDWR, NULL);
	second = rig_import(id, RSM_PERM_READ, NULL);
	NEED(rsm_intr_signal_post(export, 0));
	EXPECT(rsm_intr_signal_wait(second, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(second, 0), RSMERR_TIMEOUT);
	EXPECT(rsm_intr_signal_wait(first, 0), RSM_SUCCESS);
	/* A post needs no right to write. */
	EXPECT(rsm_intr_signal_post(second, 0), RSM_SUCCESS);
	EXPECT(rsm_intr_signal_wait(export, 0), RSM_SUCCESS);
}

static atomic_int n_alarms;

static void on_alarm(int number)
{
	(void)number;
	n_alarms++;
}

static void alarm_in(int milliseconds, int flags)
{
	struct itimerval timer = {.it_value = {0, milliseconds * 1000}};
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void check_interruption(int flags)
{
	begin();
	alarm_in(50, flags);
	EXPECT(rsm_intr_signal_wait(export, 5000), RSMERR_INTERRUPTED);
	alarm_in(50, flags);
	EXPECT(rsm_intr_signal_wait(export, -1), RSMERR_INTERRUPTED);
	CHECK_EQUAL(n_alarms, 2);
}

/* §5.5: a signal with a handler ends the wait with 41 */
static void a_handled_signal_interrupts_a_wait(void)
{
	check_interruption(0);
}

/* §5.5: a wait is not restarted, even if the handler asks for restarts */
static void a_restarting_handler_interrupts_a_wait(void)
{
	check_interruption(SA_RESTART);
}

/* An ignored signal is none */
static void an_ignored_signal_does_not_interrupt(void)
{
	struct itimerval timer = {.it_value = {0, 20000}};

	begin();
	signal(SIGALRM, SIG_IGN);
	setitimer(ITIMER_REAL, &timer, NULL);
	EXPECT(rsm_intr_signal_wait(export, 100), RSMERR_TIMEOUT);
}

static void *wait_long(void *code)
{
	*(int *)code = rsm_intr_signal_wait(export, 400);
	return NULL;
}

/* §5.5, §9.2 beaten: of two waiters one gets the event, the other waits on */
static void one_event_ends_one_wait(void)
{
	rsm_memseg_import_handle_t import = begin();
	pthread_t threads[2];
	int64_t start = rig_now();
	int codes[2] = {-1, -1};

	for (int i = 0; i < 2; i++)
		NEED(pthread_create(&threads[i], NULL, wait_long, &codes[i]));
	rig_sleep(100);
	NEED(rsm_intr_signal_post(import, 0));
	for (int i = 0; i < 2; i++)
		NEED(pthread_join(threads[i], NULL));
	CHECK((codes[0] == RSM_SUCCESS) + (codes[1] == RSM_SUCCESS) == 1);
	CHECK((codes[0] == RSMERR_TIMEOUT) + (codes[1] == RSMERR_TIMEOUT) == 1);
	CHECK(rig_now() - start >= 398);
}

enum { N_POSTS = 2000, N_POSTERS = 3 };

static void *post_many(void *import)
{
	for (int i = 0; i < N_POSTS; i++)
		EXPECT(rsm_intr_signal_post(import, 0), RSM_SUCCESS);
	return NULL;
}

/* §5.5: none lost, none invented, with posters and waiters at the same time */
static void no_signal_is_lost(void)
{
	rsm_memseg_import_handle_t import = begin();
	pthread_t posters[N_POSTERS];

	for (int i = 0; i < N_POSTERS; i++)
		NEED(pthread_create(&posters[i], NULL, post_many, import));
	for (int i = 0; i < N_POSTS * N_POSTERS; i++)
		NEED(rsm_intr_signal_wait(export, 5000));
	for (int i = 0; i < N_POSTERS; i++)
		NEED(pthread_join(posters[i], NULL));
	EXPECT(rsm_intr_signal_wait(export, 0), RSMERR_TIMEOUT);
}

static const rig_test_t tests[] = {
	TEST(post_and_wait_refuse_bad_handles),
	TEST(a_wait_without_signal_times_out),
	TEST(n_posts_satisfy_n_waits),
	TEST(signals_without_accumulation_collapse),
	TEST(accumulation_is_decided_for_each_target),
	TEST(an_exporter_may_post_to_nobody),
	TEST(pending_signals_survive_unpublish),
	TEST(an_importer_wakes_the_exporter),
	TEST(an_exporter_wakes_every_importer),
	TEST(each_import_of_a_process_has_its_count),
	TEST(a_handled_signal_interrupts_a_wait),
	TEST(a_restarting_handler_interrupts_a_wait),
	TEST(an_ignored_signal_does_not_interrupt),
	TEST(one_event_ends_one_wait),
	TEST(no_signal_is_lost),
};

RIG_MAIN(tests)
