/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_RSM_CODES_H
#define API_RSM_CODES_H

/* The one way from our results to RSM's codes. */

#include <stdbool.h>
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

/* The same for calls that document fewer codes, or have another one for an outcome. */
int rsm_code_get_controller(int result);
int rsm_code_map(int result);
/* Of put and get in all their forms. In explicit mode what fails with the connection is told when
 * the barrier is ordered or closed. */
int rsm_code_transfer(int result, bool explicit_mode);
int rsm_code_wait_pollfd(int result);

#endif
