/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page coherence protocol: one page, its home (node 0) and two other nodes, each a daemon and a process that maps the page.
 *
 * Content is abstract. A ghost knows what the last store wrote, and every place that holds the page (memfds, the home's shadow,
 * copies put aside, data under way) is HOLE, STALE or CUR; a store makes all other copies STALE. A page that is present in a memfd
 * is readable by every mapper without the daemon, so "loads see the last store" is an invariant over states and needs no loads.
 *
 * Every action of a daemon is atomic but for the points marked window() and may_die(): there mappers may store, everything is
 * checked, and the daemon may be killed. What survives it is said at the variables.
 *
 * Faults are budgets, so that a configuration chooses what it explores:
 *	BREAKS	page connections that break		CRASHES	daemons killed, at any step, each with a successor
 *	CUTS	links cut (healing or for good)		TIME	silence, leases, declared loss, coming back
 *	OPS	put and get by the home's daemon	RELEASE	nodes give the page back
 *	HOLD	demands deferred			MAPPERS	4: node 1 has two processes
 *	IDLE	nodes where nobody maps, bits
 * MUT_*: one rule left out; tests/model/run shows that each is missed.
 */

#ifndef BREAKS
#define BREAKS 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef CUTS
#define CUTS 0
#endif
#ifndef TIME
#define TIME 0
#endif
#ifndef OPS
#define OPS 0
#endif
#ifndef RELEASE
#define RELEASE 0
#endif
#ifndef HOLD
#define HOLD 0
#endif
#ifndef MAPPERS
#define MAPPERS 3
#endif
#ifndef IDLE
#define IDLE 0
#endif
#ifndef REJOINS
#define REJOINS 1
#endif
/* Which daemons may be killed, which links may break or be cut: bits of nodes. */
#ifndef KILL
#define KILL 7
#endif
#ifndef LINKS
#define LINKS 6
#endif

mtype = {
	GETS, GETX, INV, FETCH_S, FETCH_M, BACK, DATA_S, DATA_M, GRANT_M, PUT,
	ACK,		/* of INV */
	KEPT,	/* of BACK, and of PUT with content: the copy put aside may go */
	PUT_S,		/* release of a clean page: a notice */
	HOLDS,		/* the first word of a node on a new connection: its state of the page */
	LOST,		/* a node was lost with the page: what you read from now on is older */
	RECALL, GET_OP, PUT_OP	/* transactions of the home itself */
}

#define NONE 3		/* no owner; the home has it and is a sharer */
#define SHADOW 4	/* no owner; the content is in the shadow only */
#define B(n) (1 << (n))

/* Detection time T in quarters. */
#define HALF 2
#define LEASE 3
#ifdef MUT_LEASE_WAIT
#define DETECTION 2
#else
#define DETECTION 4
#endif

/* --- places that hold the page --- */

#define HOLE 0
#define STALE 1
#define CUR 2

byte mem[3] = HOLE;	/* memfds (keeper) */
byte shadow = HOLE;	/* home: last content that was here while the page is away (keeper) */
byte aside[3] = HOLE;	/* node: content given up, not confirmed (keeper) */
byte fly_down[3] = HOLE, fly_up[3] = HOLE;	/* under way */

/* --- mappers and the kernel --- */

#define RUN 0
#define READ_NEW 1	/* asleep in a fault, the event not read yet */
#define WRITE_NEW 2
#define READ_TAKEN 3	/* asleep, the event read: only a daemon can wake it */
#define WRITE_TAKEN 4
#define GONE 5

byte ev[4] = RUN;
bit armed[4] = 1;	/* the page table entry is, or its marker makes it, write-protected */

/* --- nodes 1 and 2 --- */

#define I 0
#define S 1
#define M 2
#define LS 3	/* readable, BACK not confirmed: perhaps the only copy */
#define LI 4	/* given up, kept aside until confirmed */

byte st[3] = I;		/* persistent */
bit out[3];		/* persistent: this node ended its session and told its mappers */
bit told[3];		/* persistent: its mappers know of a loss (status page) */
byte pend[3];		/* volatile: 0, 1 GETS or 2 GETX asked for */
mtype held[3];		/* volatile: a demand deferred by the hold time */
bit sent[3];		/* volatile: content went up on this connection and is not confirmed */

/* --- home: the directory --- */

byte owner = 0;		/* persistent */
byte sharers;		/* persistent: a superset of who may have it in S, but the home */
bit leaving;		/* persistent: state L of the home's own pager, whose copy aside is the shadow */
bit sess[3] = 1;	/* persistent: not declared lost */
bit loss;		/* persistent: content was lost, to be told */
mtype cur_t = 0;	/* volatile: the transaction */
byte cur_n;
byte need;		/* volatile: whose ACK is missing */
byte req[3];		/* volatile: queued, bit 0 GETS, bit 1 GETX */
bit synced[3];		/* volatile: HOLDS has come */
byte op;		/* a client's put or get: 1 get, 2 put */

