/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "daemon/data.h"
#include "daemon/log.h"
#include "daemon/rdma.h"
#include "wire/status.h"

/*
 * Maps of this node's processes: what their client pages say, and what nobody said. A client that
 * writes nonsense there harms itself; one that cannot be watched keeps the segment from being
 * mapped by other nodes.
 */

#define BLOCK 256u /* slots of a client page read at once */

/* What clients must know */

void coherent_show(Manager *m, const EngineSegment *segment, bool coherent)
{
	const ManagerClient *owner = segment->owner->userdata;
	EngineImport *import;

	if (owner)
		atomic_store(&owner->status.map->export_coherent[segment->index], coherent);
	list_for_each (import, &segment->imports, link) {
		const ManagerClient *client = import->client->userdata;

		if (!import_is_guest(import) && manager_import(import))
			atomic_store(&client->status.map->import_coherent[import->index], coherent);
	}
}

/* One map */

struct watched_map {
	CoherentPart *part;
	uint64_t size; /* of the segment */
	bool read_only;
};

/* What a slot is about, if that is watched. */
static bool find_watched(ManagerClient *c, const struct wire_map *map, struct watched_map *ret)
{
	EngineSegment *segment = NULL;
	EngineImport *import = NULL;

	if (map->side == WIRE_SIDE_EXPORT)
		segment = engine_segment_get(c->engine, map->index);
	else if (map->side == WIRE_SIDE_IMPORT)
		import = engine_import_get(c->engine, map->index);
	if (import && manager_import(import) && manager_import(import)->coherent_guest) {
		*ret = (struct watched_map){&manager_import(import)->coherent_guest->part,
			import->size, !(import->rights & WIRE_WRITE)};
		return true;
	}
	if (import)
		segment = import->segment;
	if (!segment || !manager_segment(segment) || !manager_segment(segment)->home)
		return false;
	*ret = (struct watched_map){&manager_segment(segment)->home->part, segment->size,
		import && !(import->rights & WIRE_WRITE)};
	return true;
}

/* Its owner has unmapped what was there before. */
static void make_way(CoherentWatch *w, const struct mapper *m)
{
	const struct watch_event gone = {
		.type = WATCH_UNMAPPED, .address = m->address, .end = m->address + m->length};
	struct mapper pieces[3];
	CoherentMapper *mapper, *tmp;
	unsigned int n;

	list_for_each_safe (mapper, tmp, &w->mappers, of_watch) {
		if (mapper->m.address >= gone.end ||
			mapper->m.address + mapper->m.length <= gone.address)
			continue;
		n = mapper_change(&mapper->m, &gone, pieces);
		for (unsigned int i = 1; i < n; i++)
			if (coherent_mapper_add(mapper, &pieces[i], w) < 0)
				coherent_watch_kill(w);
		if (n == 0) {
			coherent_mapper_free(mapper);
		} else {
			mapper->m = pieces[0];
			coherent_row_change(mapper);
		}
	}
}

static bool is_watched(const CoherentWatch *w, const CoherentPart *part, const struct mapper *m)
{
	const CoherentMapper *mapper;

	list_for_each (mapper, &w->mappers, of_watch)
		if (mapper->part == part && mapper->m.address == m->address &&
			mapper->m.length == m->length && mapper->m.offset == m->offset)
			return true;
	return false;
}

/* A predecessor may not have come to it. MAPPER_CHANGED: it is not watched, perhaps not any more.
 */
static int arm_again(CoherentWatch *w, const CoherentPart *part, const struct mapper *m)
{
	struct mapper mapper = *m;
	int r = MAPPER_CHANGED;

	mapper.watch = w->watch;
	while (r == MAPPER_CHANGED && is_watched(w, part, m)) {
		r = mapper_arm_again(&mapper);
		if (r == MAPPER_CHANGED)
			coherent_watch_apply(w);
	}
	return r;
}

