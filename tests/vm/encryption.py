# SPDX-License-Identifier: Apache-2.0
"""Machines whose kernels encrypt data connections: what they need, and pytest inside."""
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
    """Nothing may be skipped for want of TLS."""
    assert "has no TLS" not in python.run_tests(guest, arguments, seconds)


def start(guest, directory, how):
    """Two nodes, on one of which somebody serves for causeway bench."""
    for node_ in (1, 2):
        guest.output(f"mkdir -p {directory}/{node_}/causeway.conf.d; "
                     f"printf '[Network]\\nDataEncryption={how}\\n' >{directory}/{node_}/causeway.conf.d/e.conf")
    guest.output(f"causeway cluster start -n 2 --detection 5s -d {directory}")
    guest.start(f"causeway cluster run -d {directory} -n 2 -- causeway bench --serve")
    guest.output(f"for i in $(seq 50); do causeway cluster run -d {directory} -n 2 -- causeway list | grep -q causeway-bench && exit; sleep 0.2; done; exit 1",
                 seconds=60)
