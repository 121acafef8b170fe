/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_COHERENT_PRIVATE_H
#define DAEMON_COHERENT_PRIVATE_H

/*
 * Between the files coherent*.c. What a node has of one coherent segment is its part: the pager,
 * the memory, the mappers; at the home the directory besides.
 *
 *   coherent.c          the lock, the page thread, time, what the other threads tell the main one
 *   coherent-link.c     page links: frames in and out
 *   coherent-dial.c     how page links come about (main thread)
 *   coherent-part.c     what a pager does to memory and mappers
 *   coherent-watch.c    watchers: the events of one userfaultfd
 *   coherent-user.c     what the processes of one user may cost
 *   coherent-guest.c    another node's segment, mapped here
 *   coherent-sleep.c    who sleeps at locks in pages that go to other nodes
 *   coherent-loss.c     what becomes of who has it mapped when it is lost
 *   coherent-open.c     how an import gets its memory
 *   coherent-home.c     a segment of this node that others map, and the nodes' slots
 *   coherent-directory.c what its directory does; frames from the nodes
 *   coherent-slot.c     how nodes' maps end other than in order
 *   coherent-recall.c   everything comes home
 *   coherent-use.c      the data thread; what is shown
 *   coherent-arm.c      finds and watches this node's own maps of such a segment
 *   coherent-restore.c  what a predecessor left
 *
 * Everything here is under the lock but where a field says otherwise. Fields marked (main) are the
 * main thread's alone. Who holds the lock calls neither manager nor engine.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <systemd/sd-event.h>
#include "core/directory.h"
#include "core/pager.h"
#include "core/peer.h"
#include "daemon/coherent.h"
#include "daemon/manager-peer.h"
#include "memory/mapper.h"
#include "memory/page-store.h"
#include "memory/watch.h"

typedef struct CoherentPart CoherentPart;
typedef struct CoherentLink CoherentLink;
typedef struct CoherentWatch CoherentWatch;
typedef struct CoherentUser CoherentUser;

struct Coherent {
	Manager *manager; /* (main) */
	pthread_mutex_t lock;
	uint64_t now; /* CLOCK_MONOTONIC, when the lock was taken */

	pthread_t thread;
	int epoll, timer, wake; /* of the page thread; wake: eventfd */
	_Atomic uint64_t armed; /* what timer is set to; UINT64_MAX: nothing; read without lock */
	_Atomic bool stopping;	/* needs no lock */
	bool spins;

	struct list parts;	    /* CoherentPart.link */
	struct list touched;	    /* CoherentPart.touched: their next time may have changed */
	struct list links;	    /* CoherentLink.link */
	struct list unsent;	    /* CoherentLink.unsent: have something to send, or are broken */
	struct list watches, ended; /* CoherentWatch.link */
	uint32_t n_watches;	    /* that have not ended */
	struct list users;	    /* CoherentUser.link */
	bool sweeping;
	uint64_t look; /* when to look for processes that are gone and for peers that take too long;
			* UINT64_MAX: not at all */

	int notes; /* eventfd to the main thread */
	sd_event_source *noted;

	struct list dials;     /* struct page_dial (main) */
	struct list grants;    /* struct page_grant (main) */
	struct list opens;     /* struct coherent_open: clients that wait (main) */
	struct list questions; /* struct question of coherent-open.c (main) */
	uint32_t last_map;     /* (main) */
	uint64_t last_number;
	struct coherent_rows *rows; /* coherent-restore.c */
};

/* --- coherent.c --- */

int coherent_need(Manager *m);
/* Without a table of mappers; nothing of m->coherent is there yet. */
int coherent_new(Manager *m);
void coherent_lock(Coherent *c);
/* The lock was taken in another way. */
void coherent_locked(Coherent *c);
/* Sends what is to be sent, and sets the timer. */
void coherent_unlock(Coherent *c);
/* Wakes the page thread. */
void coherent_wake(Coherent *c);
/* Has the main thread look at everything that is noted in guests, homes and links. */
void coherent_note(Coherent *c);
/* For keys of descriptors in the keeper; takes the lock. */
uint64_t coherent_number(Coherent *c);
/* A thread of ours, with raised priority; all signals are blocked in it. */
int coherent_thread(void *(*run)(void *), void *userdata, pthread_t *ret_thread);

/* --- coherent-part.c --- */

#define COHERENT_WANTED 16u

