/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the node: who answers, what it may do, and sharing from end to end. */
#include "cli/doctor.h"

#include <config.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "client/export.h"
#include "client/import.h"
#include "wire/status.h"

#define ATTEMPTS_MAX 8u
#define SHARED_SIZE  65536u

/* What came of looking for a daemon, as "SOCKET: TEXT; SOCKET: TEXT". */
struct tried {
	char text[512];
	/* the last socket: where the library would start one */
	char last[sizeof(((struct cw_attempt *)0)->socket)];
};

/* Stops at the place that answers: what comes after it does not count. */
static void tried_init(struct tried *t)
{
	struct cw_attempt attempts[ATTEMPTS_MAX];
	unsigned int n = cw_attempts(attempts, ATTEMPTS_MAX);
	size_t at = 0;

	*t = (struct tried){0};
	for (unsigned int i = 0; i < n && attempts[i].error && at < sizeof(t->text); i++) {
		at += (size_t)snprintf(t->text + at, sizeof(t->text) - at, "%s%s: %s",
			i ? "; " : "", attempts[i].socket, attempts[i].text);
		memcpy(t->last, attempts[i].socket, sizeof(t->last));
	}
}

/* The last line of causewayd.log beside socket; false: there is none. */
static bool last_words(const char *socket, char *buf, size_t size)
{
	const char *slash = strrchr(socket, '/');
	char path[160];
	bool any = false;
	FILE *log;

	if (!slash)
		return false;
	snprintf(path, sizeof(path), "%.*s/causewayd.log", (int)(slash - socket), socket);
	log = fopen(path, "re");
	if (!log)
		return false;
	while (fgets(buf, (int)size, log))
		any = true;
	fclose(log);
	buf[strcspn(buf, "\n")] = '\0';
	return any;
}

/* Why the library could not start a daemon for this user, and what helps. */
static void explain_start(const struct tried *t, char *buf, size_t size)
{
	const char *given = secure_getenv("CAUSEWAY_DAEMON");
	char words[256];

	if (given && access(given, X_OK) < 0)
		snprintf(buf, size,
			"CAUSEWAY_DAEMON names %s, which cannot be executed (%s): correct or unset "
			"it",
			given, strerror(errno));
	else if (!given && access(CAUSEWAY_DAEMON_PATH, X_OK) < 0)
		snprintf(buf, size,
			CAUSEWAY_DAEMON_PATH " cannot be executed (%s): install it, or set "
					     "CAUSEWAY_DAEMON to the causewayd to use",
			strerror(errno));
	else if (last_words(t->last, words, sizeof(words)))
		snprintf(buf, size, "the daemon that was started said: %s", words);
	else
		snprintf(buf, size, "the directory of %s must be yours and writable", t->last);
}

/* What to do when no daemon answers and none could be started. */
static void explain(int result, const struct tried *t, char *buf, size_t size)
{
	if (result == STATUS_VERSION)
		snprintf(buf, size,
			"install causewayd and libcauseway of the same major version, then "
			"restart the daemon");
	else if (secure_getenv("CAUSEWAY_SOCKET"))
		snprintf(buf, size,
			"CAUSEWAY_SOCKET is set, so nothing else is tried: unset it, or "
			"start 'causewayd --socket $CAUSEWAY_SOCKET'");
	else if (access("/run/causeway", F_OK) == 0)
		snprintf(buf, size,
			"/run/causeway exists, so the system's daemon is used and none is "
			"started for you: 'systemctl start causewayd', or 'causewayd' as "
			"root");
	else if (getauxval(AT_SECURE))
		snprintf(buf, size,
			"a program with more rights than its caller starts no daemon: start "
			"'causewayd' as root");
	else
		explain_start(t, buf, size);
}

