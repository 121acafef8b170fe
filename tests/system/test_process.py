# SPDX-License-Identifier: Apache-2.0
"""What programs do that libraries suffer from: fork, exec, threads, few descriptors, other identities, signals."""
import os
import pathlib
import signal
import time

import pytest

import wire
from world import (ABORTED, DENIED, INTERRUPTED, NOT_CREATOR, ORDINARY, STRANGER, TIMEOUT, descriptors, eventually, fill, needs_root,
                   shared_maps)

SIZE = 65536


def segments(node):
    with wire.Client(node.socket) as c:
        tail = c.must("LIST").tail
        rows = []
        while tail:
            row, tail = wire.unpack_record("list_row", tail)
            rows.append(row)
        return rows


# --- fork and exec --------------------------------------------------------------------------------

def test_a_forked_child_has_private_memory_foreign_exports_and_imports_of_its_own(world, node, tmp_path):
    other, parent = world.agent(node), world.agent(node)
    own, foreign = parent.export(0), other.export(0, seed=3)
    parent.good("connect", 0, foreign)
    parent.good("put", 0, 0, b"parent")
    child = world.fork(parent, tmp_path)
    # exports: the handle is the parent's, the memory a copy
    assert child.publish(0, 0) == NOT_CREATOR
    assert child.unpublish(0) == NOT_CREATOR
    assert child.post("e0") == NOT_CREATOR
    child.good("store", 0, 0, b"child's")
    assert parent.load(0, 0, 7) == fill(8, 1)[:7], "the child's stores stay in the child"
    parent.good("store", 0, 100, b"later")
    assert child.load(0, 100, 5) == fill(112, 1)[100:105]
    importer = world.agent(node)
    importer.good("connect", 0, own)
    assert importer.get(0, 0, 7) == (0, fill(8, 1)[:7])
    # imports: they work, over a connection of the child's own
    assert child.get(0, 0, 6) == (0, b"parent")
    child.good("put", 0, 0, b"by the child")
    assert parent.get(0, 0, 12) == (0, b"by the child")
    assert node.counts()["n_imports"] == 3
    child.good("post", "i0")
    other.good("wait", "e0", 1000)
    child.good("disconnect", 0)
    assert parent.get(0, 0, 8)[0] == 0, "the parent's import is another"
    # and the child can do all that a process can
    id_ = int(child.export(1, seed=5))
    parent.good("connect", 1, id_)
    assert parent.get(1, 0, SIZE) == (0, fill(SIZE, 5))
    child.good("destroy", 0)
    parent.good("unpublish", 0)
    assert child.exit() == 0
    assert parent.good("reap", child.pid) == ["0"]
    eventually(lambda: parent.get(1, 0, 8)[0] == ABORTED, what="the end of the child's segment")


def test_a_child_that_ends_takes_nothing_of_its_parent(world, node, tmp_path):
    parent, importer = world.agent(node), world.agent(node)
    importer.good("connect", 0, parent.export(0))
    for how in ("exit", "kill"):
        child = world.fork(parent, tmp_path)
        if how == "exit":
            child.good("exit")
        else:
            child.kill()
        parent.good("reap", child.pid)
        importer.good("put", 0, 0, how.encode())
        assert parent.load(0, 0, 4) == how.encode()
    node.kill_daemon()
    importer.good("map", 0, 0, 4096)


def test_a_child_outlives_its_parent(world, node, tmp_path):
    other, parent = world.agent(node), world.agent(node)
    parent.good("connect", 0, other.export(0))
    child = world.fork(parent, tmp_path)
    assert child.get(0, 0, 8) == (0, fill(8, 1))
    parent.kill()
    eventually(lambda: node.counts()["n_imports"] == 1)
    child.good("put", 0, 0, b"orphan")
    assert other.load(0, 0, 6) == b"orphan"
    child.good("exit")


def test_a_fork_while_threads_call_leaves_no_lock_behind(world, node, tmp_path):
    other, parent = world.agent(node), world.agent(node)
    id_ = other.export(0)
    parent.good("requests", 0, id_)
    for _ in range(20):
        child = world.fork(parent, tmp_path)
        child.good("connect", 5, id_)
        assert child.get(5, 0, 8) == (0, fill(8, 1))
        child.good("exit")
        parent.good("reap", child.pid)
    assert parent.report("requests_stop")[0] == 0


