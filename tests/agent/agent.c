/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;

uint64_t number(const struct request *q, unsigned int i)
{
	return i < q->n ? strtoull(q->argument[i], NULL, 0) : 0;
}

unsigned int object(const struct request *q, unsigned int i)
{
	return number(q, i) % AGENT_OBJECTS;
}

void *handle_of(const struct request *q, unsigned int i)
{
	unsigned int index;

	if (i >= q->n)
		return NULL;
	index = (unsigned int)strtoul(q->argument[i] + 1, NULL, 10) % AGENT_OBJECTS;
	return q->argument[i][0] == 'e' ? (void *)exports[index] : (void *)imports[index].handle;
}

uint8_t *bytes_of(const struct request *q, unsigned int i, size_t *ret_n)
{
	size_t n = i < q->n ? strlen(q->argument[i]) / 2 : 0;
	uint8_t *bytes = malloc(n + 1);

	for (size_t k = 0; bytes && k < n; k++) {
		char two[3] = {q->argument[i][2 * k], q->argument[i][2 * k + 1], 0};

		bytes[k] = (uint8_t)strtoul(two, NULL, 16);
	}
	*ret_n = n;
	return bytes;
}

/* A line goes out whole, whatever other threads say. */
static void say(const char *line, size_t n)
{
	pthread_mutex_lock(&output);
	while (n) {
		ssize_t done = write(STDOUT_FILENO, line, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			_exit(1);
		line += done;
		n -= (size_t)done;
	}
	pthread_mutex_unlock(&output);
}

static unsigned long long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000;
}

void answer(struct request *q, int code, const char *format, ...)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%s %d", q->tag, code);
	va_list ap;

	if (format) {
		line[n++] = ' ';
		va_start(ap, format);
		n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
		va_end(ap);
	}
	if (strchr(q->tag, '%'))
		n += snprintf(line + n, sizeof(line) - (size_t)n - 1, " %llu", now_us());
	line[n++] = '\n';
	q->answered = true;
	say(line, (size_t)n);
}

void answer_bytes(struct request *q, int code, const void *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char *line = malloc(2 * n + 64);
	size_t at = (size_t)sprintf(line, "%s %d ", q->tag, code);

	for (size_t k = 0; k < n; k++) {
		line[at++] = digits[((const uint8_t *)bytes)[k] >> 4];
		line[at++] = digits[((const uint8_t *)bytes)[k] & 15];
	}
	line[at++] = '\n';
	q->answered = true;
	say(line, at);
	free(line);
}

void agent_move(int fd)
{
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	close(fd);
}

static const struct verb *find(const char *name)
{
	static const struct verb *const tables[] = {
		object_verbs, process_verbs, load_verbs, remote_verbs};

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct verb *v = tables[t]; v->name; v++)
			if (!strcmp(v->name, name))
				return v;
	return NULL;
}

static void run(char *line)
{
	struct request q = {0};
	char *save, *word = strtok_r(line, " \n", &save);
	const struct verb *verb;

	if (!word)
		return;
	q.tag = word;
	word = strtok_r(NULL, " \n", &save);
	verb = word ? find(word) : NULL;
	while (verb && q.n < 32 && (word = strtok_r(NULL, " \n", &save)))
		q.argument[q.n++] = word;
	if (verb)
		verb->run(&q);
	if (!q.answered)
		answer(&q, AGENT_BAD_REQUEST, NULL);
}

static void *run_thread(void *line)
{
	run(line);
	free(line);
	return NULL;
}

static void run_aside(const char *line)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_thread, strdup(line)))
		_exit(2);
	pthread_detach(thread);
}

/* Without stdio's buffer, which a forked child would share. */
static char *read_line(void)
{
	static char *line;
	static size_t size;
	size_t n = 0;

	for (;;) {
		ssize_t got;

		if (n + 2 > size)
			line = realloc(line, size = size ? 2 * size : 4096);
		got = read(STDIN_FILENO, line + n, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got != 1)
			return NULL;
		if (line[n++] == '\n')
			break;
	}
	line[n] = 0;
	return line;
}

/* What was done aside and answered is before what is asked next; between us the order goes through
 * a pipe of another process, which ThreadSanitizer does not see. */
static void come_after_answers(void)
{
	pthread_mutex_lock(&output);
	pthread_mutex_unlock(&output);
}

int main(void)
{
	char *line;

	while ((line = read_line())) {
		come_after_answers();
		if (line[0] == '@')
			run_aside(line);
		else
			run(line);
	}
	return 0;
}