void check_daemon(struct doctor *d, struct finding *f)
{
	const struct wire_node_status_reply *s = &d->node.status;
	struct wire_message request = {.type = WIRE_NODE_STATUS};
	char user[64], remedy[sizeof(f->remedy)];
	struct cw_reply reply;
	struct tried tried;
	int r;

	tried_init(&tried);
	r = cw_connect(&d->node.connection);
	if (r == 0)
		r = cw_call(&request, NULL, 0, &reply);
	if (r) {
		explain(r, &tried, remedy, sizeof(remedy));
		finding_set(f, VERDICT_FAILED, remedy, "%s (tried: %s)", node_result_text(r),
			tried.text);
		return;
	}
	d->connected = true;
	d->node.status = reply.message.node_status_reply;
	finding_set(f, VERDICT_OK, NULL,
		"causewayd %s (pid %u, keeper %u, %s) answers at %s, node %u%s%s%s%s", s->version,
		s->daemon_pid, s->keeper_pid, user_name(s->uid, user), d->node.connection.socket,
		s->node, d->node.connection.spawned ? ", started just now" : "",
		tried.text[0] ? " (tried before: " : "", tried.text, tried.text[0] ? ")" : "");
}

static bool needs_daemon(const struct doctor *d, struct finding *f)
{
	if (d->connected)
		return true;
	finding_set(f, VERDICT_FAILED, "see daemon, above", "not checked: no daemon");
	return false;
}

void check_rights(struct doctor *d, struct finding *f)
{
	const struct wire_node_status_reply *s = &d->node.status;

	if (!needs_daemon(d, f))
		return;
	if (!(s->flags & WIRE_NODE_PRIVILEGED)) {
		finding_set(f, VERDICT_WARNING, "run causewayd as root",
			"the daemon is not root's: shared anonymous memory cannot be exported, "
			"System V "
			"memory only by its shmid, and rights are advisory for programs of user %u",
			s->uid);
		return;
	}
	finding_set(f, VERDICT_OK, NULL,
		"the daemon is root's: all kinds of memory can be exported%s",
		geteuid() == 0 ? "; rights are advisory for programs of root"
			       : ", and rights hold");
}

/* One piece of memory, exported and imported by this process. */
struct shared {
	uint8_t *memory;
	cw_handle export, import;
	void *map;
	const char *step; /* the one that failed */
};

static void shared_deinit(struct shared *s)
{
	if (s->map)
		cw_import_unmap(s->import);
	if (s->import)
		cw_import_disconnect(s->import);
	if (s->export)
		cw_export_destroy(s->export);
	if (s->memory)
		munmap(s->memory, SHARED_SIZE);
}

static int shared_export(struct shared *s, uint32_t *ret_id)
{
	void *memory =
		mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r;

	s->step = "get memory";
	if (memory == MAP_FAILED)
		return negative_errno();
	s->memory = memory;
	memset(s->memory, 0x5a, SHARED_SIZE);
	s->step = "export it";
	r = cw_export_create(WIRE_SPACE_RSM, s->memory, SHARED_SIZE, 0600, 0, &s->export);
	if (r)
		return r;
	s->step = "publish it";
	return cw_export_publish(s->export, ret_id, NULL, 0);
}

static int shared_import(struct shared *s, uint32_t node, uint32_t id)
{
	int r;

	s->step = "import it";
	r = cw_import_connect(WIRE_SPACE_RSM, WIRE_CONTROLLER_LOOPBACK, node, id,
		WIRE_READ | WIRE_WRITE, &s->import);
	if (r)
		return r;
	s->step = "map it";
	return cw_import_map(
		s->import, NULL, false, PROT_READ | PROT_WRITE, 0, SHARED_SIZE, &s->map);
}

/* 0: s is exported, imported and mapped; else what the failed step gave. */
static int shared_make(struct shared *s, uint32_t node)
{
	uint32_t id = 0;
	int r;

	r = shared_export(s, &id);
	return r ? r : shared_import(s, node, id);
}

/* What was there before is seen in the map, and stores are seen on both sides. */
static bool shared_agrees(const struct shared *s)
{
	volatile uint8_t *theirs = s->map, *ours = s->memory;

	for (uint32_t i = 0; i < SHARED_SIZE; i++)
		if (theirs[i] != 0x5a)
			return false;
	ours[1] = 1;
	theirs[SHARED_SIZE - 1] = 2;
	return theirs[1] == 1 && ours[SHARED_SIZE - 1] == 2;
}