struct CoherentPart {
	Coherent *coherent;
	struct list link, touched;
	bool home;     /* a CoherentHome's, else a CoherentGuest's */
	bool over;     /* faults are let go */
	bool failed;   /* out of memory: to be ended by the main thread */
	uint32_t loss; /* enum wire_shm_loss: it is lost, and over, and still mapped; else 0 */
	/* of such a one: pages that are lent to system calls, and that others wait for; when that
	 * changes, 0: there are none */
	uint64_t wanted[COHERENT_WANTED];
	unsigned int n_wanted;
	bool lent;
	uint64_t turn;
	struct page_store store;
	Pager *pager;
	struct list mappers; /* CoherentMapper.of_part */
	uint32_t n_mappers[PAGER_GROUPS];
	uint64_t emptied; /* groups that the pager does not know to be empty yet */
	bool sleeps;	  /* of clshm: see coherent-sleep.c */
	struct list sleeping;
	unsigned int n_sleeping;
	const uint8_t *content; /* of the message that is being received */
	uint64_t content_page;
};

typedef struct CoherentMapper {
	CoherentPart *part;
	CoherentWatch *watch;
	struct list of_part, of_watch;
	struct mapper m;
	unsigned int group;
	uint32_t row; /* in the table of mappers; see coherent-restore.c */
} CoherentMapper;

extern const struct pager_ops coherent_pager_ops; /* userdata: the part */

void coherent_part_init(Coherent *c, CoherentPart *part, bool home);
/* Its mappers are released and forgotten; no more faults. */
void coherent_part_end(CoherentPart *part);
/* Everything of it is freed but itself. */
void coherent_part_deinit(CoherentPart *part);
void coherent_touch(CoherentPart *part);
void coherent_part_counts(const CoherentPart *part, struct coherent_counts *ret);

/* Watches this mapping; the memory behind it is the part's. A status or a negative errno of
 * mapper_arm(); STATUS_MAP_FAILED: its process or user has too many. */
int coherent_mapper_new(CoherentPart *part, CoherentWatch *watch, const struct mapper *mapper);
/* One that is watched already: what a change has left, or made in a forked child, of another one,
 * in whose group it is. */
int coherent_mapper_add(
	const CoherentMapper *of, const struct mapper *mapper, CoherentWatch *watch);
/* Forgets it; its process is not asked. */
void coherent_mapper_free(CoherentMapper *mapper);
/* A predecessor's, whose row is there. */
int coherent_mapper_restore(CoherentPart *part, CoherentWatch *watch, const struct mapper *mapper,
	CoherentMapper **ret_mapper);
/* After a restart: nobody may store; and: drops what is here without right, wakes everybody. */
void coherent_part_protect(CoherentPart *part);
void coherent_part_resume(CoherentPart *part);
/* Everybody who waits. */
void coherent_part_wake(CoherentPart *part);
/* The part makes sure that a page which is here is in the memory, and asks the pager. */
void coherent_mapper_fault(CoherentMapper *mapper, uint64_t page, const struct watch_event *fault);
CoherentMapper *coherent_mapper_find(CoherentWatch *watch, uint64_t address, uint64_t *ret_offset);

/* --- coherent-watch.c --- */

struct CoherentWatch {
	Coherent *coherent;
	struct list link; /* coherent->watches, or ->ended */
	Watch *watch;
	int uffd;	    /* ours */
	uint64_t client;    /* 0: of a process that is no client, or not any more */
	bool current;	    /* the client's latest userfaultfd is this one */
	int process;	    /* the client's pidfd; -1: a child's */
	pid_t pid;	    /* the client's; 0: a child's */
	uid_t uid;	    /* the client's; a child's is its parent's */
	CoherentUser *user; /* NULL: it has ended */
	uint64_t number;    /* of uffd in the keeper */
	bool stored;	    /* it is there (main) */
	struct list mappers;
	uint32_t n_mappers;
	bool has_thread;
	pthread_t thread;
};

/* UFFDIO_API on the client's userfaultfd, once. */
int coherent_uffd_begin(ManagerClient *client);
/* The client's present one, made if it has none and gave a userfaultfd. STATUS_MAP_FAILED: it
 * cannot be watched; in the log. */
int coherent_watch_get(Manager *m, ManagerClient *client, CoherentWatch **ret_watch);
/* uffd has been initialised, and is the watch's on success. Nobody reads it yet. */
int coherent_watch_new(Coherent *c, int uffd, uid_t uid, CoherentWatch **ret_watch);
int coherent_watch_start(CoherentWatch *watch);
void coherent_watch_set_client(CoherentWatch *watch, const ManagerClient *client);
/* What the process has changed of its mappings; may be called by operations of pagers. */
void coherent_watch_apply(CoherentWatch *watch);
/* It keeps changing them, so that they cannot be protected: it is ended. */
void coherent_watch_kill(CoherentWatch *watch);
/* Those of processes that are no clients, and are gone, end; sets c->look. */
void coherent_watches_sweep(Coherent *c);
/* (main) Stores what is new, frees what has ended. */
void coherent_watches_look(Manager *m);

