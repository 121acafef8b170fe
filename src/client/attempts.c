/* SPDX-License-Identifier: Apache-2.0 */
/* Why a daemon answers or not, place by place, for people. */
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "client/locate.h"

static const char *explain(int error, const struct locate_place *place)
{
	switch (error) {
	case 0:
		return "a daemon answers";
	case ENOENT:
		return place->may_spawn
			       ? "no daemon yet; the library starts one when a program needs it"
			       : "there is no socket";
	case ECONNREFUSED:
		return "a socket that nobody listens on: its daemon is gone; the next one takes it "
		       "over";
	case EACCES:
		return "not allowed to connect, or the daemon belongs to another user";
	case EPERM:
		return "its directory belongs to another user or may be written by others";
	case ENAMETOOLONG:
		return "the path is too long for a socket (107 bytes)";
	case EAGAIN:
		return "somebody listens but does not accept";
	case EPROTOTYPE:
		return "something else than causewayd listens there";
	default:
		return "the connection failed";
	}
}

unsigned int cw_attempts(struct cw_attempt *attempts, unsigned int n)
{
	struct locate_place places[4];
	unsigned int n_places = locate_all(places);

	for (unsigned int i = 0; i < MIN(n, n_places); i++) {
		_cleanup_close_ int sock = -1;
		int r = locate_dial(places[i].socket, NSEC_PER_SEC, &sock);

		memcpy(attempts[i].socket, places[i].socket, sizeof(attempts[i].socket));
		attempts[i].error = -r;
		attempts[i].text = explain(-r, &places[i]);
	}
	return MIN(n, n_places);
}
