/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include "agent-afar.h"

#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
	agent_verb_t verb;
	uint64_t a, b, c;
} request_t;

typedef struct {
	int code;
	uint64_t value;
} reply_t;

/* The agent's own state. */
static struct {
	rsm_memseg_export_handle_t export;
	char *memory;
	size_t n_pages;
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
	char *mapping;
} self;

static int create(const request_t *request)
{
	self.memory = rig_memory(request->a);
	self.n_pages = request->a;
	return rsm_memseg_export_create(rig_controller(), &self.export, self.memory,
		request->a * rig_page(), (uint_t)request->b);
}

static int publish(const request_t *request, uint64_t *ret_id)
{
	rsmapi_access_entry_t list[1] = {{rig_node(), (rsm_permission_t)request->b}};
	bool anybody = request->b == AGENT_NO_LIST;
	rsm_memseg_id_t id = (rsm_memseg_id_t)request->a;
	int code = rsm_memseg_export_publish(self.export, &id, anybody ? NULL : list, !anybody);

	*ret_id = id;
	return code;
}

static int republish(const request_t *request)
{
	rsmapi_access_entry_t list[1] = {{rig_node(), (rsm_permission_t)request->a}};
	bool anybody = request->a == AGENT_NO_LIST;

	return rsm_memseg_export_republish(self.export, anybody ? NULL : list, !anybody);
}

static int publish_to(const request_t *request)
{
	rsmapi_access_entry_t list[1] = {{(rsm_node_id_t)request->b, (rsm_permission_t)request->c}};
	rsm_memseg_id_t id = (rsm_memseg_id_t)request->a;

	return rsm_memseg_export_publish(self.export, &id, list, 1);
}

static int republish_to(const request_t *request)
{
	rsmapi_access_entry_t list[1] = {{(rsm_node_id_t)request->a, (rsm_permission_t)request->b}};

	return rsm_memseg_export_republish(self.export, list, 1);
}

static int rebind(const request_t *request)
{
	char *memory = rig_memory(self.n_pages);
	int code;

	*(uint64_t *)(void *)memory = request->a;
	code = rsm_memseg_export_rebind(self.export, memory, 0, self.n_pages * rig_page());
	if (code == RSM_SUCCESS)
		self.memory = memory;
	return code;
}

static int connect_import(
	rsmapi_controller_handle_t controller, rsm_node_id_t node, uint64_t id, uint64_t permission)
{
	int code = rsm_memseg_import_connect(
		controller, node, (rsm_memseg_id_t)id, (rsm_permission_t)permission, &self.import);

	if (code == RSM_SUCCESS)
		code = rsm_memseg_import_init_barrier(self.import, RSM_BAR_DEFAULT, &self.barrier);
	return code;
}

static int map(const request_t *request)
{
	void *address = NULL;
	int code = rsm_memseg_import_map(self.import, &address, RSM_MAP_NONE,
		(rsm_permission_t)request->c, (off_t)request->a, request->b);

	if (code == RSM_SUCCESS)
		self.mapping = address;
	return code;
}

static int store(char *memory, const request_t *request)
{
	*(volatile uint64_t *)(void *)(memory + request->a) = request->b;
	return RSM_SUCCESS;
}

static int load(const char *memory, const request_t *request, uint64_t *ret_value)
{
	*ret_value = *(const volatile uint64_t *)(const void *)(memory + request->a);
	return RSM_SUCCESS;
}

static int act(request_t *request, uint64_t *ret_value)
{
	switch (request->verb) {
	case AGENT_CREATE:
		return create(request);
	case AGENT_PUBLISH:
		return publish(request, ret_value);
	case AGENT_REPUBLISH:
		return republish(request);
	case AGENT_UNPUBLISH:
		return rsm_memseg_export_unpublish(self.export);
	case AGENT_DESTROY:
		return rsm_memseg_export_destroy(self.export);
	case AGENT_STORE:
		return store(self.memory, request);
	case AGENT_LOAD:
		return load(self.memory, request, ret_value);
	case AGENT_CONNECT:
		return connect_import(rig_controller(), rig_node(), request->a, request->b);
	case AGENT_CONNECT_TO:
		return connect_import(
			rig_wire(), (rsm_node_id_t)request->a, request->b, request->c);
	case AGENT_PUBLISH_TO:
		return publish_to(request);
	case AGENT_REPUBLISH_TO:
		return republish_to(request);
	case AGENT_REBIND:
		return rebind(request);
	case AGENT_DISCONNECT:
		return rsm_memseg_import_disconnect(self.import);
	case AGENT_MAP:
		return map(request);
	case AGENT_UNMAP:
		return rsm_memseg_import_unmap(self.import);
	case AGENT_MAP_STORE:
		return store(self.mapping, request);
	case AGENT_MAP_LOAD:
		return load(self.mapping, request, ret_value);
	case AGENT_PUT:
		return rsm_memseg_import_put64(self.import, (off_t)request->a, &request->b, 1);
	case AGENT_GET:
		return rsm_memseg_import_get64(self.import, (off_t)request->a, ret_value, 1);
	case AGENT_SET_MODE:
		return rsm_memseg_import_set_mode(self.import, (rsm_barrier_mode_t)request->a);
	case AGENT_OPEN_BARRIER:
		return rsm_memseg_import_open_barrier(&self.barrier);
	case AGENT_ORDER_BARRIER:
		return rsm_memseg_import_order_barrier(&self.barrier);
	case AGENT_CLOSE_BARRIER:
		return rsm_memseg_import_close_barrier(&self.barrier);
	case AGENT_EXPORT_POST:
		return rsm_intr_signal_post(self.export, (uint_t)request->a);
	case AGENT_EXPORT_WAIT:
		return rsm_intr_signal_wait(self.export, (int)request->a);
	case AGENT_IMPORT_POST:
		return rsm_intr_signal_post(self.import, (uint_t)request->a);
	case AGENT_IMPORT_WAIT:
		return rsm_intr_signal_wait(self.import, (int)request->a);
	case AGENT_UMASK:
		umask((mode_t)request->a);
		return RSM_SUCCESS;
	case AGENT_EXEC:
		execl("/bin/sleep", "sleep", "60", (char *)NULL);
		_exit(1);
	case AGENT_EXIT:
		_exit(0);
	}
	return AGENT_GONE;
}

