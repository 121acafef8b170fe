# SPDX-License-Identifier: Apache-2.0
"""clshm between nodes of one machine on Debian's oldest kernel, which cannot poison pages: heirs, locks, and each kind of loss."""
import pytest

from machine import Machine, Node

PROGRAMS = ("inherit", "loss", "sleep")


@pytest.mark.parametrize("kernel", ["6.1"], indirect=True, scope="module")
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.timeout(400)
def test_attaches_on_the_oldest_kernel(vm, kernel, program):
    guest = vm(Machine(kernel=kernel, nodes=(Node(1800, 2),), files=tuple(f"src/daemon/test-{p}" for p in PROGRAMS)))
    guest.tap(f"DETECTION=4s PATIENCE=200 test-{program} /bin/causewayd", seconds=300)
