/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled, not run: the prototypes of the RFC, and a header that needs no other. */
#include <shmbind.h>

int (*const shmbind_prototype)(
	int shmid, int policy, unsigned long *mask_ptr, int mask_len) = shmbind;
int (*const shmbind_get_prototype)(
	int shmid, int *policy, unsigned long *mask_ptr, int mask_len) = shmbind_get;
