# SPDX-License-Identifier: Apache-2.0
"""DataEncryption=require on Debian's kernels, which have TLS in the kernel."""
import json
import re
import statistics

import pytest

import python
from machine import Machine, Node

CRYPTO = ("ghash_generic", "ctr", "gcm", "aesni_intel", "tls")
TREE = ("tests/agent", "tests/sec", "tests/system", "src/wire", "src/fabric/tcp/frame.h", "include")
CONFORMANCE = "tests/conformance/rsm"
REMOTE = ("access", "events", "break")
REQUIRE = "NETWORK='DataEncryption=require\nDataKeyRecords=256'"


def node(kernel, modules=CRYPTO):
    return Machine(kernel=kernel, nodes=(Node(1024, 2),), modules=modules,
                   files=("src/daemon/test-encryption", "bash", "timeout", "env", ("tests/agent/agent", "/build/tests/agent/agent"),
                          f"{CONFORMANCE}/with-cluster", *(f"{CONFORMANCE}/test-rsm-remote-{p}" for p in REMOTE),
                          *python.files(), *python.tree(*TREE)))


def pytest_inside(guest, arguments, seconds):
    """Runs pytest in the machine: all must pass, and nothing be skipped for want of TLS."""
    result = guest.run("export CAUSEWAY_TEST_ROW=vm CAUSEWAY_BUILD_DIR=/build TMPDIR=/tmp; cd /tree && "
                       f"python3 -m pytest -p no:cacheprovider -q --color=no -p pytest_timeout -rfEs --timeout=100 {arguments}", seconds=seconds)
    print(result.output)
    assert result.status == 0, result.output
    assert "has no TLS" not in result.output
    assert re.search(r"\d+ passed", result.output)


def test_data_connections(vm, kernel):
    vm(node(kernel)).tap("test-encryption /bin/causewayd", seconds=140)


@pytest.mark.timeout(250)
def test_nothing_is_plain_on_the_wire(vm, kernel):
    pytest_inside(vm(node(kernel)), "tests/system/test_encryption.py", 240)


@pytest.mark.parametrize("kernel", ["6.1"], indirect=True, scope="module")
@pytest.mark.timeout(300)
def test_hostile_handshakes_and_records(vm, kernel):
    pytest_inside(vm(node(kernel)), "tests/sec/test_encryption.py", 290)


@pytest.mark.parametrize("kernel", ["6.12"], indirect=True, scope="module")
@pytest.mark.timeout(150)
def test_half_a_record_and_wrong_ones_where_poll_is_another(vm, kernel):
    pytest_inside(vm(node(kernel)), "tests/sec/test_encryption.py -k 'control or record'", 140)


@pytest.mark.parametrize("program", REMOTE)
def test_conformance_between_nodes_under_ever_new_keys(vm, kernel, program):
    vm(node(kernel)).tap(f"{REQUIRE} with-cluster causeway /bin/causewayd test-rsm-remote-{program}", seconds=140)


def test_doctor_says_what_to_do_where_the_module_is_not_loaded(vm, kernel):
    """And when that is done everything works."""
    guest = vm(node(kernel))
    guest.output("rmmod tls")
    on = "causeway cluster run -d /tmp/d -n"
    try:
        start(guest, "/tmp/d", "require")
        guest.output(f"{on} 1 -- causeway bench 2 2>&1 | grep 'must be encrypted'")
        checks = json.loads(guest.run(f"{on} 1 -- causeway doctor --json").output)["checks"]
        row = next(row for row in checks if row["check"] == "secrecy of node 2")
        assert row["result"] == "failed" and "neither kernel has TLS" in row["found"] and "modprobe tls" in row["remedy"]
    finally:
        guest.output("insmod /modules/tls.ko")
    guest.output("causeway cluster kill-daemon -d /tmp/d -n 1; causeway cluster kill-daemon -d /tmp/d -n 2")
    guest.output(f"for i in $(seq 60); do {on} 1 -- causeway ping 2 && break; sleep 0.5; done; {on} 1 -- timeout 60 causeway bench 2", seconds=90)
    guest.output(f"{on} 1 -- causeway doctor | grep 'encrypted by both kernels'")
    guest.output("causeway cluster stop -d /tmp/d")


def start(guest, directory, how):
    """Two nodes, on one of which somebody serves for causeway bench."""
    for node_ in (1, 2):
        guest.output(f"mkdir -p {directory}/{node_}/causeway.conf.d; "
                     f"printf '[Network]\\nDataEncryption={how}\\n' >{directory}/{node_}/causeway.conf.d/e.conf")
    guest.output(f"causeway cluster start -n 2 -d {directory}")
    guest.start(f"causeway cluster run -d {directory} -n 2 -- causeway bench --serve")
    guest.output(f"for i in $(seq 50); do causeway cluster run -d {directory} -n 2 -- causeway list | grep -q causeway-bench && exit; sleep 0.2; done; exit 1",
                 seconds=60)


@pytest.mark.timeout(300)
def test_what_it_costs_is_shown(vm, kernel):
    """Of a processor that is translated: the ratio says little about hardware. No figure fails this."""
    guest, rounds = vm(node(kernel)), []
    for how in ("off", "require"):
        start(guest, f"/tmp/{how}", how)
    for _ in range(5):
        rounds.append({how: {(row["work"], row["size"]): row["median_ns"] for row in json.loads(
            guest.output(f"causeway cluster run -d /tmp/{how} -n 1 -- causeway bench 2 --json", seconds=60))["rows"]} for how in ("off", "require")})
    for how in ("off", "require"):
        guest.output(f"causeway cluster stop -d /tmp/{how}")
    print(f"\nkTLS / plain on {kernel}: median of {len(rounds)} rounds (least, most)")
    for work in rounds[0]["off"]:
        ratios = [r["require"][work] / r["off"][work] for r in rounds]
        print(f"{work[0]:7} {work[1] or '':>8} {statistics.median(ratios):6.2f} ({min(ratios):.2f}, {max(ratios):.2f})")
