/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_SHMBIND_CODES_H
#define API_SHMBIND_CODES_H

#define SHMBIND_API __attribute__((visibility("default")))

/* The one place that results leave by: 0, or -1 with one of the errnos that the manual has; want of
 * anything is ENOMEM. */
int shmbind_code(int result);

#endif
