/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/error.h"

int process_read(pid_t pid, const char *name, char **ret_text, size_t *ret_size)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	size_t size = 0, room = 0;
	char path[64], *more;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return negative_errno();
	do {
		room = room ? 2 * room : 4096;
		more = realloc(text, room + 2);
		if (!more)
			return -ENOMEM;
		text = more;
		while ((n = read(fd, text + size, room - size)) > 0)
			size += (size_t)n;
		if (n < 0)
			return negative_errno();
	} while (size == room);
	text[size] = text[size + 1] = '\0';
	*ret_text = take_ptr(text);
	*ret_size = size;
	return 0;
}

int process_option(pid_t pid, const char *option, char **ret_value)
{
	_cleanup_free_ char *text = NULL;
	const char *before = "";
	size_t size;
	int r;

	r = process_read(pid, "cmdline", &text, &size);
	if (r < 0)
		return r;
	for (const char *p = text; p < text + size; p += strlen(p) + 1) {
		if (!strcmp(before, option)) {
			*ret_value = strdup(p);
			return *ret_value ? 0 : -ENOMEM;
		}
		before = p;
	}
	return -ENOENT;
}
