/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/execute.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/command.h"

#define EXIT_NO_EXEC   126
#define EXIT_NOT_FOUND 127

/* execvp(3) says "permission denied" also when a folder of PATH may not be searched. */
static bool is_on_path(const char *name)
{
	_cleanup_free_ char *path = strdup(getenv("PATH") ?: "");
	char file[PATH_MAX], *rest = NULL;

	for (char *dir = path ? strtok_r(path, ":", &rest) : NULL; dir;
		dir = strtok_r(NULL, ":", &rest)) {
		int n = snprintf(file, sizeof(file), "%s/%s", dir, name);

		if (n > 0 && (size_t)n < sizeof(file) && access(file, F_OK) == 0)
			return true;
	}
	return false;
}

int execute(char **args)
{
	int e;

	execvp(args[0], args);
	e = errno;
	if (e == EACCES && !strchr(args[0], '/') && !is_on_path(args[0]))
		e = ENOENT;
	cli_fail("cannot execute '%s': %s", args[0], strerror(e));
	return e == ENOENT ? EXIT_NOT_FOUND : EXIT_NO_EXEC;
}
