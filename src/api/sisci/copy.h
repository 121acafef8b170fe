/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_COPY_H
#define SISCI_COPY_H

#include "api/sisci/map.h"

/* Bytes into a map and out of it; the range is the caller's to check. SCI_ERR_TRANSFER_FAILED: they
 * may not have arrived. */
sci_error_t map_write(struct map *m, uint64_t offset, const void *from, uint64_t size);
sci_error_t map_read(struct map *m, uint64_t offset, void *to, uint64_t size);

#endif
