/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CLSHM_CODES_H
#define API_CLSHM_CODES_H

/* The one way from our results to errno, by what was being done. */

enum code_context {
	CODE_PARTITION, /* named by the program: one that is not up does not exist */
	CODE_SEGMENT,
	CODE_ATTACH, /* what runs out is the process's */
	CODE_PLACE,  /* rights are shmbind(3)'s */
};

/* An errno for a result that is not 0: enum wire_status or a negative errno. */
int code_of(enum code_context context, int result);

#endif
