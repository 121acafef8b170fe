/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLES_SISCI_COMMON_H
#define EXAMPLES_SISCI_COMMON_H

/* What all of these programs have in common: options as the vendor's demos have them, and what is
 * said when something fails. */

#include <sisci_api.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
	unsigned int adapter;
	unsigned int local_node;
	unsigned int remote_node;
	unsigned int id; /* numbers of segments and interrupts begin here */
	size_t size;
	unsigned int loops;
	int client, server;
} options_t;

/* Calls a function of SISCI with &error added; the program ends where it fails. */
#define CALL(function, ...)                                                                        \
	do {                                                                                       \
		sci_error_t call_error;                                                            \
                                                                                                   \
		function(__VA_ARGS__, &call_error);                                                \
		if (call_error != SCI_ERR_OK)                                                      \
			failed(#function, call_error);                                             \
	} while (0)

static inline void failed(const char *function, sci_error_t error)
{
	fprintf(stderr, "%s failed - Error code 0x%x (%s)\n", function, (unsigned int)error,
		SCIGetErrorString(error));
	exit(1);
}

static inline void usage(const char *program, const char *what, int status)
{
	fprintf(status ? stderr : stdout,
		"%s: %s\n\n"
		"  -rn N          the remote node's id (default: this node)\n"
		"  -client        this side\n"
		"  -server        or that one\n"
		"  -a N           adapter (default: 0)\n"
		"  -id N          first number of the segments and interrupts\n"
		"  -size BYTES    of the segment\n"
		"  -loops N       how often\n"
		"  -help          this text\n",
		program, what);
	exit(status);
}

static inline unsigned long number_after(int argc, char **argv, int *i, const char *what)
{
	char *end;
	unsigned long value;

	if (*i + 1 >= argc)
		usage(argv[0], what, 2);
	value = strtoul(argv[++*i], &end, 0);
	if (*end)
		usage(argv[0], what, 2);
	return value;
}

/* Fills what is given; the caller has put in what holds otherwise. Also SCIInitialize(). */
static inline void read_options(int argc, char **argv, const char *what, options_t *o)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i];

		if (!strcmp(name, "-rn") || !strcmp(name, "-r"))
			o->remote_node = (unsigned int)number_after(argc, argv, &i, what);
		else if (!strcmp(name, "-a") || !strcmp(name, "-adapterno"))
			o->adapter = (unsigned int)number_after(argc, argv, &i, what);
		else if (!strcmp(name, "-id"))
			o->id = (unsigned int)number_after(argc, argv, &i, what);
		else if (!strcmp(name, "-size"))
			o->size = number_after(argc, argv, &i, what);
		else if (!strcmp(name, "-loops"))
			o->loops = (unsigned int)number_after(argc, argv, &i, what);
		else if (!strcmp(name, "-client"))
			o->client = 1;
		else if (!strcmp(name, "-server"))
			o->server = 1;
		else
			usage(argv[0], what, strcmp(name, "-help") ? 2 : 0);
	}
	CALL(SCIInitialize, 0);
	CALL(SCIGetLocalNodeId, o->adapter, &o->local_node, 0);
	if (o->remote_node == 0)
		o->remote_node = o->local_node;
}

static inline void need_role(char **argv, const char *what, const options_t *o)
{
	if (o->client == o->server)
		usage(argv[0], what, 2);
}

static inline void print_options(const options_t *o)
{
	printf("Adapter %u, local node id %u, remote node id %u\n", o->adapter, o->local_node,
		o->remote_node);
	fflush(stdout);
}

/* A segment that others can connect to. */
static inline sci_local_segment_t publish(
	const options_t *o, sci_desc_t sd, unsigned int id, size_t size)
{
	sci_local_segment_t segment;

	CALL(SCICreateSegment, sd, &segment, id, size, NULL, NULL, 0);
	CALL(SCIPrepareSegment, segment, o->adapter, 0);
	CALL(SCISetSegmentAvailable, segment, o->adapter, 0);
	printf("Local segment 0x%x of %zu bytes is available\n", id, size);
	fflush(stdout);
	return segment;
}

static inline void pause_ms(long milliseconds)
{
	const struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* Until the other side has published it: connect answers at once. */
static inline sci_remote_segment_t connect_to(const options_t *o, sci_desc_t sd, unsigned int id)
{
	sci_remote_segment_t segment;
	sci_error_t error;

	for (;;) {
		SCIConnectSegment(sd, &segment, o->remote_node, id, o->adapter, NULL, NULL,
			SCI_INFINITE_TIMEOUT, 0, &error);
		if (error == SCI_ERR_OK)
			break;
		if (error != SCI_ERR_NO_SUCH_SEGMENT)
			failed("SCIConnectSegment", error);
		pause_ms(2);
	}
	printf("Connected to segment 0x%x of node %u: %zu bytes\n", id, o->remote_node,
		SCIGetRemoteSegmentSize(segment));
	fflush(stdout);
	return segment;
}

static inline void *map_local(sci_local_segment_t segment, sci_map_t *map, size_t size)
{
	sci_error_t error;
	void *p = SCIMapLocalSegment(segment, map, 0, size, NULL, 0, &error);

	if (error != SCI_ERR_OK)
		failed("SCIMapLocalSegment", error);
	return p;
}

static inline volatile void *map_remote(sci_remote_segment_t segment, sci_map_t *map, size_t size)
{
	sci_error_t error;
	volatile void *p = SCIMapRemoteSegment(segment, map, 0, size, NULL, 0, &error);

	if (error != SCI_ERR_OK)
		failed("SCIMapRemoteSegment", error);
	return p;
}

/* Microseconds, of a clock that never goes back. */
static inline double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of n times; sorts them. */
static inline double median(double *times, size_t n)
{
	qsort(times, n, sizeof(*times), compare_doubles);
	return n ? times[n / 2] : 0;
}

/* FNV-1a */
static inline uint64_t checksum(const volatile void *data, size_t size)
{
	const volatile unsigned char *p = (const volatile unsigned char *)data;
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ p[i]) * 0x100000001b3u;
	return sum;
}

#endif