static _Noreturn void serve(int channel)
{
	request_t request;

	while (recv(channel, &request, sizeof(request), 0) == sizeof(request)) {
		reply_t reply = {0};

		reply.code = act(&request, &reply.value);
		if (send(channel, &reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply))
			break;
	}
	_exit(0);
}

static void become(const agent_identity_t *identity)
{
	if (setgroups(identity->also ? 1 : 0, &identity->also) < 0 ||
		setresgid(identity->gid, identity->gid, identity->gid) < 0 ||
		setresuid(identity->uid, identity->uid, identity->uid) < 0)
		_exit(1);
}

static void go_to(const char *environment)
{
	char *name = strdup(environment), *value = name ? strchr(name, '=') : NULL;

	if (!value)
		_exit(1);
	*value = 0;
	setenv(name, value + 1, 1);
	free(name);
}

void agent_serve_afar(const char *port)
{
	agent_afar_serve(port, serve);
}

/* afar: not NULL: where, on another machine. */
static agent_t start(const agent_identity_t *identity, const char *environment, const char *afar)
{
	int channels[2];
	agent_t agent;

	NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channels));
	agent.pid = fork();
	if (agent.pid == 0) {
		close(channels[0]);
		if (afar)
			agent_afar_relay(channels[1], afar);
		if (identity)
			become(identity);
		if (environment)
			go_to(environment);
		serve(channels[1]);
	}
	NEED_TRUE(agent.pid > 0);
	close(channels[1]);
	agent.channel = channels[0];
	return agent;
}

agent_t agent_start(void)
{
	return start(NULL, NULL, NULL);
}

agent_t agent_start_there(void)
{
	const char *environment = getenv("RSM_NODE2_ENV"), *afar = getenv("RSM_NODE2_AGENTS");

	if (!environment && !afar)
		rig_skip("needs two nodes");
	return start(NULL, environment, afar);
}

agent_t agent_start_as(agent_identity_t identity)
{
	if (geteuid() != 0)
		rig_skip("other users need root");
	return start(&identity, NULL, NULL);
}

static void ask(const agent_t *agent, agent_verb_t verb, uint64_t a, uint64_t b, uint64_t c)
{
	request_t request = {.verb = verb, .a = a, .b = b, .c = c};

	send(agent->channel, &request, sizeof(request), MSG_NOSIGNAL);
}

static int answer(const agent_t *agent, uint64_t *ret_value)
{
	reply_t reply;

	if (recv(agent->channel, &reply, sizeof(reply), 0) != sizeof(reply))
		return AGENT_GONE;
	*ret_value = reply.value;
	return reply.code;
}

int agent_do(const agent_t *agent, agent_verb_t verb, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t value;

	ask(agent, verb, a, b, c);
	return answer(agent, &value);
}

uint64_t agent_ask(const agent_t *agent, agent_verb_t verb, uint64_t a)
{
	uint64_t value = 0;

	ask(agent, verb, a, 0, 0);
	EXPECT(answer(agent, &value), RSM_SUCCESS);
	return value;
}

void agent_begin(const agent_t *agent, agent_verb_t verb, uint64_t a)
{
	ask(agent, verb, a, 0, 0);
}

int agent_finish(const agent_t *agent)
{
	uint64_t value;

	return answer(agent, &value);
}

int agent_wait(agent_t *agent)
{
	int status = 0;

	NEED_TRUE(waitpid(agent->pid, &status, 0) == agent->pid);
	close(agent->channel);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void agent_kill(agent_t *agent, int signal_number)
{
	kill(agent->pid, signal_number);
	agent_wait(agent);
}

rsm_memseg_id_t agent_export(const agent_t *agent, size_t n_pages)
{
	rsm_memseg_id_t id = rig_id();

	NEED(agent_do(agent, AGENT_CREATE, n_pages, 0, 0));
	NEED(agent_do(agent, AGENT_PUBLISH, id, AGENT_NO_LIST, 0));
	return id;
}

rsm_memseg_id_t agent_export_to_all(const agent_t *agent, size_t n_pages)
{
	EXPECT(agent_do(agent, AGENT_UMASK, 0, 0, 0), RSM_SUCCESS);
	return agent_export(agent, n_pages);
}

void agent_import(const agent_t *agent, rsm_memseg_id_t id)
{
	NEED(agent_do(agent, AGENT_CONNECT, id, RSM_PERM_RDWR, 0));
}
