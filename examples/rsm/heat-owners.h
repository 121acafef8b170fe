/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLES_RSM_HEAT_OWNERS_H
#define EXAMPLES_RSM_HEAT_OWNERS_H

/*
 * Which node has which page of a segment of this node, looked at again and again by a thread that
 * asks the tool (causeway show --pages), and drawn: time from left to right, pages from top to
 * bottom. Programs need none of this.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "png.h"

#define OWNERS_HEIGHT  512u
#define OWNERS_WIDTH   1024u /* looks; later ones are not drawn */
#define OWNERS_LOOK_US 20000u

/* Colours, the more remarkable the higher; from OWNERS_NODE on one for each node. */
enum { OWNERS_HOME, OWNERS_SHARED, OWNERS_NODE };

struct owners {
	unsigned int id;
	bool can; /* the tool is there */
	pthread_t thread;
	atomic_bool stop;
	uint64_t n_pages;
	uint32_t height, n;
	uint8_t (*looks)[OWNERS_HEIGHT];
};

/* The number behind a key, from *at on, which goes on behind it. UINT64_MAX: null, or none. */
static uint64_t owners_number(const char **at, const char *key)
{
	const char *found = strstr(*at, key);

	if (!found)
		return UINT64_MAX;
	*at = found + strlen(key);
	while (**at == ' ' || **at == ':' || **at == '"')
		++*at;
	return **at >= '0' && **at <= '9' ? strtoull(*at, NULL, 10) : UINT64_MAX;
}

static void owners_paint(struct owners *o, uint8_t *look, uint64_t page, uint64_t n, uint64_t owner,
	uint64_t sharers)
{
	uint8_t colour = owner != UINT64_MAX ? (uint8_t)(OWNERS_NODE + owner % 64)
			 : sharers > 1	     ? OWNERS_SHARED
					     : OWNERS_HOME;

	for (uint64_t p = page; p < page + n && p < o->n_pages; p++) {
		uint8_t *at = &look[p * o->height / o->n_pages];

		if (colour > *at)
			*at = colour;
	}
}

/* {"page": 0, "count": 4, "owner": null, "sharers": 2}, … */
static void owners_read(struct owners *o, const char *text)
{
	const char *at = strstr(text, "\"page_size\"");
	uint64_t n_pages = at ? owners_number(&at, "\"count\"") : UINT64_MAX, page;

	if (n_pages == UINT64_MAX || !n_pages)
		return;
	o->n_pages = n_pages;
	o->height = (uint32_t)(n_pages < OWNERS_HEIGHT ? n_pages : OWNERS_HEIGHT);
	while ((page = owners_number(&at, "\"page\"")) != UINT64_MAX) {
		uint64_t n = owners_number(&at, "\"count\"");
		uint64_t owner = owners_number(&at, "\"owner\"");

		owners_paint(o, o->looks[o->n], page, n, owner, owners_number(&at, "\"sharers\""));
	}
	o->n++;
}

static void owners_look(struct owners *o)
{
	static char text[1 << 20];
	char command[160];
	FILE *tool;
	size_t n;

	snprintf(command, sizeof(command),
		"${CAUSEWAY:-causeway} show 0x%x --space=rsm --pages --json 2>/dev/null", o->id);
	tool = popen(command, "re");
	if (!tool)
		return;
	n = fread(text, 1, sizeof(text) - 1, tool);
	text[n] = 0;
	if (pclose(tool) == 0)
		owners_read(o, text);
	else
		o->can = false;
}

static void *owners_run(void *data)
{
	struct owners *o = data;

	while (!atomic_load(&o->stop) && o->can && o->n < OWNERS_WIDTH) {
		owners_look(o);
		usleep(OWNERS_LOOK_US);
	}
	return NULL;
}

static void owners_start(struct owners *o, unsigned int id)
{
	*o = (struct owners){.id = id, .can = true};
	o->looks = calloc(OWNERS_WIDTH, sizeof(*o->looks));
	if (!o->looks || pthread_create(&o->thread, NULL, owners_run, o))
		abort();
}

/* Each look is a column of some pixels. 0; -1 with errno; 1: nothing was seen. */
static int owners_draw(const struct owners *o, const char *path)
{
	static const uint8_t nodes[][3] = {{230, 159, 0}, {0, 158, 115}, {204, 121, 167},
		{213, 94, 0}, {240, 228, 66}, {0, 114, 178}};
	uint8_t palette[256][3] = {[OWNERS_HOME] = {40, 44, 52}, [OWNERS_SHARED] = {120, 190, 240}};
	uint32_t column = 1 + OWNERS_WIDTH / 2 / (o->n + 1), width = o->n * column;
	uint32_t scale = o->height ? (OWNERS_HEIGHT + o->height - 1) / o->height : 0;
	uint8_t *pixels;
	int r;

	if (!o->n)
		return 1;
	for (unsigned int i = OWNERS_NODE; i < 256; i++)
		memcpy(palette[i], nodes[(i - OWNERS_NODE) % (sizeof(nodes) / sizeof(nodes[0]))],
			3);
	pixels = malloc((size_t)width * o->height * scale);
	if (!pixels)
		return -1;
	for (uint32_t y = 0; y < o->height * scale; y++)
		for (uint32_t x = 0; x < width; x++)
			pixels[(size_t)y * width + x] = o->looks[x / column][y / scale];
	r = png_write(path, pixels, width, o->height * scale, palette);
	free(pixels);
	return r;
}

/* Ends the looking and draws, unless path is NULL. */
static int owners_stop(struct owners *o, const char *path)
{
	int r;

	atomic_store(&o->stop, true);
	pthread_join(o->thread, NULL);
	r = path ? owners_draw(o, path) : 1;
	free(o->looks);
	return r;
}

#endif