static int watch_map(
	Manager *m, ManagerClient *c, const struct watched_map *what, const struct wire_map *map)
{
	const struct mapper mapper = {.address = map->address,
		.offset = map->offset,
		.length = map->length,
		.read_only = what->read_only};
	CoherentWatch *w;
	int r;

	if (!range_within(map->offset, map->length, what->size) || map->address % PAGE_BYTES ||
		map->offset % PAGE_BYTES || map->length % PAGE_BYTES ||
		!range_within(map->address, map->length, INT64_MAX))
		return STATUS_BAD_ADDRESS;
	r = coherent_watch_get(m, c, &w);
	if (r)
		return r;
	coherent_lock(m->coherent);
	r = arm_again(w, what->part, &mapper);
	if (r == MAPPER_CHANGED) {
		make_way(w, &mapper);
		r = coherent_mapper_new(what->part, w, &mapper);
	}
	coherent_unlock(m->coherent);
	if (r == -EINVAL || r == -EPERM || r == -ENOENT)
		return STATUS_BAD_ADDRESS;
	if (r == -EBUSY)
		log_limited("a map of client %d (%s) cannot be watched: it is already, by somebody "
			    "else",
			c->identity.pid, c->identity.command);
	return r == -EBUSY ? STATUS_MAP_FAILED : r;
}

int coherent_map(Manager *m, ManagerClient *client, uint32_t slot)
{
	struct watched_map what;
	struct wire_map map;
	int r = client_page_read(client->maps, slot, &map);

	if (r < 0)
		return r == -ERANGE ? STATUS_BAD_REQUEST : r;
	if (!map.length)
		return STATUS_BAD_HANDLE;
	if (!m->coherent || !find_watched(client, &map, &what)) {
		if (map.side == WIRE_SIDE_EXPORT)
			return engine_segment_get(client->engine, map.index) ? 0
									     : STATUS_BAD_HANDLE;
		return engine_import_get(client->engine, map.index) ? 0 : STATUS_BAD_HANDLE;
	}
	return watch_map(m, client, &what, &map);
}

/* All maps of a segment */

/* Maps that are not where their client says are nobody's. */
static int watch_all_of(Manager *m, CoherentHome *home, ManagerClient *c)
{
	const size_t base = offsetof(struct wire_client_page, maps);
	struct wire_map maps[BLOCK];
	struct watched_map what;
	int r = 0;

	for (uint32_t at = 0, n = client_page_maps(c->maps); at < n && r <= 0; at += BLOCK) {
		ssize_t got = pread(c->maps, maps, MIN(n - at, BLOCK) * sizeof(maps[0]),
			(off_t)(base + at * sizeof(maps[0])));

		for (ssize_t i = 0; i < got / (ssize_t)sizeof(maps[0]); i++) {
			if (!maps[i].length || !find_watched(c, &maps[i], &what) ||
				what.part != &home->part)
				continue;
			r = watch_map(m, c, &what, &maps[i]);
			if (r < 0 || r == STATUS_MAP_FAILED)
				return r;
		}
	}
	return 0;
}

static bool has_segment(const ManagerClient *c, const EngineSegment *segment)
{
	const EngineImport *import;

	if (segment->owner == c->engine)
		return true;
	list_for_each (import, &segment->imports, link)
		if (import->client == c->engine)
			return true;
	return false;
}

/* Copies of maps that nobody watches: in children of clients, and of those that once had it. */

#define SOUGHT_MAX 64u /* parts that are looked for at once */

struct sought {
	ino_t inode;
	CoherentPart *part;
};

struct found_map {
	pid_t pid;
	int process; /* its pidfd */
	uint64_t address;
};

struct scan {
	struct sought sought[SOUGHT_MAX];
	unsigned int n;
	uid_t user; /* whose processes; 0: all, for who may do everything may give that up, too */
	/* False: enough of this process. */
	bool (*found)(void *userdata, CoherentPart *part, const struct found_map *map);
	void *userdata;
};

static int seek(struct scan *scan, CoherentPart *part)
{
	struct stat st;

	if (fstat(part->store.memory, &st) < 0)
		return negative_errno();
	scan->sought[scan->n++] = (struct sought){st.st_ino, part};
	return 0;
}

/* "start-end rwxs offset major:minor inode    name" */
static bool scan_line(const struct scan *scan, struct found_map *map, const char *line)
{
	uint64_t number;

	if (sscanf(line, "%" SCNx64 "-%*x %*s %*x %*s %" SCNu64, &map->address, &number) != 2 ||
		!strstr(line, "/memfd:causeway"))
		return true;
	for (unsigned int i = 0; i < scan->n; i++)
		if (scan->sought[i].inode == number &&
			!scan->found(scan->userdata, scan->sought[i].part, map))
			return false;
	return true;
}

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re");
}

