/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_SHMBIND_COMMIT_H
#define API_SHMBIND_COMMIT_H

/* All pages of a bound segment allocated at once, or none. */

#include "api/shmbind/segment.h"
#include "placement/plan.h"

/* -ENOMEM: the pages could not all be had where they belong, and none is left. */
int commit_pages(const struct attachment *a, const struct placement *placement);

#endif