/* --- coherent-user.c --- */

#define COHERENT_WATCHES      4096u /* with a thread each */
#define COHERENT_USER_WATCHES 1024u
#define COHERENT_USER_MAPPERS 16384u
#define COHERENT_MAPPERS      1024u /* of one watch */

struct CoherentUser {
	struct list link;
	uid_t uid;
	uint32_t n_watches, n_mappers;
	struct watch_credit credit;
};

/* Counts a watch, until it is put. */
int coherent_user_get(Coherent *c, uid_t uid, CoherentUser **ret_user);
void coherent_user_put(CoherentUser *user);
/* For one more watch. */
bool coherent_user_has_room(Coherent *c, uid_t uid);

/* --- coherent-link.c --- */

struct CoherentLink {
	Coherent *coherent;
	struct list link, unsent;
	uint32_t node;
	bool dialled;	  /* by us: the other one is the home */
	uint64_t session; /* that it belongs to */
	uint64_t detection;
	int fd;
	_Atomic bool broken; /* nothing is sent or read any more; freed by the page thread, once */
	bool told;	     /* pagers and directories know that */
	uint32_t events;     /* epoll */

	/* to be sent: first [out_at, out_end), then what is queued */
	uint8_t *out;
	size_t out_at, out_end;
	struct page_message *queue; /* a ring of queue_size */
	size_t queue_size, first, n_queued;
	bool begun; /* the first one's header and content of so many pages are in out: */
	unsigned int at;
	uint64_t content; /* bytes, of all that is queued */
	bool full;	  /* somebody has heard that it is */
	uint64_t stalled; /* nothing could be sent since; 0: all is sent */

	uint8_t *in; /* the page thread's without the lock */
	size_t n_in;
	uint64_t partial; /* a frame has begun then; 0: none */
};

/* fd is the link's on success. */
int coherent_link_new(Coherent *c, int fd, uint32_t node, bool dialled, const EnginePeer *peer);
/* NULL: none that works. */
CoherentLink *coherent_link_find(Coherent *c, uint32_t node, bool dialled);
/* The page thread closes it. */
void coherent_link_break(CoherentLink *link);
/* link NULL: nobody to send to. Content is read later. */
void coherent_link_send(CoherentLink *link, const struct page_message *message);
/* There is much on its way: homes hear when that is over (coherent_homes_room()). */
bool coherent_link_is_full(CoherentLink *link);

/* In the page thread. */
void coherent_link_ready(CoherentLink *link, uint32_t events);
/* Sends what is to be sent on one link, or tells that it is broken; false: nothing of that. */
bool coherent_links_settle(Coherent *c);
/* Whoever takes too long is cut off; sets c->look. */
void coherent_links_look(Coherent *c);
void coherent_links_reap(Coherent *c);
/* Both with this node, of other sessions than this. */
void coherent_links_cut(Coherent *c, uint32_t node, uint64_t session);

/* --- coherent-dial.c (main) --- */

/* This node's maps there need a page link. grant: from PEER_MAP_REPLY, or NULL: to be asked for. */
void coherent_dial_need(Manager *m, uint32_t node, const uint8_t *grant);
/* Whether a grant is wanted with a map. */
bool coherent_dial_wanted(Manager *m, uint32_t node);
/* Dials again where a link has broken, and hangs up where none is needed any more. */
void coherent_dials_look(Manager *m);
void coherent_dials_session_changed(Manager *m, const EnginePeer *peer);

/* --- coherent-guest.c --- */

struct CoherentGuest {
	CoherentPart part;
	uint32_t node;
	uint64_t instance, session;
	uint32_t map;
	bool releasing; /* everything is being given back */
	bool frozen;	/* the lease is doubtful */
	uint32_t space;
	/* for the main thread; parting: the home is to be told, and what is left is to be recorded
	 */
	bool released, ended, unsaved, parting;
	_Atomic uint32_t discards; /* as the home last said; saved without lock */
	struct list imports;	   /* ManagerImport.coherent_link */
	uint64_t number;	   /* of its descriptors in the keeper; (main) */
	uint32_t slot;		   /* RECORD_COHERENT; (main) */
};