#define HOME_STATE (owner == 0 -> M : (owner == NONE -> S : I))
#define AWAY (owner == 1 || owner == 2)

/* --- the world --- */

bit alive[3] = 1;
bit conn[3], home_conn[3];	/* the node's end of the page connection, the home's */
byte cut[3];		/* 1 heals, 2 does not */
byte home_age[3], node_age[3];	/* since the home answered a heartbeat; since this node sent one that was answered */
bit answer_late[3];
bit reverted;		/* ghost: content older than a store has become the current one */
byte breaks = BREAKS, crashes = CRASHES, cuts = CUTS, rejoins = REJOINS;

chan up1 = [5] of { mtype, byte };
chan up2 = [5] of { mtype, byte };
chan down1 = [5] of { mtype };
chan down2 = [5] of { mtype };
chan up[3];
chan down[3];

mtype got;	/* what is being handled, 0 in between: message, its argument, whose */
byte arg, who;

#ifdef MUT_STATUS_LEASE
#define excused(n) (out[n])
#else
/* Past its lease nothing a process was told is a success: the end of the lease stands in the status page. */
#define excused(n) (out[n] || node_age[n] >= LEASE)
#endif

#if MAPPERS > 3
#define writable(n) (mem[n] != HOLE && (!armed[n] || ((n) == 1 && !armed[3])))
#else
#define writable(n) (mem[n] != HOLE && !armed[n])
#endif

/* 1. Every load sees the last store. 2. One writer, and no reader beside it. 3. The page is in some memory that does not depend on
 * a connection. 4. Who can see content that is older than a lost store has been told. */
#define loads_current(n) (mem[n] != STALE || excused(n))
#define alone(n, a, b) (!writable(n) || excused(n) || ((mem[a] == HOLE || excused(a)) && (mem[b] == HOLE || excused(b))))
#define has(n) (sess[n] && !out[n] && (mem[n] == CUR || aside[n] == CUR))
#define being_lost (AWAY && (!sess[owner] || out[owner]))
#define somewhere (mem[0] == CUR || shadow == CUR || has(1) || has(2) || being_lost)
#define knows(n) (!reverted || mem[n] == HOLE || excused(n) || told[n])

#define coherent (loads_current(0) && loads_current(1) && loads_current(2))
#define one_writer (alone(0, 1, 2) && alone(1, 0, 2) && alone(2, 0, 1))
#define all_know (knows(0) && knows(1) && knows(2))
#define safe (coherent && one_writer && somewhere && all_know)

#define grow_stale(x) x = (x != HOLE)

inline others_stale()
{
	grow_stale(mem[0]);
	grow_stale(mem[1]);
	grow_stale(mem[2]);
	grow_stale(shadow);
	grow_stale(aside[1]);
	grow_stale(aside[2]);
	grow_stale(fly_down[1]);
	grow_stale(fly_down[2]);
	grow_stale(fly_up[1]);
	grow_stale(fly_up[2])
}

/* A store on a node that was declared lost changes nobody's current value: it is discarded. */
inline store(n)
{
	if
	:: sess[n] -> others_stale(); mem[n] = CUR
	:: else
	fi
}

/* Between two steps of a daemon: mappers of its node run. */
inline window(n)
{
	assert(safe);
	if
	:: writable(n) && !out[n] -> store(n)
	:: true
	fi
}

/* --- kernel --- */

inline protect(n)
{
	armed[n] = 1;
#if MAPPERS > 3
	if
	:: n == 1 -> armed[3] = 1
	:: else
	fi
#endif
}

/* A hole; a mapper whose read fault races with it may lose its marker. */
inline punch(n)
{
	mem[n] = HOLE;
	if
	:: ev[n] == RUN -> armed[n] = 0
	:: true
	fi
#if MAPPERS > 3
	if
	:: n == 1 && ev[3] == RUN -> armed[3] = 0
	:: true
	fi
#endif
}

inline rearm(n)
{
#ifndef MUT_REARM
	protect(n)
#else
	skip
#endif
}

inline wake_mapper(m, s)
{
	if
	:: ev[m] == WRITE_TAKEN && (s) == M -> armed[m] = 0; ev[m] = RUN
	:: ev[m] == READ_TAKEN && ((s) == M || (s) == S || (s) == LS) -> ev[m] = RUN
	:: else
	fi
}

/* Completes whom the state satisfies. */
inline wake(n, s)
{
	wake_mapper(n, s);
#if MAPPERS > 3
	if
	:: n == 1 -> wake_mapper(3, s)
	:: else
	fi
#endif
}

