/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programming guide's example asks of the headers (rsmapi.md §7), in a program of our own:
 * the misspelt header, library functions declared by hand without parameters, permissions defined a
 * second time, driver-level access entries, and functions named export and import. Only compiled.
 */
#include <stdio.h>

#include <rsm/rsmpai.h>

#include <errno.h>

#define RSM_PERM_READ  0400
#define RSM_PERM_WRITE 0200
/* clang-format off */
#define RSM_PERM_RDWR (RSM_PERM_READ|RSM_PERM_WRITE)
/* clang-format on */
#define RSM_ACCESS_TRUSTED 0666

#define SEGMENT_ID   0x400000
#define SEGMENT_SIZE 8192

extern void *valloc();
extern void exit();
extern void sleep();
extern int atoi();

typedef struct {
	char out;
	char in;
	char data[1];
} message_t;

rsm_topology_t *topology;
rsm_memseg_id_t segment_id = SEGMENT_ID;
rsmapi_controller_handle_t controller;
rsmapi_controller_attr_t attributes;
rsm_memseg_export_handle_t export_handle;
rsm_memseg_import_handle_t import_handle;
rsm_access_entry_t list[2];
rsm_node_id_t destination;
volatile char *mapping;

static int export(void)
{
	void *buffer = valloc(SEGMENT_SIZE);

	list[0].ae_addr = 1;
	list[0].ae_permission = RSM_ACCESS_TRUSTED;
	list[1].ae_addr = 2;
	list[1].ae_permission = RSM_ACCESS_TRUSTED;
	if (rsm_memseg_export_create(controller, &export_handle, buffer, SEGMENT_SIZE, 0) != 0)
		return 1;
	if (rsm_memseg_export_publish(export_handle, &segment_id, list, 0) != 0)
		return 1;
	while (((message_t *)buffer)->out == ((message_t *)buffer)->in)
		rsm_intr_signal_wait(export_handle, 1000);
	while (rsm_memseg_export_unpublish(export_handle) != 0)
		sleep(1);
	return rsm_memseg_export_destroy(export_handle);
}

static int import(void)
{
	rsmapi_barrier_t barrier;
	void *address = 0;

	while (rsm_memseg_import_connect(
		       controller, destination, segment_id, RSM_PERM_RDWR, &import_handle) != 0)
		sleep(1);
	if (rsm_memseg_import_map(
		    import_handle, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SEGMENT_SIZE) != 0)
		exit(1);
	mapping = address;
	if (rsm_memseg_import_init_barrier(import_handle, RSM_BAR_DEFAULT, &barrier) != 0)
		exit(1);
	do {
		rsm_memseg_import_open_barrier(&barrier);
		mapping[2] = 'a';
		rsm_memseg_import_order_barrier(&barrier);
		mapping[1]++;
	} while (rsm_memseg_import_close_barrier(&barrier) != 0);
	rsm_intr_signal_post(import_handle, 0);
	rsm_memseg_import_unmap(import_handle);
	return rsm_memseg_import_disconnect(import_handle);
}

int main(int argc, char **argv)
{
	int error = rsm_get_controller("sci0", &controller);

	if (error == 0)
		error = rsm_get_controller_attr(controller, &attributes);
	if (error == 0)
		error = rsm_get_interconnect_topology(&topology);
	if (error != 0) {
		printf("error %d, errno %d\n", error, errno);
		exit(1);
	}
	printf("node %u\n", topology->topology_hdr.local_nodeid);
	destination = (rsm_node_id_t)(argc > 2 ? atoi(argv[2]) : 0);
	if (destination == 0)
		destination = topology->local_nodeid;
	return argc > 1 ? export() : import();
}
