/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every size, offset and constant of rsmapi.md §2 and §3, checked by the compiler. Compiled under
 * each standard of C and C++ by test-headers, hence the oldest form of a static assertion.
 */
#include <rsmapi.h>

#include <stddef.h>

#define JOIN2(a, b)		a##b
#define JOIN(a, b)		JOIN2(a, b)
#define CHECK(what)		extern char JOIN(check_, __LINE__)[(what) ? 1 : -1]
#define SIZE(type, size)	CHECK(sizeof(type) == (size))
#define AT(type, field, offset) CHECK(offsetof(type, field) == (offset))
#define IS(name, value)		CHECK((name) == (value))

/* §2.1 scalars and handles */
SIZE(uint_t, 4);
SIZE(ulong_t, 8);
SIZE(uchar_t, 1);
SIZE(offset_t, 8);
SIZE(minor_t, 4);
SIZE(caddr_t, 8);
SIZE(rsm_addr_t, 8);
SIZE(rsm_node_id_t, 4);
SIZE(rsm_nodeid_t, 4);
SIZE(rsm_memseg_id_t, 4);
SIZE(rsm_permission_t, 4);
SIZE(rsm_memseg_import_handle_t, 8);
SIZE(rsm_memseg_export_handle_t, 8);
SIZE(rsm_localmemory_handle_t, 8);
SIZE(rsmapi_controller_handle_t, 8);
SIZE(rsm_access_size_t, 4);
SIZE(rsm_barrier_type_t, 4);
SIZE(rsm_barrier_mode_t, 4);
SIZE(rsm_attribute_t, 4);
SIZE(rsm_map_attr_t, 4);
CHECK((offset_t)-1 < 0);
IS(MAXNAMELEN, 256);
IS(B_FALSE, 0);
IS(B_TRUE, 1);

/* §2.2 permissions */
IS(RSM_PERM_NONE, 0);
IS(RSM_PERM_READ, 0400);
IS(RSM_PERM_WRITE, 0200);
IS(RSM_PERM_RDWR, 0600);

/* §2.3 enumerations */
IS(RSM_DAS8, 1);
IS(RSM_DAS16, 2);
IS(RSM_DAS32, 4);
IS(RSM_DAS64, 8);
IS(RSM_BARRIER_SEGMENT, 0x01);
IS(RSM_BARRIER_NODE, 0x02);
IS(RSM_BARRIER_SEGMENT_THREAD, 0x11);
IS(RSM_BARRIER_NODE_THREAD, 0x12);
IS(RSM_BARRIER_MODE_EXPLICIT, 0);
IS(RSM_BARRIER_MODE_IMPLICIT, 1);
IS(RSM_MAP_NONE, 0);
IS(RSM_MAP_FIXED, 1);
IS(RSM_MAP_RESERVED, 2);
IS(RSM_BAR_DEFAULT, RSM_BARRIER_NODE);

/* §2.4 flags and limits; Decisions 1 for RSM_LOCK_OPS */
IS(RSM_ALLOW_REBIND, 1);
IS(RSM_CREATE_SEG_DONTWAIT, 2);
IS(RSM_LOCK_OPS, 4);
IS(RSM_IMPLICIT_SIGPOST, 1);
IS(RSM_SIGPOST_NO_ACCUMULATE, 2);
IS(RSM_SIG_POST_NO_ACCUMULATE, 2);
IS(RSM_HANDLE_TYPE, 1);
IS(RSM_VA_TYPE, 2);
IS(RSM_MAX_SGIOREQS, 16);
IS(RSM_CONNECTION_ACTIVE, 3);
IS(RSM_VERSION, 5);

/* §2.5 ranges of segment ids */
IS(RSM_DRIVER_PRIVATE_ID_BASE, 0);
IS(RSM_DRIVER_PRIVATE_ID_END, 0x0FFFFF);
IS(RSM_CLUSTER_TRANSPORT_ID_BASE, 0x100000);
IS(RSM_CLUSTER_TRANSPORT_ID_END, 0x1FFFFF);
IS(RSM_RSMLIB_ID_BASE, 0x200000);
IS(RSM_RSMLIB_ID_END, 0x2FFFFF);
IS(RSM_DLPI_ID_BASE, 0x300000);
IS(RSM_DLPI_ID_END, 0x3FFFFF);
IS(RSM_HPC_ID_BASE, 0x400000);
IS(RSM_HPC_ID_END, 0x4FFFFF);
IS(RSM_OPS_ID_BASE, 0x500000);
IS(RSM_OPS_ID_END, 0x5FFFFF);
IS(RSM_USER_APP_ID_BASE, 0x80000000);
IS(RSM_USER_APP_ID_END, 0xFFFFFFFF);