inline wake_range_mapper(m)
{
	if
	:: ev[m] != GONE -> ev[m] = RUN
	:: else
	fi
}

/* UFFDIO_WAKE over everything: whoever slept faults again. */
inline wake_range(n)
{
	wake_range_mapper(n);
#if MAPPERS > 3
	if
	:: n == 1 -> wake_range_mapper(3)
	:: else
	fi
#endif
}

#if MAPPERS > 3
#define taken(n, e) (ev[n] == (e) || ((n) == 1 && ev[3] == (e)))
#else
#define taken(n, e) (ev[n] == (e))
#endif
#define readable(s) ((s) == M || (s) == S || (s) == LS)
/* What the waiters of a node still want. */
#define wanted(n, s) ((taken(n, WRITE_TAKEN) && (s) != M) -> 2 : ((taken(n, READ_TAKEN) && !readable(s)) -> 1 : 0))

/* --- connections and deaths --- */

/* The requester of the transaction has gone: what is under way comes home and ends there. */
inline home_forget_requests(n)
{
	req[n] = 0;
	synced[n] = 0;
	if
	:: cur_t != 0 && cur_n == n -> cur_t = RECALL; cur_n = 0
	:: else
	fi
}

/* Each side notices a break for itself. What the other had sent before may still be read until then, unless this side died. */
inline home_hang_up(n)
{
	home_conn[n] = 0;
	do
	:: nempty(up[n]) -> up[n]?_, _
	:: empty(up[n]) -> break
	od;
	fly_up[n] = HOLE;
	home_forget_requests(n)
}

inline node_hang_up(n)
{
	conn[n] = 0;
	do
	:: nempty(down[n]) -> down[n]?_
	:: empty(down[n]) -> break
	od;
	fly_down[n] = HOLE;
	pend[n] = 0;
	sent[n] = 0;
#ifndef MUT_HELD_OVER_BREAK
	held[n] = 0
#endif
}

/* To a connection whose other end is closed: into the void. */
inline home_says(n, what)
{
	if
	:: synced[n] && conn[n] -> down[n]!what
	:: else	/* what still matters is said again when HOLDS comes */
	fi
}

inline home_sends(n, what, content)
{
	if
	:: synced[n] && conn[n] ->
		down[n]!what;
		fly_down[n] = content
	:: else
	fi
}

inline node_says(n, what, how)
{
	if
	:: home_conn[n] -> up[n]!what, how
	:: else
	fi
}

inline node_sends(n, what, how, content)
{
	sent[n] = 1;
	if
	:: home_conn[n] ->
		up[n]!what, how;
		fly_up[n] = content
	:: else
	fi
}

inline die(n)
{
	crashes--;
	got = 0;
	arg = 0;
	who = 0;
	alive[n] = 0;
	if
	:: n == 0 ->
		home_hang_up(1);
		home_hang_up(2);
		req[0] = 0;
		cur_t = 0;
		cur_n = 0;
		need = 0;
		op = 0	/* its data connection breaks as well: the client says it again */
	:: else ->
		node_hang_up(n);
		held[n] = 0
	fi
}

/* What is seen of the state at this point is checked by the monitor, after the death. */
#if CRASHES > 0
#define mortal(n) (crashes > 0 && (KILL & B(n)))
#define may_die(n) if :: mortal(n) -> goto death :: true fi
#else
#define may_die(n) skip
#endif

/* --- home --- */

#define wants_m (cur_t == GETX || cur_t == PUT_OP)

inline home_fetch(o)
{
	if
	:: wants_m -> home_says(o, FETCH_M)
	:: else -> home_says(o, FETCH_S)
	fi
}

inline home_invalidate(n)
{
	if
	:: need & B(n) -> home_says(n, INV)
	:: else
	fi
}

/* The home's own pager gives the page away. */
inline home_leave()
{
	protect(0);
#ifndef MUT_SHADOW
	shadow = mem[0];
	may_die(0);
#endif
	leaving = 1;
	may_die(0);
	punch(0);
	may_die(0);
	rearm(0);
	window(0);
	owner = SHADOW;
	may_die(0);
	leaving = 0
}

/* What is in the shadow only becomes the home's. */
inline home_recover()
{
	mem[0] = shadow;
	may_die(0);
	owner = NONE;
	wake(0, S)
}

inline home_start(n, t)
{
	cur_n = n;
	cur_t = t;
	who = 0;
	got = 0;
	assert(owner != cur_n || cur_n == 0);
	if
	:: AWAY -> home_fetch(owner)
	:: !AWAY && wants_m ->
		if
		:: cur_n != 0 && owner != SHADOW -> home_leave()
		:: else
		fi;
		need = sharers & ~B(cur_n);
		home_invalidate(1);
		home_invalidate(2)
#ifdef MUT_HOME_WAITERS
	:: owner == NONE && cur_n == 0 && cur_t == GETS -> cur_t = 0
	:: else
#else
	:: else
#endif
	fi
}

