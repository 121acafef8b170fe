/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that do random calls, legal and illegal, and an oracle that knows from rsmapi.md which
 * codes each call may return and what every byte of every buffer is afterwards. Agents are killed
 * and replaced in the midst of it.
 *
 * A run is a function of its seed, which is printed: RSM_MODEL_SEED=n repeats run n alone.
 *
 * Where the documents allow several outcomes the oracle allows all of them and learns from the one
 * that it sees. What the documents leave open altogether (which bytes a broken connection shows,
 * what a process sees of its own export after unpublish) is called, but not compared.
 */
#include "model.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	N_STEPS = 3000,
	MILLISECONDS = 9000, /* for the runs of one test */
	N_REMEMBERED = 50,
};

agent_t model_agents[N_AGENTS];
rsm_memseg_id_t model_ids[N_IDS];
static uint64_t seed;
static uint32_t n_steps;
static char remembered[N_REMEMBERED][160];

_Noreturn void model_disagree(const char *what)
{
	printf("# seed %ju, step %u: %s\n", (uintmax_t)seed, n_steps, what);
	for (uint32_t i = n_steps < N_REMEMBERED ? 0 : n_steps - N_REMEMBERED + 1; i <= n_steps;
		i++)
		printf("# %s\n", remembered[i % N_REMEMBERED]);
	printf("# repeat with RSM_MODEL_SEED=%ju\n", (uintmax_t)seed);
	fflush(stdout);
	_exit(1);
}

static codes_t expected_codes(agent_t *agent, const call_request_t *q)
{
	segment_t segment;

	if (is_memory_call(q->call))
		return OK;
	if (is_export_call(q->call))
		return model_export_codes(&agent->exports[q->slot], q);
	if (!is_event_call(q->call))
		return model_import_codes(&agent->imports[q->slot], q);
	segment = model_segment_at(agent, q->slot);
	return model_event_codes(&segment, q->call);
}

static void apply_memory(export_t *export, const call_request_t *q, const call_reply_t *reply)
{
	uint8_t *bytes = export->bytes[q->buffer] + q->offset;

	if (q->call == CALL_STORE)
		memcpy(bytes, q->data, q->length);
	else if (memcmp(bytes, reply->data, q->length) != 0)
		model_disagree("an exporter has wrong bytes");
}

static void apply(agent_t *agent, const call_request_t *q, const call_reply_t *reply)
{
	segment_t segment;

	if (is_memory_call(q->call)) {
		apply_memory(&agent->exports[q->slot], q, reply);
	} else if (is_export_call(q->call)) {
		model_export_apply(&agent->exports[q->slot], q, reply);
	} else if (!is_event_call(q->call)) {
		model_import_apply(agent, &agent->imports[q->slot], q, reply);
	} else {
		segment = model_segment_at(agent, q->slot);
		model_event_apply(&segment, q, reply);
	}
}

static void remember(const agent_t *agent, const call_request_t *q, codes_t expected, int code)
{
	int length = snprintf(remembered[n_steps % N_REMEMBERED], sizeof(remembered[0]),
		"%u: agent %d %s %u, buffer %u id %#x mode %#o flags %u offset %jd length %ju: %d, "
		"expected",
		n_steps, (int)(agent - model_agents), call_names[q->call], q->slot, q->buffer,
		q->id, q->mode, q->flags, (intmax_t)q->offset, (uintmax_t)q->length, code);

	for (int i = 0; i < 64 && length < 150; i++)
		if (expected & C(i))
			length += snprintf(remembered[n_steps % N_REMEMBERED] + length,
				sizeof(remembered[0]) - (size_t)length, " %d", i);
}

static void do_call(agent_t *agent, const call_request_t *q)
{
	static call_reply_t reply;
	codes_t expected = expected_codes(agent, q);
	bool alive;

	n_steps++;
	remember(agent, q, expected, -1);
	alive = model_agent_call(agent->channel, q, &reply);
	if (!alive)
		model_disagree("an agent died of this call");
	remember(agent, q, expected, reply.code);
	if (reply.code < 0 || reply.code >= 64 || !(expected & C(reply.code)))
		model_disagree("an unexpected code");
	apply(agent, q, &reply);
}

/* Processes that come and go */

static void start_agent(agent_t *agent)
{
	memset(agent, 0, sizeof(*agent));
	agent->pid = model_agent_start(&agent->channel);
}

static void end_agent(agent_t *agent)
{
	kill(agent->pid, SIGKILL);
	waitpid(agent->pid, NULL, 0);
	close(agent->channel);
}

