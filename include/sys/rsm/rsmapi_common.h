/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote shared memory: what the library and its users exchange, that is handles, flags and
 * structures. Field order and sizes are those of Solaris on 64 bits. The programming guide spells
 * some fields and types in another way than the headers; both spellings work here. Structures that
 * programs initialise by position have macros for that: an anonymous union in them would make every
 * such initialiser a -Wmissing-braces warning.
 */
#ifndef _SYS_RSM_RSMAPI_COMMON_H
#define _SYS_RSM_RSMAPI_COMMON_H

#include <sys/rsm/rsm_common.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct __rsm_memseg_import_handle *rsm_memseg_import_handle_t;
typedef struct __rsm_memseg_export_handle *rsm_memseg_export_handle_t;
typedef struct __rsm_localmemory_handle *rsm_localmemory_handle_t;
typedef struct __rsmapi_controller_handle *rsmapi_controller_handle_t;

typedef rsm_node_id_t rsm_nodeid_t; /* guide */

/* Flags of rsm_memseg_export_create(). */
#define RSM_ALLOW_REBIND	0x01
#define RSM_CREATE_SEG_DONTWAIT 0x02
#define RSM_LOCK_OPS                                                                               \
	0x04 /* ours: in the manuals only; publish answers RSMERR_LOCKS_NOT_SUPPORTED */

/* Flags of rsm_intr_signal_post() and rsm_scat_gath_t. */
#define RSM_IMPLICIT_SIGPOST	   0x01
#define RSM_SIGPOST_NO_ACCUMULATE  0x02
#define RSM_SIG_POST_NO_ACCUMULATE RSM_SIGPOST_NO_ACCUMULATE /* a manual page's spelling */

typedef enum { RSM_MAP_NONE = 0x0, RSM_MAP_FIXED = 0x1, RSM_MAP_RESERVED = 0x2 } rsm_attribute_t;

typedef rsm_attribute_t rsm_map_attr_t; /* guide */

/* Access sizes: bit k stands for 2^k bytes. Page sizes: bit i stands for 1024 << i bytes. */
typedef struct {
	uint_t attr_direct_access_sizes;
	uint_t attr_atomic_sizes;
	size_t attr_page_size;
	size_t attr_max_export_segment_size;
	size_t attr_tot_export_segment_size;
	ulong_t attr_max_export_segments;
	size_t attr_max_import_map_size;
	size_t attr_tot_import_map_size;
	ulong_t attr_max_import_segments;
} rsmapi_controller_attr_t;

typedef struct {
	rsm_node_id_t ae_node;
	rsm_permission_t ae_permission;
} rsmapi_access_entry_t;

#define ae_permissions ae_permission /* guide */

typedef rsmapi_access_entry_t rsm_access_entry_t; /* guide's example */
#define ae_addr ae_node

/* Allocated by the caller, written by the library only; must stay where it is until destroyed. */
typedef struct {
	void *seg;
	uint16_t gnum;
	void *privdata;
} rsmapi_barrier_t;

#define RSM_MAX_SGIOREQS 16

/* Values of io_type. */
#define RSM_HANDLE_TYPE 0x01
#define RSM_VA_TYPE	0x02

typedef struct {
	int io_type;
	union {
		rsm_localmemory_handle_t handle;
		caddr_t vaddr;
		caddr_t virtual_addr; /* guide */
	} local;
	size_t local_offset;
	size_t remote_offset;
	size_t transfer_length;
} rsm_iovec_t;

#define import_segment_offset remote_offset /* guide */

typedef struct {
	rsm_node_id_t local_nodeid;
	ulong_t io_request_count;
	ulong_t io_residual_count;
	uint_t flags;
	rsm_memseg_import_handle_t remote_handle;
	rsm_iovec_t *iovec;
} rsm_scat_gath_t;

#define RSM_CONNECTION_ACTIVE 3

typedef struct {
	rsm_node_id_t local_nodeid;
	uint_t local_cntlr_count;
} rsm_topology_hdr_t;

typedef struct {
	char cntlr_name[RSM_MAXNAMELEN];
	rsm_addr_t local_hwaddr;
	int remote_cntlr_count;
} rsm_connections_hdr_t;

typedef struct {
	rsm_node_id_t remote_nodeid;
	char remote_cntlrname[RSM_MAXNAMELEN];
	rsm_addr_t remote_hwaddr;
	uint_t connection_state;
} rsm_remote_cntlr_t;

typedef struct rsm_connection {
	rsm_connections_hdr_t hdr;
	rsm_remote_cntlr_t remote_cntlr[1]; /* hdr.remote_cntlr_count of them */
} rsm_connections_t;

typedef rsm_connections_t connections_t; /* guide */

typedef struct rsm_topology {
	__extension__ union {
		rsm_topology_hdr_t topology_hdr;
		__extension__ struct {
			rsm_nodeid_t local_nodeid; /* guide */
			uint_t local_cntrl_count;  /* guide */
		};
	};
	rsm_connections_t *connections[1]; /* topology_hdr.local_cntlr_count of them */
} rsm_topology_t;

#ifdef __cplusplus
}
#endif

#endif
