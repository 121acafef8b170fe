/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/daemon-start.h"

#include <config.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "cli/command.h"

#define START_TIMEOUT_MS 10000

const char *daemon_path(char buf[PATH_MAX])
{
	const char *given = secure_getenv("CAUSEWAY_DAEMON");
	ssize_t len = readlink("/proc/self/exe", buf, PATH_MAX - sizeof("causewayd"));
	char *slash;

	if (given)
		return given;
	if (len > 0) {
		buf[len] = '\0';
		slash = strrchr(buf, '/');
		strcpy(slash + 1, "causewayd");
		if (access(buf, X_OK) == 0)
			return buf;
	}
	return CAUSEWAY_DAEMON_PATH;
}

void daemon_exec(const struct daemon_start *s)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = STDERR_FILENO;
	const char *config_option = s->config ? "--config" : NULL;
	char fd_text[16];
	sigset_t none;

	/* what our caller had open is not the daemon's: it may live longer than us */
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	if (s->log)
		log = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (null < 0 || log < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 ||
		dup2(null, STDOUT_FILENO) < 0 || fcntl(s->ready, F_SETFD, 0) < 0)
		_exit(EXIT_FAILED);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(fd_text, sizeof(fd_text), "%d", s->ready);
	execl(s->path, s->path, "--socket", s->socket, "--ready-fd", fd_text, config_option,
		s->config, (char *)NULL);
	cli_fail("cannot execute %s: %s", s->path, strerror(errno));
	_exit(EXIT_FAILED);
}

/* Says why it did not start. */
static int show_log(const struct daemon_start *s, const char *what)
{
	char line[512];
	FILE *log = s->log ? fopen(s->log, "re") : NULL;

	cli_fail("%s %s%s", s->path, what,
		access(s->path, X_OK) < 0 ? "; set CAUSEWAY_DAEMON to the causewayd to use" : "");
	while (log && fgets(line, sizeof(line), log))
		fprintf(stderr, "  %s", line);
	if (log)
		fclose(log);
	return EXIT_FAILED;
}

int daemon_wait_ready(const struct daemon_start *s, int ready, int stop)
{
	struct pollfd fds[] = {{.fd = ready, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
	uint64_t end = clock_now() + START_TIMEOUT_MS * NSEC_PER_MSEC, now;
	char byte;
	int r = 0;

	while (r == 0 && (now = clock_now()) < end) {
		r = poll(fds, ELEMENTS(fds), (int)((end - now) / NSEC_PER_MSEC) + 1);
		if (r < 0 && errno == EINTR)
			r = 0;
	}
	if (r < 0)
		return cli_fail("cannot wait for causewayd: %s", strerror(errno));
	if (r == 0)
		return show_log(s, "is not ready after 10 s");
	if (fds[1].revents)
		return cli_fail("interrupted before the node was ready");
	if (read(ready, &byte, 1) != 1)
		return show_log(s, "ended before it was ready");
	return 0;
}