/* A node's GETS was said before its GETX. */
inline home_next(n)
{
	who = n;
	if
	:: req[n] & 1 -> got = GETS; req[n] = req[n] & 2
	:: req[n] == 2 -> got = GETX; req[n] = 0
	fi
}

inline home_send_s(n)
{
	if
	:: owner == NONE -> home_sends(n, DATA_S, mem[0])
	:: owner == SHADOW -> home_sends(n, DATA_S, shadow)
	fi
}

inline home_grant_s(n)
{
	if
	:: owner == 0 ->	/* the demand at the home itself */
		protect(0);
		owner = NONE;
		sharers = 0
	:: else
	fi;
#ifdef MUT_SHARER_LATE
	home_send_s(n);
	may_die(0);
	sharers = sharers | B(n)
#else
	sharers = sharers | B(n);
	may_die(0);
	home_send_s(n)
#endif
}

inline home_grant_m(n)
{
	arg = sharers & B(n);
#ifndef MUT_OWNER_LATE
	owner = n;
	sharers = 0;
	may_die(0);
#endif
	if
	:: arg -> home_says(n, GRANT_M)
	:: else -> home_sends(n, DATA_M, shadow)
	fi
#ifdef MUT_OWNER_LATE
	;
	may_die(0);
	owner = n;
	sharers = 0
#endif
}

inline home_finish()
{
	if
	:: owner == SHADOW && cur_n == 0 -> home_recover()
	:: else
	fi;
	if
	:: cur_t == GETS && cur_n == 0 -> wake(0, HOME_STATE)
	:: cur_t == GETS && cur_n != 0 -> home_grant_s(cur_n)
	:: cur_t == GETX && cur_n == 0 ->
		owner = 0;
		sharers = 0;
		may_die(0);
		wake(0, M)
	:: cur_t == GETX && cur_n != 0 -> home_grant_m(cur_n)
	:: cur_t == GET_OP ->
		assert(mem[0] == CUR);
		op = 0
	:: cur_t == PUT_OP ->
		owner = 0;
		sharers = 0;
		may_die(0);
		store(0);
		op = 0;
		wake(0, M)
	:: cur_t == RECALL
	fi;
	cur_t = 0;
	cur_n = 0;
	arg = 0
}

/* Content comes home and stays. */
inline home_take(n, sharer)
{
	mem[0] = fly_up[n];
	fly_up[n] = HOLE;
	may_die(0);
	owner = NONE;
	sharers = (sharer -> B(n) : 0);
	may_die(0);
#ifndef MUT_HOME_WAITERS
	wake(0, S)
#else
	skip
#endif
}

inline home_back(n, kept)
{
	if
	:: owner != n -> fly_up[n] = HOLE	/* known already */
	:: owner == n && cur_t == GETX && cur_n != 0 ->	/* for the next owner */
		assert(!kept);
		shadow = fly_up[n];
		fly_up[n] = HOLE;
		may_die(0);
		owner = SHADOW;
		may_die(0)
	:: owner == n && !(cur_t == GETX && cur_n != 0) ->
		assert(!kept || !wants_m);
		home_take(n, kept)
	fi;
	home_says(n, KEPT)
}

inline home_ack(n)
{
	sharers = sharers & ~B(n);
	need = need & ~B(n)
}

/* What a node says it has, after a break or a death on either side. */
inline home_holds(n, s)
{
	synced[n] = 1;
	if
	:: loss -> home_says(n, LOST)
	:: else
	fi;
	if
	:: owner == n && s == M ->
		if
		:: cur_t != 0 -> home_fetch(n)
		:: else
		fi
	:: owner == n && (s == LS || s == LI) ->
		if
		:: cur_t == 0 -> cur_t = RECALL
		:: else
		fi;
		home_fetch(n)
	:: owner == n && (s == S || s == I) ->	/* the grant was lost: the shadow is current */
		owner = SHADOW;
		sharers = (s == S -> B(n) : 0);
		if
		:: s == S && wants_m -> need = B(n); home_says(n, INV)
		:: else
		fi
	:: owner != n ->
		assert(s != M);
		assert(s != S || (sharers & B(n)));
		if
		:: s == LS || s == LI -> home_says(n, KEPT)
		:: else
		fi;
		if
		:: s == I || s == LI -> home_ack(n)
		:: else -> home_invalidate(n)
		fi
	fi
}

inline home_receive(n)
{
	up[n]?got, arg;
	if
	:: got == GETS -> req[n] = req[n] | 1
	:: got == GETX -> req[n] = req[n] | 2
	:: got == ACK -> home_ack(n)
	:: got == PUT_S -> sharers = sharers & ~B(n)
	:: got == BACK || got == PUT ->
		assert(got == BACK || owner == n);
		home_back(n, arg)
	:: got == HOLDS -> home_holds(n, arg)
	fi;
	got = 0;
	arg = 0;
	who = 0
}

