# SPDX-License-Identifier: Apache-2.0
"""clshm on three partitions: attaches are counted right whatever happens, partitions go down while programs run and calls wait."""
import os
import random
import threading
import time

import pytest

from attachers import AUTORMID, CREAT, EXCL, RDONLY, RMID, Attacher, Failed
from cluster import directory  # noqa: F401
from nodes import make  # noqa: F401
from world import SLOW, eventually

PAGE = 4096
OPERATIONS = int(os.environ.get("CLSHM_OPERATIONS", "2500"))


@pytest.fixture
def programs():
    """programs(nodes, node): a process that ends with the test."""
    made = []

    def start(nodes, node):
        made.append(Attacher(nodes, node))
        return made[-1]
    yield start
    for p in made:
        if p.process.poll() is None:
            p.kill()


def fails(error, call, *args):
    with pytest.raises(Failed) as info:
        call(*args)
    assert str(info.value) in ([error] if isinstance(error, str) else error)


class Model:
    """What should be attached where: (process, slot) -> segment; checked against nattch."""

    def __init__(self, nodes, programs, rng):
        self.nodes, self.programs, self.rng = nodes, programs, rng
        self.people = [programs(nodes, node) for node in (1, 2, 3) for _ in range(3)]
        self.slots, self.children = {p: {} for p in self.people}, {}
        self.segments = [self.people[0].make(PAGE * rng.randrange(1, 4), node, 0o666) for node in (1, 2, 3) for _ in range(2)]

    def count(self, shmid):
        inherited = [s for child in self.children.values() for s in child[1]]
        return sum(s == shmid for slots in self.slots.values() for s in slots.values()) + inherited.count(shmid)

    def attach(self, p):
        shmid = self.rng.choice(self.segments)
        slot = p.attach(shmid, self.rng.choice((0, 0, RDONLY)))
        self.slots[p][slot] = shmid

    def detach(self, p):
        if self.slots[p]:
            slot = self.rng.choice(list(self.slots[p]))
            p.detach(slot)
            del self.slots[p][slot]

    def fork(self, p):
        if len(self.children) < 4:
            self.children[p.fork()] = (p, list(self.slots[p].values()))

    def end_child(self, p):
        mine = [pid for pid, (parent, _) in self.children.items() if parent is p]
        if mine:
            pid = self.rng.choice(mine)
            p.end_child(pid)
            del self.children[pid]

    def kill(self, p):
        for pid, (parent, _) in list(self.children.items()):
            if parent is p:
                p.end_child(pid)
                del self.children[pid]
        i = self.people.index(p)
        p.kill()
        del self.slots[p]
        self.people[i] = self.programs(self.nodes, p.node)
        self.slots[self.people[i]] = {}

    def step(self):
        p = self.rng.choice(self.people)
        self.rng.choices((self.attach, self.detach, self.fork, self.end_child, self.kill), (50, 44, 2, 2, 1))[0](p)

    def check(self):
        for shmid in self.segments:
            want = self.count(shmid)
            asker = self.rng.choice(self.people)
            eventually(lambda: asker.n_attached(shmid) == want, 5, f"{want} attaches of {shmid:#x} (now {asker.n_attached(shmid)})")


@pytest.mark.parametrize("seed", [1])
def test_attaches_are_counted_right_after_thousands_of_attaches_detaches_and_kills(make, programs, seed):  # noqa: F811
    nodes, rng = make(3), random.Random(seed)
    model = Model(nodes, programs, rng)
    for i in range(OPERATIONS):
        model.step()
        if i % 250 == 249:
            model.check()
    for p in model.people:
        while model.slots[p]:
            model.detach(p)
    model.check()
    while model.children:
        model.end_child(rng.choice(model.people))
    model.check()


def test_daemons_that_die_lose_no_attach_and_no_segment(make, programs):  # noqa: F811
    nodes = make(3)
    here, there = programs(nodes, 1), programs(nodes, 2)
    shmid, key = here.make(PAGE, 1, 0o666), here.key(1)
    auto = here.make(PAGE, 1, 0o666)
    slots = here.attach(shmid, 0), there.attach(shmid, 0)
    here.control(auto, AUTORMID)
    last = there.attach(auto, 0)
    assert here.add(slots[0], 7, 1) == 1
    for node in (1, 2, 1):
        nodes.wait_restart(node, nodes.kill_daemon(node))
        assert here.add(slots[0], 7, 1) + 1 == there.add(slots[1], 7, 1)
        assert here.n_attached(shmid) == there.n_attached(shmid) == 2
    assert there.get(key, PAGE, CREAT | 0o666) == here.get(key, PAGE, 0)
    there.detach(last)  # is told to another partition one way
    eventually(lambda: gone(here, auto), 5, "the end with the last detach")
    there.detach(slots[1])
    eventually(lambda: here.n_attached(shmid) == 1, 5, "one attach")


