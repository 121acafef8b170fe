# SPDX-License-Identifier: Apache-2.0
"""What we ask of the kernel's memory management, on Debian's own kernels: 6.1 lacks much of userfaultfd that later ones have.

Not here: test-fault takes minutes where all is translated, and test-rights counts on threads that stop within 200 ms."""
import pytest

from machine import Machine, Node

PROGRAMS = ("adopt", "classify", "memfd", "move", "stores", "uffd")


@pytest.mark.parametrize("program", PROGRAMS)
def test_unit(vm, kernel, program):
    guest = vm(Machine(kernel=kernel, nodes=(Node(1024, 2),), files=tuple(f"src/memory/test-{p}" for p in PROGRAMS)))
    guest.tap(f"test-{program}", seconds=120)
