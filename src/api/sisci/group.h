/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_GROUP_H
#define SISCI_GROUP_H

/*
 * Multicast: a connection to all segments of one id that were created with SCI_FLAG_BROADCAST, one
 * a node. Part of a remote segment, which calls all of this.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sisci_types.h>

struct group;

/* SCI_ERR_NO_SUCH_SEGMENT: nobody is a member. size: that of the smallest. */
sci_error_t group_connect(uint32_t id, struct group **ret_group, uint64_t *ret_size);
void group_free(struct group *group);
/* Where stores are taken from and sent on to the members. */
sci_error_t group_map(struct group *group, uint8_t **ret_base);
sci_error_t group_write(struct group *group, uint64_t offset, const void *from, uint64_t size);
/* What a member has at present. */
sci_error_t group_read(struct group *group, uint64_t offset, void *to, uint64_t size);
/* No member is left. */
bool group_is_over(struct group *group);

#endif
