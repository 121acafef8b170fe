/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/shm-show.h"

#include <shmbind.h>

#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include "base/error.h"
#include "cli/table.h"
#include "placement/apply.h"
#include "placement/sysv.h"
#include "placement/topology.h"

#define BAR 50u /* characters of the longest bar */
#define MAP 64u /* characters of the map of the segment */

struct picture {
	struct sysv_segment segment;
	bool bound;
	int policy;
	struct nodeset nodes; /* if it is bound */
	struct nodeset online;
	uint64_t n_pages;
	struct placement_count count;
	struct {
		bool any;
		int node; /* -1: absent, -2: several */
	} map[MAP];
};

const char *placement_order_name(uint32_t order)
{
	static const char *const names[] = {[PLACE_FIRSTREF] = "firstref",
		[PLACE_STRIPE] = "stripe",
		[PLACE_MOSTFREE] = "mostfree"};

	return order < ELEMENTS(names) && names[order] ? names[order] : "?";
}

static const char *policy_name(int policy)
{
	return placement_order_name(policy & MEM_STRIPE	    ? PLACE_STRIPE
				    : policy & MEM_MOSTFREE ? PLACE_MOSTFREE
							    : PLACE_FIRSTREF);
}

static unsigned int map_length(const struct picture *p)
{
	return (unsigned int)MIN(p->n_pages, (uint64_t)MAP);
}

static void draw_page(uint64_t page, int node, void *userdata)
{
	struct picture *p = userdata;
	unsigned int at = (unsigned int)(page * map_length(p) / p->n_pages);

	if (!p->map[at].any) {
		p->map[at].any = true;
		p->map[at].node = node;
	} else if (p->map[at].node != node) {
		p->map[at].node = -2;
	}
}

static int look_at_pages(struct picture *p)
{
	void *address = shmat(p->segment.shmid, NULL, SHM_RDONLY);
	int r;

	if (address == (void *)-1)
		return negative_errno();
	r = placement_count(address, p->n_pages,
		p->segment.resident >= p->n_pages * (uint64_t)sysconf(_SC_PAGESIZE), &p->count,
		draw_page, p);
	shmdt(address);
	return r;
}

static int look(int shmid, struct picture *p)
{
	struct topology topology;
	int r = sysv_find(shmid, &p->segment);

	if (r < 0)
		return cli_fail("there is no segment %d", shmid);
	p->n_pages = (p->segment.size + (uint64_t)sysconf(_SC_PAGESIZE) - 1) /
		     (uint64_t)sysconf(_SC_PAGESIZE);
	p->bound = shmbind_get(shmid, &p->policy, p->nodes.bits, NODES_MAX) == 0;
	r = topology_read("", &topology);
	if (r == 0) {
		p->online = topology.memory;
		topology_deinit(&topology);
		r = look_at_pages(p);
	}
	return r < 0 ? cli_fail("segment %d cannot be looked at: %s", shmid, strerror(-r)) : 0;
}

static void print_head(const struct picture *p)
{
	char nodes[NODESET_TEXT_MAX];

	printf("segment %d, key 0x%x, %llu pages, %llu processes have it attached: ",
		p->segment.shmid, (unsigned int)p->segment.key, (unsigned long long)p->n_pages,
		(unsigned long long)p->segment.n_attached);
	if (p->bound)
		printf("%s, %s on %s\n", policy_name(p->policy),
			p->policy & MEM_HARDBIND ? "hard" : "soft",
			nodeset_format(&p->nodes, nodes));
	else
		puts("not bound");
}

static uint64_t longest(const struct picture *p)
{
	uint64_t most = 1;
	unsigned int node;

	nodeset_for_each (&p->online, node)
		most = MAX(most, p->count.on[node]);
	return most;
}

static void print_bar(uint64_t pages, uint64_t most)
{
	uint64_t n = (pages * BAR + most - 1) / most;

	for (uint64_t i = 0; i < BAR; i++)
		putchar(i < n ? '#' : ' ');
	printf(" %8llu\n", (unsigned long long)pages);
}

static void print_map(const struct picture *p)
{
	printf("%llu pages each: ", (unsigned long long)(p->n_pages / map_length(p)));
	for (unsigned int i = 0; i < map_length(p); i++) {
		int node = p->map[i].node;

		putchar(node == -1		? '.'
			: node < 0 || node > 35 ? '*'
			: node < 10		? '0' + node
						: 'a' + node - 10);
	}
	puts("");
}

static void print_picture(const struct picture *p)
{
	uint64_t most = longest(p);
	unsigned int node;

	print_head(p);
	nodeset_for_each (&p->online, node) {
		printf("node %-4u %c ", node, p->bound && nodeset_has(&p->nodes, node) ? '>' : ' ');
		print_bar(p->count.on[node], most);
	}
	printf("not there   ");
	print_bar(p->count.absent, MAX(most, p->count.absent));
	print_map(p);
}

static void print_picture_json(const struct picture *p)
{
	struct json_object *root = json_object_new_object(), *nodes = json_object_new_array(), *o;
	char text[NODESET_TEXT_MAX];
	unsigned int node;

	json_object_object_add(root, "id", json_object_new_int(p->segment.shmid));
	json_object_object_add(root, "key", json_object_new_int(p->segment.key));
	json_object_object_add(root, "size", json_object_new_uint64(p->segment.size));
	json_object_object_add(root, "attached", json_object_new_uint64(p->segment.n_attached));
	if (p->bound) {
		json_object_object_add(
			root, "policy", json_object_new_string(policy_name(p->policy)));
		json_object_object_add(
			root, "hard", json_object_new_boolean(p->policy & MEM_HARDBIND));
		json_object_object_add(
			root, "nodes", json_object_new_string(nodeset_format(&p->nodes, text)));
	}
	json_object_object_add(root, "pages", nodes);
	nodeset_for_each (&p->online, node) {
		o = json_object_new_object();
		json_object_object_add(o, "node", json_object_new_int((int)node));
		json_object_object_add(o, "pages", json_object_new_uint64(p->count.on[node]));
		json_object_array_add(nodes, o);
	}
	json_object_object_add(root, "absent", json_object_new_uint64(p->count.absent));
	json_print(root, stdout);
}

int shm_show(int shmid, const struct invocation *in)
{
	static struct picture p;
	int r = look(shmid, &p);

	if (r)
		return r;
	if (in->option[OPTION_JSON])
		print_picture_json(&p);
	else
		print_picture(&p);
	return EXIT_OK;
}
