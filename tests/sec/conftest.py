# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "agent"))

from world import ORDINARY, Beside, node, pytest_runtest_makereport, run_as, world  # noqa: E402, F401


@pytest.fixture
def attack(request, world, node):
    """attack(function, *args) runs function(socket path, *args) in a process of another user where we may be another. Beside it a
    well-behaved pair works; afterwards it must not have noticed, and the daemon must be the same process as before."""
    beside = Beside(node.socket)
    pids = node.ask()
    uid = ORDINARY if os.geteuid() == 0 else os.geteuid()

    def run(function, *args, bound=1.0):
        run.bound = bound
        return run_as(uid, function, str(node.socket), *args)
    run.beside, run.bound = beside, 1.0
    world.agents += [beside.exporter, beside.importer]
    yield run
    if not getattr(request.node, "failed", False):
        assert node.answers() == pids, node.words()
        beside.check(run.bound)
        beside.end()
