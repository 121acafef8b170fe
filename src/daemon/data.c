/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/data.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/client-memory.h"
#include "daemon/coherent.h"
#include "daemon/log.h"
#include "daemon/rdma.h"
#include "wire/status.h"

#define SPIN	      (20 * NSEC_PER_USEC) /* with two processors or more */
#define FRAME_TIMEOUT (2 * NSEC_PER_SEC)
#define PRIORITY      (-10)
#define MAPPINGS      3u /* that one segment takes: itself and two guards */
#define GUARD	      4096u

struct Data {
	FabricTarget *target;
	pthread_t thread;
	int notes[2]; /* pipe: struct note from the data thread to the main thread */
	sd_event_source *noted;
};

/* Why the data thread has closed a connection. */
struct note {
	uint64_t connection;
	char reason[120];
};

/* Of a segment that guests import. */
struct data_memory {
	uint8_t *base; /* NULL: by descriptor */
	void *whole;   /* with the guards; NULL: attached with shmat(2), or not at all */
	size_t whole_size;
	bool attached;
	uint32_t n_keys;
	struct wire_cell *cell; /* the exporter's */
	_Atomic int pipe;	/* the exporter's, non-blocking and only ours; -1: none */
};

/* In the data thread */

static void on_post(void *userdata, void *region, bool accumulate)
{
	struct data_memory *d = region;

	cell_post(d->cell, accumulate, atomic_load(&d->pipe));
}

static void on_closed(void *userdata, uint64_t connection, const char *reason)
{
	Data *data = userdata;
	struct note note = {.connection = connection};

	if (!reason)
		return;
	snprintf(note.reason, sizeof(note.reason), "%s", reason);
	/* it is only for people: a full pipe has enough for them */
	if (write(data->notes[1], &note, sizeof(note)) < 0)
		errno = 0;
}

static size_t on_claim(void *userdata, void *coherent, uint64_t off, size_t n, bool write)
{
	return coherent_claim(coherent, off, n, write);
}

static void on_unclaim(void *userdata, void *coherent, uint64_t off, size_t n)
{
	coherent_unclaim(coherent, off, n);
}

static void *run(void *userdata)
{
	Data *data = userdata;

	prctl(PR_SET_NAME, "causeway-data");
	/* Of this thread alone. Who may not, does without. */
	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), PRIORITY);
	fabric_target_run(data->target);
	return NULL;
}

/* Beginning and end */

static int on_note(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct note note;

	if (read(fd, &note, sizeof(note)) == sizeof(note))
		log_limited("the data connection of guest %llu is cut off: %.*s",
			(unsigned long long)note.connection, (int)sizeof(note.reason), note.reason);
	return 0;
}

static bool several_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) > 1;
}

/* Signals are the main thread's. */
static int thread_start(Data *data)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	r = -pthread_sigmask(SIG_SETMASK, &all, &old);
	if (r < 0)
		return r;
	r = -pthread_create(&data->thread, NULL, run, data);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static void data_discard(Data *data)
{
	fabric_target_free(data->target);
	sd_event_source_disable_unref(data->noted);
	fd_close(data->notes[0]);
	fd_close(data->notes[1]);
	free(data);
}
DEFINE_CLEANUP(Data *, data_discard);

static int data_new(Manager *m, Data **ret_data)
{
	static const struct fabric_target_ops ops = {
		.post = on_post, .closed = on_closed, .claim = on_claim, .unclaim = on_unclaim};
	const struct fabric_target_options options = {
		.spin = several_processors() ? SPIN : 0,
		.frame_timeout = FRAME_TIMEOUT,
	};
	_cleanup_(data_discard_p) Data *data = calloc(1, sizeof(*data));
	int r;

	if (!data)
		return -ENOMEM;
	data->notes[0] = data->notes[1] = -1;
	if (pipe2(data->notes, O_CLOEXEC | O_NONBLOCK) < 0)
		return negative_errno();
	r = sd_event_add_io(m->event, &data->noted, data->notes[0], EPOLLIN, on_note, data);
	if (r >= 0)
		r = fabric_target_new(&options, &ops, data, &data->target);
	if (r == 0)
		r = thread_start(data);
	if (r < 0)
		return r;
	*ret_data = take_ptr(data);
	return 0;
}

void data_free(Data *data)
{
	if (!data)
		return;
	fabric_target_stop(data->target);
	pthread_join(data->thread, NULL);
	data_discard(data);
}

static int data_need(Manager *m)
{
	return m->data ? 0 : data_new(m, &m->data);
}

/* Connections */

int data_attach(Manager *m, const EngineClient *guest, int fd, _Atomic uint64_t *done)
{
	int r = data_need(m);

	return r < 0 ? r : fabric_target_attach(m->data->target, guest->id, fd, done);
}

void data_detach(Manager *m, const EngineClient *guest)
{
	if (m->data)
		fabric_target_detach(m->data->target, guest->id);
}

/* Memory */

