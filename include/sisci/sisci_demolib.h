/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_DEMOLIB_H
#define SISCI_DEMOLIB_H

/* What programs take from sisci_demolib.h of the vendor's demos. Nothing more than calls of the API
 * behind other names; there is no library of it. */

#include <stdio.h>
#include <sys/select.h>
#include <sisci_api.h>

#ifdef __cplusplus
extern "C" {
#endif

static __inline__ sci_error_t QueryAdapter(unsigned int subcommand, unsigned int localAdapterNo,
	unsigned int portNo, unsigned int *data)
{
	sci_query_adapter_t query;
	sci_error_t error;

	query.localAdapterNo = localAdapterNo;
	query.portNo = portNo;
	query.subcommand = subcommand;
	query.data = data;
	SCIQuery(SCI_Q_ADAPTER, &query, 0, &error);
	return error;
}

static __inline__ sci_error_t QuerySystem(unsigned int subcommand, unsigned int *data)
{
	sci_query_system_t query;
	sci_error_t error;

	query.subcommand = subcommand;
	query.data = data;
	SCIQuery(SCI_Q_SYSTEM, &query, 0, &error);
	return error;
}

static __inline__ sci_error_t GetLocalNodeId(unsigned int localAdapterNo, unsigned int *localNodeId)
{
	return QueryAdapter(SCI_Q_ADAPTER_NODEID, localAdapterNo, 0, localNodeId);
}

/* The first one that there is, and this node's id there. */
static __inline__ sci_error_t DetectFirstAdapterCard(
	unsigned int *localAdapterNo, unsigned int *localNodeId)
{
	*localAdapterNo = 0;
	return GetLocalNodeId(0, localNodeId);
}

static __inline__ sci_error_t GetAdapterType(unsigned int localAdapterNo, unsigned int *adapterType)
{
	return QueryAdapter(SCI_Q_ADAPTER_CARD_TYPE, localAdapterNo, 0, adapterType);
}

static __inline__ sci_error_t GetAdapterSerialNumber(
	unsigned int localAdapterNo, unsigned int *serialNo)
{
	return QueryAdapter(SCI_Q_ADAPTER_SERIAL_NUMBER, localAdapterNo, 0, serialNo);
}

static __inline__ sci_error_t GetAdapterIoBusFrequency(
	unsigned int localAdapterNo, unsigned int *frequency)
{
	return QueryAdapter(SCI_Q_ADAPTER_IO_BUS_FREQUENCY, localAdapterNo, 0, frequency);
}

static __inline__ sci_error_t GetAdapterSciLinkFrequency(
	unsigned int localAdapterNo, unsigned int *frequency)
{
	return QueryAdapter(SCI_Q_ADAPTER_SCI_LINK_FREQUENCY, localAdapterNo, 0, frequency);
}

static __inline__ sci_error_t GetAdapterBlinkFrequency(
	unsigned int localAdapterNo, unsigned int *frequency)
{
	return QueryAdapter(SCI_Q_ADAPTER_B_LINK_FREQUENCY, localAdapterNo, 0, frequency);
}

static __inline__ sci_error_t GetHostbridgeType(unsigned int *hostbridge)
{
	return QuerySystem(SCI_Q_SYSTEM_HOSTBRIDGE, hostbridge);
}

static __inline__ void PrintHostbridgeType(unsigned int hostbridge)
{
	printf("Hostbridge: %s\n", hostbridge == HOSTBRIDGE_NOT_AVAILABLE ? "none" : "unknown");
}

static __inline__ sci_error_t GetAPIVersionString(char text[], unsigned int length)
{
	sci_query_string_t query;
	sci_error_t error;

	query.str = text;
	query.length = length;
	SCIQuery(SCI_Q_API, &query, 0, &error);
	return error;
}

/* Tries until the other side waits for it. */
static __inline__ sci_error_t SendInterrupt(sci_desc_t sd, unsigned int localAdapterNo,
	unsigned int localNodeId, unsigned int remoteNodeId, unsigned int interruptNo)
{
	sci_remote_interrupt_t interrupt;
	sci_error_t error, ignored;
	struct timeval nap;

	(void)localNodeId;
	for (;;) {
		SCIConnectInterrupt(sd, &interrupt, remoteNodeId, localAdapterNo, interruptNo,
			SCI_INFINITE_TIMEOUT, 0, &error);
		if (error != SCI_ERR_NO_SUCH_INTNO)
			break;
		nap.tv_sec = 0;
		nap.tv_usec = 1000;
		select(0, 0, 0, 0, &nap);
	}
	if (error != SCI_ERR_OK)
		return error;
	SCITriggerInterrupt(interrupt, 0, &error);
	SCIDisconnectInterrupt(interrupt, 0, &ignored);
	return error;
}

static __inline__ sci_error_t ReceiveInterrupt(sci_desc_t sd, unsigned int localAdapterNo,
	unsigned int localNodeId, unsigned int interruptNo)
{
	sci_local_interrupt_t interrupt;
	sci_error_t error, ignored;

	(void)localNodeId;
	SCICreateInterrupt(
		sd, &interrupt, localAdapterNo, &interruptNo, 0, 0, SCI_FLAG_FIXED_INTNO, &error);
	if (error != SCI_ERR_OK)
		return error;
	SCIWaitForInterrupt(interrupt, SCI_INFINITE_TIMEOUT, 0, &error);
	SCIRemoveInterrupt(interrupt, 0, &ignored);
	return error;
}

static __inline__ unsigned int EndianSwap(unsigned int value)
{
	return value >> 24 | (value >> 8 & 0xff00u) | (value & 0xff00u) << 8 | value << 24;
}

static __inline__ void SleepMilliseconds(int milliseconds)
{
	struct timeval nap;

	nap.tv_sec = milliseconds / 1000;
	nap.tv_usec = milliseconds % 1000 * 1000;
	select(0, 0, 0, 0, &nap);
}

#ifdef __cplusplus
}
#endif

#endif
