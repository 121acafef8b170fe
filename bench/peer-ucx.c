/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peer: UCX (ucp) between two processes, over POSIX shared memory or, where PEER_NETWORK says so,
 * over what UCX_TLS says. The target's memory is UCX's own, so that the initiator has it mapped if
 * that is possible; then the target sleeps once the connection stands.
 */

#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>
#include <ucp/api/ucp.h>
#include "peer-loop.h"

static ucp_context_h context;
static ucp_worker_h worker;
static ucp_ep_h endpoint;
static ucp_rkey_h key;
static uint64_t remote;
static char *local;

static void must(ucs_status_t status)
{
	if (status != UCS_OK) {
		fprintf(stderr, "ucx: %s\n", ucs_status_string(status));
		exit(1);
	}
}

static void set_up(void)
{
	ucp_params_t parameters = {
		.field_mask = UCP_PARAM_FIELD_FEATURES,
		.features = UCP_FEATURE_RMA,
	};
	ucp_worker_params_t worker_parameters = {
		.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
		.thread_mode = UCS_THREAD_MODE_SINGLE,
	};
	ucp_config_t *config;

	must(ucp_config_read(NULL, NULL, &config));
	must(ucp_init(&parameters, config, &context));
	ucp_config_release(config);
	must(ucp_worker_create(context, &worker_parameters, &worker));
}

static void transfer(int fd, void *data, size_t size, int out)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = out ? write(fd, (char *)data + done, size - done)
				: read(fd, (char *)data + done, size - done);

		if (n <= 0)
			exit(1);
		done += (size_t)n;
	}
}

static void send_block(int fd, void *data, size_t size)
{
	transfer(fd, &size, sizeof(size), 1);
	transfer(fd, data, size, 1);
}

static void *receive_block(int fd)
{
	size_t size;
	void *data;

	transfer(fd, &size, sizeof(size), 0);
	data = malloc(size);
	if (!data)
		exit(1);
	transfer(fd, data, size, 0);
	return data;
}

/* Until the initiator ends, which kills us. */
static _Noreturn void serve(void)
{
	for (;;) {
		if (!*peer_turn)
			usleep(500);
		ucp_worker_progress(worker);
	}
}

static _Noreturn void target(int out, int in)
{
	ucp_mem_map_params_t parameters = {
		.field_mask = UCP_MEM_MAP_PARAM_FIELD_LENGTH | UCP_MEM_MAP_PARAM_FIELD_FLAGS,
		.length = PEER_MEMORY,
		.flags = UCP_MEM_MAP_ALLOCATE,
	};
	ucp_mem_attr_t attributes = {.field_mask = UCP_MEM_ATTR_FIELD_ADDRESS};
	ucp_address_t *address;
	size_t size;
	ucp_mem_h memory;
	void *packed;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	peer_go_there();
	set_up();
	must(ucp_mem_map(context, &parameters, &memory));
	must(ucp_mem_query(memory, &attributes));
	memset(attributes.address, 1, PEER_MEMORY);
	must(ucp_worker_get_address(worker, &address, &size));
	send_block(out, address, size);
	must(ucp_rkey_pack(context, memory, &packed, &size));
	send_block(out, packed, size);
	send_block(out, &attributes.address, sizeof(attributes.address));
	if (getenv("PEER_NETWORK"))
		serve();
	for (int i = 0; i < 20000; ++i) { /* 2 s: the handshake */
		ucp_worker_progress(worker);
		usleep(100);
	}
	transfer(in, &byte, 1, 0); /* the end of the initiator */
	exit(0);
}

static void wait_for(void *request)
{
	if (UCS_PTR_IS_ERR(request))
		must(UCS_PTR_STATUS(request));
	if (!UCS_PTR_IS_PTR(request))
		return;
	while (ucp_request_check_status(request) == UCS_INPROGRESS)
		ucp_worker_progress(worker);
	ucp_request_free(request);
}

static void flush(void)
{
	ucp_request_param_t none = {0};

	wait_for(ucp_ep_flush_nbx(endpoint, &none));
}

static void connect_to(int in)
{
	ucp_ep_params_t parameters = {.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS};
	void *packed, *address;

	set_up();
	parameters.address = receive_block(in);
	packed = receive_block(in);
	address = receive_block(in);
	memcpy(&remote, address, sizeof(remote));
	must(ucp_ep_create(worker, &parameters, &endpoint));
	flush();
	must(ucp_ep_rkey_unpack(endpoint, packed, &key));
}

static void check(ucs_status_t status)
{
	if (status != UCS_OK && status != UCS_INPROGRESS)
		must(status);
}

static void put64(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		check(ucp_put_nbi(endpoint, local, 8, remote + i * 8 % PEER_WINDOW, key));
	flush();
}

static void get64(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		check(ucp_get_nbi(endpoint, local, 8, remote + i * 8 % PEER_WINDOW, key));
	flush();
}

static void put64r(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		check(ucp_put_nbi(endpoint, local, 8, remote + peer_random(i), key));
	flush();
}

static void put(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		check(ucp_put_nbi(endpoint, local, size, remote, key));
	flush();
}

static void get(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		check(ucp_get_nbi(endpoint, local, size, remote, key));
	flush();
}

static const struct peer_operation operations[] = {
	{"put64", put64},
	{"get64", get64},
	{"put64r", put64r},
	{"put", put},
	{"get", get},
	{0},
};

int main(void)
{
	int forth[2], back[2];

	setenv("UCX_TLS", "posix,self", 0);
	peer_turn_begin();
	if (pipe(forth) || pipe(back))
		return 1;
	switch (fork()) {
	case -1:
		return 1;
	case 0:
		close(forth[1]);
		close(back[0]);
		target(back[1], forth[0]);
	}
	close(forth[0]);
	close(back[1]);
	local = malloc(PEER_MEMORY);
	if (!local)
		return 1;
	memset(local, 1, PEER_MEMORY);
	connect_to(back[0]);
	if (!getenv("PEER_NETWORK"))
		sleep(2); /* the target stops making progress */
	peer_begin();
	peer_loop(operations);
	return 0;
}
