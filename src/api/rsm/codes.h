/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_RSM_CODES_H
#define API_RSM_CODES_H

/* The one way from our results to RSM's codes. */

#include <rsmapi.h>

#define RSM_API __attribute__((visibility("default")))

/* Whom a call was about: some outcomes have another code on each side. */
enum rsm_about {
	ABOUT_CONTROLLER,
	ABOUT_TOPOLOGY,
	ABOUT_EXPORT,
	ABOUT_IMPORT,
};

/* result: 0, enum wire_status or a negative errno; never lets an errno through. */
int rsm_code(int result, enum rsm_about about);

#endif
