# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the exporter, the importer, the daemon and the keeper at every step of what a pair does.

The survivors of a program's death are told what the manuals say; daemon and keeper die unnoticed, but for a delay."""
import random
import signal
import time

import pytest

from world import ABORTED, NOT_PUBLISHED, eventually, fill, shared_maps

SIZE = 65536


class Story:
    """What a pair does, step by step; each step checks its own outcome."""

    STEPS = ["started", "created", "published", "connected", "put", "mapped", "waiting", "signalled", "unmapped", "unpublished",
             "disconnected", "destroyed"]

    def __init__(self, world, node):
        self.world, self.node = world, node
        self.exporter, self.importer = world.agent(node), world.agent(node)
        self.content = bytearray(fill(SIZE, 7))
        self.done = "started"
        self.waits = []

    def go_to(self, step):
        for name in self.STEPS[self.STEPS.index(self.done) + 1:self.STEPS.index(step) + 1]:
            getattr(self, name)()
            self.done = name

    def reached(self, step):
        return self.STEPS.index(self.done) >= self.STEPS.index(step)

    def between(self, first, last):
        return self.reached(first) and not self.reached(last)

    def created(self):
        self.exporter.good("alloc", 0, SIZE)
        self.exporter.good("fill", 0, 7)
        self.exporter.good("create", 0, 0)
        assert self.exporter.load(0, 0, SIZE) == self.content

    def published(self):
        self.id = int(self.exporter.good("publish", 0, 0)[0])

    def connected(self):
        self.importer.good("connect", 0, self.id)
        assert self.importer.get(0, 0, SIZE) == (0, self.content)

    def put(self):
        self.importer.good("put", 0, 100, b"put by the importer")
        self.content[100:119] = b"put by the importer"
        assert self.exporter.load(0, 0, SIZE) == self.content

    def mapped(self):
        self.importer.good("map", 0, 4096, 8192)
        self.importer.good("mstore", 0, 5, b"stored through the map")
        self.content[4101:4123] = b"stored through the map"
        assert self.exporter.load(0, 0, SIZE) == self.content

    def waiting(self):
        self.waits = [self.exporter.start("wait", "e0", 20000), self.importer.start("wait", "i0", 20000)]
        time.sleep(0.05)
        assert not self.exporter.is_finished(self.waits[0]) and not self.importer.is_finished(self.waits[1])

    def signalled(self):
        self.importer.good("post", "i0")
        assert self.exporter.finish(self.waits[0])[0] == 0
        self.exporter.good("post", "e0")
        assert self.importer.finish(self.waits[1])[0] == 0
        self.waits = []

    def unmapped(self):
        assert self.importer.mload(0, 0, 8192) == self.content[4096:12288]
        self.importer.good("unmap", 0)

    def unpublished(self):
        self.exporter.good("unpublish", 0)
        assert self.importer.get(0, 0, 8)[0] == ABORTED
        assert self.importer.connect(1, self.id) == NOT_PUBLISHED

    def disconnected(self):
        self.importer.good("disconnect", 0)

    def destroyed(self):
        self.exporter.good("destroy", 0)
        assert self.exporter.load(0, 0, SIZE) == self.content


@pytest.mark.parametrize("step", Story.STEPS)
def test_the_daemon_dies_and_the_story_goes_on(world, node, step):
    story = Story(world, node)
    story.go_to(step)
    node.kill_daemon(wait=False)
    story.go_to("destroyed")
    node.wait_restart(node.daemon)


@pytest.mark.parametrize("step", Story.STEPS)
def test_the_keeper_dies_and_the_story_goes_on(world, node, step):
    story = Story(world, node)
    story.go_to(step)
    node.kill_keeper()
    node.kill_daemon(wait=False)  # the new keeper must have everything too
    story.go_to("destroyed")
    node.wait_restart(node.daemon)


