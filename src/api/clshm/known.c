/* SPDX-License-Identifier: Apache-2.0 */
#include "api/clshm/known.h"

#include <string.h>
#include <unistd.h>
#include "wire/status.h"

#define ENTRIES 1024u /* a power of two: keys come one after the other */

struct entry {
	struct known_question question; /* key 0: none */
	uid_t uid;
	gid_t gid;
	int shmid;
};

static struct {
	pthread_mutex_t lock;
	struct cw_link *link; /* a reference; NULL: nothing is known */
	uint64_t changes;
	struct entry entries[ENTRIES];
} known = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void forget_locked(void)
{
	cw_link_put(known.link);
	known.link = NULL;
	memset(known.entries, 0, sizeof(known.entries));
}

/* May what was said over link when the page had this count be believed, too? */
static bool is_current_locked(void)
{
	uint64_t changes;

	return known.link && !cw_link_suspect(known.link) && !atomic_load(&known.link->lost) &&
	       cw_link_shm_changes(known.link, &changes) && changes == known.changes;
}

static bool is_same(const struct entry *e, const struct known_question *q)
{
	return e->question.key == q->key && e->question.mode == q->mode &&
	       e->question.size == q->size && e->uid == geteuid() && e->gid == getegid();
}

int known_find(const struct known_question *question, int *ret_shmid)
{
	const struct entry *e = &known.entries[question->key % ENTRIES];
	int r = STATUS_NOT_FOUND;

	pthread_mutex_lock(&known.lock);
	if (is_current_locked() && is_same(e, question)) {
		*ret_shmid = e->shmid;
		r = 0;
	}
	pthread_mutex_unlock(&known.lock);
	return r;
}

void known_add(
	struct cw_link *link, uint64_t changes, const struct known_question *question, int shmid)
{
	pthread_mutex_lock(&known.lock);
	if (link != known.link || changes != known.changes) {
		forget_locked();
		known.link = cw_link_ref(link);
		known.changes = changes;
	}
	known.entries[question->key % ENTRIES] = (struct entry){
		.question = *question, .uid = geteuid(), .gid = getegid(), .shmid = shmid};
	pthread_mutex_unlock(&known.lock);
}

unsigned int known_count(void)
{
	unsigned int n = 0;

	pthread_mutex_lock(&known.lock);
	if (is_current_locked())
		for (unsigned int i = 0; i < ENTRIES; i++)
			n += known.entries[i].question.key != 0;
	pthread_mutex_unlock(&known.lock);
	return n;
}

/* fork */

void known_fork_prepare(void)
{
	pthread_mutex_lock(&known.lock);
}

void known_fork_parent(void)
{
	pthread_mutex_unlock(&known.lock);
}

void known_fork_child(void)
{
	forget_locked();
	pthread_mutex_unlock(&known.lock);
}