/* The content went with the owner: what it last gave back is current again, and all are told before they can see it. */
inline home_revert()
{
#ifndef MUT_LOSS_UNTOLD
	told[0] = 1;
#endif
	loss = 1;
	may_die(0);
	if
	:: shadow == STALE ->
		others_stale();
		shadow = CUR;
		reverted = 1
	:: else
	fi;
	owner = SHADOW;
	sharers = 0
}

inline home_lose(n)
{
	sess[n] = 0;
	home_hang_up(n);
	answer_late[n] = 0;
	may_die(0);
	need = need & ~B(n);
	sharers = sharers & ~B(n);
	if
	:: owner == n ->
#ifndef MUT_LOSS_UNTOLD
		home_says((3 - n), LOST);
#endif
		home_revert()
	:: else
	fi
}

inline home_takeover()
{
	home_age[1] = 0;
	home_age[2] = 0;
	if
	:: !sess[1] -> sharers = sharers & ~B(1)
	:: else
	fi;
	if
	:: !sess[2] -> sharers = sharers & ~B(2)
	:: else
	fi;
	if
	:: !AWAY && leaving -> owner = SHADOW; leaving = 0
	:: AWAY && !sess[owner] -> home_revert()
	:: else
	fi;
	if
	:: AWAY || owner == SHADOW ->
		punch(0);
#ifndef MUT_TAKEOVER_REARM
		protect(0)
#endif
	:: owner == NONE || owner == 0 ->
		protect(0);
		owner = NONE
	fi;
#ifndef MUT_TAKEOVER_WAKE
	wake_range(0);
#endif
	assert(AWAY || owner == SHADOW || mem[0] != HOLE);
	alive[0] = 1
}

#define can_receive(n, c) (alive[0] && home_conn[n] && cut[n] == 0 && nempty(c))
#define noticed_at_home(n) (alive[0] && home_conn[n] && !conn[n])

#define silent_too_long(n) (sess[n] && (home_age[n] >= DETECTION || (out[n] && cut[n] == 0 && alive[n])))

proctype home()
{
end_idle:
	do
	:: atomic { alive[0] && (can_receive(1, up1) || can_receive(2, up2)) ->
		if
		:: can_receive(1, up1) -> who = 1
		:: can_receive(2, up2) -> who = 2
		fi;
		home_receive(who) }

	:: atomic { noticed_at_home(1) -> home_hang_up(1) }
	:: atomic { noticed_at_home(2) -> home_hang_up(2) }

	:: atomic { alive[0] && ev[0] == READ_NEW -> ev[0] = READ_TAKEN; wake(0, HOME_STATE) }
	:: atomic { alive[0] && ev[0] == WRITE_NEW -> ev[0] = WRITE_TAKEN; wake(0, HOME_STATE) }
	:: atomic { alive[0] && wanted(0, HOME_STATE) == 1 && req[0] == 0 && !(cur_t == GETS && cur_n == 0) -> req[0] = 1 }
	:: atomic { alive[0] && wanted(0, HOME_STATE) == 2 && !(req[0] & 2) && !(cur_t == GETX && cur_n == 0) -> req[0] = req[0] | 2 }

	:: atomic { alive[0] && cur_t == 0 && (req[0] != 0 || req[1] != 0 || req[2] != 0 || op != 0) ->
		if
		:: req[0] != 0 -> home_next(0)
		:: req[1] != 0 -> home_next(1)
		:: req[2] != 0 -> home_next(2)
		:: op == 1 -> got = GET_OP
		:: op == 2 -> got = PUT_OP
		fi;
		home_start(who, got) }
#ifdef MUT_PUT_BYPASS
	:: atomic { alive[0] && op == 2 && mem[0] != HOLE -> store(0); op = 0 }
#endif
	:: atomic { alive[0] && cur_t != 0 && need == 0 && !AWAY -> home_finish() }

#if TIME
	:: atomic { alive[0] && (silent_too_long(1) || silent_too_long(2)) ->
		if
		:: silent_too_long(1) -> who = 1
		:: silent_too_long(2) -> who = 2
		fi;
		home_lose(who);
		who = 0 }
#endif
#if CRASHES > 0
	:: atomic { alive[0] && mortal(0) -> death: die(0) }
	:: atomic { !alive[0] -> home_takeover() }
#endif
	od
}

/* --- node --- */

