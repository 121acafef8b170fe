/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_by_systemd(void)
{
	static int known = -1;

	if (known < 0)
		known = getenv("JOURNAL_STREAM") != NULL;
	return known;
}

void log_print(int priority, const char *format, ...)
{
	char line[1024];
	int saved = errno, n;
	va_list args;

	if (read_by_systemd())
		n = snprintf(line, sizeof(line), "<%d>", priority);
	else
		n = snprintf(line, sizeof(line), "causewayd: ");
	va_start(args, format);
	vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
	va_end(args);
	strcat(line, "\n");
	/* One write a line, so that lines of keeper and daemon do not mix. */
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		errno = 0;
	errno = saved;
}
