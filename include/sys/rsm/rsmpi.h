/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On Solaris the interface between kernel agent and drivers, which does not exist here. Programs
 * take the permissions of whole access entries from it.
 */
#ifndef _SYS_RSM_RSMPI_H
#define _SYS_RSM_RSMPI_H

#include <sys/rsm/rsm_common.h>
#include <sys/rsm/rsmapi_common.h>

/* Programs repeat these definitions: keep them the same token by token. */
#define RSM_ACCESS_TRUSTED 0666
#define RSM_ACCESS_READ	   0444
#define RSM_ACCESS_WRITE   0222

#endif
