/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interrupt from one side to the other and one back, over and over, and how long that takes;
 * then how long a trigger takes that nobody waits for.
 *
 *	intr -rn 8 -server &	on node 4
 *	intr -rn 4 -client	on node 8
 */
#include "common.h"

#define WHAT "trigger interrupts to and fro"

static sci_remote_interrupt_t connect_interrupt(
	const options_t *o, sci_desc_t sd, unsigned int number)
{
	sci_remote_interrupt_t interrupt;
	sci_error_t error;

	/* until the other side has created it: connect answers at once */
	for (;;) {
		SCIConnectInterrupt(sd, &interrupt, o->remote_node, o->adapter, number,
			SCI_INFINITE_TIMEOUT, 0, &error);
		if (error == SCI_ERR_OK)
			break;
		if (error != SCI_ERR_NO_SUCH_INTNO)
			failed("SCIConnectInterrupt", error);
		pause_ms(2);
	}
	printf("Connected to interrupt 0x%x of node %u\n", number, o->remote_node);
	fflush(stdout);
	return interrupt;
}

static void exchange(const options_t *o, sci_local_interrupt_t local, sci_remote_interrupt_t remote,
	double *times)
{
	for (unsigned int i = 0; i < o->loops; i++) {
		double begin = now_us();

		if (o->client)
			CALL(SCITriggerInterrupt, remote, 0);
		CALL(SCIWaitForInterrupt, local, SCI_INFINITE_TIMEOUT, 0);
		if (o->server)
			CALL(SCITriggerInterrupt, remote, 0);
		times[i] = now_us() - begin;
	}
	if (o->client)
		printf("%-28s %10.3f us\n", "Round trip", median(times, o->loops));
}

/* Nobody waits for these yet; each of them is counted. */
static void trigger_many(const options_t *o, sci_remote_interrupt_t remote, double *times)
{
	for (unsigned int i = 0; i < o->loops; i++) {
		double begin = now_us();

		CALL(SCITriggerInterrupt, remote, 0);
		times[i] = now_us() - begin;
	}
	printf("%-28s %10.3f us\n", "Trigger", median(times, o->loops));
}

static void receive_many(const options_t *o, sci_local_interrupt_t local)
{
	for (unsigned int i = 0; i < o->loops; i++)
		CALL(SCIWaitForInterrupt, local, SCI_INFINITE_TIMEOUT, 0);
	printf("Received %u interrupts\n", o->loops);
}

int main(int argc, char **argv)
{
	options_t o = {.id = 0x3000, .loops = 10000};
	sci_remote_interrupt_t remote;
	sci_local_interrupt_t local;
	unsigned int number;
	double *times;
	sci_desc_t sd;

	read_options(argc, argv, WHAT, &o);
	need_role(argv, WHAT, &o);
	print_options(&o);
	times = calloc(o.loops + 1, sizeof(*times));
	if (!times)
		return 1;
	CALL(SCIOpen, &sd, 0);
	number = o.id + (o.client ? 1 : 0);
	CALL(SCICreateInterrupt, sd, &local, o.adapter, &number, NULL, NULL, SCI_FLAG_FIXED_INTNO);
	remote = connect_interrupt(&o, sd, o.id + (o.client ? 0 : 1));

	exchange(&o, local, remote, times);
	if (o.client) {
		trigger_many(&o, remote, times);
		CALL(SCIWaitForInterrupt, local, SCI_INFINITE_TIMEOUT, 0);
	} else {
		receive_many(&o, local);
		CALL(SCITriggerInterrupt, remote, 0);
	}

	CALL(SCIDisconnectInterrupt, remote, 0);
	CALL(SCIRemoveInterrupt, local, 0);
	CALL(SCIClose, sd, 0);
	SCITerminate();
	free(times);
	return 0;
}
