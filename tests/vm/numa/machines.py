# SPDX-License-Identifier: Apache-2.0
"""What the tests of NUMA placement have in common: machines, segments made in them, and nodes that run there."""
import contextlib
import json
import re

from machine import Machine, Node

ROW = ((10, 20, 30, 40), (20, 10, 20, 30), (30, 20, 10, 20), (40, 30, 20, 10))
PROGRAMS = ("tests/vm/numa/numa-oracle", "tests/vm/numa/numa-random", "tests/vm/numa/test-numa-placement",
            "tests/vm/numa/test-numa-special", "tests/vm/numa/test-numa-rsm", "tests/conformance/shmbind/test-shmbind-arguments",
            "tests/conformance/shmbind/test-shmbind-rights", "tests/conformance/rsm/with-node", "ipcmk", "ipcrm")
MIB = 1 << 20


def row_of_four(kernel, *megabytes, files=()):
    # filling a node takes time under emulation, so the one that is filled is small
    sizes = megabytes or (224, 104, 224, 224)
    # by default processors keep up to an eighth of a node for themselves, free pages that MemFree does not count
    return Machine(kernel=kernel, nodes=tuple(Node(size) for size in sizes), distances=ROW, files=PROGRAMS + files,
                   append="sysctl.vm.percpu_pagelist_high_fraction=100000")


def free(machine):
    """MemFree of each node, bytes."""
    text = machine.output("grep -h MemFree /sys/devices/system/node/node?/meminfo")
    return [int(kb) * 1024 for kb in re.findall(r"(\d+) kB", text)]


def available(machine):
    return [node["available"] for node in json.loads(machine.output("causeway numa --json"))["nodes"]]


def new_segment(machine, size):
    return int(re.search(r"\d+", machine.output(f"ipcmk -M {size}"))[0])


def bind(machine, segment, policy, nodes, *more):
    return machine.run(f"causeway shmbind {segment} --policy {policy} --nodes {nodes} {' '.join(more)}")


def bound_segment(machine, size, policy, nodes):
    segment = new_segment(machine, size)
    assert bind(machine, segment, policy, nodes).status == 0
    return segment


def remove(machine, *segments):
    for segment in segments:
        machine.output(f"ipcrm -m {segment}")


def pages(machine, segment):
    """Pages on each node, and those that are nowhere; by the oracle."""
    text = machine.output(f"numa-oracle count {segment}", seconds=60)
    return [int(n) for n in re.findall(r"\d+: (\d+)", text)], int(re.search(r"absent: (\d+)", text)[1])


def attached(machine, segment):
    row = next(r.split() for r in machine.output("cat /proc/sysvipc/shm").splitlines() if r.split()[1] == str(segment))
    return int(row[6])


def registry(machine):
    return json.loads(machine.output("causeway numa --json --bytes"))["bound"]


def nobody_was_killed(machine):
    return "illed process" not in machine.output("dmesg")


@contextlib.contextmanager
def node(machine):
    """A node of root's in the machine; gives the keeper's process id."""
    keeper, _ = machine.start("exec causewayd")
    machine.output("for i in $(seq 100); do causeway numa | grep -q 'no causewayd' || exit 0; sleep 0.1; done; exit 1")
    try:
        yield keeper
    finally:
        machine.output(f"kill {keeper}; while kill -0 {keeper} 2>/dev/null; do sleep 0.05; done")


@contextlib.contextmanager
def hog(machine, node_number, megabytes):
    """A process that holds so much memory of one node."""
    pid, log = machine.start(f"exec numa-oracle hog {node_number} {megabytes}")
    machine.output(f"for i in $(seq 200); do grep -q held {log} && exit; sleep 0.1; done; exit 1", seconds=40)
    try:
        yield pid
        machine.output(f"kill -0 {pid}")  # nobody killed it
    finally:
        machine.output(f"kill -9 {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.05; done")
