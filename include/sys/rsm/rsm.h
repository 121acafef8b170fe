/* SPDX-License-Identifier: Apache-2.0 */
/* On Solaris the kernel agent's own header; here what it has in common with the library. */
#ifndef _SYS_RSM_RSM_H
#define _SYS_RSM_RSM_H

#include <sys/rsm/rsm_common.h>
#include <sys/rsm/rsmapi_common.h>

#endif
