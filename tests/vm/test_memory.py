# SPDX-License-Identifier: Apache-2.0
"""What we ask of the kernel's memory management, on Debian's 6.1: it lacks much of userfaultfd that later kernels have.

Not here, where all is translated: test-fault takes minutes, test-stores more than its minute on a busy machine, and test-rights
counts on threads that stop within 200 ms."""
import pytest

from machine import Machine, Node

PROGRAMS = ("adopt", "classify", "mapper", "mapper-change", "mapper-hostile", "mapper-life", "memfd", "move", "page-guard", "page-store", "uffd")


@pytest.mark.parametrize("program", PROGRAMS)
def test_unit(vm, program):
    guest = vm(Machine(kernel="6.1", nodes=(Node(1024, 2),), files=tuple(f"src/memory/test-{p}" for p in PROGRAMS)))
    guest.tap(f"test-{program}", seconds=120)
