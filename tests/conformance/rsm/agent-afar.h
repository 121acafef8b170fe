/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agents on another machine: here a process that passes on what is said, there one that holds the
 * agent and kills it when the connection ends, so that whoever kills the one kills the other.
 */
#ifndef TESTS_CONFORMANCE_RSM_AGENT_AFAR_H
#define TESTS_CONFORMANCE_RSM_AGENT_AFAR_H

/* In place of the agent: "ADDRESS PORT" is where the other machine serves. */
_Noreturn void agent_afar_relay(int channel, const char *where);
/* Serves agents at a port, until it is killed. */
_Noreturn void agent_afar_serve(const char *port, void (*agent)(int channel));

#endif
