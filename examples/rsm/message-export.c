/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints messages that another process stores in this one's memory. It uses nothing that only Linux
 *has.
 *
 *	message-export [CONTROLLER]	until the empty message
 */
#include "message.h"

#include <string.h>

static rsm_memseg_export_handle_t publish(rsmapi_controller_handle_t controller, void *buffer)
{
	rsm_memseg_export_handle_t segment;
	rsm_memseg_id_t id = MESSAGE_SEGMENT;

	must("create", rsm_memseg_export_create(controller, &segment, buffer, MESSAGE_SIZE, 0));
	/* no access list: the umask decides */
	must("publish", rsm_memseg_export_publish(segment, &id, NULL, 0));
	return segment;
}

/* Waits for a message and copies it. The signal is only a hint to look: the counts tell. */
static void receive(rsm_memseg_export_handle_t segment, struct message *m, char text[MESSAGE_TEXT])
{
	while (m->in == m->out)
		(void)rsm_intr_signal_wait(segment, 1000);
	__sync_synchronize(); /* `in` was read before the text is */
	for (int i = 0; i < MESSAGE_TEXT; i++)
		text[i] = m->text[i];
	text[MESSAGE_TEXT - 1] = 0; /* the importer may have left it out */
	__sync_synchronize();	    /* the text was read before it may be overwritten */
	m->out = m->in;
	must("signal", rsm_intr_signal_post(segment, 0));
}

int main(int argc, char **argv)
{
	char loopback[] = "loopback", text[MESSAGE_TEXT];
	rsmapi_controller_handle_t controller;
	rsm_memseg_export_handle_t segment;
	struct message *m;
	void *buffer;

	must("controller", rsm_get_controller(argc > 1 ? argv[1] : loopback, &controller));
	if (posix_memalign(&buffer, MESSAGE_SIZE, MESSAGE_SIZE))
		return 1;
	m = memset(buffer, 0, MESSAGE_SIZE);
	segment = publish(controller, buffer);
	do {
		receive(segment, m, text);
		printf("%s\n", text);
		fflush(stdout);
	} while (*text);
	must("unpublish", rsm_memseg_export_unpublish(segment));
	must("destroy", rsm_memseg_export_destroy(segment));
	free(buffer);
	must("release", rsm_release_controller(controller));
	return 0;
}
