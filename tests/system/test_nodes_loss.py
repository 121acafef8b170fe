# SPDX-License-Identifier: Apache-2.0
"""A node is lost: every call under way there ends in time and with its code, both sides free what it had, and all work again."""
import contextlib
import select
import time

import pytest

from cluster import directory, netns  # noqa: F401
from nodes import BARRIER_FAILURE, SIZE, UNREACHABLE, make  # noqa: F401
from world import ABORTED, NOT_PUBLISHED, eventually, fill

DETECTION = 1.0
HUNG_UP = (0, "1", str(select.POLLRDNORM | select.POLLHUP))  # of wait_pollfd
UNBORN = (ABORTED, "none")  # of both, when the descriptor was asked for after the end already
DATA = ("put", "get", "large_put", "large_get", "putv", "getv", "span")


class Work:
    """An importer on one node with a call of each kind under way to a segment of another one, whose exporter waits, too."""

    def __init__(self, nodes, home=1, node=2):
        self.nodes, self.home = nodes, home
        self.exporter = nodes.agent(home)
        self.segment = self.exporter.export()
        self.patient = self.exporter.time("wait", "e0", -1)
        self.importer = nodes.agent(node)
        for k in range(len(DATA) + 4):
            self.importer.reach(k, self.segment, home)
        self.calls = {}
        for k, kind in enumerate(DATA):
            self.importer.good("alloc", k, SIZE)
            self.calls[kind] = self.importer.time("until", kind, k, k)
        k = len(DATA)
        self.calls["wait"] = self.importer.time("wait", f"i{k}", -1)
        self.calls["wait_pollfd"] = self.importer.time("wait_pollfd", f"i{k + 1}", -1)
        self.calls["poll"] = self.importer.time("poll", f"i{k + 2}", -1)
        self.idle = k + 3
        eventually(lambda: nodes.counts(home)["guests"] == len(DATA) + 4, what="guests")
        time.sleep(0.05)  # all of them have begun: nothing says so of a call that sleeps

    def check_ended(self, earliest, latest):
        """All ended with their codes between the two times, give or take how late this machine is."""
        codes, times = {}, {}
        for kind, tag in self.calls.items():
            code, values, times[kind] = self.importer.ended(tag, 5 * self.nodes.detection + 5)
            codes[kind] = (code, *values) if "poll" in kind else code
        expected = {**dict.fromkeys([*DATA, "wait"], ABORTED), "wait_pollfd": HUNG_UP, "poll": (0, "1", str(select.POLLRDNORM))}
        if codes["span"] == BARRIER_FAILURE:
            expected["span"] = BARRIER_FAILURE
        expected.update({kind: UNBORN for kind in ("poll", "wait_pollfd") if codes[kind] == UNBORN})
        assert codes == expected
        wrong = {kind: round(t - earliest, 3) for kind, t in times.items() if not earliest <= t <= latest + 2 * self.nodes.lag}
        assert not wrong, f"ended outside of 0…{latest - earliest:.3f} s (lag {self.nodes.lag:.3f})"
        return times

    def check_dead_import(self):
        """What a lost import says, for good."""
        i = self.idle
        for verb, *args in (("put", i, 0, b"12345678"), ("post", f"i{i}"), ("wait", f"i{i}", 0)):
            assert self.importer.code(verb, *args) == ABORTED, verb
        assert self.importer.ask("wait_pollfd", f"i{i}", 0) == (ABORTED, ["none"]), "no descriptor"
        assert self.importer.get(i, 0, 8)[0] == ABORTED

    def leave(self):
        for k in range(len(DATA) + 4):
            self.importer.good("disconnect", k)

    def check_works_again(self, segment=None, exporter=None):
        """A new connection, with the right content."""
        exporter, segment = exporter or self.exporter, segment or self.segment
        exporter.good("fill", 0, 77)
        eventually(lambda: self.importer.connect(0, segment, 0o600, self.home) == 0, 5, "a connection")
        assert self.importer.get(0, 0, SIZE) == (0, fill(SIZE, 77))
        self.importer.good("put", 0, 100, b"again")
        assert exporter.load(0, 100, 5) == b"again"
        self.importer.good("disconnect", 0)


@contextlib.contextmanager
def whole_node_killed(nodes):
    nodes.kill(1)
    yield
    nodes.come_back(1)


@contextlib.contextmanager
def cut_and_killed(nodes):
    """Power and cable at once: nobody says goodbye."""
    with nodes.cut(1):
        nodes.kill(1)
        yield
    nodes.come_back(1)


# What happens, whether it needs --netns, and how many detection times it takes at most. Of a deaf home something is heard
# until TCP sends nothing new without an acknowledgement.
WAYS = {
    "killed": (whole_node_killed, False, 1.1),
    "cut and killed": (cut_and_killed, True, 1.1),
    "cut off": (lambda n: n.cut(1), True, 1.1),
    "deaf": (lambda n: n.deaf(1), True, 2.0),
    "mute": (lambda n: n.mute(1), True, 1.1),
    "importer deaf": (lambda n: n.deaf(2), True, 1.1),
    "without its daemon": (lambda n: n.without_daemon(1), False, 1.1),
    "stopped": (lambda n: n.stopped(1), False, 1.1),
}