/* The death of an exporter is noticed in a moment (§5.2): wait(0) says 40 then. */
static void await_break(const agent_t *agent, uint32_t slot)
{
	call_request_t q = {.call = CALL_WAIT, .slot = N_EXPORTS + slot};
	int64_t give_up = rig_now() + 5000;
	call_reply_t reply;

	do {
		if (!model_agent_call(agent->channel, &q, &reply))
			model_disagree("an agent died while it waited for a break");
		if (rig_now() > give_up)
			model_disagree("the death of an exporter is not noticed");
	} while (reply.code != RSMERR_CONN_ABORTED);
}

/* And its model_ids become free. */
static void await_free(const agent_t *agent, rsm_memseg_id_t id)
{
	call_request_t q = {.call = CALL_CONNECT, .id = id};
	call_request_t undo = {.call = CALL_DISCONNECT};
	int64_t give_up = rig_now() + 5000;
	call_reply_t reply, undone;

	for (;;) {
		if (!model_agent_call(agent->channel, &q, &reply))
			model_disagree("an agent died while it waited for an id");
		if (reply.code == RSMERR_SEG_NOT_PUBLISHED)
			return;
		if (reply.code == RSM_SUCCESS)
			model_agent_call(agent->channel, &undo, &undone);
		if (rig_now() > give_up)
			model_disagree("the id of a dead exporter is not free");
	}
}

static void replace(agent_t *victim)
{
	rsm_memseg_id_t freed[N_EXPORTS] = {0};

	n_steps++;
	snprintf(remembered[n_steps % N_REMEMBERED], sizeof(remembered[0]), "%u: kill agent %d",
		n_steps, (int)(victim - model_agents));
	end_agent(victim);
	for (int j = 0; j < N_EXPORTS; j++) {
		if (victim->exports[j].state != PUBLISHED)
			continue;
		freed[j] = victim->exports[j].id;
		model_break_imports(&victim->exports[j]);
	}
	for (int i = 0; i < N_AGENTS; i++)
		for (uint32_t j = 0; j < N_IMPORTS; j++) {
			import_t *import = &model_agents[i].imports[j];

			if (&model_agents[i] == victim || import->state != BROKEN ||
				import->target < victim->exports ||
				import->target >= victim->exports + N_EXPORTS)
				continue;
			await_break(&model_agents[i], j);
			import->events = 0;
		}
	start_agent(victim);
	for (int j = 0; j < N_EXPORTS; j++)
		if (freed[j])
			await_free(victim, freed[j]);
}

static void compare_all_memory(void)
{
	call_request_t q = {.call = CALL_LOAD, .length = SEGMENT_SIZE};

	for (int i = 0; i < N_AGENTS; i++)
		for (q.slot = 0; q.slot < N_EXPORTS; q.slot++)
			for (q.buffer = 0; q.buffer < N_BUFFERS; q.buffer++)
				do_call(&model_agents[i], &q);
}

static void step(bool with_deaths)
{
	static call_request_t q;
	agent_t *agent;

	if (with_deaths && model_random(150) == 0) {
		replace(&model_agents[model_random(N_AGENTS)]);
		return;
	}
	agent = model_choose(&q);
	if (!agent)
		return;
	do_call(agent, &q);
	/* Memory moves at these. */
	if (q.call == CALL_UNPUBLISH || q.call == CALL_DESTROY || q.call == CALL_REBIND ||
		model_random(100) == 0)
		compare_all_memory();
}

static void run(uint64_t with_seed, bool with_deaths)
{
	seed = with_seed;
	model_random_start(seed);
	n_steps = 0;
	for (int i = 0; i < N_IDS; i++)
		model_ids[i] = rig_id();
	for (int i = 0; i < N_AGENTS; i++)
		start_agent(&model_agents[i]);
	while (n_steps < N_STEPS)
		step(with_deaths);
	compare_all_memory();
	for (int i = 0; i < N_AGENTS; i++)
		end_agent(&model_agents[i]);
}

static void run_many(bool with_deaths)
{
	const char *wanted = getenv("RSM_MODEL_SEED");
	int64_t end = rig_now() + MILLISECONDS;
	uint64_t first = (uint64_t)getpid() * 1000 + (uint64_t)(rig_now() % 1000);
	uint32_t n_runs = 0;

	umask(022);
	if (wanted) {
		run(strtoull(wanted, NULL, 0), with_deaths);
		return;
	}
	do
		run(first + n_runs++, with_deaths);
	while (rig_now() < end);
	printf("# %u runs of %d steps, first seed %ju\n", n_runs, N_STEPS, (uintmax_t)first);
	fflush(stdout);
}

static void the_model_predicts_every_code_and_byte(void)
{
	run_many(false);
}

static void the_model_holds_while_processes_are_killed(void)
{
	run_many(true);
}

static const rig_test_t tests[] = {
	TEST(the_model_predicts_every_code_and_byte),
	TEST(the_model_holds_while_processes_are_killed),
};

RIG_MAIN(tests)
