# SPDX-License-Identifier: Apache-2.0
"""Bulk by RDMA, through libfabric's tcp, which takes the adapter's place on one machine: what is registered with it and when it is
not any more, and that nothing which happens to nodes and programs is lost on it."""
import json
import re
import time

import pytest

from cluster import directory  # noqa: F401
from nodes import SIZE, Pair, make  # noqa: F401
from world import ABORTED, eventually, fill

RDMA = {"network": "Rdma=test-tcp-rxm", "way": "ofi0", "detection": 2.0}


def check(nodes, node, name="rdma"):
    rows = json.loads(nodes.cluster.run("run", "-n", node, "--", "causeway", "doctor", "--json").stdout)["checks"]
    return next(row for row in rows if row["check"] == name)


def registered(nodes, node):
    """Imports of guests, to whose memory the adapter has keys."""
    return int(re.search(r"registered for (\d+) imports", check(nodes, node)["found"])[1])


class Bulk:
    """An importer that has put through the adapter."""

    def __init__(self, nodes, home=1, node=2):
        self.nodes, self.home = nodes, home
        self.exporter, self.importer = nodes.agent(home), nodes.agent(node)
        self.segment = self.exporter.export()
        self.importer.reach(0, self.segment, home)
        self.put(1)
        assert registered(nodes, home) == 1

    def put(self, seed):
        """One that must arrive, and come back."""
        block = fill(4096, seed)
        self.importer.good("put", 0, 0, block)
        assert self.exporter.load(0, 0, 4096) == block
        assert self.importer.get(0, 0, 4096) == (0, block)

    def is_back(self):
        """The next puts go by the adapter again."""
        self.importer.good("put", 0, 0, b"12345678")
        return registered(self.nodes, self.home) == 1


@pytest.fixture
def bulk(make):  # noqa: F811
    return Bulk(make(**RDMA))


def test_a_segment_is_registered_while_it_is_imported_and_published(bulk):
    bulk.importer.good("disconnect", 0)
    eventually(lambda: registered(bulk.nodes, 1) == 0, what="a segment that is not registered any more")
    bulk.importer.reach(0, bulk.segment, 1)
    bulk.put(2)
    assert registered(bulk.nodes, 1) == 1
    bulk.exporter.good("unpublish", 0)
    assert registered(bulk.nodes, 1) == 0
    assert bulk.importer.put(0, 0, b"12345678") == ABORTED


def test_who_asks_for_tcp_gets_tcp(make):  # noqa: F811
    nodes = make(**{**RDMA, "way": "tcp0"})
    exporter, importer = nodes.agent(1), nodes.agent(2)
    importer.reach(0, exporter.export(), 1)
    importer.good("put", 0, 0, fill(4096, 1))
    assert registered(nodes, 1) == 0


def test_an_importer_that_is_killed_leaves_nothing_registered(bulk):
    bulk.importer.kill()
    eventually(lambda: registered(bulk.nodes, 1) == 0, what="a segment that is not registered any more")


def test_an_exporter_that_is_killed_leaves_nothing_registered(bulk):
    bulk.exporter.kill()
    eventually(lambda: registered(bulk.nodes, 1) == 0, what="a segment that is not registered any more")
    assert bulk.importer.put(0, 0, b"12345678") == ABORTED


@pytest.mark.parametrize("node", [1, 2])
def test_after_a_restart_of_a_daemon_bulk_goes_on_and_comes_back_to_rdma(bulk, node):
    bulk.nodes.wait_restart(node, bulk.nodes.kill_daemon(node))
    bulk.put(3)
    bulk.importer.post("i0")  # over the data connection, which shows that it broke
    eventually(bulk.is_back, 10, "RDMA")
    bulk.put(4)


def test_the_loss_of_the_home_ends_bulk(bulk):
    began, _ = bulk.nodes.kill(1)
    while bulk.importer.put(0, 0, b"12345678") != ABORTED:
        assert time.monotonic() < began + 3 * RDMA["detection"]


def test_the_first_map_withdraws_the_segment_and_bulk_goes_on(bulk):
    if code := bulk.importer.map(0, 0, SIZE):
        pytest.skip(f"memory of another node cannot be mapped here ({code})")
    assert registered(bulk.nodes, 1) == 0
    bulk.put(5)
    assert bulk.importer.mload(0, 0, 4096) == fill(4096, 5)
    bulk.importer.good("unmap", 0)
    bulk.put(6)
    assert registered(bulk.nodes, 1) == 0


def test_a_forked_child_has_bulk_of_its_own(bulk, directory):  # noqa: F811
    child = bulk.importer.fork(directory)
    child.good("put", 0, 8192, b"ofachild")
    bulk.put(7)
    assert bulk.exporter.load(0, 8192, 8) == b"ofachild"
    child.close()


def test_much_work_is_right_over_restarts(make):  # noqa: F811
    nodes = make(**RDMA)
    pair = Pair(nodes, 1, 2)
    for node in (1, 2, 1):
        nodes.wait_restart(node, nodes.kill_daemon(node))
        pair.check()
    pair.end()


def test_encryption_and_rdma_exclude_each_other(make):  # noqa: F811
    nodes = make(network="Rdma=test-tcp-rxm\nDataEncryption=require")
    row = check(nodes, 1)
    assert row["result"] == "warning" and "DataEncryption=require" in row["found"]
    assert nodes.agent(1).controller(1, "ofi0") != 0


def test_a_node_without_rdma_says_why(make):  # noqa: F811
    nodes = make(network="Rdma=off")
    assert "Rdma=off" in check(nodes, 1)["found"]
    assert "no RDMA" in check(nodes, 1, "data of node 2")["found"]
