# SPDX-License-Identifier: Apache-2.0
"""shmbind on machines with several NUMA nodes: where pages come from, and what happens when there are none left. Exhaustion is
tried nowhere else: when the nodes of a hard binding are full the kernel kills processes, and not those who caused it."""
import os
import re

import pytest

from machine import Machine, Node
from machines import bind, bound_segment, new_segment, nobody_was_killed, pages, remove, row_of_four, PROGRAMS, MIB

TAP = "CMOCKA_MESSAGE_OUTPUT=TAP "
RANDOM_CASES = int(os.environ.get("CAUSEWAY_NUMA_CASES", "150"))  # by hand 10,000, which take ten minutes


@pytest.mark.parametrize("program", ["arguments", "rights"])
def test_conformance(vm, kernel, program):
    vm(row_of_four(kernel)).tap(f"{TAP}with-node /bin/causewayd test-shmbind-{program}", seconds=60)


def test_placement(vm, kernel):
    machine = vm(row_of_four(kernel))
    machine.tap(f"{TAP}with-node /bin/causewayd test-numa-placement", seconds=140)
    assert nobody_was_killed(machine)


def test_huge_pages(vm, kernel):
    machine = vm(row_of_four(kernel))
    pools = "/sys/devices/system/node/node{}/hugepages/hugepages-2048kB/nr_hugepages"
    for node, n in ((0, 4), (1, 3)):
        machine.output(f"echo {n} >{pools.format(node)}; grep -x {n} {pools.format(node)}")
    machine.tap(f"{TAP}with-node none test-numa-special", seconds=60)
    for node in (0, 1):
        machine.output(f"echo 0 >{pools.format(node)}")


def test_an_export_of_rsm_is_placed(vm, kernel):
    vm(row_of_four(kernel)).tap(f"{TAP}with-node /bin/causewayd test-numa-rsm", seconds=60)


def test_nodes_that_a_cpuset_forbids_are_refused(vm, kernel):
    machine = vm(row_of_four(kernel))
    group = "/tmp/cgroup/few"
    machine.output("mkdir -p /tmp/cgroup && mount -t cgroup2 cgroup /tmp/cgroup && echo +cpuset >/tmp/cgroup/cgroup.subtree_control")
    machine.output(f"mkdir {group} && echo 0-1 >{group}/cpuset.mems")
    segment = new_segment(machine, MIB)
    inside = f"echo $$ >{group}/cgroup.procs && causeway shmbind {segment} --policy stripe,hard --nodes"
    assert machine.run(f"{inside} 1-2").status == 1
    assert "not bound" in machine.output(f"causeway shmbind {segment} --show")
    machine.output(f"{inside} 0-1")
    machine.output(f"numa-oracle touch {segment} 3")  # from outside of the set of processors and nodes
    assert pages(machine, segment)[0] == [128, 128, 0, 0]
    remove(machine, segment)
    machine.output(f"rmdir {group} && umount /tmp/cgroup")


def test_nodes_without_processors_are_nodes_like_others(vm, kernel):
    machine = vm(Machine(kernel=kernel, nodes=(Node(160), Node(128)) + 6 * (Node(64, 0),), files=PROGRAMS))
    stripe = bound_segment(machine, 6 * 64 * 4096, "stripe,hard", "2-7")
    far = bound_segment(machine, MIB, "firstref,hard", "5")
    most = bound_segment(machine, MIB, "mostfree", "3,6")
    for segment in (stripe, far, most):
        machine.output(f"numa-oracle touch {segment} 1")
    assert pages(machine, stripe)[0] == [0, 0] + 6 * [64]
    assert pages(machine, far)[0] == [0, 0, 0, 0, 0, 256, 0, 0]
    assert sum(pages(machine, most)[0][i] for i in (3, 6)) == 256
    remove(machine, stripe, far, most)


def test_what_is_drawn_is_where_the_pages_are(vm, kernel):
    machine = vm(row_of_four(kernel))
    segment = bound_segment(machine, 64 * 4096, "stripe,hard", "1-2")
    machine.output(f"numa-oracle touch {segment} 0 0 32")
    drawn = machine.output(f"causeway shmbind {segment} --show")
    assert "stripe, hard on 1-2" in drawn
    assert re.search(r"node 1 +> #+ +16\n", drawn) and re.search(r"node 0 + 0\n", drawn)
    assert re.search(r"pages each: (?:12){16}\.{32}|pages each: (?:21){16}\.{32}", drawn)
    remove(machine, segment)


def test_a_user_without_privileges_binds_his_own(vm, kernel):
    machine = vm(row_of_four(kernel))
    made = machine.output("su user -c 'ipcmk -M 1048576'")
    segment = int(re.search(r"\d+", made)[0])
    machine.output(f"su user -c 'causeway shmbind {segment} --policy stripe,hard --nodes 2-3 --commit'")
    assert pages(machine, segment)[0] == [0, 0, 128, 128]
    remove(machine, segment)
    roots = new_segment(machine, MIB)
    assert "may not" in machine.run(f"su user -c 'causeway shmbind {roots} --nodes 0'").output
    remove(machine, roots)


def test_random_hard_bindings_never_leave_their_set(vm, kernel):
    machine = vm(row_of_four(kernel, 144, 64, 64, 64))
    result = machine.output(f"with-node none numa-random {RANDOM_CASES} 1", seconds=60 + RANDOM_CASES)
    print(result)
    assert re.search(r"\b0 pages outside, 0 uneven", result)
    assert nobody_was_killed(machine)
    assert bind(machine, new_segment(machine, MIB), "stripe,hard", "0-3").status == 0
