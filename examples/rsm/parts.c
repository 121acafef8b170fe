/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work in parts on several nodes: one exports a file and a table for results; every other node
 * fetches its part of the file, counts the words in it, puts what it found into the table and
 * signals; the first combines the parts. All notice who goes and who comes.
 *
 *	parts export FILE	on one node
 *	parts import NODE	on each of the others; NODE is the one that exports
 *
 * All nodes of the interconnect take part. Ids of segments are numbers of the node that exports
 * them, so all can use the same ones: nothing but the node has to be told.
 */
#include "demo.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>
#include "file.h"
#include "sha256.h"

#define PROGRAM "parts"

enum {
	ID_FILE = 0x400001,  /* the file's bytes */
	ID_TABLE = 0x400002, /* struct table */
	ID_CARD = 0x400003,  /* of every node: whoever imports it learns when that node is gone */
};

#define PAGE	  4096
#define NODES_MAX 16
#define RETRY_MS  200 /* nodes that are not there are looked for so often */

/* What one node found in its part. valid is put last: what is not valid is nobody's result. */
struct part {
	uint64_t valid;
	uint64_t words;
	uint32_t begins_inside, ends_inside; /* with a letter: a word may be cut in two */
	char sha256[72];
	/* the exporter's: which part this is */
	uint32_t node;
	uint32_t reserved;
	uint64_t offset, length;
};

/* What the node that works on a part writes. */
#define PART_RESULT offsetof(struct part, node)

static union {
	struct {
		uint64_t n;
		struct part parts[NODES_MAX];
	};
	char page[PAGE];
} table __attribute__((aligned(PAGE)));

static char card[PAGE] __attribute__((aligned(PAGE)));

struct peer {
	rsm_node_id_t node;
	bool there;
	rsm_memseg_import_handle_t card;
	struct pollfd poll;
};

static rsmapi_controller_handle_t controller;
static rsm_node_id_t self;
static struct peer peers[NODES_MAX];
static unsigned int n_peers;

static __attribute__((format(printf, 1, 2))) void say(const char *format, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	printf("  node %u: %s\n", self, line);
	fflush(stdout);
}

static void check(const char *what, int code)
{
	must(PROGRAM, what, code);
}

/* The other nodes, as the interconnect has them. */
static void find_peers(void)
{
	rsm_topology_t *t;

	check("rsm_get_interconnect_topology", rsm_get_interconnect_topology(&t));
	self = t->topology_hdr.local_nodeid;
	for (unsigned int i = 0; i < t->topology_hdr.local_cntlr_count && !n_peers; i++)
		for (int k = 0; k < t->connections[i]->hdr.remote_cntlr_count; k++) {
			rsm_node_id_t node = t->connections[i]->remote_cntlr[k].remote_nodeid;

			if (node != self && n_peers < NODES_MAX)
				peers[n_peers++].node = node;
		}
	rsm_free_interconnect_topology(t);
	if (n_peers)
		return;
	fprintf(stderr, PROGRAM ": this node has no others; try it with causeway cluster\n");
	exit(1);
}

/* Exports memory to all nodes with these rights. */
static rsm_memseg_export_handle_t give(
	rsm_memseg_id_t id, void *memory, size_t size, rsm_permission_t rights)
{
	rsmapi_access_entry_t list[NODES_MAX + 1];
	rsm_memseg_export_handle_t segment;

	for (unsigned int i = 0; i < n_peers; i++)
		list[i] = (rsmapi_access_entry_t){peers[i].node, rights};
	list[n_peers] = (rsmapi_access_entry_t){self, rights};
	check("rsm_memseg_export_create",
		rsm_memseg_export_create(controller, &segment, memory, size, 0));
	check("rsm_memseg_export_publish",
		rsm_memseg_export_publish(segment, &id, list, n_peers + 1));
	return segment;
}

/* who is there */

static void meet(struct peer *p)
{
	if (rsm_memseg_import_connect(controller, p->node, ID_CARD, RSM_PERM_READ, &p->card) !=
		RSM_SUCCESS)
		return;
	if (rsm_memseg_get_pollfd(p->card, &p->poll) == RSM_SUCCESS)
		p->there = true;
	else
		rsm_memseg_import_disconnect(p->card);
}

static void part_from(struct peer *p)
{
	check("rsm_memseg_release_pollfd", rsm_memseg_release_pollfd(p->card));
	check("rsm_memseg_import_disconnect", rsm_memseg_import_disconnect(p->card));
	p->there = false;
}

/* Sleeps until something is signalled to our segment, if there is one (true), or until arrived() or
 * left() was told of a node, or for a while. */
