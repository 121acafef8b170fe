/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"

#define LIMITED_LINES 20u
#define LIMITED_PAUSE (10 * NSEC_PER_SEC)

static int read_by_systemd(void)
{
	static int known = -1;

	if (known < 0)
		known = getenv("JOURNAL_STREAM") != NULL;
	return known;
}

static int max_level = LOG_INFO;

static void print(int priority, const char *format, va_list args)
{
	char line[1024];
	int saved = errno, n;

	if (priority > max_level)
		return;
	if (read_by_systemd())
		n = snprintf(line, sizeof(line), "<%d>", priority);
	else
		n = snprintf(line, sizeof(line), "causewayd: ");
	vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
	strcat(line, "\n");
	/* One write a line, so that lines of keeper and daemon do not mix. */
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		errno = 0;
	errno = saved;
}

void log_print(int priority, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print(priority, format, args);
	va_end(args);
}

void log_limited(const char *format, ...)
{
	static unsigned int n_lines, n_left_out;
	static uint64_t since;
	uint64_t now = clock_now();
	va_list args;

	if (now - since > LIMITED_PAUSE) {
		if (n_left_out > 0)
			log_warning("%u lines like these were left out", n_left_out);
		n_lines = n_left_out = 0;
		since = now;
	}
	if (n_lines >= LIMITED_LINES) {
		n_left_out++;
		return;
	}
	n_lines++;
	va_start(args, format);
	print(LOG_WARNING, format, args);
	va_end(args);
}

void log_set_level(int level)
{
	max_level = level;
}
