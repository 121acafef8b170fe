/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What RSMAPI never had, not on Solaris either: text for its codes, size and state of an import, a
 * list of the segments that are published, and put and get that need not be waited for. Codes and
 * rules are those of rsmapi.h.
 */
#ifndef _RSM_RSMAPI_EXT_H
#define _RSM_RSMAPI_EXT_H

#include <rsmapi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A code in words, never NULL; the text lives for ever. */
const char *rsm_ext_strerror(int code);

/* Bytes of the segment behind an import, also of one that is broken. */
int rsm_ext_import_get_size(rsm_memseg_import_handle_t im_memseg, size_t *size);

typedef enum {
	RSM_EXT_CONNECTED = 1,
	RSM_EXT_REVOKED = 2,	   /* unpublished or destroyed */
	RSM_EXT_EXPORTER_GONE = 3, /* its process has ended */
	RSM_EXT_NODE_LOST = 4	   /* the way to it is gone */
} rsm_ext_state_t;

/* Only RSM_EXT_CONNECTED ever changes. */
int rsm_ext_import_get_state(rsm_memseg_import_handle_t im_memseg, rsm_ext_state_t *state);

/* How a part of a segment will be used through its map. */
#define RSM_EXT_ADVICE_NORMAL	  0u /* pages come one by one, more at a time when read in order */
#define RSM_EXT_ADVICE_SEQUENTIAL 1u /* in order: many pages at a time from the first on */
#define RSM_EXT_ADVICE_RANDOM	  2u /* always one by one */
#define RSM_EXT_ADVICE_WILL_NEED  3u /* to be read soon: the pages are asked for now */
#define RSM_EXT_ADVICE_HOLD	  4u /* of the whole segment: see value */

/*
 * Advises on a range of another node's segment that is mapped; what is loaded and stored there is
 * the same with any advice. For all maps that this node has of the segment; of a segment of this
 * node it does nothing. value: of RSM_EXT_ADVICE_HOLD, how many microseconds a page that has come
 * here stays at least, 1 to 1000000; otherwise it does not matter.
 */
int rsm_memseg_import_advise(rsm_memseg_import_handle_t im_memseg, off_t offset, size_t length,
	uint_t advice, uint_t value);

typedef struct {
	rsm_node_id_t node;
	rsm_memseg_id_t id;
	size_t size;		/* bytes */
	rsm_permission_t mode;	/* rights where no access list says otherwise, as 0644 */
	uint32_t pid, uid, gid; /* the exporter's */
	uint_t import_count;
	char command[16]; /* the exporting program */
} rsm_ext_segment_t;

/* The published segments that the caller may know of: those that he may connect to, and his own.
 * One block of memory, to be freed with rsm_ext_free_segments(); NULL and 0 if there are none. Of
 * this node; of another one, for whose answer it waits (node 0: this one). */
int rsm_ext_list_segments(rsm_ext_segment_t **segments, uint_t *segment_count);
int rsm_ext_list_node_segments(
	rsm_node_id_t node, rsm_ext_segment_t **segments, uint_t *segment_count);
void rsm_ext_free_segments(rsm_ext_segment_t *segments);

/* How a page's NUMA node is chosen from a set: one of these, or'ed with RSM_EXT_HARD or not. */
#define RSM_EXT_FIRSTREF 1u /* the set's node nearest to where the page is */
#define RSM_EXT_STRIPE	 2u /* evenly */
#define RSM_EXT_MOSTFREE 4u /* so that free memory is level */
#define RSM_EXT_HARD	 8u /* all pages must be there, else the call fails */

/*
 * Moves the pages of an export to these nodes of its machine: bit n of nodes is node n, n_bits bits
 * are read. For whoever imports the memory, until it is other memory: after an unpublish whose
 * importers keep the old one, or destroy. Pages that others have mapped stay, so it is to be called
 * before publish. RSMERR_INSUFFICIENT_MEM: RSM_EXT_HARD, and not all pages could be moved.
 */
int rsm_ext_export_place(rsm_memseg_export_handle_t memseg, uint_t policy,
	const unsigned long *nodes, uint_t n_bits);

/*
 * A transfer under way. The caller's memory; what is in it is the library's. From a start that
 * returned RSM_SUCCESS until test or wait returns anything but RSMERR_TIMEOUT (wait: or
 * RSMERR_INTERRUPTED) both this and the local memory must stay as they are. Afterwards it tells the
 * same result for ever and may be used for the next transfer.
 */
typedef struct {
	void *reserved[4];
} rsm_ext_request_t;

/*
 * Begin a put or get of length bytes and do not wait for it. Mistakes in the arguments are told at
 * once, and nothing has begun then; all that happens to the transfer is told when it is complete:
 * RSMERR_CONN_ABORTED, RSMERR_BARRIER_FAILURE … The barrier mode does not matter, and no barrier is
 * needed: completion of a put means that the bytes are in the segment. Transfers under way at the
 * same time may be done in any order.
 */
int rsm_ext_import_put_start(rsm_memseg_import_handle_t im_memseg, off_t offset,
	const void *src_addr, size_t length, rsm_ext_request_t *request);
int rsm_ext_import_get_start(rsm_memseg_import_handle_t im_memseg, off_t offset, void *dst_addr,
	size_t length, rsm_ext_request_t *request);

/* The result of a transfer; RSMERR_TIMEOUT: it is still under way. */
int rsm_ext_test(rsm_ext_request_t *request);
/* Waits for it, up to timeout milliseconds; negative: without end. RSMERR_TIMEOUT,
 * RSMERR_INTERRUPTED: it goes on. */
int rsm_ext_wait(rsm_ext_request_t *request, int timeout);

#ifdef __cplusplus
}
#endif

#endif