@pytest.mark.parametrize("way", [pytest.param(w, marks=netns if needs else [], id=w) for w, (_, needs, _) in WAYS.items()])
def test_a_home_that_falls_silent_is_lost_within_the_detection_time(make, way):
    happens, needs_netns, bound = WAYS[way]
    nodes = make(netns=needs_netns, detection=DETECTION)
    footprints = nodes.warm_up()
    work = Work(nodes)
    began = time.monotonic()
    with happens(nodes):
        ended = time.monotonic()
        times = work.check_ended(began + 0.5 * DETECTION, ended + bound * DETECTION)
        print(f"{way}: {sorted(round(t - began, 3) for t in times.values())} s, lag {nodes.lag:.3f}")
        eventually(lambda: nodes.counts(2)["remote"] == 0, what="an importer's node without imports")
        began = time.monotonic()
        assert work.importer.connect(100, work.segment, 0o600, 1) == UNREACHABLE
        assert time.monotonic() - began < min(DETECTION, 1) + 0.3 + nodes.lag
        work.check_dead_import()
        work.leave()
    if "killed" in way:
        exporter = nodes.agent(1)
        assert work.importer.connect(100, work.segment, 0o600, 1) in (NOT_PUBLISHED, UNREACHABLE)
        work.check_works_again(exporter.export(), exporter)
        work.exporter.process.wait()
    else:
        eventually(lambda: nodes.counts(1)["guests"] == 0, 5, "a home without guests")
        work.check_works_again()
        assert not work.exporter.is_finished(work.patient), "an exporter is not told"
    nodes.finish(footprints)


@netns
def test_calls_that_begin_while_a_node_is_silent_end_when_it_is_lost(make):
    nodes = make(3, netns=True, detection=DETECTION)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    large = 32 << 20  # more than sockets hold
    segment = exporter.export(0, large)
    for k in range(6):
        importer.reach(k, segment, 1)
    importer.good("alloc", 0, large)
    for k in 4, 5:
        importer.good("mode", k, 0)
        importer.good("open", k)
    importer.good("put", 5, 0, b"12345678")
    with nodes.cut(1):
        began = time.monotonic()
        calls = {verb: importer.time(verb, *args) for verb, *args in (
            ("put", 0, 0, b"12345678"), ("get_buffer", 1, 0, 0, 0, large), ("putv", 2, 0), ("wait", "i3", -1), ("close", 5),
            ("connect", 6, segment, 0o600, 1), ("post", "i3"), ("put_buffer", 4, 0, 0, 0, large))}
        listed = nodes.cluster.tool(2, "list")
        took = time.monotonic() - began
        assert [row["node"] for row in listed["silent"]] == [1]
        assert took < 1.1 * DETECTION + 0.5 + nodes.lag, "list waits no longer"
        ended = {verb: importer.ended(tag) for verb, tag in calls.items()}
        assert importer.code("close", 4) in (ABORTED, BARRIER_FAILURE)
    codes = {verb: code for verb, (code, _, _) in ended.items()}
    print({verb: (code, round(when - began, 3)) for verb, (code, _, when) in ended.items()}, f"list {took:.3f}")
    assert codes.pop("post") in (0, ABORTED) and codes.pop("close") in (ABORTED, BARRIER_FAILURE)
    assert codes.pop("put_buffer") in (0, ABORTED), "explicit mode: close says it"
    assert codes == {"put": ABORTED, "get_buffer": ABORTED, "putv": ABORTED, "wait": ABORTED, "connect": UNREACHABLE}
    assert all(when - began < 1.1 * DETECTION + nodes.lag for _, _, when in ended.values())
    for k in range(6):
        importer.good("disconnect", k)
    eventually(lambda: importer.connect(0, segment, 0o600, 1) == 0, 5, "a connection")
    nodes.finish()


def test_daemon_and_keeper_die_and_their_programs_go_on(make):
    """On the exporter's side the memory stays; an importer's calls end at once, and its home frees what it had."""
    nodes = make(3, detection=DETECTION)
    footprints = nodes.warm_up()
    exporter, importer, orphan = nodes.agent(1), nodes.agent(2), nodes.agent(3)
    segment = exporter.export()
    importer.reach(0, segment, 1)
    orphan.reach(0, segment, 1)
    wait, orphans_wait = importer.time("wait", "i0", -1), orphan.time("wait", "i0", -1)
    began = time.monotonic()
    nodes.kill_both(3)
    code, _, when = orphan.ended(orphans_wait)
    assert code == ABORTED and when - began < 1.5 + nodes.lag, "its own daemon is gone: asked for once a second"
    assert orphan.put(0, 0, b"12345678") == ABORTED
    eventually(lambda: nodes.counts(1)["guests"] == 1, 2 * DETECTION, "the end of what node 3 had")
    assert not importer.is_finished(wait), "nobody else is disturbed"
    importer.good("put", 0, 0, b"still on")
    assert exporter.load(0, 0, 8) == b"still on"
    began = time.monotonic()
    nodes.kill_both(1)
    code, _, when = importer.ended(wait)
    assert code == ABORTED and 0.5 * DETECTION <= when - began < 1.1 * DETECTION + nodes.lag
    assert exporter.load(0, 0, 8) == b"still on"
    exporter.good("destroy", 0)
    orphan.good("disconnect", 0)
    for node in 1, 3:
        nodes.kill(node)  # the programs, too
        nodes.come_back(node)
    importer.good("disconnect", 0)
    nodes.finish(footprints)


@netns
@pytest.mark.parametrize("where", [1, 2], ids=["home", "importer"])
def test_a_daemon_that_dies_in_a_silence_does_not_make_it_longer_than_one_detection_time_more(make, where):
    nodes = make(netns=True, detection=DETECTION)
    work = Work(nodes)
    began = time.monotonic()
    with nodes.cut(1):
        time.sleep(0.4 * DETECTION)
        nodes.wait_restart(where, nodes.kill_daemon(where))
        work.check_ended(began + 0.5 * DETECTION, time.monotonic() + 1.1 * DETECTION)
        eventually(lambda: nodes.counts(1)["guests"] == 0, 2 * DETECTION, "a home without guests")
    work.leave()
    work.check_works_again()
    nodes.finish()
