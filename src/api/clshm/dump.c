/* SPDX-License-Identifier: Apache-2.0 */
/* What this process, and what the daemons have, to standard error for people. */
#include <xp_shm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "api/clshm/attaches.h"
#include "api/clshm/call.h"
#include "api/clshm/known.h"
#include "api/clshm/partitions.h"
#include "api/clshm/session.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "wire/status.h"

static void failed(const char *what, int r)
{
	char text[64];

	fprintf(stderr, "%s: %s\n", what,
		r > 0 ? wire_status_text(r) : strerror_r(-r, text, sizeof(text)));
}

/* the process */

static void dump_session(void)
{
	struct session s;
	int r = session_get(&s);

	if (r) {
		failed("daemon", r);
		return;
	}
	fprintf(stderr, "partition %u, daemon at %s: version %u.%u, %u ms for a call\n",
		s.node.partition, s.link->node.socket, s.node.version >> 16,
		s.node.version & 0xffff, (unsigned int)(s.node.timeout / NSEC_PER_MSEC));
	session_put(&s);
}

static void dump_process(void)
{
	struct attach a;

	fprintf(stderr, "clshm library %d.%d, debug level %d\n", CLSHM_USR_MAJOR_VERS,
		CLSHM_USR_MINOR_VERS, call_debug_level());
	dump_session();
	fprintf(stderr, "%u keys known\n", known_count());
	for (unsigned int i = 0; attaches_nth(i, &a); i++)
		fprintf(stderr, "attached: shmid %#x at %p, %zu bytes, read%s\n",
			(unsigned int)a.shmid, (void *)a.address, a.size,
			a.read_only ? "" : " and write");
}

/* the daemons */

static void dump_row(const struct wire_shm_row *row)
{
	fprintf(stderr,
		"segment: shmid %#x, key %#x, %ju bytes, mode %03o, owner %u:%u, creator %u:%u, "
		"%ju attached%s%s%s%s\n",
		row->shmid, row->key, (uintmax_t)row->size, row->mode & 0777, row->uid, row->gid,
		row->cuid, row->cgid, (uintmax_t)row->n_attached,
		row->flags & WIRE_SHM_AUTO ? ", removed when detached" : "",
		row->flags & WIRE_SHM_REMOVED ? ", removed" : "",
		row->flags & WIRE_SHM_LOCKED ? ", locked" : "",
		row->flags & WIRE_SHM_PLACED ? ", placed" : "");
}

static void dump_rows(const struct wire_message *reply)
{
	const uint8_t *at = reply->tail, *end = at + reply->tail_size;
	struct wire_shm_row row;

	for (uint32_t i = 0; i < reply->shm_list_reply.n && at; i++) {
		at = wire_get_shm_row(at, end, &row);
		if (at)
			dump_row(&row);
	}
}

static int dump_segments(uint32_t partition)
{
	struct wire_message m = {.type = WIRE_SHM_LIST, .shm_list = {.partition = partition}};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	uint64_t cursor;
	int r;

	if (!reply)
		return -ENOMEM;
	do {
		cursor = m.shm_list.cursor;
		r = session_ask(&m, reply);
		if (r)
			return r;
		dump_rows(&reply->message);
		m.shm_list.cursor = reply->message.shm_list_reply.next;
		/* never round in circles, whatever is said */
	} while (m.shm_list.cursor > cursor);
	return 0;
}

static void dump_partition(const struct wire_shm_partition *p)
{
	int r;

	fprintf(stderr, "partition %u: %.64s, daemon version %u.%u\n", p->partition, p->host,
		p->version >> 16, p->version & 0xffff);
	r = dump_segments(p->partition);
	if (r)
		failed("segments", r);
}

static void dump_partitions(bool all)
{
	struct partitions p = {0};
	uint32_t own = 0;
	int r = session_partition(&own);

	if (!r)
		r = partitions_get(&p);
	if (r)
		failed("partitions", r);
	for (unsigned int i = 0; i < p.n; i++)
		if (all || p.list[i].partition == own)
			dump_partition(&p.list[i]);
}

static void dump(bool process, bool daemon, bool all)
{
	int saved = errno;

	call_begin();
	if (process)
		dump_process();
	if (daemon)
		dump_partitions(all);
	call_end("dump", CODE_SEGMENT, 0, 0);
	errno = saved;
}

CLSHM_API void dump_usr_state(void)
{
	dump(true, false, false);
}

CLSHM_API void dump_daem_state(void)
{
	dump(false, true, false);
}

CLSHM_API void dump_all_state(void)
{
	dump(true, true, true);
}
