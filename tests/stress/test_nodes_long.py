# SPDX-License-Identifier: Apache-2.0
"""Several nodes for minutes: many seeds of the model, and no false alarm while the machine is busy."""
import contextlib
import os
import subprocess
import time

import pytest

from cluster import directory, netns  # noqa: F401
from nodes import Pair, log_of, make  # noqa: F401
from nodes_model import Model, killers, losses, run

BUSY_SECONDS = float(os.environ.get("CAUSEWAY_STRESS_SECONDS", 60))  # 30 minutes for docs/performance.md


@pytest.mark.parametrize("seed", range(100, 103))
def test_nothing_is_lost_or_done_twice_while_daemons_and_keepers_are_killed(make, seed):
    nodes = make(3, detection=5)
    footprints = nodes.warm_up()
    run(Model(nodes, seed), killers(nodes), seed, 20)
    nodes.finish(footprints)


@netns
@pytest.mark.parametrize("seed", range(200, 204))
def test_every_byte_is_the_old_or_the_new_one_while_nodes_are_lost(make, seed):
    nodes = make(3, netns=True, detection=0.5)
    footprints = nodes.warm_up()
    model = Model(nodes, seed, lossy=True)
    run(model, losses(nodes), seed, 20)
    assert model.losses
    assert model.slowest < 2.2 * nodes.detection + 1 + nodes.lag
    nodes.finish(footprints)


@contextlib.contextmanager
def busy_machine():
    """Twice as many programs that compute as there are cores."""
    programs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2 * len(os.sched_getaffinity(0)))]
    try:
        yield
    finally:
        for p in programs:
            p.kill()
            p.wait()


@pytest.mark.timeout(BUSY_SECONDS + 120)
def test_no_node_is_lost_because_the_machine_is_busy(make):
    nodes = make(3, detection=2)
    pairs = [Pair(nodes, home, node) for home, node in ((1, 2), (2, 3), (3, 1))]
    with busy_machine():
        time.sleep(BUSY_SECONDS)
        slowest = [pair.check() for pair in pairs]
    print(f"slowest round trips {slowest} s, our own delay {nodes.lag:.3f} s")
    for pair in pairs:
        pair.end()
    assert [log_of(nodes, n) for n in (1, 2, 3)] == [""] * 3
    nodes.finish()
