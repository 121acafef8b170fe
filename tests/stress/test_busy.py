# SPDX-License-Identifier: Apache-2.0
"""No false alarm: nodes that only wait for a processor are not lost."""
import contextlib
import os
import subprocess
import time

import pytest

from cluster import directory  # noqa: F401
from nodes import Pair, log_of, make  # noqa: F401

BUSY_SECONDS = float(os.environ.get("CAUSEWAY_STRESS_SECONDS", 60))  # 30 minutes for docs/performance.md


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
