/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>

/*
 * Users: what the processes of one of them together may cost everybody else. Each page that is
 * given or taken is said to every mapper of the segment, with the lock; each process has a thread;
 * and who waits for one that changes its mappings waits with the lock.
 *
 * One lives while it has a watch, and then until its credit is full again: whoever is killed for
 * using it up does not begin anew with the next process.
 */

#define REFILLED (4 * WATCH_CREDIT)

static void forget_unused(Coherent *c)
{
	CoherentUser *user, *tmp;

	list_for_each_safe (user, tmp, &c->users, link)
		if (!user->n_watches && c->now > user->credit.at + REFILLED) {
			list_unlink(&user->link);
			free(user);
		}
}

static CoherentUser *find(Coherent *c, uid_t uid)
{
	CoherentUser *user;

	list_for_each (user, &c->users, link)
		if (user->uid == uid)
			return user;
	return NULL;
}

int coherent_user_get(Coherent *c, uid_t uid, CoherentUser **ret_user)
{
	CoherentUser *user;

	forget_unused(c);
	user = find(c, uid);
	if (!user) {
		user = calloc(1, sizeof(*user));
		if (!user)
			return -ENOMEM;
		user->uid = uid;
		watch_credit_init(&user->credit);
		list_append(&c->users, &user->link);
	}
	user->n_watches++;
	*ret_user = user;
	return 0;
}

void coherent_user_put(CoherentUser *user)
{
	user->n_watches--;
}

bool coherent_user_has_room(Coherent *c, uid_t uid)
{
	const CoherentUser *user = find(c, uid);

	return c->n_watches < COHERENT_WATCHES &&
	       (!user || user->n_watches < COHERENT_USER_WATCHES);
}
