/* SPDX-License-Identifier: Apache-2.0 */
#include "story.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <rsm/rsmapi_ext.h>

#define PAGE	 4096u
#define SIZE	 (4 * PAGE)
#define CHUNK	 64u
#define PATIENCE 2000 /* ms */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Codes by function; the unused rest of a row is RSM_SUCCESS. */
static const struct {
	const char *function;
	int codes[32];
} documented[] = {
#include "documented.inc"
};

typedef struct {
	bool clean, good;
	void (*relieve)(void);
	rsmapi_controller_handle_t controller;
	rsm_memseg_export_handle_t segment;
	rsm_memseg_import_handle_t own, other;
	rsmapi_barrier_t own_barrier, other_barrier;
	rsm_memseg_id_t id;
	char *memory;
	char expected[SIZE];
	bool unknown[SIZE / CHUNK]; /* a store there may or may not have happened */
} story_t;

static void complain(story_t *s, const char *what, const char *about, int code)
{
	printf("# %s: %s (%s)\n", about, what, rsm_ext_strerror(code));
	s->good = false;
}

static bool is_documented(const char *function, int code)
{
	for (size_t i = 0; i < COUNT(documented); i++) {
		if (strcmp(documented[i].function, function))
			continue;
		for (size_t k = 0; k < COUNT(documented[i].codes); k++)
			if (documented[i].codes[k] == code)
				return true;
		return false;
	}
	return false;
}

/* True if the call succeeded. */
static bool judge(story_t *s, const char *function, int code)
{
	if (code == RSM_SUCCESS)
		return true;
	if (!is_documented(function, code))
		complain(s, "not among the codes of its page", function, code);
	else if (s->clean)
		complain(s, "fails though nothing is wrong any more", function, code);
	return false;
}

#define CALL(function, ...) judge(s, #function, function(__VA_ARGS__))

/* What gives back may fail once, by the fault; then the thing is still there, and goes. */
static void judge_again(story_t *s, const char *function, int code)
{
	if (code == RSMERR_BAD_SEG_HNDL)
		complain(s, "failed, and took the handle", function, code);
	else if (code != RSM_SUCCESS)
		complain(s, "fails a second time: stuck", function, code);
}

