# SPDX-License-Identifier: Apache-2.0
"""shmbind on machines with several NUMA nodes: where pages come from, and what happens when there are none left. Exhaustion is
tried nowhere else: when the nodes of a hard binding are full the kernel kills processes, and not those who caused it."""
import os
import re

import pytest

from machine import Machine, Node

ROW = ((10, 20, 30, 40), (20, 10, 20, 30), (30, 20, 10, 20), (40, 30, 20, 10))
PROGRAMS = ("tests/vm/numa/numa-oracle", "tests/vm/numa/numa-random", "tests/vm/numa/test-numa-placement",
            "tests/conformance/shmbind/test-shmbind-arguments", "tests/conformance/shmbind/test-shmbind-rights",
            "tests/conformance/rsm/with-node")
TAP = "CMOCKA_MESSAGE_OUTPUT=TAP "
RANDOM_CASES = int(os.environ.get("CAUSEWAY_NUMA_CASES", "300"))


def row_of_four(kernel, *megabytes):
    # filling a node takes time under emulation, so the one that is filled is small
    sizes = megabytes or (192, 104, 160, 192)
    return Machine(kernel=kernel, nodes=tuple(Node(size) for size in sizes), distances=ROW, files=PROGRAMS)


@pytest.mark.parametrize("daemon", ["none", "/bin/causewayd"])
@pytest.mark.parametrize("program", ["arguments", "rights"])
def test_conformance(vm, kernel, program, daemon):
    vm(row_of_four(kernel)).tap(f"{TAP}with-node {daemon} test-shmbind-{program}", seconds=60)


@pytest.mark.parametrize("daemon", ["none", "/bin/causewayd"])
def test_placement(vm, kernel, daemon):
    machine = vm(row_of_four(kernel))
    machine.tap(f"{TAP}with-node {daemon} test-numa-placement", seconds=120)
    assert "illed process" not in machine.output("dmesg")


def test_random_hard_bindings_never_leave_their_set(vm, kernel):
    machine = vm(row_of_four(kernel, 144, 64, 64, 64))
    result = machine.output(f"with-node none numa-random {RANDOM_CASES} 1", seconds=60 + RANDOM_CASES / 5)
    print(result)
    assert re.search(r"\b0 pages outside, 0 uneven", result)
    assert "illed process" not in machine.output("dmesg")
