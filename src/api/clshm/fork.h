/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CLSHM_FORK_H
#define API_CLSHM_FORK_H

/*
 * fork: the child has what the parent has attached, with imports of its own before fork() returns
 * in the parent, so that the parent's end does not end what the child has. vfork, posix_spawn and a
 * raw clone get none of this, and need none.
 */

/* Installs the handlers, once a process. -ENOMEM */
int fork_watch(void);

#endif