/* Content leaves the memfd: aside first, then nobody sees it here any more. */
inline node_drop(n, what)
{
	protect(n);
#ifndef MUT_ASIDE
	aside[n] = mem[n];
	may_die(n);
#endif
	st[n] = LI;
	may_die(n);
#ifdef MUT_ASIDE
	node_sends(n, what, 0, mem[n]);
#endif
#ifndef MUT_KEEP_IN_PLACE
	punch(n);
	may_die(n);
	rearm(n);
#endif
	window(n);
#ifndef MUT_ASIDE
	node_sends(n, what, 0, aside[n])
#endif
}

inline node_fetch_s(n)
{
	if
	:: st[n] == M ->
#ifdef MUT_READ_FIRST
		node_sends(n, BACK, 1, mem[n]);
		window(n);
		protect(n);
		st[n] = LS
#else
		protect(n);
		window(n);
		st[n] = LS;
		may_die(n);
		node_sends(n, BACK, 1, mem[n])
#endif
	:: st[n] == LS && !sent[n] -> node_sends(n, BACK, 1, mem[n])
	:: st[n] == LI && !sent[n] -> node_sends(n, BACK, 0, aside[n])
	:: st[n] == LI && sent[n]	/* what went up is the answer */
	:: else -> assert(false)
	fi
}

inline node_fetch_m(n)
{
	if
	:: st[n] == M || (st[n] == LS && !sent[n]) -> node_drop(n, BACK)
	:: st[n] == LI && !sent[n] -> node_sends(n, BACK, 0, aside[n])
	:: st[n] == LI && sent[n]
	:: else -> assert(false)
	fi
}

inline node_invalidate(n)
{
	if
	:: st[n] == S ->
		punch(n);
		may_die(n);
		rearm(n);
		window(n);
		st[n] = I;
		may_die(n)
	:: st[n] == I
	:: else -> assert(false)
	fi;
	node_says(n, ACK, 0)
}

inline node_demand(n, what)
{
	if
	:: what == INV -> node_invalidate(n)
	:: what == FETCH_S -> node_fetch_s(n)
	:: what == FETCH_M -> node_fetch_m(n)
	fi
}

inline node_data_s(n)
{
	assert(st[n] == I);
#ifndef MUT_RECORD_LATE
	st[n] = S;
	may_die(n);
#endif
	mem[n] = fly_down[n];
	fly_down[n] = HOLE;
	window(n);
	may_die(n);
	st[n] = S;
	if
	:: pend[n] == 1 -> pend[n] = 0
	:: else
	fi;
	wake(n, S)
}

inline node_data_m(n)
{
	assert(st[n] == I);
	st[n] = M;
	may_die(n);
	mem[n] = fly_down[n];
	fly_down[n] = HOLE;
	window(n);
	may_die(n);
	pend[n] = 0;
	wake(n, M)
}

inline node_grant_m(n)
{
	assert(st[n] == S);
	st[n] = M;
	may_die(n);
	pend[n] = 0;
	wake(n, M)
}

inline node_kept(n)
{
	if
	:: st[n] == LS -> st[n] = S
	:: st[n] == LI ->
#ifdef MUT_KEEP_IN_PLACE
		punch(n);
		rearm(n);
#endif
		st[n] = I
	:: else -> assert(false)
	fi;
	aside[n] = HOLE;
	sent[n] = 0
}

/* What finds nothing to take is answered, or recognised as answered, at once. */
#ifdef MUT_HOLD_ANY
#define worth_holding(n) true
#else
#define worth_holding(n) (st[n] == S || st[n] == M)
#endif

inline node_receive(n)
{
	down[n]?got;
	if
	:: got == DATA_S -> node_data_s(n)
	:: got == DATA_M -> node_data_m(n)
	:: got == GRANT_M -> node_grant_m(n)
	:: got == KEPT -> node_kept(n)
	:: got == LOST -> told[n] = 1
	:: got == INV || got == FETCH_S || got == FETCH_M ->
#if HOLD
		assert(held[n] == 0);
		if
		:: node_demand(n, got)
		:: worth_holding(n) -> held[n] = got
		fi
#else
		node_demand(n, got)
#endif
	fi;
	got = 0
}

/* The last mapper has gone, or the page is evicted. */
inline node_release(n)
{
	if
	:: st[n] == S ->
		punch(n);
		may_die(n);
		rearm(n);
		st[n] = I;
		may_die(n);
		node_says(n, PUT_S, 0)
	:: st[n] == M -> node_drop(n, PUT)
	fi
}

inline node_empty(n)
{
	mem[n] = HOLE;
	aside[n] = HOLE;
	st[n] = I;
	protect(n)
}

/* Mappers are told first, then see zeros, which are nobody's content. */
inline node_end_session(n)
{
	out[n] = 1;
	told[n] = 1;
	node_hang_up(n);
	held[n] = 0;
	node_empty(n);
	wake_range(n)
}

