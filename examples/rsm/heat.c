/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heat in a plate, on several nodes: each rank owns a strip of rows, exports it, and maps those of
 * its neighbours, whose nearest rows it reads by plain loads while it computes. Signals say that a
 * step is done. The result is that of one process, bit for bit; rank 0 checks it.
 *
 *	heat RANK NODE,NODE,… [-n SIZE] [-s STEPS] [-i ID] [-o DIRECTORY] [-g] [-q]
 *
 * The nodes are those of rank 0, 1, …; several ranks may be on one. -i: ids of the segments from
 * here on. -o: where rank 0 draws the field, and every rank whose pages went where. -g: the rows
 * are fetched by get instead of being read through the map. -q: nothing is checked, for measuring.
 * examples/rsm/heat-run starts all of it.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <rsm/rsmapi_ext.h>
#include "heat-owners.h"
#include "png.h"

#define RANKS_MAX 16u
#define PAGE	  4096u
#define K	  0.2 /* how much of the difference to its neighbours a cell takes over in a step */
#define PATIENCE  60  /* seconds, for the others */

/* The first page of a segment; two copies of the strip follow. */
struct control {
	volatile uint64_t done;	    /* steps, by the owner */
	volatile uint64_t finished; /* by rank 0, when nobody is needed any more */
};

/* One rank's strip: this one's memory, or a map of another's. */
struct strip {
	unsigned int rank;
	size_t first, rows;
	uint8_t *base;
	rsm_memseg_import_handle_t import;
	rsmapi_barrier_t barrier;
	double *halo; /* with -g */
};

static unsigned int rank, n_ranks;
static rsm_node_id_t nodes[RANKS_MAX];
static size_t n = 512, steps = 200, stride;
static rsm_memseg_id_t ids = 0x700000;
static const char *directory;
static bool by_get, check = true;
static rsmapi_controller_handle_t controller;
static rsm_memseg_export_handle_t export;
static struct strip own, neighbours[2];
static unsigned int n_neighbours;