/* A stray access beyond either end meets no other segment. */
static int map_guarded(struct data_memory *d, int fd, uint64_t size)
{
	size_t whole = size + 2 * GUARD;
	uint8_t *p =
		mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return negative_errno();
	if (mmap(p + GUARD, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		MAP_FAILED) {
		int r = negative_errno();

		munmap(p, whole);
		return r;
	}
	d->whole = p;
	d->whole_size = whole;
	d->base = p + GUARD;
	return 0;
}

/*
 * A System V segment that we could not open; nobody can shorten it. The kernel asks for our rights,
 * not the exporter's; and by now the id may be another segment's, which it cannot become any more
 * once it is attached.
 */
static int attach_sysv(struct data_memory *d, const EngineSegment *segment)
{
	const ManagerSegment *s = manager_segment(segment);

	struct shmid_ds info;
	uint8_t *p;

	p = shmat(s->shmid, NULL, 0);
	if (p == (void *)-1)
		return errno == ENOMEM ? -ENOMEM : STATUS_NOT_ADOPTABLE;
	if (!client_memory_may_use_sysv(&segment->owner->identity, s->shmid) ||
		shmctl(s->shmid, IPC_STAT, &info) < 0 ||
		!range_within(s->offset, segment->size, info.shm_segsz)) {
		shmdt(p);
		return STATUS_NOT_ADOPTABLE;
	}
	d->whole = p;
	d->attached = true;
	d->base = p + s->offset;
	return 0;
}

static void memory_free(Manager *m, struct data_memory *d)
{
	if (d->attached)
		shmdt(d->whole);
	else if (d->whole)
		munmap(d->whole, d->whole_size);
	m->n_mappings -= MAPPINGS;
	free(d);
}

static int memory_new(Manager *m, const EngineSegment *segment, struct data_memory **ret_memory)
{
	ManagerSegment *s = manager_segment(segment);
	struct data_memory *d;
	int r = 0;

	if (m->n_mappings + MAPPINGS > m->max_mappings)
		return -ENOSPC;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	m->n_mappings += MAPPINGS;
	d->cell = &s->cells.map[0];
	atomic_init(&d->pipe, s->pipe);
	if (s->shmid >= 0)
		r = attach_sysv(d, segment);
	else if (!s->foreign)
		r = map_guarded(d, s->memory, segment->size);
	if (r) {
		memory_free(m, d);
		return r;
	}
	*ret_memory = d;
	return 0;
}

static void memory_put(Manager *m, ManagerSegment *s)
{
	if (--s->data->n_keys > 0)
		return;
	memory_free(m, s->data);
	s->data = NULL;
}

void data_set_pipe(const EngineSegment *segment, int pipe)
{
	ManagerSegment *s = manager_segment(segment);

	if (s->data)
		atomic_store(&s->data->pipe, pipe);
}

/* Keys */

static struct fabric_key key_of(const EngineImport *import)
{
	struct fabric_key key;

	memcpy(key.bytes, manager_import(import)->key, sizeof(key.bytes));
	return key;
}

static struct fabric_region region_of(const EngineImport *import, const EngineSegment *segment)
{
	const ManagerSegment *s = manager_segment(segment);

	return (struct fabric_region){
		.base = s->data->base,
		.fd = s->data->base ? -1 : s->memory,
		.offset = s->data->base ? 0 : s->offset,
		.size = segment->size,
		.rights = import->rights,
		.connection = import->client->id,
		.userdata = s->data,
		.coherent = s->home,
	};
}

bool data_region(
	const EngineImport *import, struct fabric_key *ret_key, struct fabric_region *ret_region)
{
	if (!manager_import(import) || !manager_import(import)->keyed)
		return false;
	if (!manager_segment(import->holding)->data->base)
		return false;
	*ret_key = key_of(import);
	*ret_region = region_of(import, import->holding);
	return true;
}

int data_grant(Manager *m, EngineImport *import)
{
	ManagerSegment *s = manager_segment(import->segment);
	struct fabric_key key = key_of(import);
	struct fabric_region region;
	int r;

	r = data_need(m);
	if (r == 0 && !s->data)
		r = memory_new(m, import->segment, &s->data);
	if (r)
		return r;
	s->data->n_keys++;
	region = region_of(import, import->segment);
	r = fabric_target_grant(m->data->target, &key, &region);
	if (r < 0)
		memory_put(m, s);
	else
		manager_import(import)->keyed = true;
	return r;
}

void data_revoke(Manager *m, EngineImport *import)
{
	ManagerImport *i = manager_import(import);
	struct fabric_key key = key_of(import);

	if (!i->keyed)
		return;
	rdma_revoke(m, import);
	data_add_traffic(m, import, &manager_segment(import->holding)->ended);
	fabric_target_revoke(m->data->target, &key);
	i->keyed = false;
	memory_put(m, manager_segment(import->holding));
}

void data_set_coherent(Manager *m, const EngineSegment *segment, CoherentHome *home)
{
	EngineImport *import;

	list_for_each (import, &segment->imports, link) {
		struct fabric_key key;

		if (!manager_import(import) || !manager_import(import)->keyed)
			continue;
		key = key_of(import);
		(void)fabric_target_set_coherent(m->data->target, &key, home);
	}
}

void data_retry(const Manager *m)
{
	fabric_target_retry(m->data->target);
}

void data_add_traffic(Manager *m, const EngineImport *import, struct traffic *sum)
{
	struct fabric_key key = key_of(import);
	struct fabric_traffic t;

	if (!manager_import(import)->keyed || fabric_target_traffic(m->data->target, &key, &t) < 0)
		return;
	sum->puts += t.puts;
	sum->gets += t.gets;
	sum->put_bytes += t.put_bytes;
	sum->get_bytes += t.get_bytes;
	sum->posts += t.posts;
}
