/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that a library may not have yet: a test that needs one is skipped with the reason, and
 * the program builds and starts all the same.
 */
#ifndef TESTS_CONFORMANCE_RSM_OPTIONAL_H
#define TESTS_CONFORMANCE_RSM_OPTIONAL_H

#include "rig.h"

#pragma weak rsm_get_segmentid_range
#pragma weak rsm_memseg_export_rebind
#pragma weak rsm_memseg_import_putv
#pragma weak rsm_memseg_import_getv
#pragma weak rsm_create_localmemory_handle
#pragma weak rsm_free_localmemory_handle
#pragma weak rsm_intr_signal_wait_pollfd
#pragma weak rsm_memseg_get_pollfd
#pragma weak rsm_memseg_release_pollfd

#define NEED_FUNCTION(function)                                                                    \
	do {                                                                                       \
		if (!function)                                                                     \
			rig_skip("the library has no " #function);                                 \
	} while (0)

#endif