def test_exec_ends_all_that_the_program_had(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    importer.good("connect", 0, exporter.export(0))
    importer.good("map", 0, 0, 4096)
    exporter.good("exec")
    eventually(lambda: node.counts() == {"n_segments": 0, "n_imports": 1, "bytes": 0} or node.counts()["n_segments"] == 0)
    assert importer.get(0, 0, 8)[0] == ABORTED
    exporter.good("controller", 0)
    importer.good("connect", 1, exporter.export(0, seed=2))
    assert importer.get(1, 0, SIZE) == (0, fill(SIZE, 2))


# --- threads --------------------------------------------------------------------------------------

def test_threads_that_write_all_the_time_lose_nothing_to_create_unpublish_and_destroy(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    exporter.good("alloc", 0, 1 << 20)
    exporter.good("writers", 0, 3)
    for _ in range(12):
        exporter.good("create", 0, 0)
        importer.good("connect", 0, int(exporter.good("publish", 0, 0)[0]))
        importer.good("map", 0, 0, 1 << 20)
        first = importer.mload(0, 0, 8)
        eventually(lambda: importer.mload(0, 0, 8) != first, what="a store that the importer sees")
        exporter.good("unpublish", 0)  # the memory moves: the importer keeps the old one
        seen = importer.mload(0, 0, 4096)
        time.sleep(0.02)
        assert importer.mload(0, 0, 4096) == seen
        importer.good("unmap", 0)
        importer.good("disconnect", 0)
        exporter.good("destroy", 0)
    code, rounds, wrong, _ = exporter.report("writers_stop")
    assert (code, wrong) == (0, 0) and rounds > 100


def test_many_threads_wait_and_each_signal_is_for_one(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    importer.good("connect", 0, exporter.export(0))
    waits = [exporter.start("wait", "e0", 8000) for _ in range(8)]
    time.sleep(0.1)
    for _ in range(5):
        importer.good("post", "i0")
    eventually(lambda: sum(exporter.is_finished(w) for w in waits) == 5)
    time.sleep(0.1)
    assert sum(exporter.is_finished(w) for w in waits) == 5
    exporter.good("destroy", 0)
    for w in waits:
        exporter.finish(w, 2)


def test_a_signal_handler_interrupts_a_wait(world, node):
    exporter = world.agent(node)
    exporter.good("catch")
    exporter.export(0)
    tag = exporter.send("wait", "e0", 20000)
    time.sleep(0.1)
    os.kill(exporter.pid, signal.SIGUSR1)
    assert exporter.finish(tag, 2)[0] == INTERRUPTED
    assert exporter.wait("e0", 10) == TIMEOUT


def test_signal_handlers_do_not_disturb_calls_to_the_daemon(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    importer.good("catch")
    importer.good("requests", 0, exporter.export(0))
    end = time.monotonic() + 1
    while time.monotonic() < end:
        os.kill(importer.pid, signal.SIGUSR1)
        time.sleep(0.001)
    code, rounds, _, _ = importer.report("requests_stop")
    assert code == 0 and rounds > 50


# --- few descriptors ------------------------------------------------------------------------------

def test_two_thousand_segments_with_a_thousand_descriptors(world, node):
    n = 2000
    exporter, importer = world.agent(node, controller=False), world.agent(node, controller=False)
    for agent in (exporter, importer):
        agent.good("descriptors", 1024)
        agent.good("controller", 0)
    tags = []
    for i in range(n):
        tags += [exporter.send("alloc", i, 4096), exporter.send("fill", i, i), exporter.send("create", i, i)]
    assert {exporter.finish(t, 30)[0] for t in tags} == {0}
    ids = [int(exporter.finish(t, 30)[1][0]) for t in [exporter.send("publish", i, 0) for i in range(n)]]
    assert {importer.finish(t, 30)[0] for t in [importer.send("connect", i, id_) for i, id_ in enumerate(ids)]} == {0}
    for agent in (exporter, importer):
        assert len(os.listdir(f"/proc/{agent.pid}/fd")) < 300, "the program needs descriptors too"
    for i in range(0, n, 97):
        assert importer.get(i, 0, 4096) == (0, fill(4096, i))
    importer.good("map", n - 1, 0, 4096)
    node.kill_daemon()
    importer.good("map", n - 2, 0, 4096)
    assert importer.mload(n - 2, 0, 100) == fill(104, n - 2)[:100]
    assert node.counts()["n_segments"] == n
    exporter.good("unpublish", 5)
    assert importer.get(5, 0, 8)[0] == ABORTED
    assert exporter.load(5, 0, 4096) == fill(4096, 5)


def test_a_program_without_a_free_descriptor_gets_a_code_and_loses_nothing(world, node):
    agent = world.agent(node)
    agent.good("alloc", 0, SIZE)
    agent.good("fill", 0, 4)
    agent.good("create", 0, 0)
    agent.good("destroy", 0)
    agent.good("descriptors", 64)
    agent.good("use_descriptors")
    assert agent.create(0, 0) in (31, 32)
    assert agent.load(0, 0, SIZE) == fill(SIZE, 4)
    agent.good("free_descriptors")
    agent.good("create", 0, 0)
    assert agent.load(0, 0, SIZE) == fill(SIZE, 4)
    assert node.counts()["n_segments"] == 1


def test_a_program_that_gives_everything_back_is_as_it_was(world, node):
    exporter, importer = world.agent(node), world.agent(node)

    def everything():
        importer.good("connect", 0, exporter.export(0, seed=4))
        importer.good("get", 0, 0, 8)
        importer.good("map", 0, 0, 4096)
        importer.good("post", "i0")
        exporter.good("wait", "e0", 1000)
        exporter.good("post", "e0")
        importer.good("wait", "i0", 1000)
        importer.good("unmap", 0)
        importer.good("disconnect", 0)
        exporter.good("unpublish", 0)
        exporter.good("destroy", 0)
        exporter.good("free", 0)

    def state():
        return [(descriptors(a.pid), shared_maps(a.pid), len(pathlib.Path(f"/proc/{a.pid}/maps").read_text().splitlines()))
                for a in (exporter, importer)]
    everything()
    before = state()
    for _ in range(50):
        everything()
    assert state() == before


# --- identity -------------------------------------------------------------------------------------

@needs_root
def test_the_identity_follows_the_process(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    roots = exporter.export(0, mode=0o600)
    importer.good("connect", 0, roots)
    importer.good("seteuid", ORDINARY)
    assert importer.connect(1, roots) == DENIED
    assert importer.get(0, 0, 8)[0] == 0, "what was granted stays"
    users = importer.export(5, mode=0o666)
    row = next(r for r in segments(node) if r["id"] == users)
    assert row["uid"] == ORDINARY
    importer.good("seteuid", 0)
    importer.good("connect", 1, roots)
    exporter.good("setresuid", STRANGER)
    assert exporter.connect(9, users) == 0
    assert exporter.connect(9, roots) == DENIED, "not even the one it made as root"
    exporter.good("unpublish", 0)
    exporter.good("destroy", 0)


@needs_root
def test_the_identity_follows_over_a_restart_of_the_daemon(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    roots = exporter.export(0, mode=0o600)
    importer.good("seteuid", ORDINARY)
    assert importer.connect(1, roots) == DENIED
    node.kill_daemon()
    assert importer.connect(1, roots) == DENIED
    importer.good("seteuid", 0)
    node.kill_daemon(wait=False)
    importer.good("connect", 1, roots)
    node.wait_restart(node.daemon)


@needs_root
def test_a_group_member_gets_the_groups_rights(world, node):
    exporter = world.agent(node, uid=ORDINARY)
    id_ = exporter.export(0, mode=0o640)
    member = world.agent(node, user=STRANGER, group=STRANGER, extra_groups=[ORDINARY])
    stranger = world.agent(node, uid=STRANGER)
    member.good("connect", 0, id_, 0o400)
    assert member.get(0, 0, 8) == (0, fill(8, 1))
    assert member.connect(1, id_) == DENIED
    assert stranger.connect(0, id_, 0o400) == DENIED
