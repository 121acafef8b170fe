# SPDX-License-Identifier: Apache-2.0
"""clshm on machines with several NUMA nodes: segments' pages are where they were placed, whoever touches them."""
import contextlib
import re

import pytest

from machine import Machine, Node

MIB = 1 << 20
FIRSTREF, STRIPE, MOSTFREE, HARD, SOFT = 1, 2, 4, 8, 16  # <shmbind.h>
PROGRAMS = ("src/daemon/test-shm-place", "tests/vm/numa/numa-clshm")
TAP = "CMOCKA_MESSAGE_OUTPUT=TAP "
CLUSTER = "/tmp/cluster"


@pytest.fixture
def machine(vm, kernel):
    # the last node has no processor; sizes and settings as for shmbind (numa/machines.py)
    return vm(Machine(kernel=kernel, nodes=(Node(512, 1), Node(224, 1), Node(224, 0)), files=PROGRAMS,
                      append="sysctl.vm.percpu_pagelist_high_fraction=100000"))


@contextlib.contextmanager
def partitions(machine):
    """Two, 1 and 2, both on this machine."""
    machine.output(f"causeway cluster start -n 2 -d {CLUSTER}", seconds=60)
    try:
        yield
    finally:
        machine.output(f"causeway cluster stop -d {CLUSTER}; rm -rf {CLUSTER}", seconds=60)


def clshm(machine, partition, *words):
    return machine.run(f"CAUSEWAY_SOCKET={CLUSTER}/{partition}/socket numa-clshm {' '.join(str(w) for w in words)}", seconds=100)


def good(machine, partition, *words):
    result = clshm(machine, partition, *words)
    assert result.status == 0, result.output
    return result.output.strip()


def refused(machine, partition, *words):
    result = clshm(machine, partition, *words)
    assert result.status == 1, result.output
    return result.output.strip()


def make(machine, pages, *node):
    return int(good(machine, 1, "make", pages * 4096, *node))


def count(machine, segment, pages):
    """On each node; seen from its own partition."""
    text = good(machine, 1, "count", segment, pages)
    return [int(n) for n in re.findall(r"\d+: (\d+)", text)]


def kill_daemon(machine, partition):
    machine.output(f"causeway cluster kill-daemon -d {CLUSTER} -n {partition}", seconds=60)


def available(machine, node):
    text = machine.output("causeway numa --json")
    return [int(n) for n in re.findall(r'"available":\s*(\d+)', text)][node]


def nobody_was_killed(machine):
    return "illed process" not in machine.output("dmesg")


def path_of(node):
    return f"/sys/devices/system/node/node{node}"


def test_the_daemons_part(machine):
    machine.tap(f"{TAP}test-shm-place", seconds=120)


def test_pages_of_a_placed_key_are_on_its_node_whoever_touches_them(machine):
    with partitions(machine):
        for node in range(3):
            segment = make(machine, 96, node)
            assert refused(machine, 2, "node", segment) == "EINVAL"  # there are none yet
            good(machine, 1, "touch", segment, 0, 0, 32)
            good(machine, 2, "touch", segment, 1, 32, 32)
            kill_daemon(machine, 1)
            good(machine, 1, "touch", segment, 1, 64, 16)
            good(machine, 2, "touch", segment, 0, 80, 16)
            assert good(machine, 1, "node", segment) == good(machine, 2, "node", segment) == path_of(node)
            there = count(machine, segment, 96)
            assert there[node] == sum(there) == 96
            good(machine, 1, "remove", segment)


