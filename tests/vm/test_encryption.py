# SPDX-License-Identifier: Apache-2.0
"""DataEncryption=require on Debian's kernels, which have TLS in the kernel."""
import json

import pytest

from encryption import REMOTE, REQUIRE, node, pytest_inside, start


def test_data_connections(vm, kernel):
    vm(node(kernel)).tap("test-encryption /bin/causewayd", seconds=140)


@pytest.mark.timeout(300)
def test_nothing_is_plain_on_the_wire(vm, kernel):
    pytest_inside(vm(node(kernel)), "tests/system/test_encryption.py", 290)


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
