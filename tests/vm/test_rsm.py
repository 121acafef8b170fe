# SPDX-License-Identifier: Apache-2.0
"""RSM on Debian's own kernels: our daemon and library, the conformance programs, an example, as root and as a user."""
import pytest

from machine import Machine, Node

CONFORMANCE = "tests/conformance/rsm"
PROGRAMS = ("controller", "export", "memory", "overlap", "rebind", "import", "access", "vector", "map", "barrier", "signal", "pollfd",
            "break", "rights", "fork", "threads", "segmentid", "ext", "absent")
TOOLS = ("bash", "seq", "timeout", "env", "diff")  # the example's script wants more than busybox has


def node(kernel):
    # One test exports 5 GiB, and what is not touched costs this machine nothing; another wants huge pages.
    return Machine(kernel=kernel, nodes=(Node(8192, 2),), append="hugepages=4",
                   files=(f"{CONFORMANCE}/with-node", *(f"{CONFORMANCE}/test-rsm-{p}" for p in PROGRAMS),
                          "examples/message-export", "examples/message-import", "examples/rsm/test-message", "examples/ring", *TOOLS))


def conformance(guest, program):
    guest.tap(f"with-node {'none' if program == 'absent' else '/bin/causewayd'} test-rsm-{program}", seconds=120)


@pytest.mark.parametrize("kernel", ["6.1"], indirect=True, scope="module")
@pytest.mark.parametrize("program", PROGRAMS)
def test_conformance_on_the_oldest_kernel(vm, kernel, program):
    conformance(vm(node(kernel)), program)


def test_messages_reach_an_exporter_that_is_killed_and_started_anew(vm, kernel):
    vm(node(kernel)).output("causeway run -- test-message /bin/message-export /bin/message-import", seconds=60)


def test_a_ring_in_shared_memory(vm, kernel):
    vm(node(kernel)).output("causeway run -- ring --self-test", seconds=60)


def test_a_user_without_privileges_runs_a_private_node(vm, kernel):
    vm(node(kernel)).output("su user -c 'causeway run -- test-message /bin/message-export /bin/message-import'", seconds=60)


def test_doctor_finds_nothing_wrong(vm, kernel):
    vm(node(kernel)).output("causeway run -- causeway doctor")


@pytest.mark.parametrize("kernel", ["6.12"], indirect=True, scope="module")
@pytest.mark.parametrize("program", ["memory", "map", "break", "rights", "threads"])
def test_conformance_where_kernels_differ_most(vm, kernel, program):
    conformance(vm(node(kernel)), program)