static bool is_of_user(pid_t pid, uid_t user)
{
	_cleanup_free_ char *line = NULL;
	FILE *f = open_proc(pid, "status");
	unsigned int ids[4];
	bool is = false;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0) {
		if (sscanf(line, "Uid: %u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]) != 4)
			continue;
		for (size_t i = 0; i < ELEMENTS(ids); i++)
			is |= ids[i] == user;
		break;
	}
	if (f)
		fclose(f);
	return is;
}

static void scan_process(const struct scan *scan, pid_t pid)
{
	/* before anything of it is read: the number may be another's afterwards */
	_cleanup_close_ int process = (int)syscall(SYS_pidfd_open, pid, 0);
	struct found_map map = {.pid = pid, .process = process};
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	FILE *f;

	if (scan->user && !is_of_user(pid, scan->user))
		return;
	f = open_proc(pid, "maps");
	if (!f)
		return;
	while (getline(&line, &size, f) > 0 && scan_line(scan, &map, line))
		;
	fclose(f);
}

/* Whatever other processes have mapped of this memory. */
static int scan_all(const struct scan *scan)
{
	const struct dirent *e;
	pid_t pid;
	DIR *proc = opendir("/proc");

	if (!proc)
		return negative_errno();
	while ((e = readdir(proc))) {
		pid = (pid_t)atoi(e->d_name);
		if (pid > 0 && pid != getpid())
			scan_process(scan, pid);
	}
	closedir(proc);
	return 0;
}

static bool is_known(const CoherentPart *part, const struct found_map *map)
{
	const CoherentMapper *mapper;
	uint64_t offset;

	list_for_each (mapper, &part->mappers, of_part)
		if (mapper->watch->pid == map->pid &&
			mapper_find(&mapper->m, map->address, &offset))
			return true;
	return false;
}

static bool note_stranger(void *userdata, CoherentPart *part, const struct found_map *map)
{
	pid_t *first = userdata;
	bool known;

	coherent_lock(part->coherent);
	known = is_known(part, map);
	coherent_unlock(part->coherent);
	if (!known)
		*first = map->pid;
	return known;
}

static int refuse_strangers(CoherentHome *home)
{
	pid_t first = 0;
	struct scan scan = {.found = note_stranger, .userdata = &first};
	int r = seek(&scan, &home->part);

	if (r == 0)
		r = scan_all(&scan);
	if (r < 0 || !first)
		return r;
	log_limited(
		"segment %llu cannot be mapped by other nodes: process %d has it mapped, and it "
		"is not known where from; it was forked before",
		(unsigned long long)home->instance, (int)first);
	return STATUS_MAP_FAILED;
}

/* A child's number is not known. */
static bool kill_stranger(void *userdata, CoherentPart *part, const struct found_map *map)
{
	if (is_known(part, map))
		return true;
	(void)syscall(SYS_pidfd_send_signal, map->process, SIGKILL, NULL, 0);
	return false;
}

static bool has_part(const CoherentWatch *w, const CoherentPart *part)
{
	const CoherentMapper *mapper;

	list_for_each (mapper, &w->mappers, of_watch)
		if (mapper->part == part)
			return true;
	return false;
}

void coherent_children_kill(const CoherentWatch *w)
{
	struct scan scan = {.user = w->uid, .found = kill_stranger};
	CoherentPart *part;

	list_for_each (part, &w->coherent->parts, link) {
		if (!has_part(w, part) || seek(&scan, part) < 0 || scan.n < SOUGHT_MAX)
			continue;
		(void)scan_all(&scan);
		scan.n = 0;
	}
	if (scan.n)
		(void)scan_all(&scan);
}

int coherent_arm(Manager *m, CoherentHome *home)
{
	EngineSegment *segment = home->segment;
	bool forked = segment->handed_out;
	ManagerClient *c;
	int r = 0;

	/* whoever maps it from now on has that watched */
	coherent_show(m, segment, true);
	list_for_each (c, &m->clients, link) {
		if (!has_segment(c, segment))
			continue;
		forked |= client_page_forked(c->maps);
		r = watch_all_of(m, home, c);
		if (r)
			return r;
	}
	if (forked)
		r = refuse_strangers(home);
	if (r)
		return r;
	rdma_withdraw(m, segment);
	data_set_coherent(m, segment, home);
	return 0;
}
