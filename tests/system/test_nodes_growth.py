# SPDX-License-Identifier: Apache-2.0
"""Nothing grows while importers, exporters, daemons and nodes come and die."""
import pathlib
import re

import pytest

from cluster import directory  # noqa: F401
from nodes import make  # noqa: F401
from world import ABORTED, SLOW, descriptors, eventually

CYCLES = 200


def memory(pid):
    """KiB of private memory of a process: what only it has."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty):\s*(\d+)", text, re.M))


@pytest.mark.parametrize("victim", ["importer", "exporter"])
def test_nothing_grows_while_programs_connect_and_are_killed(make, victim):
    nodes = make(detection=5)
    lasting, segment = nodes.agent(1 if victim == "importer" else 2), None
    if victim == "importer":
        segment = lasting.export()

    def cycle(i):
        other = nodes.agent(2 if victim == "importer" else 1)
        importer = other if victim == "importer" else lasting
        importer.reach(0, segment or other.export(), 1)
        importer.good("put", 0, 0, b"x" * 100)
        importer.good("post", "i0")
        if i % 2 and importer is other:
            importer.start("wait", "i0", -1)
        other.kill()
        if importer is lasting:
            eventually(lambda: importer.put(0, 0, b"x") == ABORTED, 5, "the end of the import")
            importer.good("disconnect", 0)
        other.close()
        nodes.agents.remove(other)
    for i in range(CYCLES // 4):  # what is kept for the next time is there then
        cycle(i)
    footprints = nodes.warm_up()
    before = {node: [memory(pid) for pid in nodes.pids(node)] for node in footprints}
    for i in range(CYCLES):
        cycle(i)
    for node, footprint in footprints.items():
        nodes.check_freed(node, footprint, 5, segments=1 if segment and node == 1 else 0)
    after = {node: [memory(pid) for pid in nodes.pids(node)] for node in footprints}
    print(f"{CYCLES} cycles: KiB of daemon and keeper before {before}, after {after}")
    assert SLOW > 1 or all(b - a < 400 for node in after for a, b in zip(before[node], after[node]))
    nodes.finish()


def test_nothing_is_left_of_a_node_that_is_killed_again_and_again(make):
    nodes = make(detection=0.3)
    importer = nodes.agent(2)

    def cycle():
        exporter = nodes.agent(1)
        segment = exporter.export()
        eventually(lambda: importer.connect(0, segment, 0o600, 1) == 0, 5, "a connection")
        importer.good("alloc", 0, 65536)
        call, wait = importer.start("until", "large_put", 0, 0), importer.start("wait", "i0", -1)
        nodes.kill(1)
        nodes.come_back(1)
        assert importer.finish(call)[0] == importer.finish(wait)[0] == ABORTED
        importer.good("disconnect", 0)
        importer.good("free", 0)
        exporter.close()
        nodes.agents.remove(exporter)
    cycle()
    footprint, own = nodes.warm_up()[2], descriptors(importer.pid)
    for _ in range(6):
        cycle()
    nodes.check_freed(2, footprint)
    assert descriptors(importer.pid) == own
    nodes.finish()
