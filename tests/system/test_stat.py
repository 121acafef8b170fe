# SPDX-License-Identifier: Apache-2.0
"""What goes through segments is counted: by importers and exporter, beyond the end of either an import or the daemon."""
import json
import os
import subprocess

import pytest

import wire
from world import ORDINARY, SLOW, STRANGER, eventually, needs_root, run_as


def counts(node):
    """Of the node's only segment."""
    with wire.Client(str(node.socket)) as c:
        reply = c.must("STAT")
        assert reply.n == 1 and reply.next == 0
        return wire.unpack_record("stat_row", reply.tail)[0]


def brief(row):
    return tuple(row[f] for f in ("puts", "put_bytes", "gets", "get_bytes", "import_posts", "export_posts"))


def test_puts_gets_and_signals_are_counted_to_the_byte(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    importer.good("connect", 0, exporter.export(0))
    for i in range(5):
        importer.good("put", 0, i, b"seven..")
    importer.get(0, 0, 100)
    importer.get(0, 100, 11)
    assert importer.put(0, 65536, b"x") != 0  # beyond the end: does not count
    row = counts(node)
    assert brief(row) == (5, 35, 2, 111, 0, 0) and row["pid"] == exporter.pid and row["n_imports"] == 1

    importer.good("disconnect", 0)
    eventually(lambda: counts(node)["n_imports"] == 0)
    assert brief(counts(node)) == (5, 35, 2, 111, 0, 0)


def test_what_living_imports_counted_outlives_the_daemon(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    importer.good("connect", 0, exporter.export(0))
    importer.good("put", 0, 0, b"12345678")
    node.kill_daemon()
    importer.good("put", 0, 0, b"12345678")
    assert brief(counts(node))[:2] == (2, 16)


def test_a_forked_child_counts_for_itself(world, node, tmp_path):
    exporter, parent = world.agent(node), world.agent(node)
    parent.good("connect", 0, exporter.export(0))
    parent.good("put", 0, 0, b"parent")
    child = world.fork(parent, tmp_path)
    child.get(0, 0, 8)
    child.good("put", 0, 0, b"child")
    parent.good("put", 0, 0, b"parent")
    assert brief(counts(node))[0] >= 2  # the child's first call may come before it has counts
    assert counts(node)["n_imports"] == 2
    child.good("exit")
    parent.good("reap", child.pid)


@needs_root
def test_counts_of_segments_that_one_may_not_import_are_not_shown(world, node):
    exporter = world.agent(node, uid=ORDINARY)
    exporter.export(0, mode=0o600)

    def seen():
        with wire.Client(str(node.socket)) as c:
            return c.must("STAT").n
    assert run_as(STRANGER, seen) == 0
    assert run_as(ORDINARY, seen) == 1


def test_the_tool_shows_them_by_the_second(world, node):
    exporter, importer = world.agent(node), world.agent(node)
    importer.good("connect", 0, exporter.export(0))
    stat = subprocess.Popen(["causeway", "stat", "500ms", "--json"], stdout=subprocess.PIPE, text=True,
                            env=dict(os.environ, CAUSEWAY_SOCKET=str(node.socket)))
    while stat.poll() is None:
        importer.good("put", 0, 0, bytes(1000))
    told = json.loads(stat.communicate(timeout=10 * SLOW)[0])
    [segment] = told["segments"]
    assert segment["pid"] == exporter.pid and segment["puts"] > 0 and segment["gets"] == 0
    assert segment["put_bytes"] == pytest.approx(1000 * segment["puts"], rel=0.01)
    assert told["total"]["puts"] == segment["puts"]
