# SPDX-License-Identifier: Apache-2.0
"""What an administrator sets for SISCI programs: the ids of nodes."""
import os
import pathlib
import re

from cluster import Cluster, cluster, directory  # noqa: F401

EXAMPLES = pathlib.Path(os.environ["CAUSEWAY_BUILD_DIR"], "examples")
IDS = "1:24 2:28"


def start(c, n, ids):
    for node in range(1, n + 1):
        (c.dir / str(node) / "causeway.conf.d").mkdir(parents=True)
        (c.dir / str(node) / "causeway.conf.d" / "sisci.conf").write_text(f"[Sisci]\nSisciId = {ids}\n")
    c("start", "-n", n)


def ids(c, node):
    """Its own id and those that answer it."""
    said = c.ask(node, EXAMPLES / "sisci-probe")
    return sorted(int(i) for i in re.findall(r"^Node (\d+) answers", said, re.M))


def test_ids_are_four_times_the_number(cluster):
    cluster("start", "-n", 2)
    assert ids(cluster, 1) == ids(cluster, 2) == [4, 8]


def test_ids_are_what_is_set(cluster):
    start(cluster, 3, IDS)
    for node in 1, 2, 3:
        assert ids(cluster, node) == [12, 24, 28]
    said = cluster.ask(2, EXAMPLES / "sisci-query")
    assert re.search(r"^.*node id.*\b28\b", said, re.M | re.I), said


def test_data_goes_to_the_id_that_is_set(cluster):
    start(cluster, 2, IDS)
    server = cluster.on(2, EXAMPLES / "sisci-dma", "-server", "-size", 100000, "-loops", 2)
    said = cluster.ask(1, EXAMPLES / "sisci-dma", "-client", "-rn", 28, "-size", 100000, "-loops", 2)
    assert "local node id 24, remote node id 28" in said and "; 0 came back wrong" in said
    assert server.wait(20) == 0
    server.stdout.close()


def test_two_nodes_with_one_id_are_refused(cluster):
    (cluster.dir / "1" / "causeway.conf.d").mkdir(parents=True)
    (cluster.dir / "1" / "causeway.conf.d" / "sisci.conf").write_text("[Sisci]\nSisciId = 1:8\n")
    assert "would both have the id 8" in cluster.fails("start", "-n", 2)
