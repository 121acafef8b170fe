/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DIS_TYPES_H
#define DIS_TYPES_H

/* Types of the DIS software that programs for SISCI use. */

#define DIS_BROADCAST_NODEID_GROUP_ALL 252 /* node id that means all members of a group */
#define DIS_MAX_NSCIS		       8   /* nodes of a list, with the zeros behind them */
#define DIS_DMA_MAX_VECLEN	       256 /* elements of a DMA vector */

#ifdef __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wlong-long" /* C++98 has none */
__extension__ typedef unsigned long long dis_uint64_t;
#pragma GCC diagnostic pop
#else
typedef unsigned long long dis_uint64_t;
#endif

/* Node ids; what is not used is 0. */
typedef unsigned int dis_nodeId_list_t[DIS_MAX_NSCIS];

/* What is behind an adapter number. */
typedef enum {
	DIS_ADAPTER_TYPE_NONE = 0,
	DIS_ADAPTER_TYPE_LOOPBACK = 1, /* this node alone */
	DIS_ADAPTER_TYPE_TCP = 2       /* remote memory access over kernel TCP */
} dis_adapter_type_t;

typedef enum { DIS_VIRT_ADAPTER_NONE = 0, DIS_VIRT_ADAPTER_SINGLE = 1 } dis_virt_adapter_t;

/* One piece of a DMA transfer; flags are not looked at. */
typedef struct {
	unsigned int size;
	unsigned int local_offset;
	unsigned int remote_offset;
	unsigned int flags;
} dis_dma_vec_t;

#endif
