# SPDX-License-Identifier: Apache-2.0
"""RDMA over soft-RoCE, on Debian's kernels: the fabric's suite with an adapter that checks keys, RSM between two machines."""
import json

import pytest

import rdma

ADAPTER = "OFI_PROVIDER=verbs OFI_ADDRESS=10.9.9.1"
NODE = "CAUSEWAY_SOCKET=/run/node/socket"
CONFORMANCE = "tests/conformance/rsm"
REMOTE = ("access", "events", "break")
FILES = ("src/fabric/test-fabric-ofi", *(f"{CONFORMANCE}/test-rsm-remote-{p}" for p in REMOTE))


def check(guest, name):
    return next(row for row in json.loads(guest.run(f"{NODE} causeway doctor --json").output)["checks"] if row["check"] == name)


def test_the_suite_and_hostile_initiators_by_verbs(vm, kernel):
    guest, _ = vm(rdma.machine(kernel, *FILES), rdma.machine(kernel, *FILES))
    guest.output("rdma-node")
    guest.tap(f"{ADAPTER} test-fabric-ofi", seconds=120)


@pytest.mark.parametrize("program", REMOTE)
def test_conformance_between_two_machines(vm, kernel, program):
    here, there = rdma.nodes(vm, kernel, *FILES)
    there.start(f"{NODE} test-rsm-remote-{program} --agents {7000 + REMOTE.index(program)}")
    here.tap(f"{NODE} RSM_NODE2_AGENTS='10.9.9.2 {7000 + REMOTE.index(program)}' test-rsm-remote-{program}", seconds=120)


def test_doctor_names_the_provider(vm, kernel):
    here, _ = rdma.nodes(vm, kernel, *FILES)
    assert "provider verbs of libfabric" in check(here, "rdma")["found"]
    assert "bulk through ofi0 by RDMA, provider verbs" in check(here, "data of node 2")["found"]


def test_bulk_goes_by_rdma_and_not_through_the_daemon(vm, kernel):
    here, there = rdma.nodes(vm, kernel, *FILES)
    server, log = there.start(f"exec env {NODE} causeway bench --serve")
    there.output(f"for i in $(seq 50); do {NODE} causeway list | grep -q causeway && exit; sleep 0.1; done; cat {log}; exit 1")
    client, _ = here.start(f"{NODE} causeway bench 2")
    there.output(f"for i in $(seq 100); do {NODE} causeway doctor | grep -q 'registered for 1 imports' && exit; sleep 0.1; done; exit 1",
                 seconds=60)
    assert check(there, "rdma")["found"].endswith("1048576 bytes are registered for 1 imports")
    here.output(f"kill {client}; exit 0")
    there.output(f"kill {server}")
