/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLES_RSM_FILE_H
#define EXAMPLES_RSM_FILE_H

/* A file in ordinary memory of whole pages, as it can be exported. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* rounded: the size in whole pages. Ends the program if that does not work. */
static inline char *read_file(const char *path, size_t *size, size_t *rounded)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), done = 0;
	int fd = open(path, O_RDONLY);
	struct stat st;
	char *buffer;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !st.st_size) {
		fprintf(stderr, "cannot read %s: not a file with something in it\n", path);
		exit(1);
	}
	*size = (size_t)st.st_size;
	*rounded = (*size + page - 1) / page * page;
	buffer = aligned_alloc(page, *rounded);
	if (!buffer) {
		fprintf(stderr, "no memory for the %zu bytes of %s\n", *size, path);
		exit(1);
	}
	memset(buffer, 0, *rounded);
	while (done < *size && (n = read(fd, buffer + done, *size - done)) > 0)
		done += (size_t)n;
	close(fd);
	if (done != *size) {
		fprintf(stderr, "%s ended after %zu bytes\n", path, done);
		exit(1);
	}
	return buffer;
}

#endif