inline node_connect(n)
{
	if
	:: sess[n] ->
		conn[n] = 1;
		home_conn[n] = 1;
		up[n]!HOLDS, st[n]
#ifdef MUT_LATE_OWNER
	:: !sess[n] ->
		sess[n] = 1;
		home_age[n] = 0;
		node_age[n] = 0;
		conn[n] = 1;
		home_conn[n] = 1;
		up[n]!HOLDS, st[n]
#else
	:: !sess[n] -> node_end_session(n)
#endif
	fi
}

inline node_rejoin(n)
{
	rejoins--;
	node_empty(n);
	out[n] = 0;
	told[n] = 1;
	sess[n] = 1;
	home_age[n] = 0;
	node_age[n] = 0
}

inline node_takeover(n)
{
	if
	:: st[n] == I || st[n] == LI ->
#ifdef MUT_RECORD_LATE
		skip;
#else
		punch(n);
#endif
#ifndef MUT_TAKEOVER_REARM
		protect(n)
#endif
	:: (st[n] == S || st[n] == LS) && mem[n] != HOLE -> protect(n)
	:: st[n] == M && mem[n] != HOLE
	:: (st[n] == S || st[n] == M) && mem[n] == HOLE ->	/* recorded, not yet filled; or emptied, not yet recorded */
		st[n] = I;
#ifndef MUT_TAKEOVER_REARM
		protect(n)
#endif
	fi;
	may_die(n);
#ifndef MUT_TAKEOVER_WAKE
	wake_range(n);
#endif
	alive[n] = 1
}

#ifdef MUT_HELD_OVER_RELEASE
#define free_of_demand(n) true
#else
#define free_of_demand(n) (held[n] == 0)
#endif
/* A request while a copy is aside could be granted before the node hears that its copy is not needed: after a break nobody could
 * tell the copy from what was granted since. */
#ifdef MUT_ASK_EARLY
#define may_ask(n) (up_to_date(n) && conn[n])
#else
#define may_ask(n) (up_to_date(n) && conn[n] && st[n] != LI && st[n] != LS)
#endif
#define up_to_date(n) (alive[n] && !out[n] && node_age[n] < HALF)

proctype node(byte n; chan in)
{
end_idle:
	do
	:: atomic { alive[n] && !out[n] && conn[n] && cut[n] == 0 && nempty(in) -> node_receive(n) }
	:: atomic { alive[n] && conn[n] && !home_conn[n] -> node_hang_up(n) }
#if HOLD
	:: atomic { alive[n] && !out[n] && held[n] != 0 && conn[n] -> got = held[n]; held[n] = 0; node_demand(n, got); got = 0 }
#endif
	:: atomic { up_to_date(n) && ev[n] == READ_NEW -> ev[n] = READ_TAKEN; wake(n, st[n]) }
	:: atomic { up_to_date(n) && ev[n] == WRITE_NEW -> ev[n] = WRITE_TAKEN; wake(n, st[n]) }
#if MAPPERS > 3
	:: atomic { n == 1 && up_to_date(n) && ev[3] == READ_NEW -> ev[3] = READ_TAKEN; wake(1, st[1]) }
	:: atomic { n == 1 && up_to_date(n) && ev[3] == WRITE_NEW -> ev[3] = WRITE_TAKEN; wake(1, st[1]) }
#endif
	:: atomic { may_ask(n) && wanted(n, st[n]) == 1 && pend[n] < 1 -> pend[n] = 1; node_says(n, GETS, 0) }
	:: atomic { may_ask(n) && wanted(n, st[n]) == 2 && pend[n] < 2 -> pend[n] = 2; node_says(n, GETX, 0) }
#if RELEASE
	:: atomic { alive[n] && !out[n] && conn[n] && pend[n] == 0 && (st[n] == S || st[n] == M) && free_of_demand(n) ->
		node_release(n) }
#endif
	:: atomic { alive[n] && alive[0] && !conn[n] && !home_conn[n] && cut[n] == 0 && !out[n] -> node_connect(n) }
#if TIME
	:: atomic { alive[n] && !out[n] && node_age[n] >= LEASE -> node_end_session(n) }
	:: atomic { alive[n] && alive[0] && out[n] && !sess[n] && cut[n] == 0 && rejoins > 0 -> node_rejoin(n) }
#endif
#if CRASHES > 0
	:: atomic { alive[n] && mortal(n) -> death: die(n) }
	:: atomic { !alive[n] -> node_takeover(n) }
#endif
	od
}

/* --- processes --- */

/* Ends whenever it does not sleep: one that does at the end of all was forgotten. Loads that do not fault need no step. */
proctype mapper(byte m; byte n)
{
	do
	:: atomic { ev[m] == RUN && !out[n] && mem[n] != HOLE && !armed[m] -> store(n) }
	:: atomic { ev[m] == RUN && !out[n] && mem[n] == HOLE -> ev[m] = READ_NEW }
	:: atomic { ev[m] == RUN && !out[n] && (mem[n] == HOLE || armed[m]) -> ev[m] = WRITE_NEW }
	:: atomic { ev[m] == RUN -> ev[m] = GONE; break }
	od
}

