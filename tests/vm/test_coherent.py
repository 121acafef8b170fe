# SPDX-License-Identifier: Apache-2.0
"""Memory that nodes share by maps, on Debian's kernels: the litmus tests of the system suite, with fewer rounds, and RSM's conformance."""
import pytest

import python
from machine import Machine, Node

LITMUS = "tests/system/test_coherent_litmus.py"
ROUNDS = 20
CONFORMANCE = "tests/conformance/rsm"
REMOTE = ("map", "map-trouble")


def node(kernel):
    return Machine(kernel=kernel, nodes=(Node(1024, 2),),
                   files=("bash", "timeout", "env", ("tests/sharer/sharer", "/build/tests/sharer/sharer"),
                          f"{CONFORMANCE}/with-cluster", *(f"{CONFORMANCE}/test-rsm-remote-{p}" for p in REMOTE), *python.files(),
                          *python.tree("tests/agent", LITMUS, "tests/system/conftest.py", "src/wire", "src/fabric/tcp/frame.h", "include")))


def litmus(guest, which):
    """On loopback; a seed and most places are enough where all is translated."""
    python.run_tests(guest, f"{LITMUS} -k 'loopback and not others and not -2 and not -3 and ({which})'", 290, f"CAUSEWAY_LITMUS_ROUNDS={ROUNDS}")


def conformance(guest, program):
    guest.tap(f"DETECTION=5s with-cluster causeway /bin/causewayd test-rsm-remote-{program}", seconds=140)


@pytest.mark.parametrize("kernel", ["6.1"], indirect=True, scope="module")
@pytest.mark.parametrize("which", ["buffering or peterson", "order or message or go_back", "increment or random or killed"])
@pytest.mark.timeout(300)
def test_litmus_on_the_oldest_kernel(vm, kernel, which):
    litmus(vm(node(kernel)), which)


@pytest.mark.parametrize("kernel", ["6.1"], indirect=True, scope="module")
@pytest.mark.parametrize("program", REMOTE)
def test_conformance_on_the_oldest_kernel(vm, kernel, program):
    conformance(vm(node(kernel)), program)


@pytest.mark.parametrize("kernel", ["6.12"], indirect=True, scope="module")
@pytest.mark.timeout(300)
def test_litmus_where_userfaultfd_is_another(vm, kernel):
    litmus(vm(node(kernel)), "killed or store_buffering or (random and several)")


@pytest.mark.parametrize("kernel", ["6.12"], indirect=True, scope="module")
def test_conformance_where_userfaultfd_is_another(vm, kernel):
    conformance(vm(node(kernel)), "map")
