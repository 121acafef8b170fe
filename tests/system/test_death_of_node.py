# SPDX-License-Identifier: Apache-2.0
"""The daemon, the keeper, or both die under load. One of them: a delay. Both: programs are told and go on without the node."""
import os
import random
import signal
import threading
import time

import pytest

from world import (ABORTED, NO_RESOURCES, NOT_PRESENT, SLOW, Beside, eventually, fill, is_alive)


def pauses(seed, n):
    """When to kill: three times at once, then with a pause, since a daemon that dies five times in a row within a second of its
    start ends its node."""
    rng = random.Random(seed)
    return [1.05 if i % 3 == 2 else rng.random() * 0.2 for i in range(n)]


@pytest.mark.parametrize("victim", ["daemon", "keeper"])
def test_a_busy_pair_does_not_notice_but_for_a_delay(world, node, victim):
    beside = Beside(node.socket)
    world.agents += [beside.exporter, beside.importer]
    for pause in pauses(1, 7):
        getattr(node, f"kill_{victim}")()
        time.sleep(pause)
    beside.check(bound=2.0)
    beside.end()


def test_no_signal_is_lost_or_invented_over_restarts(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    importer.good("connect", 0, exporter.export(0))
    for round_ in range(6):
        for _ in range(5):
            importer.good("post", "i0")
        node.kill_daemon(wait=round_ % 2 == 0)
        for _ in range(5):
            assert exporter.wait("e0", 0) == 0
        assert exporter.wait("e0", 0) == 42
        if round_ % 2:
            node.wait_restart(node.daemon)
            time.sleep(1.05)


@pytest.mark.parametrize("seed", [11, 12])
def test_a_model_checks_every_byte_while_the_daemon_is_killed_again_and_again(world, node, seed):
    """Random calls of two exporters and two importers; the model knows what each must return and every byte of every segment."""
    rng = random.Random(seed)
    model = Model(world, node, rng)
    killer = Killer(node, seed)
    end = time.monotonic() + 8
    try:
        while time.monotonic() < end:
            model.step()
    finally:
        killer.stop()
    model.check_all()
    assert killer.kills >= 5
    node.daemon, node.keeper = eventually(node.answers)


class Killer(threading.Thread):
    def __init__(self, node, seed):
        super().__init__()
        self.node, self.pauses, self.kills, self.ended = node, pauses(seed, 1000), 0, threading.Event()
        self.start()

    def run(self):
        for pause in self.pauses:
            if self.ended.wait(pause + 0.05):
                return
            answer = self.node.answers()
            if answer:
                os.kill(answer[0], signal.SIGKILL)
                self.kills += 1

    def stop(self):
        self.ended.set()
        self.join()


class Model:
    SIZE = 8192

    def __init__(self, world, node, rng):
        self.rng = rng
        self.exporters = [world.agent(node) for _ in range(2)]
        self.importers = [world.agent(node) for _ in range(2)]
        self.segments = {}  # (exporter, number) -> {"bytes", "id" or None}
        self.imports = {}  # (importer, number) -> segment key, whether alive, whether mapped
        for e in self.exporters:
            for n in range(4):
                e.good("alloc", n, self.SIZE)
        self.trace = []

    def expect(self, agent, code, verb, *args):
        got, values = agent.ask(verb, *args, seconds=15)
        self.trace.append((agent.pid, verb, [a if not isinstance(a, bytes) else len(a) for a in args], got))
        assert got == code, f"expected {code}; last calls: {self.trace[-12:]}"
        return values

    def step(self):
        getattr(self, self.rng.choice(["create", "publish", "unpublish", "destroy", "connect", "connect", "disconnect", "put", "get",
                                       "get", "store", "map", "unmap", "compare"]))()

    def any_segment(self, published=None):
        keys = [k for k, s in self.segments.items() if published is None or bool(s["id"]) == published]
        return self.rng.choice(keys) if keys else None

    def any_import(self):
        return self.rng.choice(list(self.imports)) if self.imports else None

    def create(self):
        key = self.rng.randrange(2), self.rng.randrange(4)
        if key not in self.segments:
            seed = self.rng.randrange(1 << 30)
            self.expect(self.exporters[key[0]], 0, "fill", key[1], seed)
            self.expect(self.exporters[key[0]], 0, "create", key[1], key[1])
            self.segments[key] = {"bytes": bytearray(fill(self.SIZE, seed)), "id": None}

    def publish(self):
        key = self.any_segment(published=False)
        if key:
            self.segments[key]["id"] = int(self.expect(self.exporters[key[0]], 0, "publish", key[1], 0)[0])

    def revoke(self, key):
        for i in self.imports.values():
            if i["segment"] == key and i["alive"]:
                i["alive"] = False

    def unpublish(self):
        key = self.any_segment(published=True)
        if key:
            self.expect(self.exporters[key[0]], 0, "unpublish", key[1])
            self.segments[key]["id"] = None
            self.revoke(key)

    def destroy(self):
        key = self.any_segment()
        if key:
            self.expect(self.exporters[key[0]], 0, "destroy", key[1])
            self.revoke(key)
            self.compare_one(key)
            del self.segments[key]

    def connect(self):
        key, place = self.any_segment(published=True), (self.rng.randrange(2), self.rng.randrange(6))
        if key and place not in self.imports:
            self.expect(self.importers[place[0]], 0, "connect", place[1], self.segments[key]["id"])
            self.imports[place] = {"segment": key, "alive": True, "mapped": False}

    def disconnect(self):
        place = self.any_import()
        if place and not self.imports[place]["mapped"]:
            self.expect(self.importers[place[0]], 0, "disconnect", place[1])
            del self.imports[place]

    def span(self):
        offset = self.rng.randrange(self.SIZE - 8)
        return offset, self.rng.randrange(1, min(200, self.SIZE - offset))

    def put(self):
        place = self.any_import()
        if place:
            i, (offset, n) = self.imports[place], self.span()
            data = self.rng.randbytes(n)
            self.expect(self.importers[place[0]], 0 if i["alive"] else ABORTED, "put", place[1], offset, data)
            if i["alive"]:
                self.segments[i["segment"]]["bytes"][offset:offset + n] = data

    def get(self):
        place = self.any_import()
        if place:
            i, (offset, n) = self.imports[place], self.span()
            values = self.expect(self.importers[place[0]], 0 if i["alive"] else ABORTED, "get", place[1], offset, n)
            if i["alive"]:
                assert bytes.fromhex("".join(values)) == self.segments[i["segment"]]["bytes"][offset:offset + n]

    def store(self):
        key = self.any_segment()
        if key:
            offset, n = self.span()
            data = self.rng.randbytes(n)
            self.expect(self.exporters[key[0]], 0, "store", key[1], offset, data)
            self.segments[key]["bytes"][offset:offset + n] = data

    def map(self):
        place = self.any_import()
        if place and not self.imports[place]["mapped"]:
            i = self.imports[place]
            self.expect(self.importers[place[0]], 0 if i["alive"] else ABORTED, "map", place[1], 0, self.SIZE)
            i["mapped"] = i["alive"]

    def unmap(self):
        place = self.any_import()
        if place and self.imports[place]["mapped"]:
            self.expect(self.importers[place[0]], 0, "unmap", place[1])
            self.imports[place]["mapped"] = False

    def compare_one(self, key):
        assert self.exporters[key[0]].load(key[1], 0, self.SIZE) == self.segments[key]["bytes"], self.trace[-12:]

    def compare(self):
        key = self.any_segment()
        if key:
            self.compare_one(key)
            for place, i in self.imports.items():
                if i["segment"] == key and i["alive"] and i["mapped"]:
                    assert self.importers[place[0]].mload(place[1], 0, self.SIZE) == self.segments[key]["bytes"]

    def check_all(self):
        for key in list(self.segments):
            self.compare_one(key)
        for place, i in list(self.imports.items()):
            if i["mapped"]:
                self.expect(self.importers[place[0]], 0, "unmap", place[1])
            self.expect(self.importers[place[0]], 0, "disconnect", place[1])
        for key in list(self.segments):
            self.expect(self.exporters[key[0]], 0, "destroy", key[1])


def test_both_die_and_programs_are_told_keep_their_memory_and_use_the_next_node(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    id_ = exporter.export(0)
    importer.good("connect", 0, id_)
    importer.good("map", 0, 0, 65536)
    waits = [(exporter, exporter.start("wait", "e0", -1), NO_RESOURCES), (importer, importer.start("wait", "i0", -1), ABORTED)]
    time.sleep(0.05)
    node.kill_both()
    for agent, wait, code in waits:
        assert agent.finish(wait, 3)[0] == code, "a sleeper is woken"
    assert importer.get(0, 0, 8)[0] == ABORTED
    assert importer.put(0, 0, b"12345678") == ABORTED
    assert importer.post("i0") == ABORTED
    assert exporter.post("e0") == NO_RESOURCES
    assert exporter.unpublish(0) == NO_RESOURCES
    assert importer.controller(1) == NOT_PRESENT
    assert importer.topology() == 32
    content = fill(65536, 1)
    assert exporter.load(0, 0, 65536) == content
    assert importer.mload(0, 0, 65536) == content

    successor = world.node(directory=node.dir)  # takes the left-over socket over
    importer.good("unmap", 0)
    importer.good("disconnect", 0)
    exporter.good("destroy", 0)
    assert exporter.load(0, 0, 65536) == content, "the exporter's memory is its own again"
    exporter.good("create", 0, 0)
    importer.good("connect", 1, int(exporter.good("publish", 0, id_ & 0x7fffffff | 0x600000)[0]))
    assert importer.get(1, 0, 65536) == (0, content)
    assert successor.counts()["n_segments"] == 1


def test_both_die_while_calls_are_in_flight(world, node):
    """Each call ends, with a code, in bounded time."""
    exporter, importer = world.agent(node), world.agent(node)
    id_ = exporter.export(0)
    calls = []
    for i in range(200):
        calls += [importer.send("connect", i, id_), importer.send("get", i, 0, 8), importer.send("disconnect", i)]
    time.sleep(0.005)
    node.kill_both()
    codes = [importer.finish(tag, 10)[0] for tag in calls]
    assert set(codes) <= {0, ABORTED, NOT_PRESENT, NO_RESOURCES, 5}
    assert codes[-3] == ABORTED
    exporter.good("destroy", 0)


def test_a_stopped_daemon_delays_a_call_no_longer_than_the_timeout(world, node):
    agent = world.agent(node, env={"CAUSEWAY_TIMEOUT": "1"})
    agent.good("alloc", 0, 4096)
    os.kill(node.daemon, signal.SIGSTOP)
    begin = time.monotonic()
    assert agent.create(0, 0) == NO_RESOURCES
    assert 0.9 < time.monotonic() - begin < 3 * SLOW
    os.kill(node.daemon, signal.SIGCONT)
    agent.good("create", 0, 0)
    agent.good("publish", 0, 0)
    eventually(lambda: node.counts()["n_segments"] == 1, what="the end of the segment whose creation was given up")


def test_data_calls_go_on_while_the_daemon_is_stopped(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    importer.good("connect", 0, exporter.export(0))
    assert importer.get(0, 0, 8)[0] == 0
    importer.good("post", "i0")
    exporter.good("wait", "e0", 1000)
    os.kill(node.daemon, signal.SIGSTOP)
    try:
        importer.good("put", 0, 0, b"x" * 100)
        assert exporter.load(0, 0, 100) == b"x" * 100
        importer.good("map", 0, 0, 4096)
        importer.good("unmap", 0)
        importer.good("post", "i0")
        exporter.good("wait", "e0", 1000)
    finally:
        os.kill(node.daemon, signal.SIGCONT)


def test_a_node_that_is_told_to_stop_leaves_programs_with_codes(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    importer.good("connect", 0, exporter.export(0))
    wait = importer.start("wait", "i0", -1)
    time.sleep(0.05)
    assert node.stop() == 0, node.words()
    assert not node.socket.exists()
    assert importer.finish(wait, 3)[0] == ABORTED
    assert importer.get(0, 0, 8)[0] == ABORTED
    exporter.good("destroy", 0)
    assert exporter.load(0, 0, 65536) == fill(65536, 1)


def test_the_node_ends_when_the_keeper_dies_and_then_the_daemon_before_it_has_another(world, node):
    """The loss of both is the loss of the node, whatever the order; nothing of it stays behind."""
    os.kill(node.daemon, signal.SIGSTOP)
    os.kill(node.keeper, signal.SIGKILL)
    os.kill(node.daemon, signal.SIGKILL)
    node.wait_gone()
    assert not is_alive(node.daemon)


def test_an_idle_program_does_not_notice_a_restart(world, node):
    agent = world.agent(node)
    node.kill_daemon()
    assert [agent.topology() for _ in range(3)] == [0, 0, 0]
    id_ = agent.export(0)
    node.kill_daemon()
    agent.good("connect", 0, id_)
    assert agent.get(0, 0, 8)[0] == 0
    assert agent.topology() == 0
    assert agent.get(0, 0, 8)[0] == 0, "an answer that came twice must not undo what it announced"
    agent.good("disconnect", 0)