/* §2.6 structures */
SIZE(rsmapi_controller_attr_t, 64);
AT(rsmapi_controller_attr_t, attr_direct_access_sizes, 0);
AT(rsmapi_controller_attr_t, attr_atomic_sizes, 4);
AT(rsmapi_controller_attr_t, attr_page_size, 8);
AT(rsmapi_controller_attr_t, attr_max_export_segment_size, 16);
AT(rsmapi_controller_attr_t, attr_tot_export_segment_size, 24);
AT(rsmapi_controller_attr_t, attr_max_export_segments, 32);
AT(rsmapi_controller_attr_t, attr_max_import_map_size, 40);
AT(rsmapi_controller_attr_t, attr_tot_import_map_size, 48);
AT(rsmapi_controller_attr_t, attr_max_import_segments, 56);
SIZE(rsmapi_access_entry_t, 8);
AT(rsmapi_access_entry_t, ae_node, 0);
AT(rsmapi_access_entry_t, ae_permission, 4);
SIZE(rsmapi_barrier_t, 24);
AT(rsmapi_barrier_t, seg, 0);
AT(rsmapi_barrier_t, gnum, 8);
AT(rsmapi_barrier_t, privdata, 16);
SIZE(rsm_iovec_t, 40);
AT(rsm_iovec_t, io_type, 0);
AT(rsm_iovec_t, local, 8);
AT(rsm_iovec_t, local.handle, 8);
AT(rsm_iovec_t, local.vaddr, 8);
AT(rsm_iovec_t, local_offset, 16);
AT(rsm_iovec_t, remote_offset, 24);
AT(rsm_iovec_t, transfer_length, 32);
SIZE(rsm_scat_gath_t, 48);
AT(rsm_scat_gath_t, local_nodeid, 0);
AT(rsm_scat_gath_t, io_request_count, 8);
AT(rsm_scat_gath_t, io_residual_count, 16);
AT(rsm_scat_gath_t, flags, 24);
AT(rsm_scat_gath_t, remote_handle, 32);
AT(rsm_scat_gath_t, iovec, 40);
SIZE(rsm_topology_hdr_t, 8);
AT(rsm_topology_hdr_t, local_nodeid, 0);
AT(rsm_topology_hdr_t, local_cntlr_count, 4);
SIZE(rsm_connections_hdr_t, 272);
AT(rsm_connections_hdr_t, cntlr_name, 0);
AT(rsm_connections_hdr_t, local_hwaddr, 256);
AT(rsm_connections_hdr_t, remote_cntlr_count, 264);
SIZE(rsm_remote_cntlr_t, 280);
AT(rsm_remote_cntlr_t, remote_nodeid, 0);
AT(rsm_remote_cntlr_t, remote_cntlrname, 4);
AT(rsm_remote_cntlr_t, remote_hwaddr, 264);
AT(rsm_remote_cntlr_t, connection_state, 272);
SIZE(rsm_connections_t, 552);
AT(rsm_connections_t, hdr, 0);
AT(rsm_connections_t, remote_cntlr, 272);
SIZE(rsm_topology_t, 16);
AT(rsm_topology_t, topology_hdr, 0);
AT(rsm_topology_t, connections, 8);
SIZE(rsm_barrier_component_t, 8);
AT(rsm_barrier_component_t, u64, 0);
AT(rsm_barrier_component_t, i64, 0);
AT(rsm_barrier_component_t, u32, 0);
AT(rsm_barrier_component_t, i32, 0);
AT(rsm_barrier_component_t, u16, 0);
AT(rsm_barrier_component_t, i16, 0);
AT(rsm_barrier_component_t, u8, 0);
AT(rsm_barrier_component_t, i8, 0);
AT(rsm_barrier_component_t, uc, 0);
AT(rsm_barrier_component_t, c, 0);
AT(rsm_barrier_component_t, vp, 0);
SIZE(rsm_barrier_t, 32);
AT(rsm_barrier_t, comp, 0);
CHECK(sizeof(struct rsm_connection) == sizeof(rsm_connections_t));
CHECK(sizeof(struct rsm_topology) == sizeof(rsm_topology_t));

/* §2.6 spellings of the guide and its example */
SIZE(rsm_access_entry_t, 8);
AT(rsm_access_entry_t, ae_addr, 0);
AT(rsmapi_access_entry_t, ae_permissions, 4);
AT(rsm_iovec_t, local.virtual_addr, 8);
AT(rsm_iovec_t, import_segment_offset, 24);
AT(rsm_topology_t, local_nodeid, 0);
AT(rsm_topology_t, local_cntrl_count, 4);
SIZE(connections_t, 552);

/* Initialisers by position stay free of warnings. */
rsmapi_access_entry_t positional_list[2] = {{1, RSM_PERM_RDWR}, {2, 0666}};
rsm_iovec_t positional_vector = {RSM_VA_TYPE, {0}, 0, 0, 1};

