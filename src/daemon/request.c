/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

static const struct request_type types[] = {
	[WIRE_PING] = {request_ping, REQUEST_QUERY},
	[WIRE_CONTROLLER] = {request_controller, REQUEST_QUERY},
	[WIRE_TOPOLOGY] = {request_topology, REQUEST_QUERY},
	[WIRE_WATCH] = {request_watch, REQUEST_QUERY | REQUEST_HAS_FD},
	[WIRE_SEGMENT_CREATE] = {request_segment_create, 0},
	[WIRE_SEGMENT_PUBLISH] = {request_segment_publish, 0},
	[WIRE_SEGMENT_REPUBLISH] = {request_segment_republish, 0},
	[WIRE_SEGMENT_UNPUBLISH] = {request_segment_unpublish, 0},
	[WIRE_SEGMENT_DESTROY] = {request_segment_destroy, REQUEST_ENDS},
	[WIRE_SEGMENT_MEMORY] = {request_segment_memory, REQUEST_QUERY},
	[WIRE_IMPORT_CONNECT] = {request_import_connect, 0},
	[WIRE_IMPORT_DISCONNECT] = {request_import_disconnect, REQUEST_ENDS},
	[WIRE_IMPORT_MEMORY] = {request_import_memory, REQUEST_QUERY},
	[WIRE_IMPORT_RESULT] = {request_import_result, REQUEST_QUERY},
	[WIRE_ROUTE] = {request_route, REQUEST_QUERY},
	[WIRE_ROUTE_RENEW] = {request_route_renew, REQUEST_QUERY},
	[WIRE_RDMA] = {request_rdma, REQUEST_QUERY},
	[WIRE_RDMA_STATUS] = {request_rdma_status, REQUEST_QUERY},
	[WIRE_SEGMENT_OFFER] = {request_segment_offer, 0},
	[WIRE_SEGMENT_OPEN] = {request_segment_open, 0},
	[WIRE_SEGMENT_SHARE] = {request_segment_share, 0},
	[WIRE_SEGMENT_LEAVE] = {request_segment_leave, REQUEST_ENDS},
	[WIRE_SEGMENT_ATTACH] = {request_segment_attach, 0},
	[WIRE_SHM_INHERIT] = {request_shm_inherit, 0},
	[WIRE_CELLS] = {request_cells, REQUEST_QUERY},
	[WIRE_PIPE] = {request_pipe, REQUEST_QUERY},
	[WIRE_POKE] = {request_poke, REQUEST_QUERY},
	[WIRE_LIST] = {request_list, REQUEST_QUERY},
	[WIRE_SHOW] = {request_show, REQUEST_QUERY},
	[WIRE_CHECK_MAP] = {request_check_map, REQUEST_QUERY},
	[WIRE_STAT] = {request_stat, REQUEST_QUERY},
	[WIRE_NODES] = {request_nodes, REQUEST_QUERY},
	[WIRE_RELOAD] = {request_reload, REQUEST_QUERY},
	[WIRE_NODE_STATUS] = {request_node_status, REQUEST_QUERY},
	[WIRE_MAP_WATCH] = {request_map_watch, REQUEST_QUERY},
	[WIRE_ADVISE] = {request_advise, REQUEST_QUERY},
	[WIRE_OWNERS] = {request_owners, REQUEST_QUERY},
	[WIRE_COHERENT_STAT] = {request_coherent_stat, REQUEST_QUERY},
	[WIRE_SEGMENT_HOLD] = {request_segment_hold, REQUEST_QUERY},
	[WIRE_BINDING_ADD] = {request_binding_add, REQUEST_QUERY},
	[WIRE_BINDING_DONE] = {request_binding_done, REQUEST_QUERY},
	[WIRE_BINDING_LIST] = {request_binding_list, REQUEST_QUERY},
};

const struct request_type *request_type(uint32_t type)
{
	return type < ELEMENTS(types) && types[type].handle ? &types[type] : NULL;
}
