/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

/* What /proc says of a process. */

#include <stddef.h>
#include <sys/types.h>

/* A whole file of /proc/PID, whose size nobody knows before: "environ", "cmdline". *ret_text, the
 * caller's to free, ends with two NULs that do not count. */
int process_read(pid_t pid, const char *name, char **ret_text, size_t *ret_size);

/* The word after option on the command line, the caller's to free. -ENOENT: there is none. */
int process_option(pid_t pid, const char *option, char **ret_value);

#endif
