/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>
#include "base/cleanup.h"

/*
 * Users: what the processes of one of them together may cost everybody else. Each page that is
 * given or taken is said to every mapper of the segment, with the lock; each process has a thread;
 * and who waits for one that changes its mappings waits with the lock.
 *
 * One lives while it has a watch.
 */

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
	CoherentUser *user = find(c, uid);

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
	if (--user->n_watches)
		return;
	list_unlink(&user->link);
	free(user);
}

bool coherent_user_has_room(Coherent *c, uid_t uid)
{
	const CoherentUser *user = find(c, uid);

	return c->n_watches < COHERENT_WATCHES &&
	       (!user || user->n_watches < COHERENT_USER_WATCHES);
}
