/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/segment-pages.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "cli/command.h"
#include "cli/node.h"
#include "wire/page.h"

#define MAP_WIDTH  64u
#define MAP_HEIGHT 24u
#define KINDS_MAX  (2 + 64) /* at home, shared, and nodes */
#define HOME	   0u
#define SHARED	   1u

/* asking */

static int take_runs(const struct cw_reply *reply, struct segment_pages *p)
{
	const uint8_t *at = reply->message.tail, *end = at + reply->message.tail_size;
	const struct wire_owners_reply *o = &reply->message.owners_reply;
	struct wire_owner_run *runs;

	if (o->n > WIRE_PACKET_MAX)
		return cli_fail("the daemon's answer is malformed");
	runs = reallocarray(p->runs, p->n + o->n + 1, sizeof(*runs));
	if (!runs)
		return cli_fail("out of memory");
	p->runs = runs;
	p->n_pages = o->n_pages;
	for (uint32_t i = 0; i < o->n; i++) {
		at = wire_get_owner_run(at, end, &runs[p->n]);
		if (!at || !range_within(runs[p->n].page, runs[p->n].n, p->n_pages))
			return cli_fail("the daemon's answer is malformed");
		p->n++;
	}
	return 0;
}

int segment_pages_get(uint64_t instance, struct segment_pages *ret_pages)
{
	struct segment_pages p = {0};
	struct wire_message request;
	struct cw_reply reply;
	uint64_t page = 0;
	int r;

	do {
		request = (struct wire_message){
			.type = WIRE_OWNERS, .owners = {.instance = instance, .page = page}};
		r = node_call(&request, "ask for the owners of the pages", &reply);
		if (!r)
			r = take_runs(&reply, &p);
		if (!r && reply.message.owners_reply.next &&
			reply.message.owners_reply.next <= page)
			r = cli_fail("the daemon's answer is malformed");
		if (r) {
			segment_pages_deinit(&p);
			return r;
		}
		page = reply.message.owners_reply.next;
	} while (page);
	*ret_pages = p;
	return 0;
}

void segment_pages_deinit(struct segment_pages *p)
{
	free(p->runs);
	*p = (struct segment_pages){0};
}

/* drawing: a character stands for some pages, and shows what most of them are */

struct drawing {
	uint64_t per_cell;
	unsigned int n_cells, n_kinds;
	uint32_t owners[KINDS_MAX]; /* of each kind from 2 on */
	uint64_t pages[KINDS_MAX];
	uint64_t cells[MAP_WIDTH * MAP_HEIGHT][KINDS_MAX];
};

static unsigned int kind_of(struct drawing *d, const struct wire_owner_run *run)
{
	unsigned int k = 2;

	if (!run->owner)
		return run->n_sharers > 1 ? SHARED : HOME;
	while (k < d->n_kinds && d->owners[k] != run->owner)
		k++;
	if (k == d->n_kinds && k < KINDS_MAX - 1)
		d->owners[d->n_kinds++] = run->owner;
	return k;
}

static void draw_run(struct drawing *d, const struct wire_owner_run *run)
{
	unsigned int kind = kind_of(d, run);

	d->pages[kind] += run->n;
	for (uint64_t page = run->page, end = page + run->n; page < end;) {
		uint64_t cell = page / d->per_cell, n = (cell + 1) * d->per_cell - page;

		n = MIN(n, end - page);
		d->cells[cell][kind] += n;
		page += n;
	}
}

static char letter(unsigned int kind)
{
	return kind == HOME	? '.'
	       : kind == SHARED ? '+'
	       : kind < 2 + 26	? (char)('A' + kind - 2)
				: '*';
}

static char cell_char(const struct drawing *d, unsigned int cell)
{
	unsigned int most = 0, kinds = 0;

	for (unsigned int k = 0; k < d->n_kinds; k++) {
		kinds += d->cells[cell][k] > 0;
		if (d->cells[cell][k] > d->cells[cell][most])
			most = k;
	}
	return kinds > 1 ? (char)tolower(letter(most)) : letter(most);
}

static void print_map(const struct drawing *d)
{
	for (unsigned int i = 0; i < d->n_cells; i++) {
		if (i % MAP_WIDTH == 0)
			printf("%s%10llu  ", i ? "\n" : "", (unsigned long long)i * d->per_cell);
		putchar(cell_char(d, i));
	}
	putchar('\n');
}

static void print_legend(const struct drawing *d, uint32_t home)
{
	bool mixed = d->per_cell > 1;

	for (unsigned int k = 0; k < d->n_kinds; k++) {
		if (!d->pages[k])
			continue;
		printf("         %c  %llu pages ", letter(k), (unsigned long long)d->pages[k]);
		if (k == HOME)
			printf("at home, on node %u, alone\n", home);
		else if (k == SHARED)
			puts("shared: several nodes may read");
		else if (d->owners[k] == home)
			printf("owned by node %u, where they are at home: it may write\n", home);
		else
			printf("owned by node %u: it alone may read and write\n", d->owners[k]);
	}
	if (mixed)
		puts("            in lower case: most of these pages");
}

static void draw(struct drawing *d, const struct segment_pages *p)
{
	uint64_t per_cell = (p->n_pages + MAP_WIDTH * MAP_HEIGHT - 1) / (MAP_WIDTH * MAP_HEIGHT);

	memset(d, 0, sizeof(*d));
	d->per_cell = MAX(per_cell, 1u);
	d->n_kinds = 2;
	d->n_cells = (unsigned int)((p->n_pages + d->per_cell - 1) / d->per_cell);
	for (size_t i = 0; i < p->n; i++)
		draw_run(d, &p->runs[i]);
}

void segment_pages_print(const struct segment_pages *p, uint32_t home)
{
	static struct drawing d;

	printf("\nPages: %llu of %u bytes", (unsigned long long)p->n_pages, PAGE_BYTES);
	if (!p->n) {
		puts(", all at home: no other node has the segment mapped");
		return;
	}
	draw(&d, p);
	if (d.per_cell > 1)
		printf(", %llu a character", (unsigned long long)d.per_cell);
	putchar('\n');
	print_map(&d);
	print_legend(&d, home);
}

struct json_object *segment_pages_json(const struct segment_pages *p)
{
	struct json_object *o = json_object_new_object(), *runs = json_object_new_array(), *run;

	json_object_object_add(o, "page_size", json_object_new_int(PAGE_BYTES));
	json_object_object_add(o, "count", json_object_new_uint64(p->n_pages));
	json_object_object_add(o, "coherent", json_object_new_boolean(p->n > 0));
	json_object_object_add(o, "runs", runs);
	for (size_t i = 0; i < p->n; i++) {
		const struct wire_owner_run *r = &p->runs[i];

		run = json_object_new_object();
		json_object_object_add(run, "page", json_object_new_uint64(r->page));
		json_object_object_add(run, "count", json_object_new_uint64(r->n));
		json_object_object_add(
			run, "owner", r->owner ? json_object_new_uint64(r->owner) : NULL);
		json_object_object_add(run, "sharers", json_object_new_uint64(r->n_sharers));
		json_object_array_add(runs, run);
	}
	return o;
}