static bool wait_for_news(
	const struct pollfd *segment, void (*arrived)(rsm_node_id_t), void (*left)(rsm_node_id_t))
{
	struct pollfd fds[NODES_MAX + 1] = {[0] = {.fd = -1}};
	int n;

	if (segment)
		fds[0] = *segment;
	for (unsigned int i = 0; i < n_peers; i++) {
		struct peer *p = &peers[i];

		if (!p->there) {
			meet(p);
			if (p->there)
				arrived(p->node);
		}
		fds[i + 1] = p->there ? p->poll : (struct pollfd){.fd = -1};
	}
	if (rsm_intr_signal_wait_pollfd(fds, n_peers + 1, RETRY_MS, &n) != RSM_SUCCESS)
		return false;
	for (unsigned int i = 0; i < n_peers; i++)
		if (peers[i].there && fds[i + 1].revents & POLLHUP) {
			part_from(&peers[i]);
			left(peers[i].node);
		}
	return fds[0].revents & POLLRDNORM;
}

/* counting */

static bool is_letter(char c)
{
	return !isspace((unsigned char)c);
}

static void look_at(const char *text, size_t size, struct part *p)
{
	bool inside = false;

	for (size_t i = 0; i < size; i++) {
		p->words += is_letter(text[i]) && !inside;
		inside = is_letter(text[i]);
	}
	p->begins_inside = size && is_letter(text[0]);
	p->ends_inside = inside;
	if (sha256_hex(text, size, p->sha256) < 0) {
		fprintf(stderr, PROGRAM ": sha256sum does not work here\n");
		exit(1);
	}
}

/* the node that exports */

static const char *file;
static size_t file_size;
static bool combined; /* since a part was lost */

static struct part *part_of(rsm_node_id_t node)
{
	for (uint64_t i = 0; i < table.n; i++)
		if (table.parts[i].node == node)
			return &table.parts[i];
	return NULL;
}

static void divide(void)
{
	uint64_t done = 0;

	table.n = n_peers;
	for (unsigned int i = 0; i < n_peers; i++) {
		uint64_t end = file_size * (i + 1) / n_peers;

		table.parts[i] =
			(struct part){.node = peers[i].node, .offset = done, .length = end - done};
		done = end;
	}
}

/* If all parts are there: are they what the file says? */
static void combine(void)
{
	struct part truth = {0}, mine;
	uint64_t words = 0;

	if (combined)
		return;
	for (uint64_t i = 0; i < table.n; i++) {
		const struct part *p = &table.parts[i];

		if (!__atomic_load_n(&p->valid, __ATOMIC_ACQUIRE))
			return;
		words += p->words;
		if (i && p[-1].ends_inside && p->begins_inside)
			words--; /* it was cut in two */
		mine = (struct part){0};
		look_at(file + p->offset, p->length, &mine);
		if (strcmp(mine.sha256, p->sha256) != 0)
			say("the part of node %u is WRONG", p->node);
	}
	combined = true;
	look_at(file, file_size, &truth);
	say("the parts together: %llu words, by my own count %llu: %s", (unsigned long long)words,
		(unsigned long long)truth.words, words == truth.words ? "right" : "WRONG");
}

static void exporter_met(rsm_node_id_t node)
{
	say("node %u is there", node);
}

static void exporter_lost(rsm_node_id_t node)
{
	say("lost node %u; what it found does not count any more", node);
	combined = false;
	__atomic_store_n(&part_of(node)->valid, 0, __ATOMIC_RELEASE);
}

static void run_exporter(const char *path)
{
	rsm_memseg_export_handle_t results;
	struct pollfd signals;
	size_t rounded;

	file = read_file(path, &file_size, &rounded);
	divide();
	give(ID_FILE, (void *)file, rounded, 0444);
	results = give(ID_TABLE, &table, sizeof(table), 0666);
	check("rsm_memseg_get_pollfd", rsm_memseg_get_pollfd(results, &signals));
	give(ID_CARD, card, sizeof(card), 0444);
	say("exports %s, %zu bytes, and a table for what is found in it", path, file_size);
	for (;;)
		if (wait_for_news(&signals, exporter_met, exporter_lost))
			combine();
}

/* a node that works on a part */

static rsm_node_id_t home;

/* What cannot be done because the home has just gone will be done when it is back. */
static bool did(const char *what, int code)
{
	if (code != RSM_SUCCESS)
		say("%s: RSM error %d: %s", what, code, rsm_text(code));
	return code == RSM_SUCCESS;
}

