/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_USERCOPY_H
#define BASE_USERCOPY_H

/*
 * Reading and writing where a program points, as a system call would: an address that is none gives
 * -EFAULT and no signal, because it is the kernel that copies. Thread safe.
 */

#include <stddef.h>

int user_read(void *to, const void *user, size_t n);
int user_write(void *user, const void *from, size_t n);

#endif
