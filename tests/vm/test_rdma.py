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


def check(guest, name, user="root"):
    rows = json.loads(guest.run(f"su {user} -c '{NODE} causeway doctor --json'").output)["checks"]
    return next(row for row in rows if row["check"] == name)


def serve(guest):
    """Something to measure against: 1 MiB that all may write to; its process id."""
    server, log = guest.start(f"exec env {NODE} causeway bench --serve")
    guest.output(f"for i in $(seq 50); do {NODE} causeway list | grep -q causeway-bench && exit; sleep 0.1; done; cat {log}; exit 1")
    return server


def test_the_suite_and_hostile_initiators_by_verbs(vm, kernel):
    guest, _ = vm(rdma.machine(kernel, *FILES), rdma.machine(kernel, *FILES))
    guest.output("rdma-node")
    guest.tap(f"{ADAPTER} test-fabric-ofi", seconds=120)


@pytest.mark.parametrize("program", REMOTE)
def test_conformance_between_two_machines(vm, kernel, program):
    here, there = rdma.nodes(vm, kernel, *FILES)
    there.start(f"{NODE} test-rsm-remote-{program} --agents {7000 + REMOTE.index(program)}")
    here.tap(f"{NODE} RSM_TEST_SECONDS=90 RSM_NODE2_AGENTS='10.9.9.2 {7000 + REMOTE.index(program)}' test-rsm-remote-{program}", seconds=120)


def test_doctor_names_the_provider(vm, kernel):
    here, _ = rdma.nodes(vm, kernel, *FILES)
    assert "provider verbs of libfabric" in check(here, "rdma")["found"]
    assert "bulk through ofi0 by RDMA, provider verbs" in check(here, "data of node 2")["found"]


def test_bulk_goes_by_rdma_and_not_through_the_daemon(vm, kernel):
    here, there = rdma.nodes(vm, kernel, *FILES)
    server = serve(there)
    client, _ = here.start(f"{NODE} causeway bench 2")
    there.output(f"for i in $(seq 100); do {NODE} causeway doctor | grep -q 'registered for 1 imports' && exit; sleep 0.1; done; exit 1",
                 seconds=60)
    assert check(there, "rdma")["found"].endswith("1048576 bytes are registered for 1 imports")
    here.output(f"kill {client}; exit 0")
    there.output(f"kill {server}")


def test_memory_that_may_not_be_locked_goes_over_tcp_and_the_log_says_why(vm, kernel):
    """The home's daemon is a user's, who may lock 64 KiB."""
    machine = rdma.machine(kernel, *FILES)
    here, there = vm(machine, machine, fresh=True)
    here.output("rdma-node 1", seconds=60)
    there.output("rdma-node && mkdir /run/node && chown user /run/node && su user -c 'ulimit -l 64 && rdma-node 2'", seconds=60)
    there.start(f"su user -c '{NODE} exec causeway bench --serve'")
    rows = json.loads(here.output(f"for i in $(seq 100); do {NODE} causeway bench 2 --json && exit; sleep 0.2; done; exit 1",
                                  seconds=60))["rows"]
    assert {row["work"] for row in rows} >= {"put", "get"}
    log = there.output("cat /run/node/log")
    assert "1048576 bytes cannot be registered for RDMA" in log and "LimitMEMLOCK=infinity" in log
    row = check(there, "rdma", "user")
    assert row["result"] == "warning" and "may lock only 65536 bytes" in row["found"] and "ulimit -l unlimited" in row["remedy"]