/* An import of the home's with the barrier that put and get need. */
struct import {
	rsm_memseg_import_handle_t segment;
	rsmapi_barrier_t barrier;
};

static bool take(rsm_memseg_id_t id, rsm_permission_t rights, struct import *import)
{
	if (!did("connect",
		    rsm_memseg_import_connect(controller, home, id, rights, &import->segment)))
		return false;
	check("rsm_memseg_import_init_barrier",
		rsm_memseg_import_init_barrier(import->segment, RSM_BAR_DEFAULT, &import->barrier));
	return true;
}

static void give_back(struct import *import)
{
	check("rsm_memseg_import_destroy_barrier",
		rsm_memseg_import_destroy_barrier(&import->barrier));
	check("rsm_memseg_import_disconnect", rsm_memseg_import_disconnect(import->segment));
}

/* Which part is ours, and where in the table. */
static bool find_part(const struct import *results, uint64_t *ret_at, struct part *ret_part)
{
	static char copy[sizeof(table)];
	uint64_t n;

	if (!did("get", rsm_memseg_import_get(results->segment, 0, copy, sizeof(copy))))
		return false;
	memcpy(&n, copy, sizeof(n));
	for (uint64_t i = 0; i < n && i < NODES_MAX; i++) {
		*ret_at = sizeof(n) + i * sizeof(struct part);
		memcpy(ret_part, copy + *ret_at, sizeof(*ret_part));
		if (ret_part->node == self)
			return true;
	}
	return false;
}

/* Our part of the file; NULL if that did not work. */
static char *fetch(const struct part *p)
{
	char *text = malloc(p->length + 1);
	struct import whole;
	bool ok;

	if (!text || !take(ID_FILE, RSM_PERM_READ, &whole)) {
		free(text);
		return NULL;
	}
	ok = did("get", rsm_memseg_import_get(whole.segment, (off_t)p->offset, text, p->length));
	give_back(&whole);
	if (ok)
		return text;
	free(text);
	return NULL;
}

/* The result in one span: it is there when close says so, and valid is put after all the rest. */
static bool put_result(struct import *results, uint64_t at, struct part *p)
{
	uint64_t valid = 1;

	check("rsm_memseg_import_set_mode",
		rsm_memseg_import_set_mode(results->segment, RSM_BARRIER_MODE_EXPLICIT));
	return did("open", rsm_memseg_import_open_barrier(&results->barrier)) &&
	       did("put", rsm_memseg_import_put(results->segment, (off_t)(at + sizeof(valid)),
				  &p->words, PART_RESULT - sizeof(valid))) &&
	       did("order", rsm_memseg_import_order_barrier(&results->barrier)) &&
	       did("put", rsm_memseg_import_put64(results->segment, (off_t)at, &valid, 1)) &&
	       did("close", rsm_memseg_import_close_barrier(&results->barrier)) &&
	       did("signal", rsm_intr_signal_post(results->segment, 0));
}

static void work(struct import *results)
{
	struct part p;
	uint64_t at;
	char *text;

	if (!find_part(results, &at, &p) || !(text = fetch(&p)))
		return;
	p.words = 0;
	look_at(text, p.length, &p);
	free(text);
	if (put_result(results, at, &p))
		say("fetched bytes %llu to %llu from node %u; put back %llu words and SHA-256 "
		    "%.8s…",
			(unsigned long long)p.offset, (unsigned long long)p.offset + p.length, home,
			(unsigned long long)p.words, p.sha256);
}

static void importer_met(rsm_node_id_t node)
{
	struct import results;

	say("node %u is there", node);
	if (node != home || !take(ID_TABLE, RSM_PERM_RDWR, &results))
		return;
	work(&results);
	give_back(&results);
}

static void importer_lost(rsm_node_id_t node)
{
	say("lost node %u%s", node, node == home ? ", and with it my work" : "");
}

static void run_importer(rsm_node_id_t node)
{
	home = node;
	give(ID_CARD, card, sizeof(card), 0444);
	for (;;)
		wait_for_news(NULL, importer_met, importer_lost);
}

int main(int argc, char **argv)
{
	char name[] = "tcp0"; /* the way to other nodes */

	if (argc != 3 || (strcmp(argv[1], "export") && strcmp(argv[1], "import"))) {
		fprintf(stderr, "usage: parts export FILE | parts import NODE\n");
		return 2;
	}
	check("rsm_get_controller", rsm_get_controller(name, &controller));
	find_peers();
	if (!strcmp(argv[1], "export"))
		run_exporter(argv[2]);
	else
		run_importer((rsm_node_id_t)strtoul(argv[2], NULL, 0));
	return 0;
}