proctype client()
{
	do
	:: op == 0 && alive[0] -> op = 1
	:: op == 0 && alive[0] -> op = 2
	:: op == 0 -> break
	od
}

/* --- time and links --- */

#define grow_old(x) x = (x < 4 -> x + 1 : 4)
#define silent(n) (cut[n] != 0 || !alive[n] || !alive[0])
#define young(n) (home_age[n] < 4 || node_age[n] < 4)

inline age(n)
{
	if
	:: silent(n) && sess[n] -> grow_old(home_age[n]); grow_old(node_age[n])
	:: silent(n) && !sess[n] && !out[n] -> grow_old(node_age[n])
	:: else
	fi
}

inline cut_link(n)
{
	cuts--;
	if
	:: cut[n] = 1
	:: cut[n] = 2
	fi;
	if
	:: answer_late[n] = 1	/* answered just now, still under way */
	:: true
	fi
}

#define can_break(n) (breaks > 0 && conn[n] && home_conn[n] && (LINKS & B(n)))

inline break_connection(n)
{
	breaks--;
	if
	:: home_hang_up(n)
	:: node_hang_up(n)
	fi
}

proctype world()
{
end_idle:
	do
	:: false
#if BREAKS > 0
	:: atomic { can_break(1) -> break_connection(1) }
	:: atomic { can_break(2) -> break_connection(2) }
#endif
#if CUTS > 0
	:: atomic { cuts > 0 && cut[1] == 0 && (LINKS & 2) && sess[1] -> cut_link(1) }
	:: atomic { cuts > 0 && cut[2] == 0 && (LINKS & 4) && sess[2] -> cut_link(2) }
	:: atomic { cut[1] == 1 -> cut[1] = 0 }
	:: atomic { cut[2] == 1 -> cut[2] = 0 }
#ifdef MUT_LEASE_FROM_RECEIPT
	:: atomic { answer_late[1] && node_age[1] > 0 -> answer_late[1] = 0; node_age[1] = 0 }
	:: atomic { answer_late[2] && node_age[2] > 0 -> answer_late[2] = 0; node_age[2] = 0 }
#endif
#endif
#if TIME
	:: atomic { (silent(1) && young(1)) || (silent(2) && young(2)) -> age(1); age(2) }
	:: atomic { sess[1] && !out[1] && !silent(1) && (home_age[1] != 0 || node_age[1] != 0) -> home_age[1] = 0; node_age[1] = 0 }
	:: atomic { sess[2] && !out[2] && !silent(2) && (home_age[2] != 0 || node_age[2] != 0) -> home_age[2] = 0; node_age[2] = 0 }
#endif
	od
}

/* Enabled only where something is wrong. */
proctype monitor()
{
end_idle:
	do
	:: atomic { !safe -> assert(coherent); assert(one_writer); assert(somewhere); assert(all_know) }
	od
}

/* When nothing can happen any more: nobody sleeps, nothing is under way, nothing kept aside needlessly. */
proctype the_end()
{
end_idle:
	timeout ->
	assert(ev[0] == GONE && ev[1] == GONE && ev[2] == GONE);
#if MAPPERS > 3
	assert(ev[3] == GONE);
#endif
	assert(cur_t == 0 && need == 0 && op == 0);
	assert(held[1] == 0 && held[2] == 0);
	assert(!conn[1] || st[1] == I || st[1] == S || st[1] == M || cut[1] != 0);
	assert(!conn[2] || st[2] == I || st[2] == S || st[2] == M || cut[2] != 0);
	assert(AWAY || (owner == SHADOW && shadow == CUR) || mem[0] == CUR);
	assert(!leaving)
}

init
{
	atomic {
		up[1] = up1;
		up[2] = up2;
		down[1] = down1;
		down[2] = down2;
		mem[0] = CUR;
		conn[1] = 1;
		conn[2] = 1;
		home_conn[1] = 1;
		home_conn[2] = 1;
		synced[1] = 1;
		synced[2] = 1;
		run home();
		run node(1, down1);
		run node(2, down2);
		if
		:: IDLE & 1 -> ev[0] = GONE
		:: else -> run mapper(0, 0)
		fi;
		run mapper(1, 1);
		if
		:: IDLE & 4 -> ev[2] = GONE
		:: else -> run mapper(2, 2)
		fi;
#if MAPPERS > 3
		run mapper(3, 1);
#endif
#if OPS
		run client();
#endif
		run world();
		run monitor();
		run the_end()
	}
}
