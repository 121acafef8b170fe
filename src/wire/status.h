/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_STATUS_H
#define WIRE_STATUS_H

/* The outcomes of status.def, as positive return values inside and as numbers on the wire. */

enum wire_status {
#define X(name, number, text) STATUS_##name = number,
#include "wire/status.def"
#undef X
};

/* "REVOKED"; NULL for a number that is none */
const char *wire_status_name(int status);

/* the sentence for a person; never NULL */
const char *wire_status_text(int status);

#endif