#define GIVE_BACK(function, ...)                                                                   \
	do {                                                                                       \
		if (CALL(function, __VA_ARGS__))                                                   \
			break;                                                                     \
		if (s->relieve)                                                                    \
			s->relieve();                                                              \
		judge_again(s, #function, function(__VA_ARGS__));                                  \
	} while (0)

/* memory */

static void *memory_new(void)
{
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static void memory_begin(story_t *s)
{
	s->memory = memory_new();
	for (size_t i = 0; i < SIZE; i++)
		s->memory[i] = s->expected[i] = (char)(i * 7 + i / PAGE);
}

static void memory_check(story_t *s, const char *when)
{
	for (size_t i = 0; i < SIZE; i++) {
		if (s->unknown[i / CHUNK] || s->memory[i] == s->expected[i])
			continue;
		printf("# %s: byte %zu of the memory is %d, not %d\n", when, i, s->memory[i],
			s->expected[i]);
		s->good = false;
		return;
	}
}

/* A store into a chunk that succeeded or not. */
static void stored(story_t *s, unsigned int chunk, const char *bytes, bool done)
{
	s->unknown[chunk] = !done;
	memcpy(s->expected + chunk * CHUNK, bytes, CHUNK);
}

static void fill(char bytes[CHUNK], char first)
{
	for (unsigned int i = 0; i < CHUNK; i++)
		bytes[i] = (char)(first + (char)i);
}

/* the chapters */

static void look_around(story_t *s)
{
	rsmapi_controller_attr_t attributes;
	rsm_topology_t *topology;
	rsm_ext_segment_t *list;
	rsm_memseg_id_t base;
	uint32_t length;
	uint_t n;
	int code;

	CALL(rsm_get_controller_attr, s->controller, &attributes);
	if (CALL(rsm_get_interconnect_topology, &topology))
		rsm_free_interconnect_topology(topology);
	if (CALL(rsm_ext_list_segments, &list, &n))
		rsm_ext_free_segments(list);
	code = rsm_get_segmentid_range("no such application", &base, &length);
	if (!is_documented("rsm_get_segmentid_range", code))
		complain(s, "not among the codes of its page", "rsm_get_segmentid_range", code);
}

static void export_begin(story_t *s)
{
	rsmapi_access_entry_t access = {.ae_node = 0, .ae_permission = RSM_PERM_RDWR};
	rsm_memseg_id_t id = 0;

	if (!CALL(rsm_memseg_export_create, s->controller, &s->segment, s->memory, SIZE,
		    RSM_ALLOW_REBIND)) {
		s->segment = NULL;
		return;
	}
	memory_check(s, "after create");
	if (CALL(rsm_memseg_export_publish, s->segment, &id, NULL, 0)) {
		s->id = id;
		CALL(rsm_memseg_export_republish, s->segment, &access, 1);
	}
}

static void import_begin(story_t *s, rsm_memseg_id_t id, rsm_memseg_import_handle_t *ret_import,
	rsmapi_barrier_t *barrier)
{
	if (!id ||
		!CALL(rsm_memseg_import_connect, s->controller, 0, id, RSM_PERM_RDWR, ret_import))
		*ret_import = NULL;
	else
		CALL(rsm_memseg_import_init_barrier, *ret_import, RSM_BAR_DEFAULT, barrier);
}

static void put_and_get(story_t *s, rsm_memseg_import_handle_t import, bool own)
{
	char out[CHUNK], in[CHUNK];
	bool done;

	fill(out, 11);
	done = CALL(rsm_memseg_import_put, import, 2 * CHUNK, out, CHUNK);
	if (own)
		stored(s, 2, out, done);
	if (done && CALL(rsm_memseg_import_get, import, 2 * CHUNK, in, CHUNK) &&
		memcmp(in, out, CHUNK)) {
		printf("# get does not bring what put took\n");
		s->good = false;
	}
	fill(out, 23);
	done = CALL(rsm_memseg_import_put8, import, 3 * CHUNK, (uint8_t *)out, CHUNK);
	if (own)
		stored(s, 3, out, done);
}

static void map_and_store(
	story_t *s, rsm_memseg_import_handle_t import, rsmapi_barrier_t *barrier, bool own)
{
	char out[CHUNK];
	void *address;

	if (!CALL(rsm_memseg_import_map, import, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SIZE))
		return;
	fill(out, 37);
	memcpy((char *)address + 5 * CHUNK, out, CHUNK);
	if (own)
		stored(s, 5, out, true);
	GIVE_BACK(rsm_memseg_import_unmap, import);
	if (!CALL(rsm_memseg_import_open_barrier, barrier))
		return;
	fill(out, 41);
	if (own)
		stored(s, 6, out, CALL(rsm_memseg_import_put, import, 6 * CHUNK, out, CHUNK));
	CALL(rsm_memseg_import_order_barrier, barrier);
	CALL(rsm_memseg_import_close_barrier, barrier);
}

static void vectors(story_t *s)
{
	char *local = memory_new();
	rsm_localmemory_handle_t handle;
	rsm_iovec_t part = {
		.io_type = RSM_HANDLE_TYPE, .remote_offset = 8 * CHUNK, .transfer_length = CHUNK};
	rsm_scat_gath_t io = {.io_request_count = 1, .remote_handle = s->own, .iovec = &part};

	if (CALL(rsm_create_localmemory_handle, s->controller, &handle, local, SIZE)) {
		part.local.handle = handle;
		fill(local, 51);
		stored(s, 8, local, CALL(rsm_memseg_import_putv, &io));
		CALL(rsm_memseg_import_getv, &io);
		CALL(rsm_free_localmemory_handle, s->controller, handle);
	}
	munmap(local, SIZE);
}

static void signal_and_wait(story_t *s, void *from, void *to)
{
	int code;

	if (!CALL(rsm_intr_signal_post, from, 0))
		return;
	do
		code = rsm_intr_signal_wait(to, PATIENCE);
	while (code == RSMERR_INTERRUPTED && !s->clean);
	if (code == RSMERR_TIMEOUT)
		complain(s, "a posted signal does not arrive", "rsm_intr_signal_wait", code);
	else
		judge(s, "rsm_intr_signal_wait", code);
}

static void poll_signals(story_t *s)
{
	struct pollfd p = {.fd = -1};
	bool posted;
	int n, code;

	if (!CALL(rsm_memseg_get_pollfd, s->segment, &p))
		return;
	posted = CALL(rsm_intr_signal_post, s->own, 0);
	if (posted) {
		do
			code = rsm_intr_signal_wait_pollfd(&p, 1, PATIENCE, &n);
		while (code == RSMERR_INTERRUPTED && !s->clean);
		if (code == RSMERR_TIMEOUT)
			complain(s, "a posted signal does not arrive",
				"rsm_intr_signal_wait_pollfd", code);
		else
			judge(s, "rsm_intr_signal_wait_pollfd", code);
	}
	GIVE_BACK(rsm_memseg_release_pollfd, s->segment);
}

/* Other memory for the segment, and back; a failure leaves it where it was. */
static void rebind(story_t *s)
{
	char *second = memory_new();

	memcpy(second, s->memory, SIZE);
	if (CALL(rsm_memseg_export_rebind, s->segment, second, 0, SIZE))
		GIVE_BACK(rsm_memseg_export_rebind, s->segment, s->memory, 0, SIZE);
	munmap(second, SIZE);
}

static void imports(story_t *s, rsm_memseg_id_t partner)
{
	import_begin(s, s->id, &s->own, &s->own_barrier);
	if (s->own) {
		put_and_get(s, s->own, true);
		map_and_store(s, s->own, &s->own_barrier, true);
		vectors(s);
		poll_signals(s);
		signal_and_wait(s, s->own, s->segment);
		signal_and_wait(s, s->segment, s->own);
	}
	import_begin(s, partner, &s->other, &s->other_barrier);
	if (s->other) {
		put_and_get(s, s->other, false);
		map_and_store(s, s->other, &s->other_barrier, false);
		CALL(rsm_intr_signal_post, s->other, RSM_SIGPOST_NO_ACCUMULATE);
	}
	memory_check(s, "while imported");
}

static void give_back(story_t *s)
{
	if (s->other)
		GIVE_BACK(rsm_memseg_import_disconnect, s->other);
	if (s->own)
		GIVE_BACK(rsm_memseg_import_disconnect, s->own);
	if (s->id)
		CALL(rsm_memseg_export_unpublish, s->segment);
	memory_check(s, "after unpublish");
	if (s->segment)
		GIVE_BACK(rsm_memseg_export_destroy, s->segment);
	memory_check(s, "after destroy");
	memset(s->memory, 9, SIZE);
	GIVE_BACK(rsm_release_controller, s->controller);
}

bool story_run(bool clean, rsm_memseg_id_t partner, void (*relieve)(void))
{
	story_t *s = calloc(1, sizeof(*s));
	char name[] = "loopback";
	bool good;

	s->clean = clean;
	s->relieve = relieve;
	s->good = true;
	memory_begin(s);
	if (CALL(rsm_get_controller, name, &s->controller)) {
		look_around(s);
		export_begin(s);
		imports(s, partner);
		if (s->segment)
			rebind(s);
		give_back(s);
	}
	munmap(s->memory, SIZE);
	good = s->good;
	free(s);
	return good;
}

bool story_alone(void)
{
	rsm_ext_segment_t *list;
	uint_t n;

	if (rsm_ext_list_segments(&list, &n))
		return false;
	rsm_ext_free_segments(list);
	if (n != 1)
		printf("# %u segments are left, not only the partner's\n", n);
	return n == 1;
}

/* the partner */

static rsm_memseg_id_t partner_publish(void)
{
	rsm_memseg_export_handle_t segment;
	rsmapi_controller_handle_t controller;
	char name[] = "loopback";
	rsm_memseg_id_t id = 0;

	if (rsm_get_controller(name, &controller) ||
		rsm_memseg_export_create(controller, &segment, memory_new(), SIZE, 0) ||
		rsm_memseg_export_publish(segment, &id, NULL, 0))
		return 0;
	return id;
}

story_partner_t story_partner_start(void)
{
	story_partner_t partner = {0};
	int channel[2];

	if (pipe(channel))
		abort();
	fflush(stdout);
	partner.pid = fork();
	if (partner.pid == 0) {
		rsm_memseg_id_t id = partner_publish();

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(channel[1], &id, sizeof(id)) != sizeof(id))
			_exit(1);
		for (;;)
			pause();
	}
	close(channel[1]);
	if (read(channel[0], &partner.id, sizeof(partner.id)) != sizeof(partner.id) || !partner.id)
		printf("# the partner cannot publish\n");
	close(channel[0]);
	return partner;
}

void story_partner_end(const story_partner_t *partner)
{
	kill(partner->pid, SIGKILL);
	waitpid(partner->pid, NULL, 0);
}