def test_a_partition_that_dies_takes_its_segments_and_its_attaches_and_nothing_else(make, programs):  # noqa: F811
    nodes = make(3, detection=0.5)
    people = {node: programs(nodes, node) for node in (1, 2, 3)}
    segments = {node: people[1].make(PAGE, node, 0o666) for node in (1, 2, 3)}
    slots = {(n, s): people[n].attach(segments[s], 0) for n in people for s in segments}
    for (n, s), slot in slots.items():
        people[n].add(slot, n, 10 * s)
    auto = people[1].make(PAGE, 1, 0o666)
    people[3].attach(auto, 0)
    people[1].control(auto, AUTORMID)
    nodes.kill(3)
    eventually(lambda: people[1].partitions() == [1, 2] == people[2].partitions(), 5, "two partitions")
    for node in (1, 2):
        fails("SIGBUS", people[node].add, slots[node, 3], 0, 1)
        fails("EIO", people[node].stat, segments[3])
        people[node].detach(slots[node, 3])
        assert people[node].add(slots[node, 1], 2, 0) == 10
        assert people[node].add(slots[node, 2], 1, 0) == 20
        eventually(lambda: people[node].n_attached(segments[1]) == 2, 5, "two attaches")
    eventually(lambda: gone(people[2], auto), 5, "what only the dead partition had attached")
    nodes.come_back(3)
    eventually(lambda: people[1].partitions() == [1, 2, 3], 10, "three partitions")
    fails({"EINVAL", "EIDRM"}, people[1].stat, segments[3])  # it is a new one


def gone(p, shmid):
    try:
        p.stat(shmid)
    except Failed as e:
        return str(e) in ("EINVAL", "EIDRM")
    return False


def test_a_partition_that_falls_silent_while_calls_wait_ends_them(make, programs):  # noqa: F811
    nodes = make(3, detection=0.5)
    there = programs(nodes, 2)
    shmid, key = there.make(PAGE, 2, 0o666), there.key(2)
    people = [programs(nodes, 1) for _ in range(6)]
    for p in people:
        p.n_attached(shmid)
    keeper = nodes.keeper(2)
    with nodes.stopped(2):
        for p, call in zip(people, (("stat", shmid), ("attach", shmid, 0), ("get", key, PAGE, CREAT | 0o600), ("key", 2),
                                    ("control", shmid, RMID), ("list",))):
            p.say(*call)
        for p in people[:5]:
            p.seconds = 15
            with pytest.raises(Failed) as info:
                p.hear()
            assert str(info.value) in ("EIO", "EINVAL"), info.value
        assert people[5].hear()[0] == "1"
        assert people[0].partitions() == [1, 3]
    assert nodes.keeper(2) == keeper
    eventually(lambda: people[0].partitions() == [1, 2, 3], 10, "three partitions")


def test_all_calls_at_once_from_all_partitions_leave_nothing_behind(make, programs):  # noqa: F811
    nodes = make(3)
    errors = []

    def live(node, seed):
        rng, p = random.Random(seed), programs(nodes, node)
        try:
            for _ in range(40):
                shmid = p.make(PAGE * rng.randrange(1, 9), rng.choice((1, 2, 3)))
                a = p.attach(shmid, 0)
                b = p.attach(shmid, rng.choice((0, RDONLY)))
                assert p.add(a, 3, 5) == 5 and p.n_attached(shmid) == 2
                p.control(shmid, rng.choice((RMID, AUTORMID)))
                p.detach(a)
                p.detach(b)
                assert gone(p, shmid)
                assert p.partitions() == [1, 2, 3]
        except (AssertionError, Failed) as e:
            errors.append((node, seed, repr(e)))

    threads = [threading.Thread(target=live, args=(1 + i % 3, i)) for i in range(9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60 * SLOW)
    assert not errors and not any(t.is_alive() for t in threads)
    for node in (1, 2, 3):
        eventually(lambda: nodes.counts(node)["segments"] == 0, 5, "no segment")


def test_four_thousand_segments(make, programs):  # noqa: F811
    nodes = make(2)
    here, there = programs(nodes, 1), programs(nodes, 2)
    keys = [here.key(1) for _ in range(4096)]
    ids = [here.get(k, PAGE, CREAT | EXCL | 0o666) for k in keys]
    assert len(set(keys)) == len(set(ids)) == 4096
    assert [there.get(k, PAGE, 0) for k in keys[::256]] == ids[::256]
    for k in range(0, 4096, 64):
        slot = here.attach(ids[k], 0)
        here.add(slot, 0, k)
        here.detach(slot)
    nodes.wait_restart(1, nodes.kill_daemon(1))
    for k in range(0, 4096, 256):
        slot = there.attach(ids[k], RDONLY)
        with pytest.raises(Failed):
            there.stat(ids[k] ^ 0x800000)
        there.detach(slot)
    for i in ids:
        here.control(i, RMID)
    assert nodes.counts(1)["segments"] == 0


def test_a_stale_id_reaches_nothing(make, programs):  # noqa: F811
    nodes = make(2)
    here, there = programs(nodes, 1), programs(nodes, 2)
    stale = []
    for _ in range(50):
        shmid = there.make(PAGE, 1)
        stale.append(shmid)
        there.control(shmid, RMID)
    fresh = [there.make(PAGE, 1) for _ in range(50)]
    assert not set(stale) & set(fresh)
    for p in (here, there):
        for shmid in stale:
            fails({"EINVAL", "EIDRM"}, p.attach, shmid, 0)


def test_a_process_that_ends_frees_the_keys_that_nobody_used(make, programs):  # noqa: F811
    nodes = make(2)
    here, maker = programs(nodes, 1), programs(nodes, 2)
    unused, used = [maker.key(1) for _ in range(10)], maker.key(1)
    shmid = maker.get(used, PAGE, CREAT | 0o666)
    assert maker.close() == 0
    known = [is_known(here, key) for key in unused]
    assert known == sorted(known, reverse=True) and not known[-1]
    assert here.get(used, PAGE, 0) == shmid


def is_known(p, key):
    """Takes its time: the end of a process is noticed a moment later."""
    time.sleep(0.05 * SLOW)
    try:
        return p.get(key, PAGE, CREAT | 0o600) > 0
    except Failed as e:
        assert str(e) == "EINVAL"
        return False
