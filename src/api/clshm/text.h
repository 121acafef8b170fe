/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CLSHM_TEXT_H
#define API_CLSHM_TEXT_H

#include <string.h>
#include "base/error.h"
#include "base/usercopy.h"

/* Text with its end to where the program has room for max bytes. -ENAMETOOLONG, -EFAULT. */
static inline int text_write(char *user, int max, const char *text)
{
	size_t n = strlen(text) + 1;

	return max < 0 || n > (size_t)max ? -ENAMETOOLONG : user_write(user, text, n);
}

#endif
