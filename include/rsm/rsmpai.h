/* SPDX-License-Identifier: Apache-2.0 */
/* The guide's example misspells <rsm/rsmapi.h> this way. */
#ifndef _RSM_RSMPAI_H
#define _RSM_RSMPAI_H

#include <rsmapi.h>

#endif
