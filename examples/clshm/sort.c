/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The classic test of shared memory between partitions: processes on several partitions sort a list
 * of words together, in memory that each of them has on its own partition.
 *
 *	clshm-sort make FILE PARTITION...
 *		makes a segment for the words of FILE on each of these partitions, prints the keys
 *		and ends; exit status 3: memory of one of them cannot be attached here
 *	clshm-sort work I FILE OUTPUT KEY...
 *		what process I (0, 1 ...) of as many as there are keys does; when all is done it
 *		waits until a partition is lost, and looks at what is left
 *
 * Each process attaches all segments, sorts its part of the words, and writes it to its slice of
 * every segment. When all have done so each checks all slices of all segments and merges those of
 * its neighbour's segment to OUTPUT. All there is between them are loads, stores and atomics, and
 * the keys, which whoever started them handed on.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xp_shm.h>

#define N_MAX	    16
#define PAGE	    4096
#define MAGIC	    0x636c73686dull
#define LOST_WITHIN 60	 /* seconds that we wait for the loss of a partition */
#define MODE	    0666 /* root of another partition is nobody (RootSquash=) */
#define CANNOT	    3	 /* exit status: no memory of other partitions here */

/* The first page of every segment; the processes meet in the first segment's. */
struct head {
	_Atomic uint64_t magic;	       /* written by who sorts for this partition */
	_Atomic uint32_t stage[N_MAX]; /* how far each process is */
};

/* The words, and where each process's part of them begins, in the file and in every segment. Parts
 * begin on pages: two partitions that write to one page would wait for each other. */
struct words {
	char *text;
	size_t size;
	int n_parts;
	size_t begin[N_MAX + 1], slice[N_MAX + 1];
};

struct segment {
	int shmid;
	partid_t partition;
	char *memory;
	struct head *head;
};

static const char *who = "clshm-sort"; /* before what we say */

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", who, what, strerror(errno));
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* the words */

static void divide(struct words *w, int n_parts)
{
	size_t at = PAGE; /* after the head */

	w->n_parts = n_parts;
	for (int i = 0; i <= n_parts; i++) {
		size_t begin = w->size * (size_t)i / (size_t)n_parts;

		while (begin && begin < w->size && w->text[begin - 1] != '\n')
			begin++;
		w->begin[i] = begin;
		if (i)
			at += (begin - w->begin[i - 1] + PAGE - 1) / PAGE * PAGE;
		w->slice[i] = at;
	}
}

static struct words read_words(const char *name, int n_parts)
{
	struct words w = {0};
	FILE *f = fopen(name, "re");
	long size = -1;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0)
		die(name);
	rewind(f);
	w.text = malloc((size_t)size + 1);
	if (!w.text || fread(w.text, 1, (size_t)size, f) != (size_t)size)
		die(name);
	fclose(f);
	w.size = (size_t)size;
	if (w.size && w.text[w.size - 1] != '\n')
		w.text[w.size++] = '\n';
	divide(&w, n_parts);
	return w;
}

static size_t part_size(const struct words *w, int part)
{
	return w->begin[part + 1] - w->begin[part];
}

/* As LC_ALL=C sort does: by bytes, and a word before those that it begins. */
static int compare(const char *a, const char *b)
{
	while (*a == *b && *a != '\n') {
		a++;
		b++;
	}
	if (*a == '\n' || *b == '\n')
		return (*a != '\n') - (*b != '\n');
	return (unsigned char)*a - (unsigned char)*b;
}

static int compare_lines(const void *a, const void *b)
{
	return compare(*(char *const *)a, *(char *const *)b);
}

static const char *next_line(const char *line)
{
	while (*line++ != '\n')
		;
	return line;
}

static size_t count_lines(const char *text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += text[i] == '\n';
	return n;
}

/* Writes a part of the words, sorted, to memory of ours. */
static char *sort_part(const struct words *w, int part, size_t *ret_n)
{
	const char *text = w->text + w->begin[part];
	size_t size = part_size(w, part), n = count_lines(text, size);
	const char **lines = malloc((n + 1) * sizeof(*lines));
	char *sorted = malloc(size + 1), *at = sorted;

	if (!lines || !sorted)
		die("malloc");
	for (size_t i = 0; i < n; i++) {
		lines[i] = text;
		text = next_line(text);
	}
	qsort(lines, n, sizeof(*lines), compare_lines);
	for (size_t i = 0; i < n; i++) {
		size_t length = (size_t)(next_line(lines[i]) - lines[i]);

		memcpy(at, lines[i], length);
		at += length;
	}
	free(lines);
	*ret_n = n;
	return sorted;
}