/* NULL: none. */
CoherentGuest *coherent_guest_find(Coherent *c, uint32_t node, uint64_t instance);
CoherentGuest *coherent_guest_find_map(Coherent *c, uint32_t node, uint32_t map);
/* (main) As the home has answered. */
int coherent_guest_new(Manager *m, const EngineImport *import,
	const struct wire_peer_map_reply *reply, CoherentGuest **ret_guest);
/* Some import of the user's has a part in it. */
bool coherent_guest_is_charged(const CoherentGuest *guest, const EngineUser *user);
/* (main) */
void coherent_guest_say_unmap(Manager *m, uint32_t node, uint32_t map);
CoherentGuest *coherent_guest_alloc(Coherent *c);
void coherent_guest_attach(CoherentGuest *guest, EngineImport *import);
/* With the lock: a pager for the table as it is. */
int coherent_guest_resume(Manager *m, CoherentGuest *guest);
void coherent_guests_restored(Manager *m);
void coherent_guest_send(CoherentGuest *guest, const struct page_message *message);
/* What this node gives back, until that is confirmed. -ESTALE: it is not given back any more. */
int coherent_guest_read(
	Coherent *c, uint32_t node, uint32_t map, uint64_t page, unsigned int n, uint8_t *data);

static inline CoherentGuest *coherent_guest_of(CoherentPart *part)
{
	return container_of(part, CoherentGuest, part);
}

/* The page link to this home works, or does not any more. */
void coherent_guests_link(Coherent *c, uint32_t node, bool up);
/* A frame from the home. STATUS_BAD_REQUEST: cut it off. */
int coherent_guest_receive(
	Coherent *c, CoherentLink *link, const struct page_message *message, const void *content);
/* --- coherent-open.c (main) --- */

/* What had to wait until the node had given back what it had before. */
void coherent_opens_ask(Manager *m);
/* The home has been asked for a map. */
bool coherent_opens_need(const Coherent *c, uint32_t node);
/* The home is told that this node does not have the guest's map any more. */
void coherent_opens_unmapped(Coherent *c, const CoherentGuest *guest);
/* The client does not wait any more. */
void coherent_opens_forget(Manager *m, uint64_t client);
/* (main) What other threads have noted. */
void coherent_guests_look(Manager *m);
bool coherent_guests_need(const Coherent *c, uint32_t node);
/* (main) The home does not know of our maps. */
void coherent_guests_lose(Manager *m, uint32_t node);

/* --- coherent-home.c --- */

struct coherent_slot {
	uint64_t session;
	uint32_t node; /* 0: free */
	uint32_t map;
	uint32_t write;
	uint32_t reserved;
};

/* Behind the tables of directory and pager: what a successor must know. */
struct coherent_home_head {
	uint32_t discards;
	uint32_t held;
	uint32_t reserved[2];
	struct coherent_slot slots[DIRECTORY_SLOTS];
};

struct CoherentHome {
	CoherentPart part;
	EngineSegment *segment; /* (main) */
	uint64_t instance;
	Directory *directory;
	struct coherent_home_head *head; /* in the table's memory */
	/* ManagerImport.coherent_link: that map it; of slot 0: this node's, to be told of discards
	 */
	struct list imports[DIRECTORY_SLOTS];
	uint64_t leaving[DIRECTORY_SLOTS]; /* no import is left; given up then; 0: not leaving */
	const char *given_up[DIRECTORY_SLOTS]; /* why; to be ended by the main thread */
	bool recalling, recalled;
	bool held;	 /* SEGMENT_HOLD: recalled, and to go on (main) */
	bool untold;	 /* for the main thread: discards */
	bool waits;	 /* the owner's request, for everything to be home; (main) */
	uint64_t number; /* of its descriptors in the keeper; (main) */
	uint32_t slot;	 /* RECORD_COHERENT (main) */
};

static inline CoherentHome *coherent_home_of(CoherentPart *part)
{
	return container_of(part, CoherentHome, part);
}

#define for_each_home(c, part)                                                                     \
	list_for_each (part, &(c)->parts, link)                                                    \
		if (part->home)

#define for_each_slot(home, slot)                                                                  \
	for (unsigned int slot = 1; slot < DIRECTORY_SLOTS; slot++)                                \
		if ((home)->head->slots[slot].node)

/* --- coherent-directory.c --- */

extern const struct directory_ops coherent_directory_ops; /* userdata: the home */
uint64_t coherent_n_pages(uint64_t size);
/* 0: the node has none. */
unsigned int coherent_slot_of(const CoherentHome *home, uint32_t node);
CoherentHome *coherent_home_find_map(
	Coherent *c, uint32_t node, uint32_t map, unsigned int *ret_slot);
