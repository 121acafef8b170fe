/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DIRECTORY_H
#define CLI_DIRECTORY_H

/* The directory of --directory: keys and clusters live there. */

#include "cli/command.h"

/* Makes path, for its owner alone, if it is not there. Returns 0, or EXIT_FAILED after it said why.
 */
int directory_make(const char *path);

/*
 * The directory of --directory: real path and a descriptor that holds a lock on it, so that one
 * command at a time changes what is in it; closing gives the lock back. make: it may be made. Waits
 * for the lock. Returns 0, EXIT_USAGE or EXIT_FAILED after it said why.
 */
int directory_open(const struct invocation *in, bool make, char **ret_path, int *ret_lock);

#endif
