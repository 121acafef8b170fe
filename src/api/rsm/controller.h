/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_RSM_CONTROLLER_H
#define API_RSM_CONTROLLER_H

#include <stdint.h>
#include <rsmapi.h>

/* The kind (enum wire_controller_kind) of a controller handle; 0: a bad handle. */
uint32_t controller_kind(rsmapi_controller_handle_t handle);

#endif