/* Its maps are to be ended by the main thread; as in the directory's operations. */
void coherent_slot_give_up(void *home, unsigned int slot, const char *reason);
void coherent_home_receive_own(CoherentHome *home, const struct page_message *message);
void coherent_homes_link(Coherent *c, uint32_t node, bool up);
void coherent_homes_room(Coherent *c, uint32_t node);
/* What the node has been given, until it gives that back. -ESTALE: its map is over. */
int coherent_home_read(
	Coherent *c, uint32_t node, uint32_t map, uint64_t page, unsigned int n, uint8_t *data);
int coherent_home_receive(
	Coherent *c, CoherentLink *link, const struct page_message *message, const void *content);
/* --- coherent-slot.c (main) --- */

void coherent_homes_look(Manager *m);
/* The peer is told that its imports are over, for the reason that is noted. */
void coherent_slot_end(Manager *m, CoherentHome *home, unsigned int slot);
/* The engine hears whether the node, or each, has maps here. */
void coherent_peer_settle(Manager *m, uint32_t node);
void coherent_peers_settle(Manager *m);
/* Maps of other sessions with this node are lost; session 0: all. */
void coherent_homes_session_changed(Manager *m, uint32_t node, uint64_t session);
/* Earliest time of interest; when that has come. */
uint64_t coherent_home_next(const CoherentPart *part);
void coherent_home_tick(CoherentHome *home);

/* --- coherent-home.c --- */

/* With the lock; what it owned is discarded. */
void coherent_slot_free(CoherentHome *home, unsigned int slot);
bool coherent_home_has_slots(const CoherentHome *home);
/* (main) With the last node everything comes home, and then the home is freed. */
void coherent_home_check_empty(Manager *m, CoherentHome *home);
/* (main) Without the lock. Whatever is not home is lost. */
void coherent_home_discard(Manager *m, CoherentHome *home);
void coherent_home_import_over(Manager *m, EngineImport *import);
void coherent_home_attach(CoherentHome *home, EngineImport *import, unsigned int slot);

size_t coherent_home_table_size(uint64_t size);
uint64_t coherent_patience(const Manager *m); /* for answers of a node, ns */
void coherent_home_restore_import(CoherentHome *home, EngineImport *import, bool mapped);
/* With the lock: slots as they were. */
int coherent_home_resume(Manager *m, CoherentHome *home);
void coherent_homes_restored(Manager *m);
int coherent_home_alloc(Manager *m, EngineSegment *segment, CoherentHome **ret_home);
int coherent_home_begin(CoherentHome *home, uint64_t patience, bool restored);

/* --- coherent-restore.c --- */

/* (main) Into the journal, the descriptors into the keeper; the first time may fail. */
int coherent_guest_save(Manager *m, CoherentGuest *guest);
void coherent_guest_forget(Manager *m, CoherentGuest *guest);
int coherent_home_save(Manager *m, CoherentHome *home);
void coherent_home_forget(Manager *m, CoherentHome *home);

/* --- coherent-rows.c --- */

/* (main) The table, before there is any mapper; the keeper has it, too. */
int coherent_rows_need(Manager *m);
/* A predecessor's, before there is one; consumes the descriptor. -EBADMSG: it is none. */
int coherent_rows_take(Coherent *c, int *fd);
/* To the keeper. */
void coherent_rows_store(const Manager *m);
/* (main) With the lock: the mappers that it tells of, once there are parts. */
int coherent_rows_restore(Manager *m, struct keeper_stored *stored);

/* A mapper in it. */
int coherent_row_add(CoherentMapper *mapper);
void coherent_row_change(const CoherentMapper *mapper);
/* Its part is lost. */
void coherent_row_mark(const CoherentMapper *mapper);
void coherent_row_remove(CoherentMapper *mapper);
/* Who sleeps in a page that goes, for coherent-sleep.c; row 0: there is none. */
int coherent_row_add_sleeping(
	const CoherentPart *part, void *sleeping, uint64_t page, uint32_t *ret_row);
void coherent_row_remove_sleeping(Coherent *c, uint32_t row);

/* --- coherent-arm.c (main) --- */

/* Watches all that this node has mapped of the segment. STATUS_MAP_FAILED: the reason is in the
 * log. */
int coherent_arm(Manager *m, CoherentHome *home);
/* What clients must know of their segments and imports of this one. */
void coherent_show(Manager *m, const EngineSegment *segment, bool coherent);
/* Any thread, with the lock. Whoever of its user's processes has what this watch has and is not
 * known. */
void coherent_children_kill(const CoherentWatch *watch);

#endif
