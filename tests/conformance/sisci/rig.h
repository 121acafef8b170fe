/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rig of the SISCI conformance tests. Beside the general one's macros OK and CODE note a
 * failure and go on; NEED ends the test.
 */
#ifndef TESTS_CONFORMANCE_SISCI_RIG_H
#define TESTS_CONFORMANCE_SISCI_RIG_H

#include <sisci_api.h>

#include "../rig/rig.h"

#define RIG_POISON ((sci_error_t)0x7eadbeef)

/* CODE(SCI_ERR_BUSY, SCIClose, sd, 0): the call with &error added must say this. */
#define CODE(code, function, ...)                                                                  \
	do {                                                                                       \
		sci_error_t rig_error = RIG_POISON;                                                \
                                                                                                   \
		(void)function(__VA_ARGS__, &rig_error);                                           \
		rig_code(__FILE__, __LINE__, #function "(" #__VA_ARGS__ ")", rig_error, code);     \
	} while (0)
#define OK(function, ...) CODE(SCI_ERR_OK, function, __VA_ARGS__)
/* The test makes no sense without this. */
#define NEED(function, ...)                                                                        \
	do {                                                                                       \
		sci_error_t rig_error = RIG_POISON;                                                \
                                                                                                   \
		(void)function(__VA_ARGS__, &rig_error);                                           \
		rig_need(__FILE__, __LINE__, #function "(" #__VA_ARGS__ ")", (int)rig_error);      \
	} while (0)
/* The code that a call says, as an expression. */
#define SAYS(function, ...)                                                                        \
	({                                                                                         \
		sci_error_t rig_error = RIG_POISON;                                                \
                                                                                                   \
		(void)function(__VA_ARGS__, &rig_error);                                           \
		rig_error;                                                                         \
	})

void rig_code(const char *file, int line, const char *what, sci_error_t got, sci_error_t code);

/* A number for a segment or an interrupt that no other run on this machine uses now. */
unsigned int rig_id(void);

/* Shortcuts that end the test when they fail. */
sci_desc_t rig_open(void); /* SCIInitialize, SCIOpen */
unsigned int rig_node(void);
/* Created, prepared, available. */
sci_local_segment_t rig_segment(sci_desc_t sd, unsigned int id, size_t size);
sci_remote_segment_t rig_connect(sci_desc_t sd, unsigned int node, unsigned int id);

#endif
