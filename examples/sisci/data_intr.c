/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message by data interrupt from one side to the other and one back, over and over, and how long
 * that takes; then a stream of messages to a callback, as fast as it takes them.
 *
 *	data_intr -rn 8 -server &	on node 4
 *	data_intr -rn 4 -client -size 60	on node 8
 */
#include "common.h"

#define WHAT "send messages by data interrupts"

/* What the server's callback has seen. */
typedef struct {
	unsigned int next, last, wrong;
	sci_remote_data_interrupt_t answer;
} stream_t;

static sci_remote_data_interrupt_t connect_data(
	const options_t *o, sci_desc_t sd, unsigned int number)
{
	sci_remote_data_interrupt_t interrupt;
	sci_error_t error;

	for (;;) {
		SCIConnectDataInterrupt(sd, &interrupt, o->remote_node, o->adapter, number,
			SCI_INFINITE_TIMEOUT, 0, &error);
		if (error == SCI_ERR_OK)
			break;
		if (error != SCI_ERR_NO_SUCH_INTNO)
			failed("SCIConnectDataInterrupt", error);
		pause_ms(2);
	}
	printf("Connected to data interrupt 0x%x of node %u\n", number, o->remote_node);
	fflush(stdout);
	return interrupt;
}

/* Messages carry their number; the last one is answered. */
static sci_callback_action_t on_message(void *arg, sci_local_data_interrupt_t interrupt, void *data,
	unsigned int length, sci_error_t status)
{
	stream_t *s = (stream_t *)arg;
	uint32_t number = 0;

	(void)interrupt;
	if (length >= sizeof(number))
		memcpy(&number, data, sizeof(number));
	if (status != SCI_ERR_OK || number != s->next)
		s->wrong++;
	if (++s->next < s->last)
		return SCI_CALLBACK_CONTINUE;
	CALL(SCITriggerDataInterrupt, s->answer, &s->wrong, sizeof(s->wrong), 0);
	return SCI_CALLBACK_CANCEL;
}

static unsigned int receive(sci_local_data_interrupt_t local, char *message, size_t size)
{
	unsigned int length = (unsigned int)size;

	CALL(SCIWaitForDataInterrupt, local, message, &length, SCI_INFINITE_TIMEOUT, 0);
	return length;
}

static void exchange(const options_t *o, sci_local_data_interrupt_t local,
	sci_remote_data_interrupt_t remote, char *message)
{
	double *times = calloc(o->loops + 1, sizeof(*times));

	if (!times)
		exit(1);
	for (unsigned int i = 0; i < o->loops; i++) {
		double begin = now_us();

		if (o->client)
			CALL(SCITriggerDataInterrupt, remote, message, (unsigned int)o->size, 0);
		if (receive(local, message, o->size) != o->size) {
			fprintf(stderr, "A message of another size\n");
			exit(1);
		}
		if (o->server)
			CALL(SCITriggerDataInterrupt, remote, message, (unsigned int)o->size, 0);
		times[i] = now_us() - begin;
	}
	if (o->client)
		printf("%-28s %10.3f us\n", "Round trip", median(times, o->loops));
	free(times);
}

/* The receiver's queue may be full: then the sender tries again. */
static void send_stream(const options_t *o, sci_remote_data_interrupt_t remote, char *message)
{
	double *times = calloc(o->loops + 1, sizeof(*times)), begin;
	unsigned int n_full = 0;

	if (!times)
		exit(1);
	for (uint32_t i = 0; i < o->loops;) {
		sci_error_t error;

		memcpy(message, &i, sizeof(i));
		begin = now_us();
		SCITriggerDataInterrupt(remote, message, (unsigned int)o->size, 0, &error);
		if (error == SCI_ERR_OK)
			times[i++] = now_us() - begin;
		else if (error == SCI_ERR_NOSPC)
			n_full++;
		else
			failed("SCITriggerDataInterrupt", error);
	}
	printf("%-28s %10.3f us (%u times the queue was full)\n", "Trigger",
		median(times, o->loops), n_full);
	free(times);
}

int main(int argc, char **argv)
{
	options_t o = {.id = 0x4000, .size = 60, .loops = 10000};
	sci_local_data_interrupt_t local, streamed = NULL;
	sci_remote_data_interrupt_t remote, stream_to = NULL;
	unsigned int number, stream_number, wrong = 0;
	stream_t stream = {0};
	char *message;
	sci_desc_t sd;

	read_options(argc, argv, WHAT, &o);
	need_role(argv, WHAT, &o);
	print_options(&o);
	message = calloc(1, o.size + sizeof(uint32_t));
	if (!message || o.size < sizeof(uint32_t) || o.size > 4096)
		usage(argv[0], "messages are of 4 to 4096 bytes", 2);
	CALL(SCIOpen, &sd, 0);
	number = o.id + (o.client ? 1 : 0);
	stream_number = o.id + 2;
	CALL(SCICreateDataInterrupt, sd, &local, o.adapter, &number, NULL, NULL,
		SCI_FLAG_FIXED_INTNO);
	remote = connect_data(&o, sd, o.id + (o.client ? 0 : 1));
	if (o.server) {
		stream.answer = remote;
		stream.last = o.loops;
		CALL(SCICreateDataInterrupt, sd, &streamed, o.adapter, &stream_number, on_message,
			&stream, SCI_FLAG_FIXED_INTNO | SCI_FLAG_USE_CALLBACK);
	}

	exchange(&o, local, remote, message);
	if (o.client) {
		stream_to = connect_data(&o, sd, stream_number);
		send_stream(&o, stream_to, message);
		(void)receive(local, (char *)&wrong, sizeof(wrong));
		printf("The other side has %u messages in order, %u wrong\n", o.loops - wrong,
			wrong);
		CALL(SCIDisconnectDataInterrupt, stream_to, 0);
		CALL(SCITriggerDataInterrupt, remote, message, 1, 0);
	} else {
		(void)receive(local, message, o.size);
		CALL(SCIRemoveDataInterrupt, streamed, 0);
	}

	CALL(SCIDisconnectDataInterrupt, remote, 0);
	CALL(SCIRemoveDataInterrupt, local, 0);
	CALL(SCIClose, sd, 0);
	SCITerminate();
	free(message);
	return wrong != 0;
}
