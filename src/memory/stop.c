/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/stop.h"

#include "memory/adopt.h"

int stop_others(struct stop *stop)
{
	return MEMORY_NO_RIGHT;
}

void stop_release(struct stop *stop)
{
}