void check_sharing(struct doctor *d, struct finding *f)
{
	_cleanup_(shared_deinit) struct shared s = {0};
	int r;

	if (!needs_daemon(d, f))
		return;
	r = shared_make(&s, d->node.status.node);
	if (r)
		finding_set(f, VERDICT_FAILED,
			"the checks of the kernel and of the limits below may show the cause",
			"cannot share memory: failed to %s: %s", s.step, node_result_text(r));
	else if (!shared_agrees(&s))
		finding_set(f, VERDICT_FAILED, "this is a bug of Causeway: please report it",
			"memory was exported, imported and mapped, but the two sides differ");
	else
		finding_set(f, VERDICT_OK, NULL,
			"%u KiB exported, published, imported and mapped; both sides see the "
			"other's "
			"stores",
			SHARED_SIZE / 1024);
}

static const char *stage_name(uint32_t stage)
{
	switch (stage) {
	case WIRE_CHECK_API:
		return "switch it on";
	case WIRE_CHECK_REGISTER:
		return "register the map";
	case WIRE_CHECK_PROTECT:
		return "write-protect the map";
	case WIRE_CHECK_RELEASE:
		return "release the map";
	}
	return "?";
}

/* Has the daemon watch a live map of ours, once, as coherent maps of other nodes need it. */
static int ask_check(cw_handle import, struct wire_check_map_reply *ret)
{
	struct wire_message request = {.type = WIRE_CHECK_MAP};
	struct cw_import *i = cw_import_ref(import);
	struct cw_reply reply;
	int r;

	if (!i)
		return STATUS_BAD_HANDLE;
	request.check_map.slot = i->map_slot;
	cw_import_put(i);
	r = cw_call(&request, NULL, 0, &reply);
	if (r == 0)
		*ret = reply.message.check_map_reply;
	return r;
}

void check_watching(struct doctor *d, struct finding *f)
{
	_cleanup_(shared_deinit) struct shared s = {0};
	struct wire_check_map_reply reply;
	int r;

	if (!needs_daemon(d, f))
		return;
	r = shared_make(&s, d->node.status.node);
	if (r == 0)
		r = ask_check(s.import, &reply);
	if (r)
		finding_set(f, VERDICT_FAILED, "see sharing, above",
			"the daemon cannot watch a map: %s", node_result_text(r));
	else if (reply.stage == WIRE_CHECK_DONE)
		finding_set(f, VERDICT_OK, NULL,
			"the daemon registered, write-protected and released a live map");
	else if (reply.stage == WIRE_CHECK_NO_UFFD)
		finding_set(f, VERDICT_WARNING, "see userfaultfd, below",
			"the daemon cannot watch maps: this process could not give it a "
			"userfaultfd; "
			"sharing on this node works without");
	else
		finding_set(f, VERDICT_WARNING, "see userfaultfd, below",
			"the daemon cannot watch maps: failed to %s: %s; sharing on this node "
			"works "
			"without",
			stage_name(reply.stage), strerror((int)reply.error));
}

#define MAPS_PAGE 4096
#define MAPS_REMEDY                                                                                \
	"run causewayd as root, or with CAP_SYS_PTRACE and in the group that may open "            \
	"/dev/userfaultfd (60-causeway-userfaultfd.rules), on Linux 5.19 or newer"

/* Loads and stores on other nodes' memory. All else works without. */
void check_coherent_maps(struct doctor *d, struct finding *f)
{
	const struct wire_node_status_reply *s = &d->node.status;

	if (!needs_daemon(d, f))
		return;
	if (sysconf(_SC_PAGESIZE) != MAPS_PAGE)
		finding_set(f, VERDICT_WARNING, "use a kernel with pages of 4 KiB",
			"other nodes' memory cannot be mapped: pages here have %ld bytes",
			sysconf(_SC_PAGESIZE));
	else if (!(s->flags & WIRE_NODE_MAPS))
		finding_set(f, VERDICT_WARNING, MAPS_REMEDY,
			"other nodes' memory cannot be mapped here, nor this node's there: %s",
			s->no_maps[0] ? s->no_maps : "the daemon is too old");
	else if (!userfaultfd_is_full(d))
		finding_set(f, VERDICT_WARNING,
			"join the group that may open /dev/userfaultfd "
			"(60-causeway-userfaultfd.rules)",
			"this program cannot map other nodes' memory: it has no full userfaultfd");
	else
		finding_set(f, VERDICT_OK, NULL,
			"other nodes' memory can be mapped here, and this node's there");
}
