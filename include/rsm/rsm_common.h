/* SPDX-License-Identifier: Apache-2.0 */
/* The manuals' place for <sys/rsm/rsm_common.h>. */
#ifndef _RSM_RSM_COMMON_H
#define _RSM_RSM_COMMON_H

#include <sys/rsm/rsm_common.h>

#endif
