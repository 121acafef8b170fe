/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the other end of a page link may say: frames of 17 bytes, a header behind a byte that says
 * to whom: 0 … 3: to the home, by the node of that slot (4 … 7: after a new link); others: to the
 * node. What decodes is what was encoded; nobody asserts, and what the home has stays in order.
 */
#include "fuzz.h"

#include <string.h>
#include "core/directory.h"
#include "core/pager.h"
#include "wire/status.h"

#define PAGES 16u
#define FRAME (1 + PAGE_HEADER_SIZE)

static struct {
	Directory *directory;
	Pager *home, *guest;
	uint64_t entries[PAGES];
	uint8_t home_table[PAGES], guest_table[PAGES];
	uint64_t now;
} world;

static void must_fit(uint64_t page, unsigned int n)
{
	MUST(n > 0 && page < PAGES && n <= PAGES - page);
}

static void on_home_send(void *userdata, const struct page_message *m, bool aside)
{
	MUST(directory_receive(world.directory, DIRECTORY_HOME, m, world.now) == 0);
}

static void on_guest_send(void *userdata, const struct page_message *m, bool aside)
{
	must_fit(m->page, m->n);
}

static void on_run(void *userdata, uint64_t page, unsigned int n)
{
	must_fit(page, n);
}

static int on_content(void *userdata, uint64_t page, unsigned int n)
{
	must_fit(page, n);
	return 0;
}

static void on_groups(void *userdata, uint64_t page, unsigned int n, uint64_t groups)
{
	must_fit(page, n);
}

static void on_nothing(void *userdata)
{
}

#define PAGER_OPS(say)                                                                             \
	{                                                                                          \
		.send = say, .fill = on_content, .allow = on_groups, .protect = on_groups,         \
		.wake = on_groups, .drop = on_run, .set_aside = on_content,                        \
		.forget_aside = on_run, .claim_ready = on_nothing, .released = on_nothing          \
	}
static const struct pager_ops home_ops = PAGER_OPS(on_home_send);
static const struct pager_ops guest_ops = PAGER_OPS(on_guest_send);

static void on_directory_send(
	void *userdata, unsigned int slot, const struct page_message *m, enum page_source source)
{
	must_fit(m->page, m->n);
	if (slot == DIRECTORY_HOME)
		MUST(pager_receive(world.home, m, world.now) == 0);
}

static int on_keep(void *userdata, uint64_t page, unsigned int n, enum page_source where)
{
	must_fit(page, n);
	return 0;
}

static void on_discarded(void *userdata, unsigned int slot, uint64_t n_pages)
{
	MUST(n_pages <= PAGES);
}

static void on_give_up(void *userdata, unsigned int slot, const char *reason)
{
}

static const struct directory_ops directory_ops = {
	.send = on_directory_send,
	.keep = on_keep,
	.recover = on_content,
	.forget = on_run,
	.discarded = on_discarded,
	.give_up = on_give_up,
	.recalled = on_nothing,
};

static void begin(void)
{
	const struct directory_options d = {
		.n_pages = PAGES, .table = world.entries, .patience = UINT64_MAX};
	struct pager_options p = {.n_pages = PAGES, .home = true, .table = world.home_table};

	memset(&world, 0, sizeof(world));
	for (unsigned int i = 0; i < PAGES; i++) {
		world.entries[i] = DIRECTORY_NEW;
		world.home_table[i] = PAGER_S;
	}
	MUST(directory_new(&d, &directory_ops, NULL, &world.directory) == 0);
	MUST(pager_new(&p, &home_ops, NULL, &world.home) == 0);
	p.home = false;
	p.table = world.guest_table;
	MUST(pager_new(&p, &guest_ops, NULL, &world.guest) == 0);
	pager_group_set(world.home, 0, true, 0);
	pager_group_set(world.guest, 0, true, 0);
	pager_link(world.guest, true, 0);
	for (unsigned int slot = 1; slot < 4; slot++)
		MUST(directory_add(world.directory, slot, slot != 3) == 0);
}

/* Both processes want the page, too, so that answers have something to answer. */
static void want(uint8_t to, uint64_t page)
{
	if (to < 128)
		return;
	pager_fault(world.guest, 0, page % PAGES, to & 1, world.now);
	pager_fault(world.home, 0, page % PAGES, to & 1, world.now);
}

static void say(const uint8_t *frame)
{
	uint8_t again[PAGE_HEADER_SIZE];
	struct page_message m;

	if (page_message_decode(frame + 1, &m) < 0)
		return;
	page_message_encode(&m, again);
	MUST(!memcmp(again, frame + 1, sizeof(again)));
	MUST(page_message_content(&m) <= PAGE_RUN_MAX * PAGE_BYTES);
	want(frame[0], m.page);
	if (frame[0] > 4 && frame[0] < 8)
		directory_link(world.directory, frame[0] - 4u, true, world.now);
	if (frame[0] < 8 && frame[0] % 4 != DIRECTORY_HOME) {
		int r = directory_receive(world.directory, frame[0] % 4u, &m, world.now);

		MUST(r == 0 || r == STATUS_BAD_REQUEST);
	} else {
		int r = pager_receive(world.guest, &m, world.now);

		MUST(r == 0 || r == STATUS_BAD_REQUEST);
	}
	world.now += 100000;
	pager_tick(world.guest, world.now);
	pager_tick(world.home, world.now);
	directory_check(world.directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin();
	for (; size >= FRAME; data += FRAME, size -= FRAME)
		say(data);
	pager_free(world.home);
	pager_free(world.guest);
	directory_free(world.directory);
	return 0;
}
