/* SPDX-License-Identifier: Apache-2.0 */
#include "model-agent.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *const call_names[N_CALLS] = {
	[CALL_CREATE] = "create",
	[CALL_REBIND] = "rebind",
	[CALL_PUBLISH] = "publish",
	[CALL_REPUBLISH] = "republish",
	[CALL_UNPUBLISH] = "unpublish",
	[CALL_DESTROY] = "destroy",
	[CALL_STORE] = "store",
	[CALL_LOAD] = "load",
	[CALL_CONNECT] = "connect",
	[CALL_DISCONNECT] = "disconnect",
	[CALL_PUT] = "put",
	[CALL_GET] = "get",
	[CALL_PUT64] = "put64",
	[CALL_GET64] = "get64",
	[CALL_PUTV] = "putv",
	[CALL_GETV] = "getv",
	[CALL_MAP] = "map",
	[CALL_UNMAP] = "unmap",
	[CALL_MAP_STORE] = "map-store",
	[CALL_MAP_LOAD] = "map-load",
	[CALL_INIT_BARRIER] = "init-barrier",
	[CALL_OPEN_BARRIER] = "open-barrier",
	[CALL_ORDER_BARRIER] = "order-barrier",
	[CALL_CLOSE_BARRIER] = "close-barrier",
	[CALL_DESTROY_BARRIER] = "destroy-barrier",
	[CALL_SET_MODE] = "set-mode",
	[CALL_GET_MODE] = "get-mode",
	[CALL_POST] = "post",
	[CALL_WAIT] = "wait",
	[CALL_GET_POLLFD] = "get-pollfd",
	[CALL_RELEASE_POLLFD] = "release-pollfd",
};

static rsmapi_controller_handle_t controller;
static rsm_node_id_t node;

static struct {
	rsm_memseg_export_handle_t handle;
	char *buffers[N_BUFFERS];
} exports[N_EXPORTS];

static struct {
	rsm_memseg_import_handle_t handle;
	rsmapi_barrier_t barrier;
	char *mapping;
} imports[N_IMPORTS];

static void *segment_of(uint32_t slot)
{
	return slot < N_EXPORTS ? (void *)exports[slot].handle
				: (void *)imports[slot - N_EXPORTS].handle;
}

static int publish(const call_request_t *q, bool again, uint64_t *ret_id)
{
	rsmapi_access_entry_t list[1] = {{node + (rsm_node_id_t)q->value, q->mode}};
	rsmapi_access_entry_t *given = q->mode == NO_LIST ? NULL : list;
	rsm_memseg_id_t id = q->id;
	int code;

	if (again)
		return rsm_memseg_export_republish(exports[q->slot].handle, given, given != NULL);
	code = rsm_memseg_export_publish(exports[q->slot].handle, &id, given, given != NULL);
	*ret_id = id;
	return code;
}

static int connect_import(const call_request_t *q)
{
	memset(&imports[q->slot].barrier, 0, sizeof(imports[q->slot].barrier));
	return rsm_memseg_import_connect(
		controller, node, q->id, q->mode, &imports[q->slot].handle);
}

static int map(const call_request_t *q)
{
	void *address = NULL;
	int code = rsm_memseg_import_map(imports[q->slot].handle, &address, RSM_MAP_NONE, q->mode,
		(off_t)q->offset, q->length);

	if (code == RSM_SUCCESS)
		imports[q->slot].mapping = address;
	return code;
}

static int vector(const call_request_t *q, call_reply_t *reply)
{
	static uint8_t data[MAX_DATA];
	rsm_iovec_t entries[MAX_ENTRIES] = {0};
	rsm_scat_gath_t sg = {.io_request_count = q->n_entries,
		.io_residual_count = 99,
		.flags = q->flags,
		.remote_handle = imports[q->slot].handle,
		.iovec = entries};
	size_t local = 0;
	int code;

	memcpy(data, q->data, sizeof(data));
	for (uint32_t i = 0; i < q->n_entries && i < MAX_ENTRIES; i++) {
		entries[i].io_type = RSM_VA_TYPE;
		entries[i].local.vaddr = (caddr_t)data;
		entries[i].local_offset = local;
		entries[i].remote_offset = q->entries[i].offset;
		entries[i].transfer_length = q->entries[i].length;
		local += q->entries[i].length;
	}
	code = q->call == CALL_PUTV ? rsm_memseg_import_putv(&sg) : rsm_memseg_import_getv(&sg);
	memcpy(reply->data, data, sizeof(data));
	reply->value = sg.io_residual_count;
	return code;
}

static int get_pollfd(const call_request_t *q, uint64_t *ret_readable)
{
	struct pollfd fd = {.fd = -1};
	int code = rsm_memseg_get_pollfd(segment_of(q->slot), &fd);

	if (code == RSM_SUCCESS)
		*ret_readable = poll(&fd, 1, (int)q->value) == 1;
	return code;
}

