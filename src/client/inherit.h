/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_INHERIT_H
#define CLIENT_INHERIT_H

/*
 * What a forked child does with imports in space clshm: they become its own, before its parent goes
 * on. For interfaces whose programs expect that; others connect anew at the first use, with the
 * child's rights.
 */

#include "client/import.h"

/* In a process with such imports, before it forks: if its ids have changed the daemon hears of
 * that, for a child has what its parent has only as the same user. */
CW_EXPORT void cw_import_inherit_prepare(void);

/*
 * In a child, once its atfork handlers of client/fork.h have run, while the parent lives and has
 * the import: connects the child to the same memory, whatever has become of its id and rights, and
 * maps it anew where the parent had it, with the protection that it was mapped with. The handle
 * stays. 0 also if it is the child's already.
 *
 * STATUS_BAD_HANDLE: no such import here, or not the parent's any more; STATUS_NODE_LOST,
 * STATUS_REVOKED, STATUS_NO_DAEMON, STATUS_NO_RESOURCES, a negative errno …: nothing has changed,
 * the map that was inherited is there. If it had been connected and could not be mapped it is not
 * mapped any more.
 */
CW_EXPORT int cw_import_inherit(cw_handle handle);

#endif
