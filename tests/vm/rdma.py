# SPDX-License-Identifier: Apache-2.0
"""Machines with soft-RoCE: what they need, and two nodes that reach each other by it."""
import pathlib

import pytest

from machine import Machine, Node

LIB = pathlib.Path("/usr/lib/x86_64-linux-gnu")
MODULES = ("crc32_generic", "rdma_rxe", "ib_uverbs", "rdma_ucm")
# libraries that are loaded at run time, and what they and the resolver read
PARTS = {LIB / "libfabric.so.1": "/lib/libfabric.so.1", LIB / "libibverbs/librxe-rdmav34.so": f"{LIB}/libibverbs/librxe-rdmav34.so",
         pathlib.Path("/etc/libibverbs.d/rxe.driver"): "/etc/libibverbs.d/rxe.driver",
         pathlib.Path("/etc/services"): "/etc/services", pathlib.Path("/etc/protocols"): "/etc/protocols"}


def machine(kernel, *files):
    if missing := [str(part) for part in PARTS if not part.exists()]:
        pytest.skip(f"no {', '.join(missing)}: install libfabric1, ibverbs-providers, netbase")
    return Machine(kernel=kernel, nodes=(Node(512, 2),), modules=MODULES,
                   files=("tests/vm/rdma-node", "rdma", "timeout", *((str(a), b) for a, b in PARTS.items()), *files))


def nodes(vm, kernel, *files, settings=()):
    """Two machines, each with its node's daemon."""
    pair = vm(machine(kernel, *files), machine(kernel, *files))
    for number, guest in enumerate(pair, 1):
        if guest.run("[ -S /run/node/socket ]").status:
            guest.output(f"rdma-node {number} {' '.join(settings)}", seconds=60)
    return pair
