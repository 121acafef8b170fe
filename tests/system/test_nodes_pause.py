# SPDX-License-Identifier: Apache-2.0
"""What is back within the detection time was never away: calls take longer, nothing is lost, nothing is done twice."""
import time

import pytest

from cluster import directory, netns  # noqa: F401
from nodes import BARRIER_FAILURE, Pair, make  # noqa: F401
from world import SLOW, TIMEOUT

DETECTION = 2.0
MIB = 1 << 20


def stop_for(nodes, node, seconds):
    with nodes.stopped(node):
        time.sleep(seconds)


def crawl(nodes, node):
    """Its daemon runs now and then only."""
    for _ in range(6):
        stop_for(nodes, node, 0.15 * DETECTION)
        time.sleep(0.02)


def cut_for(nodes, node, seconds):
    with nodes.cut(node):
        time.sleep(seconds)


def kill_daemon(nodes, node):
    nodes.wait_restart(node, nodes.kill_daemon(node))


def kill_keeper(nodes, node):
    nodes.kill_keeper(node)


EVENTS = {
    "the home's daemon is killed": lambda n: kill_daemon(n, 1),
    "the importer's daemon is killed": lambda n: kill_daemon(n, 2),
    "the home's keeper is killed": lambda n: kill_keeper(n, 1),
    "the importer's keeper is killed": lambda n: kill_keeper(n, 2),
    "the home's daemon is stopped for a while": lambda n: stop_for(n, 1, 0.35 * DETECTION),
    "the importer's daemon is stopped for a while": lambda n: stop_for(n, 2, 0.35 * DETECTION),
    "the home's daemon crawls": lambda n: crawl(n, 1),
    "the home is cut off for a while": lambda n: cut_for(n, 1, 0.55 * DETECTION),
    "both daemons are killed": lambda n: [n.wait_restart(node, old) for node, old in [(k, n.kill_daemon(k)) for k in (1, 2)]],
}


@pytest.mark.parametrize("event", [pytest.param(e, marks=netns if "cut" in e else [], id=e) for e in EVENTS])
def test_work_goes_on_when(make, event):
    """Round trips are right, sleepers sleep on and are woken once, signals are counted over the event."""
    nodes = make(netns="cut" in event, detection=DETECTION)
    footprints = nodes.warm_up()
    pair = Pair(nodes, 1, 2)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    importer.reach(0, exporter.export(0), 1)
    importer.reach(1, exporter.export(1), 1)
    sleepers = [(exporter, exporter.start("wait", "e0", -1)), (importer, importer.start("wait", "i0", -1))]
    for _ in range(5):
        importer.good("post", "i1")
        exporter.good("post", "e1")
    began = time.monotonic()
    EVENTS[event](nodes)
    print(f"{event}: {time.monotonic() - began:.3f} s, ", end="")
    for _ in range(5):
        importer.good("post", "i1")
        exporter.good("post", "e1")
    for agent, handle in (exporter, "e1"), (importer, "i1"):
        assert [agent.wait(handle, 5000) for _ in range(10)] == [0] * 10, "no signal is lost"
    assert not any(agent.is_finished(tag) for agent, tag in sleepers), "nobody is woken without a signal"
    importer.good("post", "i0")
    exporter.good("post", "e0")
    assert [agent.finish(tag)[0] for agent, tag in sleepers] == [0, 0]
    print(f"slowest round trip {pair.check(bound=DETECTION + 1):.3f} s")
    for agent, handle in (exporter, "e0"), (importer, "i0"), (exporter, "e1"), (importer, "i1"):
        assert agent.wait(handle, 0) == TIMEOUT, "no signal is counted twice"
    pair.end()
    nodes.finish(footprints)


@pytest.mark.parametrize("victim", [1, 2], ids=["home", "importer"])
def test_large_transfers_are_right_though_a_daemon_dies_under_them(make, victim):
    nodes = make(detection=DETECTION)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    size = 64 * MIB // SLOW
    importer.reach(0, exporter.export(0, size, seed=3), 1)
    importer.good("alloc", 0, size)
    importer.good("alloc", 1, size)
    importer.good("fill", 1, 4)
    before, after = exporter.sum(0), importer.sum(1)
    get = importer.start("get_buffer", 0, 0, 0, 0, size)
    kill_daemon(nodes, victim)
    assert importer.finish(get)[0] == 0
    assert importer.sum(0) == before
    put = importer.start("put_buffer", 0, 0, 1, 0, size)
    kill_daemon(nodes, victim)
    assert importer.finish(put)[0] == 0
    assert exporter.sum(0) == after
    nodes.finish()


@pytest.mark.parametrize("victim", [1, 2], ids=["home", "importer"])
def test_a_span_says_whether_all_of_it_arrived_though_a_daemon_dies_in_it(make, victim):
    nodes = make(detection=DETECTION)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    importer.reach(0, exporter.export(), 1)
    importer.good("mode", 0, 0)
    said = []
    for round_ in range(4):
        importer.good("open", 0)
        for k in range(16):
            if k == 8:
                old = nodes.kill_daemon(victim)
            assert importer.put(0, 4096 * k, bytes([round_ * 16 + k]) * 100) in (0, BARRIER_FAILURE)
        said.append(importer.code("close", 0))
        assert said[-1] in (0, BARRIER_FAILURE)
        if said[-1] == 0:
            assert [exporter.load(0, 4096 * k, 100) for k in range(16)] == [bytes([round_ * 16 + k]) * 100 for k in range(16)]
        nodes.wait_restart(victim, old)
        time.sleep(1.05 if round_ == 2 else 0)  # a daemon that dies five times within a second of its start ends its node
    print(said)
    importer.good("mode", 0, 1)
    importer.good("put", 0, 0, b"as ever")
    assert exporter.load(0, 0, 7) == b"as ever"
    nodes.finish()
