/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/directory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/error.h"

int directory_make(const char *path)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return cli_fail("cannot make the directory %s: %s", path, strerror(errno));
	return 0;
}

/* True if others than we and root may put something else in its place. */
static bool is_strangers(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 || (st.st_uid != geteuid() && st.st_uid != 0) ||
	       (st.st_mode & 022);
}

int directory_open(const struct invocation *in, bool make, char **ret_path, int *ret_lock)
{
	const char *given = in->option[OPTION_DIR];
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int lock = -1;
	int r;

	if (!given || !*given)
		return cli_usage("'%s' needs --directory=DIR.", in->command->name);
	r = make ? directory_make(given) : 0;
	if (r)
		return r;
	lock = open(given, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	path = lock < 0 ? NULL : realpath(given, NULL);
	if (!path)
		return cli_fail("cannot use the directory %s: %s", given, strerror(errno));
	if (is_strangers(lock))
		return cli_fail("%s is not yours alone: other users could change what is in it; "
				"take another directory, or 'chmod go-w' and chown it",
			path);
	while (flock(lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return cli_fail("cannot lock %s: %s", path, strerror(errno));
	*ret_path = take_ptr(path);
	*ret_lock = take_fd(&lock);
	return 0;
}
