# SPDX-License-Identifier: Apache-2.0
"""DataEncryption=require on Debian's kernels, which have TLS in the kernel."""
import python
from machine import Machine, Node

CRYPTO = ("ghash_generic", "ctr", "gcm", "aesni_intel", "tls")


def node(kernel):
    return Machine(kernel=kernel, nodes=(Node(768, 2),), modules=CRYPTO, files=("src/daemon/test-encryption", "bash", "timeout"))


def test_data_connections(vm, kernel):
    vm(node(kernel)).tap("test-encryption /bin/causewayd", seconds=120)