def test_a_bound_segment_obeys_its_policy(machine):
    with partitions(machine):
        segment = make(machine, 96)
        assert refused(machine, 2, "bind", segment, STRIPE | HARD, 0b111) == "EPERM"  # root of another node is nobody
        good(machine, 1, "bind", segment, STRIPE | HARD, 0b111)
        good(machine, 2, "touch", segment, 0, 0, 48)
        good(machine, 1, "touch", segment, 0, 48, 48)
        assert count(machine, segment, 96) == [32, 32, 32]
        assert refused(machine, 1, "node", segment) == refused(machine, 2, "node", segment) == "EINVAL"
        assert refused(machine, 1, "bind", segment, STRIPE, 0b11) == "EINVAL"  # too late
        local = make(machine, 32)
        good(machine, 1, "bind", local, FIRSTREF | SOFT, 0b111)
        good(machine, 1, "bind", local, FIRSTREF | SOFT, 0b11)  # nobody has had it attached
        good(machine, 1, "touch", local, 1, 0, 32)
        assert count(machine, local, 32) == [0, 32, 0]
        most_free = make(machine, 32)
        good(machine, 1, "bind", most_free, MOSTFREE | HARD, 0b110)
        good(machine, 2, "touch", most_free, 0, 0, 32)
        assert sum(count(machine, most_free, 32)[1:3]) == 32
        for s in (segment, local, most_free):
            good(machine, 1, "remove", s)


def test_what_is_no_placement_is_refused(machine):
    with partitions(machine):
        assert refused(machine, 1, "make", 4096, 3) == "EINVAL"
        segment = make(machine, 16)
        for policy, mask in ((STRIPE, 0b1000), (STRIPE, 0b1001), (STRIPE, 0), (STRIPE | FIRSTREF, 1), (HARD | SOFT, 1), (64, 1)):
            assert refused(machine, 1, "bind", segment, policy, mask) == "EINVAL"
        good(machine, 1, "bind", segment, STRIPE, 1)


def test_a_hard_binding_beyond_the_memory_is_refused_and_nobody_is_killed(machine):
    with partitions(machine):
        pages = int(available(machine, 1) * 0.6) // 4096
        large, first, second = make(machine, 2 * pages), make(machine, pages), make(machine, pages)
        assert refused(machine, 1, "bind", large, FIRSTREF | HARD, 0b10) == "ENOMEM"
        good(machine, 1, "bind", first, FIRSTREF | HARD, 0b10)
        assert refused(machine, 1, "bind", second, STRIPE | HARD, 0b10) == "ENOMEM"
        kill_daemon(machine, 1)
        assert refused(machine, 1, "bind", second, FIRSTREF | HARD, 0b10) == "ENOMEM"
        good(machine, 1, "bind", second, STRIPE | HARD, 0b100)
        good(machine, 1, "touch", first, 0, 0, pages)
        assert count(machine, first, pages)[1] == pages
        good(machine, 1, "remove", first)
        good(machine, 1, "bind", second, FIRSTREF | HARD, 0b10)
    assert nobody_was_killed(machine)


def test_many_pages_have_a_node(machine):
    pages = 64 * MIB // 4096
    with partitions(machine):
        segment = make(machine, pages, 0)
        good(machine, 1, "touch", segment, 0, 0, pages)
        assert good(machine, 1, "node", segment) == good(machine, 2, "node", segment) == path_of(0)
        good(machine, 1, "remove", segment)


def test_a_locked_segment_is_all_in_memory_also_after_a_restart(machine):
    wait = "for i in $(seq 100); do {} && exit; sleep 0.1; done; exit 1"
    seen = wait.format("grep -q 'VmLck:.* 1024 kB' /proc/$(pidof causeway-pin)/status 2>/dev/null")
    over = wait.format("! pidof causeway-pin")
    with partitions(machine):
        segment = make(machine, 256, 2)
        good(machine, 1, "lock", segment)
        machine.output(seen)
        good(machine, 1, "lock", segment)
        kill_daemon(machine, 1)
        machine.output(seen)
        assert good(machine, 2, "node", segment) == path_of(2)
        assert count(machine, segment, 256)[2] == 256
        good(machine, 1, "unlock", segment)
        machine.output(over)
        good(machine, 1, "lock", segment)
        good(machine, 1, "remove", segment)
        machine.output(over)
