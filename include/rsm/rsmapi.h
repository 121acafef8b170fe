/* SPDX-License-Identifier: Apache-2.0 */
/* The programming guide's place for <rsmapi.h>. */
#ifndef _RSM_RSMAPI_H
#define _RSM_RSMAPI_H

#include <rsmapi.h>

#endif