static int act(const call_request_t *q, call_reply_t *reply)
{
	uint32_t slot = q->slot;
	void *in = reply->data;
	void *out = (void *)q->data;
	rsm_barrier_mode_t mode = RSM_BARRIER_MODE_EXPLICIT;
	int code;

	switch (q->call) {
	case CALL_CREATE:
		return rsm_memseg_export_create(controller, &exports[slot].handle,
			exports[slot].buffers[q->buffer] + q->offset, q->length, q->flags);
	case CALL_REBIND:
		return rsm_memseg_export_rebind(exports[slot].handle,
			exports[slot].buffers[q->buffer] + q->offset, 0, q->length);
	case CALL_PUBLISH:
		return publish(q, false, &reply->value);
	case CALL_REPUBLISH:
		return publish(q, true, &reply->value);
	case CALL_UNPUBLISH:
		return rsm_memseg_export_unpublish(exports[slot].handle);
	case CALL_DESTROY:
		return rsm_memseg_export_destroy(exports[slot].handle);
	case CALL_STORE:
		memcpy(exports[slot].buffers[q->buffer] + q->offset, out, q->length);
		return RSM_SUCCESS;
	case CALL_LOAD:
		memcpy(in, exports[slot].buffers[q->buffer] + q->offset, q->length);
		return RSM_SUCCESS;
	case CALL_CONNECT:
		return connect_import(q);
	case CALL_DISCONNECT:
		return rsm_memseg_import_disconnect(imports[slot].handle);
	case CALL_PUT:
		return rsm_memseg_import_put(
			imports[slot].handle, (off_t)q->offset, out, q->length);
	case CALL_GET:
		return rsm_memseg_import_get(imports[slot].handle, (off_t)q->offset, in, q->length);
	case CALL_PUT64:
		return rsm_memseg_import_put64(
			imports[slot].handle, (off_t)q->offset, out, q->length / 8);
	case CALL_GET64:
		return rsm_memseg_import_get64(
			imports[slot].handle, (off_t)q->offset, in, q->length / 8);
	case CALL_PUTV:
	case CALL_GETV:
		return vector(q, reply);
	case CALL_MAP:
		return map(q);
	case CALL_UNMAP:
		return rsm_memseg_import_unmap(imports[slot].handle);
	case CALL_MAP_STORE:
		memcpy(imports[slot].mapping + q->offset, out, q->length);
		return RSM_SUCCESS;
	case CALL_MAP_LOAD:
		memcpy(in, imports[slot].mapping + q->offset, q->length);
		return RSM_SUCCESS;
	case CALL_INIT_BARRIER:
		return rsm_memseg_import_init_barrier(
			imports[slot].handle, RSM_BAR_DEFAULT, &imports[slot].barrier);
	case CALL_OPEN_BARRIER:
		return rsm_memseg_import_open_barrier(&imports[slot].barrier);
	case CALL_ORDER_BARRIER:
		return rsm_memseg_import_order_barrier(&imports[slot].barrier);
	case CALL_CLOSE_BARRIER:
		return rsm_memseg_import_close_barrier(&imports[slot].barrier);
	case CALL_DESTROY_BARRIER:
		return rsm_memseg_import_destroy_barrier(&imports[slot].barrier);
	case CALL_SET_MODE:
		return rsm_memseg_import_set_mode(
			imports[slot].handle, (rsm_barrier_mode_t)q->mode);
	case CALL_GET_MODE:
		code = rsm_memseg_import_get_mode(imports[slot].handle, &mode);
		reply->value = mode;
		return code;
	case CALL_POST:
		return rsm_intr_signal_post(segment_of(slot), q->flags);
	case CALL_WAIT:
		return rsm_intr_signal_wait(segment_of(slot), 0);
	case CALL_GET_POLLFD:
		return get_pollfd(q, &reply->value);
	case CALL_RELEASE_POLLFD:
		return rsm_memseg_release_pollfd(segment_of(slot));
	case N_CALLS:
		break;
	}
	return -1;
}

static _Noreturn void serve(int channel)
{
	static call_request_t request;
	static call_reply_t reply;

	controller = rig_controller();
	node = rig_node();
	for (int i = 0; i < N_EXPORTS; i++)
		for (int j = 0; j < N_BUFFERS; j++)
			exports[i].buffers[j] = rig_memory(SEGMENT_PAGES);
	while (recv(channel, &request, sizeof(request), 0) == sizeof(request)) {
		memset(&reply, 0, sizeof(reply));
		reply.code = act(&request, &reply);
		if (send(channel, &reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply))
			break;
	}
	_exit(0);
}

pid_t model_agent_start(int *ret_channel)
{
	int channels[2];
	pid_t pid;

	NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channels));
	pid = fork();
	if (pid == 0) {
		close(channels[0]);
		serve(channels[1]);
	}
	NEED_TRUE(pid > 0);
	close(channels[1]);
	*ret_channel = channels[0];
	return pid;
}

bool model_agent_call(int channel, const call_request_t *request, call_reply_t *ret_reply)
{
	return send(channel, request, sizeof(*request), MSG_NOSIGNAL) == sizeof(*request) &&
	       recv(channel, ret_reply, sizeof(*ret_reply), 0) == sizeof(*ret_reply);
}
