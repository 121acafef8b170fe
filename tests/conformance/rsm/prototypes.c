/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 42 prototypes of rsmapi.md §4, declared once more: a compiler accepts the repetition only
 * when every type is the same. Spelt with the names of the specification, not copied from the
 * header.
 */
#include <rsmapi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* §4.1 */
extern int rsm_get_controller(char *, rsmapi_controller_handle_t *);
extern int rsm_get_controller_attr(rsmapi_controller_handle_t, rsmapi_controller_attr_t *);
extern int rsm_release_controller(rsmapi_controller_handle_t);
/* §4.2 */
extern int rsm_get_interconnect_topology(rsm_topology_t **);
extern void rsm_free_interconnect_topology(rsm_topology_t *);
/* §4.3 */
extern int rsm_memseg_export_create(
	rsmapi_controller_handle_t, rsm_memseg_export_handle_t *, void *, size_t, unsigned int);
extern int rsm_memseg_export_destroy(rsm_memseg_export_handle_t);
extern int rsm_memseg_export_rebind(rsm_memseg_export_handle_t, void *, offset_t, size_t);
extern int rsm_memseg_export_publish(
	rsm_memseg_export_handle_t, rsm_memseg_id_t *, rsmapi_access_entry_t *, unsigned int);
extern int rsm_memseg_export_republish(
	rsm_memseg_export_handle_t, rsmapi_access_entry_t *, unsigned int);
extern int rsm_memseg_export_unpublish(rsm_memseg_export_handle_t);
/* §4.4 */
extern int rsm_get_segmentid_range(const char *, rsm_memseg_id_t *, uint32_t *);
/* §4.5 */
extern int rsm_memseg_import_connect(rsmapi_controller_handle_t, rsm_node_id_t, rsm_memseg_id_t,
	rsm_permission_t, rsm_memseg_import_handle_t *);
extern int rsm_memseg_import_disconnect(rsm_memseg_import_handle_t);
/* §4.6 */
extern int rsm_memseg_import_get8(rsm_memseg_import_handle_t, off_t, uint8_t *, unsigned long);
extern int rsm_memseg_import_get16(rsm_memseg_import_handle_t, off_t, uint16_t *, unsigned long);
extern int rsm_memseg_import_get32(rsm_memseg_import_handle_t, off_t, uint32_t *, unsigned long);
extern int rsm_memseg_import_get64(rsm_memseg_import_handle_t, off_t, uint64_t *, unsigned long);
extern int rsm_memseg_import_put8(rsm_memseg_import_handle_t, off_t, uint8_t *, unsigned long);
extern int rsm_memseg_import_put16(rsm_memseg_import_handle_t, off_t, uint16_t *, unsigned long);
extern int rsm_memseg_import_put32(rsm_memseg_import_handle_t, off_t, uint32_t *, unsigned long);
extern int rsm_memseg_import_put64(rsm_memseg_import_handle_t, off_t, uint64_t *, unsigned long);
extern int rsm_memseg_import_get(rsm_memseg_import_handle_t, off_t, void *, size_t);
extern int rsm_memseg_import_put(rsm_memseg_import_handle_t, off_t, void *, size_t);
/* §4.7 */
extern int rsm_memseg_import_putv(rsm_scat_gath_t *);
extern int rsm_memseg_import_getv(rsm_scat_gath_t *);
extern int rsm_create_localmemory_handle(
	rsmapi_controller_handle_t, rsm_localmemory_handle_t *, char *, size_t);
extern int rsm_free_localmemory_handle(rsmapi_controller_handle_t, rsm_localmemory_handle_t);
/* §4.8 */
extern int rsm_memseg_import_map(
	rsm_memseg_import_handle_t, void **, rsm_attribute_t, rsm_permission_t, off_t, size_t);
extern int rsm_memseg_import_unmap(rsm_memseg_import_handle_t);
/* §4.9 */
extern int rsm_memseg_import_init_barrier(
	rsm_memseg_import_handle_t, rsm_barrier_type_t, rsmapi_barrier_t *);
extern int rsm_memseg_import_open_barrier(rsmapi_barrier_t *);
extern int rsm_memseg_import_order_barrier(rsmapi_barrier_t *);
extern int rsm_memseg_import_close_barrier(rsmapi_barrier_t *);
extern int rsm_memseg_import_destroy_barrier(rsmapi_barrier_t *);
extern int rsm_memseg_import_set_mode(rsm_memseg_import_handle_t, rsm_barrier_mode_t);
extern int rsm_memseg_import_get_mode(rsm_memseg_import_handle_t, rsm_barrier_mode_t *);
/* §4.10 */
extern int rsm_intr_signal_post(void *, unsigned int);
extern int rsm_intr_signal_wait(void *, int);
extern int rsm_memseg_get_pollfd(void *, struct pollfd *);
extern int rsm_memseg_release_pollfd(void *);
extern int rsm_intr_signal_wait_pollfd(struct pollfd *, nfds_t, int, int *);

#ifdef __cplusplus
}
#endif