/* the segments */

static int attach(struct segment *s)
{
	s->memory = xp_shmat(s->shmid, NULL, 0);
	s->head = (struct head *)s->memory;
	return s->memory == (void *)-1 ? -1 : 0;
}

static int make_segments(const char *file, int n, char **partitions)
{
	struct words w = read_words(file, n);
	key_t keys[N_MAX];
	char path[64];

	for (int i = 0; i < n; i++) {
		struct segment s = {.partition = (partid_t)atoi(partitions[i])};

		snprintf(path, sizeof(path), CLSHM_IF_PART_PATH "%02x", (unsigned)s.partition);
		keys[i] = xp_ftok(path, CLSHM_IF_ID_DEFAULT);
		if (keys[i] == -1)
			die(path);
		s.shmid = xp_shmget(keys[i], w.slice[n], MODE);
		if (s.shmid == -1)
			die("xp_shmget");
		if (attach(&s)) {
			fprintf(stderr,
				"clshm-sort: memory of partition %d cannot be attached: %s\n",
				s.partition, strerror(errno));
			for (; i >= 0; i--)
				xp_shmctl(xp_shmget(keys[i], w.slice[n], 0), IPC_RMID);
			return CANNOT;
		}
		xp_shmdt(s.memory);
	}
	for (int i = 0; i < n; i++)
		printf("0x%08x%c", (unsigned)keys[i], i == n - 1 ? '\n' : ' ');
	free(w.text);
	return 0;
}

static void attach_all(const struct words *w, char **keys, struct segment *s)
{
	char host[128];

	for (int i = 0; i < w->n_parts; i++) {
		s[i].shmid =
			xp_shmget((key_t)strtoul(keys[i], NULL, 0), w->slice[w->n_parts], 0600);
		if (s[i].shmid == -1)
			die("xp_shmget");
		s[i].partition = part_getpart(s[i].shmid);
		if (attach(&s[i]))
			die("xp_shmat");
		if (part_gethostname(s[i].partition, host, sizeof(host)))
			die("part_gethostname");
		printf("%s%s %d (%s)", i ? "," : who, i ? "" : ": attached memory of partitions",
			s[i].partition, host);
	}
	printf(": %zu KiB each\n", w->slice[w->n_parts] / 1024);
}

/* Waits until all processes are at a stage. Each has a word of its own in one page: a store
 * fetches the page, as on any machine with caches; so between looks we sleep. */
static void meet(struct head *head, int me, int n, uint32_t stage)
{
	head->stage[me] = stage;
	for (int i = 0; i < n; i++)
		while (head->stage[i] < stage)
			pause_ms(1);
}

/* Whether so much memory is lines that are sorted. */
static int is_sorted(const char *line, size_t size)
{
	const char *end = line + size, *next;

	if (size && end[-1] != '\n')
		return 0; /* and next_line() would not find its end */
	for (; line < end; line = next) {
		next = next_line(line);
		if (next < end && compare(line, next) > 0)
			return 0;
	}
	return 1;
}

/* The number of slices, of the segments that are left, that are as they should be: sorted, and the
 * same in all segments. */
static int check_slices(const struct words *w, const struct segment *s, int except)
{
	int first = except == 0 ? 1 : 0, good = 0;

	for (int part = 0; part < w->n_parts; part++) {
		const char *model = s[first].memory + w->slice[part];

		if (!is_sorted(model, part_size(w, part)))
			continue;
		for (int i = first; i < w->n_parts; i++)
			if (i != except)
				good += !memcmp(
					s[i].memory + w->slice[part], model, part_size(w, part));
	}
	return good;
}

/* Writes the words of all slices of a segment to a file, in order. */
static size_t merge(const struct words *w, const struct segment *s, const char *name)
{
	const char *at[N_MAX], *end[N_MAX];
	FILE *f = fopen(name, "we");
	size_t n = 0;
	int least;

	if (!f)
		die(name);
	for (int i = 0; i < w->n_parts; i++) {
		at[i] = s->memory + w->slice[i];
		end[i] = at[i] + part_size(w, i);
	}
	for (;; n++) {
		least = -1;
		for (int i = 0; i < w->n_parts; i++)
			if (at[i] < end[i] && (least < 0 || compare(at[i], at[least]) < 0))
				least = i;
		if (least < 0)
			break;
		fwrite(at[least], 1, (size_t)(next_line(at[least]) - at[least]), f);
		at[least] = next_line(at[least]);
	}
	if (fclose(f))
		die(name);
	return n;
}

