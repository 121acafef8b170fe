# SPDX-License-Identifier: Apache-2.0
"""clshm on machines with several NUMA nodes: segments' pages are where they were placed, whoever touches them."""
from machine import Machine, Node

TAP = "CMOCKA_MESSAGE_OUTPUT=TAP "


def machine_of(kernel, *files):
    return Machine(kernel=kernel, nodes=(Node(512, 2), Node(224, 1), Node(224, 0)), files=files,
                   append="sysctl.vm.percpu_pagelist_high_fraction=100000")


def test_the_daemons_part(vm, kernel):
    vm(machine_of(kernel, "src/daemon/test-shm-place")).tap(f"{TAP}test-shm-place", seconds=120)
