/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends the lines of its input to message-export, by stores into the exporter's memory. It uses
 *nothing that only Linux has.
 *
 *	message-import [CONTROLLER [NODE]]	waits for the exporter; NODE is by default this one
 *
 * Each message is a span of accesses: if the barrier does not close well, or the exporter ends
 *before it has taken the message, the whole span is repeated over a new connection. So a message
 *can come twice, but none is lost.
 */
#include "message.h"

#include <string.h>
#include <unistd.h>

struct peer {
	rsm_memseg_import_handle_t segment;
	struct message *message;
	rsmapi_barrier_t barrier;
};

static rsm_node_id_t this_node(void)
{
	rsm_topology_t *topology;
	rsm_node_id_t node;

	must("topology", rsm_get_interconnect_topology(&topology));
	node = topology->topology_hdr.local_nodeid;
	rsm_free_interconnect_topology(topology);
	return node;
}

static void attach(rsmapi_controller_handle_t controller, rsm_node_id_t node, struct peer *peer)
{
	void *address = NULL;

	while (rsm_memseg_import_connect(controller, node, MESSAGE_SEGMENT, RSM_PERM_RDWR,
		       &peer->segment) != RSM_SUCCESS)
		sleep(1);
	must("map", rsm_memseg_import_map(
			    peer->segment, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, MESSAGE_SIZE));
	peer->message = address;
	must("barrier",
		rsm_memseg_import_init_barrier(peer->segment, RSM_BARRIER_NODE, &peer->barrier));
}

static void detach(struct peer *peer)
{
	must("barrier", rsm_memseg_import_destroy_barrier(&peer->barrier));
	must("unmap", rsm_memseg_import_unmap(peer->segment));
	must("disconnect", rsm_memseg_import_disconnect(peer->segment));
}

/* Waits until no message is in the segment: the exporter signals when it has taken one. */
static int wait_taken(const struct peer *peer)
{
	while (peer->message->in != peer->message->out) {
		int code = rsm_intr_signal_wait(peer->segment, 1000);

		if (code != RSM_SUCCESS && code != RSMERR_TIMEOUT && code != RSMERR_INTERRUPTED)
			return code;
	}
	return RSM_SUCCESS;
}

/* Stores the text, then the count that makes it valid; 0 if the exporter has taken it. */
static int send_once(struct peer *peer, const char *text)
{
	struct message *m = peer->message;
	int code = wait_taken(peer);

	if (code != RSM_SUCCESS)
		return code;
	must("open", rsm_memseg_import_open_barrier(&peer->barrier));
	for (size_t i = 0; i <= strlen(text); i++)
		m->text[i] = text[i];
	code = rsm_memseg_import_order_barrier(&peer->barrier);
	if (code != RSM_SUCCESS)
		return code;
	m->in++;
	code = rsm_memseg_import_close_barrier(&peer->barrier);
	if (code != RSM_SUCCESS)
		return code;
	(void)rsm_intr_signal_post(peer->segment, 0); /* only a hint to look */
	return wait_taken(
		peer); /* it may have arrived in the memory of somebody who was dead already */
}

int main(int argc, char **argv)
{
	char loopback[] = "loopback", text[MESSAGE_TEXT];
	rsmapi_controller_handle_t controller;
	struct peer peer;
	rsm_node_id_t node;
	int last, code;

	must("controller", rsm_get_controller(argc > 1 ? argv[1] : loopback, &controller));
	node = argc > 2 ? (rsm_node_id_t)atoi(argv[2]) : this_node();
	attach(controller, node, &peer);
	do {
		last = !fgets(text, sizeof(text), stdin);
		if (last)
			*text = 0;
		text[strcspn(text, "\n")] = 0;
		if (!*text && !last)
			continue;
		/* an exporter that has seen the last one may be gone already */
		while ((code = send_once(&peer, text)) != RSM_SUCCESS && !last) {
			fprintf(stderr, "RSM error %d; once more\n", code);
			detach(&peer);
			attach(controller, node, &peer);
		}
	} while (!last);
	detach(&peer);
	must("release", rsm_release_controller(controller));
	return 0;
}
