# SPDX-License-Identifier: Apache-2.0
"""What dies takes its own along and nothing else: programs, importers' nodes, keys, the node list; and what is merely slow."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from cluster import directory, netns  # noqa: F401
from nodes import SIZE, UNREACHABLE, Pair, make, stopped_thread  # noqa: F401
from world import ABORTED, NOT_PUBLISHED, SLOW, eventually, needs_root

DETECTION = 1.0
SOON = 0.3  # what is told by a message


def guests(nodes, home, n):
    eventually(lambda: nodes.counts(home)["guests"] == n, 5, f"{n} guests")


# --- programs -------------------------------------------------------------------------------------

@pytest.mark.parametrize("end", ["kill", "exit", "destroy", "unpublish"])
def test_importers_are_told_at_once_when_the_exporter_is_gone(make, end):
    nodes = make(detection=DETECTION)
    footprints = nodes.warm_up()
    exporter, importer = nodes.agent(1), nodes.agent(2)
    segment = exporter.export()
    for k in range(8):
        importer.reach(k, segment, 1)
    kinds = ["put", "get", "large_put", "large_get", "putv", "getv"]
    for k, _ in enumerate(kinds):
        importer.good("alloc", k, SIZE)
    tags = {kind: importer.time("until", kind, k, k) for k, kind in enumerate(kinds)}
    tags["wait"] = importer.time("wait", "i6", -1)
    tags["poll"] = importer.time("wait_pollfd", "i7", -1)
    guests(nodes, 1, 8)
    began = time.monotonic()
    if end == "kill":
        exporter.kill()
    else:
        exporter.send(end, 0)
    ended = {kind: importer.ended(tag) for kind, tag in tags.items()}
    codes = {kind: code for kind, (code, _, _) in ended.items()}
    assert codes.pop("poll") in (0, ABORTED), "which is of the descriptor, if it was asked for after the end"
    assert codes == dict.fromkeys([*kinds, "wait"], ABORTED)
    slowest = max(when for _, _, when in ended.values()) - began
    print(f"{end}: told after {slowest * 1000:.1f} ms")
    assert slowest < SOON * SLOW + nodes.lag
    assert importer.connect(8, segment, 0o600, 1) == NOT_PUBLISHED
    for k in range(8):
        importer.good("disconnect", k)
    if end == "exit":
        exporter.process.wait()
    nodes.finish(footprints)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_an_importer_that_dies_is_forgotten_and_one_that_is_stopped_holds_up_nobody(make, sig):
    nodes = make(3, detection=DETECTION)
    footprints = nodes.warm_up()
    pair = Pair(nodes, 1, 3)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    importer.reach(0, exporter.export(), 1)
    large = 16 << 20  # more than sockets hold
    importer.reach(1, exporter.export(1, large), 1)
    importer.reach(2, exporter.export(2, large), 1)
    patient = exporter.start("wait", "e0", -1)
    importer.good("alloc", 0, large)
    importer.good("alloc", 1, large)
    importer.time("until", "large_put", 1, 0)
    importer.time("until", "large_get", 2, 1)
    importer.time("wait", "i0", -1)
    guests(nodes, 1, 4)
    time.sleep(0.1)  # they are under way
    importer.kill(sig)
    if sig == signal.SIGKILL:
        guests(nodes, 1, 1)
        assert not exporter.is_finished(patient), "an exporter is not told"
    began = time.monotonic()
    exporter.good("unpublish", 1)
    exporter.good("post", "e0")
    exporter.good("destroy", 1)
    assert time.monotonic() - began < SOON * SLOW + nodes.lag
    if sig == signal.SIGSTOP:
        importer.kill(signal.SIGKILL)
        guests(nodes, 1, 1)
    pair.check(bound=SOON)
    pair.end()
    exporter.good("destroy", 0)
    nodes.finish(footprints)


# --- importers' nodes -----------------------------------------------------------------------------

@contextlib.contextmanager
def importer_killed(nodes):
    nodes.kill(2)
    yield
    nodes.come_back(2)


IMPORTER_LOST = {
    "killed": importer_killed,
    "cut off": lambda n: n.cut(2),
    "without its daemon": lambda n: n.without_daemon(2),
    "stopped": lambda n: n.stopped(2),
}


@pytest.mark.parametrize("way", [pytest.param(w, marks=netns if "cut" in w else [], id=w) for w in IMPORTER_LOST])
def test_what_a_lost_node_imported_is_freed_and_nobody_else_is_disturbed(make, way):
    nodes = make(3, netns="cut" in way, detection=DETECTION)
    footprints = nodes.warm_up()
    pair = Pair(nodes, 1, 3)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    segment = exporter.export()
    for k in range(6):
        importer.reach(k, segment, 1)
    importer.good("alloc", 0, SIZE)
    importer.good("alloc", 1, SIZE)
    calls = [importer.time("until", "large_put", 0, 0), importer.time("until", "span", 1, 1), importer.time("wait", "i2", -1)]
    patient = exporter.start("wait", "e0", -1)
    guests(nodes, 1, 7)
    began = time.monotonic()
    with IMPORTER_LOST[way](nodes):
        done = time.monotonic()
        guests(nodes, 1, 1)
        freed = time.monotonic()
        print(f"{way}: freed after {freed - began:.3f} s, lag {nodes.lag:.3f}")
        assert freed - began >= 0.5 * DETECTION
        assert freed - done < 1.1 * DETECTION * SLOW + nodes.lag + 0.1, "and the time to ask"
        pair.check(bound=SOON)
        assert not exporter.is_finished(patient)
        began = time.monotonic()
        exporter.good("post", "e0")
        exporter.good("unpublish", 0)
        assert time.monotonic() - began < SOON * SLOW + nodes.lag, "nobody waits for the dead"
    segment = int(exporter.good("publish", 0, 0)[0])
    if way == "killed":
        importer = nodes.agent(2)
    else:
        # A session that the other side ended is over for this one as soon as they speak again.
        assert [importer.ended(tag)[0] for tag in calls] == [ABORTED] * 3
        for k in range(6):
            importer.good("disconnect", k)
    eventually(lambda: importer.connect(0, segment, 0o600, 1) == 0, 5, "a connection")
    importer.good("put", 0, 8, b"after it")
    assert exporter.load(0, 8, 8) == b"after it"
    importer.good("disconnect", 0)
    pair.end()
    nodes.finish(footprints)


def test_a_node_that_ends_in_order_is_lost_at_once_and_is_new_when_it_comes_back(make):
    nodes = make(detection=20)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    importer.reach(0, exporter.export(), 1)
    wait = importer.time("wait", "i0", -1)
    guests(nodes, 1, 1)
    began = time.monotonic()
    keeper = nodes.keeper(1)
    os.kill(keeper, signal.SIGTERM)
    code, _, when = importer.ended(wait)
    print(f"told after {when - began:.3f} s")
    assert code == ABORTED and when - began < 2 * SLOW
    assert importer.connect(1, 0x80000000, 0o600, 1) == UNREACHABLE
    assert time.monotonic() - began < 4 * SLOW, "nobody listens there"
    eventually(lambda: nodes.cluster.status()[1]["state"] == "ended")
    exporter.kill()
    nodes.come_back(1)
    exporter = nodes.agent(1)
    segment = exporter.export()
    eventually(lambda: importer.connect(1, segment, 0o600, 1) == 0, 5, "a connection to the new one")
    importer.good("put", 1, 0, b"new")
    assert exporter.load(0, 0, 3) == b"new"
    nodes.finish()


def test_a_killed_node_that_is_back_within_the_detection_time_is_a_new_one_at_once(make):
    nodes = make(detection=20)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    segment = exporter.export()
    importer.reach(0, segment, 1)
    wait = importer.time("wait", "i0", -1)
    guests(nodes, 1, 1)
    nodes.kill(1)
    nodes.come_back(1)
    began = time.monotonic()
    code, _, when = importer.ended(wait)
    print(f"told {when - began:.3f} s after it was back")
    assert code == ABORTED and when - began < 5 * SLOW
    assert importer.put(0, 0, b"12345678") == ABORTED
    exporter.process.wait()
    nodes.finish()


# --- keys and lists -------------------------------------------------------------------------------

def kill_and_wait(nodes, *victims):
    """Daemons are killed at the same time, and start again."""
    for node, old in [(node, nodes.kill_daemon(node)) for node in victims]:
        nodes.wait_restart(node, old)


def test_a_key_that_is_replaced_ends_the_session_at_once_and_the_new_one_is_used(make):
    nodes = make(3, detection=20)
    pair = Pair(nodes, 1, 3)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    segment = exporter.export()
    importer.reach(0, segment, 1)
    wait = importer.time("wait", "i0", -1)
    guests(nodes, 1, 2)
    subprocess.run(["causeway", "keygen", "-d", str(nodes.cluster.dir), "1", "2", "--replace", "2"], check=True, capture_output=True,
                   timeout=20)
    began = time.monotonic()
    nodes.cluster.ask(1, "causeway", "reload")
    code, _, when = importer.ended(wait)
    assert code == ABORTED and when - began < 2 * SLOW + nodes.lag
    guests(nodes, 1, 1)
    assert importer.connect(1, segment, 0o600, 1) == UNREACHABLE, "the keys differ"
    assert exporter.connect(1, segment, 0o600, 2) == UNREACHABLE
    nodes.cluster.ask(2, "causeway", "reload")
    eventually(lambda: importer.connect(1, segment, 0o600, 1) == 0, 5, "a connection with the new key")
    importer.good("put", 1, 0, b"new key")
    assert exporter.load(0, 0, 7) == b"new key"
    pair.check(bound=SOON)
    pair.end()
    nodes.finish()


@pytest.mark.parametrize("where", [1, 2], ids=["at the home", "at the importer"])
def test_a_node_that_is_taken_out_of_the_list_is_lost_at_once_on_both_sides(make, where):
    nodes = make(3, detection=20)
    pair = Pair(nodes, 1, 3)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    segment = exporter.export()
    importer.reach(0, segment, 1)
    wait = importer.time("wait", "i0", -1)
    guests(nodes, 1, 2)
    address = nodes.cluster.status()[3 - where]["address"]
    config = pathlib.Path(nodes.cluster.dir, str(where), "causeway.conf")
    text = config.read_text()
    config.write_text(re.sub(rf"^\s*{3 - where}\s*=.*\n", "", text, flags=re.M))
    assert config.read_text() != text
    began = time.monotonic()
    nodes.cluster.ask(where, "causeway", "reload")
    code, _, when = importer.ended(wait)
    assert code == ABORTED and when - began < 2 * SLOW + nodes.lag
    guests(nodes, 1, 1)
    assert importer.connect(1, segment, 0o600, 1) == UNREACHABLE
    config.write_text(text)
    nodes.cluster.ask(where, "causeway", "reload")
    eventually(lambda: importer.connect(1, segment, 0o600, 1) == 0, 5, f"a connection to {address} again")
    pair.check()
    pair.end()
    nodes.finish()


# --- both at once ---------------------------------------------------------------------------------

def test_two_nodes_that_dial_each_other_at_the_same_time_have_one_session(make):
    nodes = make(detection=DETECTION)
    agents = {node: nodes.agent(node) for node in (1, 2)}
    ids = {node: agent.export() for node, agent in agents.items()}
    for round_ in range(8):
        tags = [(agent, agent.start("connect", round_, ids[3 - node], 0o600, 3 - node)) for node, agent in agents.items()]
        assert [agent.finish(tag)[0] for agent, tag in tags] == [0, 0]
        for node, agent in agents.items():
            agent.good("put", round_, 8 * round_, bytes([node]) * 8)
            assert agents[3 - node].load(0, 8 * round_, 8) == bytes([node]) * 8
        for agent in agents.values():
            agent.good("disconnect", round_)
        if round_ % 2 == 0:  # so that they must meet anew, both wanting
            for agent in agents.values():
                agent.reach(100 + round_, ids[3 - agent.node], 3 - agent.node)
            kill_and_wait(nodes, 1, 2)
            for agent in agents.values():
                agent.good("put", 100 + round_, 0, b"12345678")
                agent.good("disconnect", 100 + round_)
            time.sleep(0.3)
    nodes.finish()


# --- slow ones ------------------------------------------------------------------------------------

@needs_root
def test_a_home_whose_data_stands_still_although_it_lives_is_lost_after_twice_the_detection_time(make):
    nodes = make(detection=DETECTION)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    segment = exporter.export()
    importer.reach(0, segment, 1)
    importer.good("put", 0, 0, b"12345678")
    daemon = nodes.daemon(1)
    data = [int(t.name) for t in pathlib.Path(f"/proc/{daemon}/task").iterdir() if (t / "comm").read_text() == "causeway-data\n"]
    assert len(data) == 1
    with stopped_thread(data[0]):
        began = time.monotonic()
        code, _, when = importer.ended(importer.time("put", 0, 0, b"12345678"))
        print(f"given up after {when - began:.3f} s")
        assert code == ABORTED
        assert 0.9 * DETECTION <= when - began < 2.2 * DETECTION * SLOW + nodes.lag
    guests(nodes, 1, 0)
    assert importer.put(0, 0, b"12345678") == ABORTED
    importer.good("disconnect", 0)
    importer.reach(0, segment, 1)
    importer.good("put", 0, 0, b"flows on")
    assert exporter.load(0, 0, 8) == b"flows on"
    nodes.finish()


@netns
def test_a_slow_line_is_progress(make):
    """A put that takes several times the detection time is not given up while its bytes move."""
    nodes = make(netns=True, detection=DETECTION)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    size = 512 << 10
    importer.reach(0, exporter.export(0, size), 1)
    importer.good("alloc", 0, size)
    importer.good("fill", 0, 9)
    with nodes.narrow(2, 1_500_000):
        began = time.monotonic()
        code, _, when = importer.ended(importer.time("put_buffer", 0, 0, 0, 0, size), 30)
    print(f"512 KiB took {when - began:.1f} s")
    assert code == 0 and when - began > 2 * DETECTION
    assert exporter.sum(0) == importer.sum(0)
    nodes.finish()


# --- quiet ----------------------------------------------------------------------------------------

def wakeups(pid):
    """Of all threads."""
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (t / "status").read_text(), re.M)[1])
               for t in pathlib.Path(f"/proc/{pid}/task").iterdir())


def test_nodes_with_nothing_in_common_are_quiet(make):
    """Under one wake-up a second and peer; in a session with heartbeats every third of 2 s a handful."""
    nodes = make(3, detection=2)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    segment = exporter.export()
    daemons = {node: nodes.daemon(node) for node in (1, 2, 3)}
    time.sleep(1.2)  # threads that close descriptors end

    def rate(seconds):
        before = {n: wakeups(p) for n, p in daemons.items()}
        time.sleep(seconds)
        return {n: (wakeups(p) - before[n]) / seconds for n, p in daemons.items()}
    idle = rate(2)
    importer.reach(0, segment, 1)
    time.sleep(1.2)
    session = rate(3)
    print(f"idle: {idle}, in a session: {session} wake-ups a second")
    own = 10 if SLOW > 1 else 0  # a sanitizer's thread looks around ten times a second
    assert all(r < own + 2 for r in idle.values()), "two peers each"
    assert session[1] < own + 8 and session[2] < own + 8 and session[3] < own + 2
    nodes.finish()
