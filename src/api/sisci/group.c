/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/group.h"

sci_error_t group_connect(uint32_t id, struct group **ret_group, uint64_t *ret_size)
{
	return SCI_ERR_NO_SUCH_SEGMENT;
}

void group_free(struct group *group)
{
}

sci_error_t group_map(struct group *group, uint8_t **ret_base)
{
	return SCI_ERR_NOT_CONNECTED;
}

sci_error_t group_write(struct group *group, uint64_t offset, const void *from, uint64_t size)
{
	return SCI_ERR_NOT_CONNECTED;
}

sci_error_t group_read(struct group *group, uint64_t offset, void *to, uint64_t size)
{
	return SCI_ERR_NOT_CONNECTED;
}

bool group_is_over(struct group *group)
{
	return true;
}