/* the loss of a partition */

static sigjmp_buf after_signal;

static void on_sigbus(int sig)
{
	siglongjmp(after_signal, 1);
}

/* What an access to the segment does: "SIGBUS", "zeros", or NULL as long as it is there. */
static const char *try_access(const struct segment *s)
{
	if (sigsetjmp(after_signal, 1))
		return "SIGBUS";
	return s->head->magic == MAGIC ? NULL : "zeros";
}

/* Reads every segment now and then until one of them is lost. */
static int wait_for_loss(const struct segment *s, int n)
{
	struct sigaction action = {.sa_handler = on_sigbus}, before;
	double until = now_ms() + LOST_WITHIN * 1000;
	const char *what = NULL;
	int i = 0;

	sigaction(SIGBUS, &action, &before);
	while (!what && now_ms() < until) {
		pause_ms(2);
		i = (i + 1) % n;
		what = try_access(&s[i]);
	}
	sigaction(SIGBUS, &before, NULL);
	if (!what) {
		fprintf(stderr, "%s: no partition was lost within %d s\n", who, LOST_WITHIN);
		exit(1);
	}
	printf("%s: an access to the segment of partition %d: %s\n", who, s[i].partition, what);
	return i;
}

/* Whether all segments are of our own partition, so that none can be lost. */
static int all_here(const struct segment *s, int n)
{
	for (int i = 0; i < n; i++)
		if (s[i].partition != part_getid())
			return 0;
	return 1;
}

/* A partition is lost: what is left, and goes on. */
static int look_at_the_rest(const struct words *w, const struct segment *s)
{
	int n = w->n_parts, lost, good;

	printf("%s: waits; %d partitions are up\n", who, part_getcount());
	lost = wait_for_loss(s, n);
	good = check_slices(w, s, lost);
	printf("%s: %d of %d slices of the other segments are right; %d partitions are up\n", who,
		good, n * (n - 1), part_getcount());
	return good == n * (n - 1) ? 0 : 1;
}

static int work(int me, const char *file, const char *output, char **keys, int n)
{
	struct words w = read_words(file, n);
	struct segment s[N_MAX], *neighbour = &s[(me + 1) % n];
	char *sorted, name[48];
	double start;
	size_t n_words;
	int good, r;

	snprintf(name, sizeof(name), "process %d on partition %d", me, part_getid());
	who = name;
	setvbuf(stdout, NULL, _IOLBF, 0);
	attach_all(&w, keys, s);

	start = now_ms();
	sorted = sort_part(&w, me, &n_words);
	for (int i = 0; i < n; i++)
		memcpy(s[i].memory + w.slice[me], sorted, part_size(&w, me));
	s[me].head->magic = MAGIC;
	printf("%s: sorted %zu words and wrote them to its slice of %d segments: %.0f ms\n", who,
		n_words, n, now_ms() - start);
	meet(s[0].head, me, n, 1);

	start = now_ms();
	good = check_slices(&w, s, -1);
	printf("%s: %d of %d slices are right: %.0f ms\n", who, good, n * n, now_ms() - start);
	if (good != n * n)
		return 1;
	n_words = merge(&w, neighbour, output);
	printf("%s: merged %zu words from the segment of partition %d\n", who, n_words,
		neighbour->partition);
	meet(s[0].head, me, n, 2);

	r = all_here(s, n) ? 0 : look_at_the_rest(&w, s);
	for (int i = 0; i < n; i++)
		if (xp_shmdt(s[i].memory))
			die("xp_shmdt");
	free(sorted);
	free(w.text);
	return r;
}

int main(int argc, char **argv)
{
	int n;

	if (argc >= 5 && !strcmp(argv[1], "make") && (n = argc - 3) <= N_MAX)
		return make_segments(argv[2], n, argv + 3);
	if (argc >= 7 && !strcmp(argv[1], "work") && (n = argc - 5) <= N_MAX && atoi(argv[2]) < n)
		return work(atoi(argv[2]), argv[3], argv[4], argv + 5, n);
	fprintf(stderr,
		"usage: %s make FILE PARTITION...\n"
		"       %s work I FILE OUTPUT KEY...\n",
		argv[0], argv[0]);
	return 2;
}