static _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "heat, rank %u: ", rank);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void must(const char *what, int code)
{
	if (code != RSM_SUCCESS)
		fail("%s: %s (%d)", what, rsm_ext_strerror(code), code);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- the plate --- */

/* How it begins: a hot upper edge, and a ring. */
static double initial(size_t y, size_t x)
{
	double dy = (double)y / (double)n - 0.5, dx = (double)x / (double)n - 0.5;
	double r = dy * dy + dx * dx;

	return y == 0 ? 100 : r > 0.02 && r < 0.06 ? 80 : 0;
}

/* One row from its neighbours above and below; the edges stay. Everybody computes with this, so
 * that the order of operations is the same. */
static void relax(double *to, const double *above, const double *row, const double *below)
{
	to[0] = row[0];
	for (size_t x = 1; x + 1 < n; x++)
		to[x] = row[x] +
			K * ((above[x] + below[x]) + (row[x - 1] + row[x + 1]) - 4 * row[x]);
	to[n - 1] = row[n - 1];
}

/* --- strips --- */

static void strip_init(struct strip *s, unsigned int r)
{
	*s = (struct strip){.rank = r, .first = n * r / n_ranks};
	s->rows = n * (r + 1) / n_ranks - s->first;
}

static size_t strip_size(const struct strip *s)
{
	return PAGE + 2 * s->rows * stride;
}

/* Where a row of the plate is in its strip's segment; copy: steps % 2. */
static size_t row_offset(const struct strip *s, size_t y, size_t copy)
{
	return PAGE + (copy * s->rows + (y - s->first)) * stride;
}

static double *row_of(const struct strip *s, size_t y, size_t copy)
{
	return (double *)(void *)(s->base + row_offset(s, y, copy));
}

static struct control *control_of(const struct strip *s)
{
	return (struct control *)(void *)s->base;
}

static void export_own(void)
{
	rsmapi_access_entry_t access[RANKS_MAX];
	rsm_memseg_id_t id = ids + rank;
	unsigned int entries = 0;

	strip_init(&own, rank);
	own.base = mmap(
		NULL, strip_size(&own), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (own.base == MAP_FAILED)
		fail("no memory for %zu rows", own.rows);
	for (size_t y = own.first; y < own.first + own.rows; y++)
		for (size_t x = 0; x < n; x++)
			row_of(&own, y, 0)[x] = initial(y, x);
	must("create",
		rsm_memseg_export_create(controller, &export, own.base, strip_size(&own), 0));
	for (unsigned int r = 0; r < n_ranks; r++) {
		unsigned int i = 0;

		while (i < entries && access[i].ae_node != nodes[r])
			i++;
		if (i == entries)
			access[entries++] = (rsmapi_access_entry_t){nodes[r], 0666};
	}
	must("publish", rsm_memseg_export_publish(export, &id, access, entries));
}

/* Its rank may come later than this one. */
static void strip_connect(struct strip *s, unsigned int r)
{
	double end = now() + PATIENCE;
	void *address = NULL;
	int code;

	strip_init(s, r);
	while ((code = rsm_memseg_import_connect(
			controller, nodes[r], ids + r, RSM_PERM_RDWR, &s->import)) &&
		now() < end)
		usleep(20000);
	must("connect", code);
	must("barrier", rsm_memseg_import_init_barrier(s->import, RSM_BAR_DEFAULT, &s->barrier));
	must("map", rsm_memseg_import_map(
			    s->import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, strip_size(s)));
	s->base = address;
}

static void strip_close(struct strip *s)
{
	must("unmap", rsm_memseg_import_unmap(s->import));
	must("disconnect", rsm_memseg_import_disconnect(s->import));
	free(s->halo);
}

/* Its rows change with every step: one page at a time is enough. */
static void add_neighbour(unsigned int r)
{
	struct strip *s = &neighbours[n_neighbours++];
	size_t y;

	strip_connect(s, r);
	y = r < rank ? s->first + s->rows - 1 : s->first;
	for (size_t copy = 0; copy < 2; copy++)
		must("advise", rsm_memseg_import_advise(s->import, (off_t)row_offset(s, y, copy),
				       stride, RSM_EXT_ADVICE_RANDOM, 0));
	s->halo = by_get ? malloc(stride) : NULL;
}

/* --- steps --- */

/* The row y of a neighbour, of before this step. */
static const double *halo(const struct strip *s, size_t y, size_t copy)
{
	if (!by_get)
		return row_of(s, y, copy);
	must("get", rsm_memseg_import_get(
			    s->import, (off_t)row_offset(s, y, copy), s->halo, n * sizeof(double)));
	return s->halo;
}

static const double *row_near(size_t y, size_t copy)
{
	if (y >= own.first && y < own.first + own.rows)
		return row_of(&own, y, copy);
	return halo(&neighbours[y < own.first || n_neighbours == 1 ? 0 : 1], y, copy);
}

static void compute(size_t step)
{
	size_t from = step % 2, to = 1 - from;

	for (size_t y = own.first; y < own.first + own.rows; y++) {
		double *out = row_of(&own, y, to);

		if (y == 0 || y == n - 1)
			memcpy(out, row_of(&own, y, from), n * sizeof(double));
		else
			relax(out, row_near(y - 1, from), row_of(&own, y, from),
				row_near(y + 1, from));
	}
	control_of(&own)->done = step + 1;
}

/* What was read in a step counts only if nothing was lost meanwhile. */
static void one_step(size_t step)
{
	for (unsigned int i = 0; i < n_neighbours; i++) {
		must("wait", rsm_intr_signal_wait(neighbours[i].import, PATIENCE * 1000));
		must("open", rsm_memseg_import_open_barrier(&neighbours[i].barrier));
	}
	compute(step);
	for (unsigned int i = 0; i < n_neighbours; i++)
		must("close", rsm_memseg_import_close_barrier(&neighbours[i].barrier));
	must("post", rsm_intr_signal_post(export, 0));
}

static void show_progress(size_t step, double begin, double *next)
{
	bool last = step == steps, tty = isatty(STDERR_FILENO);

	if (rank || (!last && now() < *next))
		return;
	*next = now() + (tty ? 0.1 : 1);
	fprintf(stderr, "%sstep %zu of %zu (%zu %%), %.3f ms each%s", tty ? "\r" : "", step, steps,
		step * 100 / steps, (now() - begin) * 1000 / (double)step,
		tty && !last ? "  " : "\n");
}

static double run(void)
{
	double begin, next = 0;

	/* the neighbours may begin, too; nobody is ahead by more than a step */
	must("post", rsm_intr_signal_post(export, 0));
	begin = now();
	for (size_t step = 0; step < steps; step++) {
		one_step(step);
		show_progress(step + 1, begin, &next);
	}
	return now() - begin;
}

/* --- the result --- */

static void wait_for(const volatile uint64_t *word, uint64_t value)
{
	for (double end = now() + PATIENCE; *word < value; usleep(5000))
		if (now() > end)
			fail("the others do not come to an end");
}

static void copy_rows(double *field, const struct strip *s)
{
	for (size_t y = s->first; y < s->first + s->rows; y++)
		memcpy(field + y * n, row_of(s, y, steps % 2), n * sizeof(double));
}

/* Waits for all ranks, in rank 0, and lets them go; field: NULL, or where everything goes. */
static void collect(double *field)
{
	struct strip s;

	for (unsigned int r = 0; r < n_ranks; r++) {
		if (r) {
			strip_connect(&s, r);
			must("advise", rsm_memseg_import_advise(s.import, 0, strip_size(&s),
					       RSM_EXT_ADVICE_SEQUENTIAL, 0));
		} else {
			s = own;
		}
		wait_for(&control_of(&s)->done, steps);
		if (field)
			copy_rows(field, &s);
		control_of(&s)->finished = 1;
		if (r)
			strip_close(&s);
	}
}

/* The same by one process in its own memory. */
static double *solve_alone(void)
{
	double *from = malloc(n * n * sizeof(double)), *to = malloc(n * n * sizeof(double)), *t;

	if (!from || !to)
		fail("no memory to check the result");
	for (size_t i = 0; i < n * n; i++)
		from[i] = initial(i / n, i % n);
	for (size_t step = 0; step < steps; step++, t = from, from = to, to = t) {
		memcpy(to, from, n * sizeof(double));
		memcpy(to + (n - 1) * n, from + (n - 1) * n, n * sizeof(double));
		for (size_t y = 1; y + 1 < n; y++)
			relax(to + y * n, from + (y - 1) * n, from + y * n, from + (y + 1) * n);
	}
	free(to);
	return from;
}

static uint64_t bits(double value)
{
	uint64_t b;

	memcpy(&b, &value, sizeof(b));
	return b;
}

static void compare(const double *field)
{
	double *alone = solve_alone();

	for (size_t i = 0; i < n * n; i++)
		if (bits(field[i]) != bits(alone[i]))
			fail("row %zu, column %zu: %a is not %a", i / n, i % n, field[i], alone[i]);
	puts("the same, bit for bit, as computed by one process");
	free(alone);
}

static const char *path_in(const char *format, ...)
{
	static char path[4096];
	va_list ap;
	int at = snprintf(path, sizeof(path), "%s/", directory);

	va_start(ap, format);
	vsnprintf(path + at, sizeof(path) - (size_t)at, format, ap);
	va_end(ap);
	return path;
}

static void draw(const double *field)
{
	size_t scale = (n + 511) / 512, width = n / scale;
	uint8_t *pixels = malloc(width * width), palette[256][3];

	if (!pixels)
		fail("no memory for the picture");
	for (unsigned int i = 0; i < 256; i++) { /* black, red, yellow, white */
		palette[i][0] = (uint8_t)(i < 85 ? i * 3 : 255);
		palette[i][1] = (uint8_t)(i < 85 ? 0 : i < 170 ? (i - 85) * 3 : 255);
		palette[i][2] = (uint8_t)(i < 170 ? 0 : (i - 170) * 3);
	}
	for (size_t y = 0; y < width; y++)
		for (size_t x = 0; x < width; x++)
			pixels[y * width + x] = (uint8_t)(field[y * scale * n + x * scale] * 2.55);
	if (png_write(path_in("field.png"), pixels, (uint32_t)width, (uint32_t)width, palette) < 0)
		fail("cannot write field.png: %s", strerror(errno));
	free(pixels);
}

static void finish(double seconds)
{
	double *field = NULL;

	if (rank) {
		wait_for(&control_of(&own)->finished, 1);
		return;
	}
	if (check || directory)
		field = malloc(n * n * sizeof(double));
	if (!field && (check || directory))
		fail("no memory for the field");
	collect(field);
	printf("%zu steps of %zu x %zu on %u ranks: %.3f s, %.3f ms a step\n", steps, n, n, n_ranks,
		seconds, seconds * 1000 / (double)steps);
	if (check)
		compare(field);
	if (directory)
		draw(field);
	free(field);
}

/* --- the program --- */

static _Noreturn void usage(void)
{
	fputs("usage: heat RANK NODE,NODE,... [-n SIZE] [-s STEPS] [-i ID] [-o DIRECTORY] [-g] "
	      "[-q]\n",
		stderr);
	exit(2);
}

static void read_nodes(const char *list)
{
	char *end;

	do {
		nodes[n_ranks++] = (rsm_node_id_t)strtoul(list, &end, 10);
		list = end + 1;
	} while (*end == ',' && n_ranks < RANKS_MAX);
	if (*end)
		usage();
}

static void read_options(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "n:s:i:o:gq")) != -1)
		switch (c) {
		case 'n':
			n = strtoul(optarg, NULL, 10);
			break;
		case 's':
			steps = strtoul(optarg, NULL, 10);
			break;
		case 'i':
			ids = (rsm_memseg_id_t)strtoul(optarg, NULL, 0);
			break;
		case 'o':
			directory = optarg;
			break;
		case 'g':
			by_get = true;
			break;
		case 'q':
			check = false;
			break;
		default:
			usage();
		}
	if (argc - optind != 2)
		usage();
	rank = (unsigned int)strtoul(argv[optind], NULL, 10);
	read_nodes(argv[optind + 1]);
	if (rank >= n_ranks || n < 4 * n_ranks || n > 65536 || !steps)
		usage();
	/* rows do not share pages, so what one rank writes is not in the way of another */
	stride = (n * sizeof(double) + PAGE - 1) / PAGE * PAGE;
}

int main(int argc, char **argv)
{
	char wire[] = "tcp0", here[] = "loopback";
	struct owners owners;
	double seconds;
	int drawn;

	read_options(argc, argv);
	if (rsm_get_controller(wire, &controller) != RSM_SUCCESS)
		must("controller", rsm_get_controller(here, &controller));
	export_own();
	if (rank > 0)
		add_neighbour(rank - 1);
	if (rank + 1 < n_ranks)
		add_neighbour(rank + 1);
	if (directory)
		owners_start(&owners, ids + rank);
	seconds = run();
	finish(seconds);
	if (directory) {
		drawn = owners_stop(&owners, path_in("owners-%u.png", rank));
		if (drawn)
			fprintf(stderr, "heat, rank %u: no picture of the pages' owners: %s\n",
				rank,
				drawn < 0 ? strerror(errno) : "causeway show --pages does not say");
	}
	for (unsigned int i = 0; i < n_neighbours; i++)
		strip_close(&neighbours[i]);
	must("destroy", rsm_memseg_export_destroy(export));
	return 0;
}
