/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_CODES_H
#define SISCI_CODES_H

/*
 * The one map from what the engine says (0, enum wire_status, negative errno) to SISCI's codes, by
 * what was being done. A negative errno that is not lack of memory leaves errno set and is
 * SCI_ERR_SYSTEM.
 */

#include <sisci_error.h>

enum code_context {
	CODE_CREATE,   /* a segment or interrupt: its number may be taken */
	CODE_ATTACH,   /* to a segment of this node */
	CODE_CONNECT,  /* to a segment or interrupt: a missing one, a missing node: all one code */
	CODE_OPERATE,  /* on what one has: its end is ILLEGAL_OPERATION's or NOT_CONNECTED's matter
			*/
	CODE_TRANSFER, /* data that may not have arrived: TRANSFER_FAILED */
	CODE_MAP,
	CODE_PROBE,
};

sci_error_t code_of(enum code_context context, int result);

#endif