@pytest.mark.parametrize("step", Story.STEPS)
def test_the_exporter_dies_and_its_importer_is_told(world, node, step):
    story = Story(world, node)
    story.go_to(step)
    importer = story.importer
    story.exporter.kill()
    eventually(lambda: node.counts()["n_segments"] == 0, what="the end of the segment")
    if story.between("connected", "disconnected"):
        assert importer.get(0, 0, 8)[0] == ABORTED
        assert importer.put(0, 0, b"x" * 8) == ABORTED
        assert importer.post("i0") == ABORTED
        assert importer.wait("i0", 0) == ABORTED
    if story.between("mapped", "unmapped"):
        assert importer.mload(0, 0, 8192) == story.content[4096:12288], "old pages stay readable through the map"
        importer.good("mstore", 0, 0, b"to nobody")
    if story.waits:
        assert importer.finish(story.waits[1], 2)[0] == ABORTED, "a sleeper is woken"
    if story.between("mapped", "unmapped"):
        importer.good("unmap", 0)
    if story.between("connected", "disconnected"):
        importer.good("disconnect", 0)
    if story.reached("published"):
        assert importer.connect(1, story.id) == NOT_PUBLISHED
    next_one = world.agent(node)
    importer.good("connect", 2, next_one.export(0, seed=9, id=0x600000))
    assert importer.get(2, 0, SIZE) == (0, fill(SIZE, 9)), "the importer can work with another exporter"


@pytest.mark.parametrize("step", Story.STEPS)
def test_the_importer_dies_and_its_exporter_does_not_notice(world, node, step):
    story = Story(world, node)
    story.go_to(step)
    exporter = story.exporter
    story.importer.kill()
    eventually(lambda: node.counts()["n_imports"] == 0, what="the end of the import")
    if story.reached("created"):
        assert exporter.load(0, 0, SIZE) == story.content
    if story.between("published", "unpublished"):
        again = world.agent(node)
        again.good("connect", 0, story.id)
        assert again.get(0, 0, SIZE) == (0, story.content)
        if story.waits:
            assert not exporter.is_finished(story.waits[0])
            again.good("post", "i0")
            assert exporter.finish(story.waits[0])[0] == 0
        again.good("disconnect", 0)
        exporter.good("unpublish", 0)
    if story.between("created", "destroyed"):
        exporter.good("destroy", 0)
        assert exporter.load(0, 0, SIZE) == story.content


@pytest.mark.parametrize("seed", range(3))
def test_programs_that_die_in_the_middle_of_calls_leave_nothing(world, node, seed):
    rng = random.Random(seed)
    stable = world.agent(node)
    id_ = stable.export(0)
    for _ in range(15):
        victim = world.agent(node)
        victim.good("alloc", 0, 1 << 20)
        for _ in range(300):  # more than it will come to
            victim.send("create", 0, 0)
            victim.send("publish", 0, 0)
            victim.send("connect", 0, id_)
            victim.send("map", 0, 0, 4096)
            victim.send("unmap", 0)
            victim.send("disconnect", 0)
            victim.send("destroy", 0)
        time.sleep(rng.random() * 0.05)
        victim.kill()
    eventually(lambda: (node.counts()["n_segments"], node.counts()["n_imports"]) == (1, 0), what="the end of what they had")
    assert stable.load(0, 0, SIZE) == fill(SIZE, 1)
    assert node.answers() == (node.daemon, node.keeper)


def test_a_mapped_segment_outlives_its_exporter_until_it_is_unmapped(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    importer.good("connect", 0, exporter.export(0, 1 << 20))
    importer.good("map", 0, 0, 1 << 20)
    exporter.kill()
    eventually(lambda: node.counts()["bytes"] == 0)
    for pid in (node.daemon, node.keeper):
        assert not any("causeway-" not in name and size == 1 << 20 for name, size in shared_maps(pid))
    assert importer.mload(0, 0, SIZE) == fill(1 << 20, 1)[:SIZE]


def test_a_stopped_importer_does_not_delay_unpublish(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    importer.good("connect", 0, exporter.export(0))
    importer.good("map", 0, 0, 4096)
    importer.kill(signal.SIGSTOP)
    begin = time.monotonic()
    exporter.good("unpublish", 0)
    assert time.monotonic() - begin < 1
    importer.kill(signal.SIGCONT)
    importer.good("mstore", 0, 0, b"after the fact")
    assert exporter.load(0, 0, 14) == fill(16, 1)[:14], "a former importer cannot reach the exporter's memory"
    assert importer.get(0, 0, 8)[0] == ABORTED
