/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_DESC_H
#define SISCI_DESC_H

/*
 * Descriptors. SCIClose() gives up what is idle (object.h, busy) and refuses where something is in
 * use; SCITerminate() ends everything.
 */

#include "api/sisci/object.h"

/* With a reference, or NULL. */
static inline struct object *desc_get(sci_desc_t sd)
{
	return object_get(sd, SISCI_DESC);
}

#endif