/* §3 return codes */
IS(RSM_SUCCESS, 0);
IS(RSMERR_BAD_LIBRARY_VERSION, 1);
IS(RSMERR_BAD_TOPOLOGY_PTR, 2);
IS(RSMERR_BAD_CTLR_HNDL, 3);
IS(RSMERR_CTLR_NOT_PRESENT, 4);
IS(RSMERR_BAD_SEG_HNDL, 5);
IS(RSMERR_SEG_ALREADY_PUBLISHED, 6);
IS(RSMERR_SEG_NOT_PUBLISHED, 7);
IS(RSMERR_SEG_NOT_PUBLISHED_TO_NODE, 8);
IS(RSMERR_SEG_ALREADY_MAPPED, 9);
IS(RSMERR_SEG_STILL_MAPPED, 10);
IS(RSMERR_SEG_NOT_MAPPED, 11);
IS(RSMERR_NOT_CREATOR, 12);
IS(RSMERR_BAD_BARRIER_PTR, 13);
IS(RSMERR_BAD_SGIO, 14);
IS(RSMERR_BAD_LOCALMEM_HNDL, 15);
IS(RSMERR_BAD_ADDR, 16);
IS(RSMERR_BAD_MEM_ALIGNMENT, 17);
IS(RSMERR_BAD_OFFSET, 18);
IS(RSMERR_MISALIGNED_OFFSET, 19);
IS(RSMERR_BAD_LENGTH, 20);
IS(RSMERR_BAD_ACL, 21);
IS(RSMERR_BAD_SEGID, 22);
IS(RSMERR_RESERVED_SEGID, 23);
IS(RSMERR_SEGID_IN_USE, 24);
IS(RSMERR_BAD_MODE, 25);
IS(RSMERR_BAD_PERMS, 26);
IS(RSMERR_PERM_DENIED, 27);
IS(RSMERR_LOCKS_NOT_SUPPORTED, 28);
IS(RSMERR_LOCKS_NOT_ENABLED, 29);
IS(RSMERR_REBIND_NOT_ALLOWED, 30);
IS(RSMERR_INSUFFICIENT_RESOURCES, 31);
IS(RSMERR_INSUFFICIENT_MEM, 32);
IS(RSMERR_MAP_FAILED, 33);
IS(RSMERR_POLLFD_IN_USE, 34);
IS(RSMERR_BARRIER_UNINITIALIZED, 35);
IS(RSMERR_BARRIER_OPEN_FAILED, 36);
IS(RSMERR_BARRIER_NOT_OPENED, 37);
IS(RSMERR_BARRIER_FAILURE, 38);
IS(RSMERR_REMOTE_NODE_UNREACHABLE, 39);
IS(RSMERR_CONN_ABORTED, 40);
IS(RSMERR_INTERRUPTED, 41);
IS(RSMERR_TIMEOUT, 42);
IS(RSMERR_BAD_APPID, 43);
IS(RSMERR_BAD_CONF, 44);
IS(RSMERR_SEG_NOT_CONNECTED, 45);
IS(RSMERR_INTERNAL_ERROR, 100);
IS(RSMERR_BAD_DRIVER_VERSION, 101);
IS(RSMERR_UNSUPPORTED_VERSION, 102);
IS(RSMERR_DRIVER_NAME_IN_USE, 103);
IS(RSMERR_DRIVER_NOT_REGISTERED, 104);
IS(RSMERR_DRIVER_THREAD_RUNNING, 105);
IS(RSMERR_NEED_THREAD_INIT, 106);
IS(RSMERR_THREAD_NOT_INITED, 107);
IS(RSMERR_CTLRS_REGISTERED, 108);
IS(RSMERR_CTLR_NOT_REGISTERED, 109);
IS(RSMERR_CTLR_ALREADY_REGISTERED, 110);
IS(RSMERR_CTLR_IN_USE, 111);
IS(RSMERR_NAME_TOO_LONG, 112);
IS(RSMERR_SEG_PUBLISHED, 113);
IS(RSMERR_SEG_NOT_PUBLISHED_TO_RSM_ADDR, 114);
IS(RSMERR_SEG_IN_USE, 115);
IS(RSMERR_BAD_SENDQ_HNDL, 116);
IS(RSMERR_BAD_ARGS_ERRORS, 117);
IS(RSMERR_BAD_MSTYPE, 118);
IS(RSMERR_NO_BACKING_MEM, 119);
IS(RSMERR_NOT_MEM, 120);
IS(RSMERR_MEM_ALREADY_BOUND, 121);
IS(RSMERR_MEM_NOT_BOUND, 122);
IS(RSMERR_HANDLER_NOT_REGISTERED, 123);
IS(RSMERR_NO_HANDLER, 124);
IS(RSMERR_UNBIND_REBIND_NOT_ALLOWED, 125);
IS(RSMERR_CALLBACKS_NOT_SUPPORTED, 126);
IS(RSMERR_UNSUPPORTED_OPERATION, 127);
IS(RSMERR_RSM_ADDR_UNREACHABLE, 128);
IS(RSMERR_UNKNOWN_RSM_ADDR, 129);
IS(RSMERR_BAD_BARRIER_HNDL, 130);
IS(RSMERR_COMM_ERR_MAYBE_DELIVERED, 131);
IS(RSMERR_COMM_ERR_NOT_DELIVERED, 132);
IS(RSMERR_QUEUE_FENCE_UP, 133);
IS(RSMERR_QUEUE_FULL, 134);
