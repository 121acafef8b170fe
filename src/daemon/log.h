/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

/*
 * Lines for the administrator, on stderr: with a priority prefix that the journal understands when
 * systemd reads them, else with the program's name. Called where a decision is taken. libc only,
 * because the keeper logs too.
 */

#include <syslog.h>

void log_print(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_print(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_print(LOG_WARNING, __VA_ARGS__)
#define log_info(...)	 log_print(LOG_INFO, __VA_ARGS__)

/* Warnings that others can cause at will: a few lines, then a pause and a count of what was left
 * out. */
void log_limited(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Lines below this priority are left out; LOG_INFO until set. */
void log_set_level(int level);

#endif
