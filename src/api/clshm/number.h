/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CLSHM_NUMBER_H
#define API_CLSHM_NUMBER_H

/* Keys and shmids, which have one form. */

#include <stdbool.h>
#include "wire/message.h"

/* One that some daemon may have made; all others are nobody's. */
static inline bool number_is_possible(int number)
{
	return number > 0 && WIRE_SHM_PARTITION(number) < WIRE_SHM_PARTITIONS &&
	       WIRE_SHM_NUMBER(number);
}

#endif
