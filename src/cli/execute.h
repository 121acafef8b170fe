/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_EXECUTE_H
#define CLI_EXECUTE_H

/* Becomes the command args, looked for on PATH. Returns only if that fails: 127 if there is none,
 * 126 if it cannot be executed, after it said so. */
int execute(char **args);

#endif
