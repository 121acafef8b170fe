# SPDX-License-Identifier: Apache-2.0
"""What goes over the wire between two nodes, with DataEncryption=off and require. The latter needs TLS in the kernel: without it that
is skipped here, and run in virtual machines (tests/vm/test_encryption.py)."""
import contextlib
import errno
import os
import pathlib
import socket
import threading
import time

import pytest

from cluster import directory  # noqa: F401
from nodes import SIZE, Pair, make  # noqa: F401
from world import SLOW, eventually, fill, needs_root

pytestmark = needs_root
ETH_P_ALL, PAGE = 3, 4096


def kernel_has_tls():
    with socket.socket() as s:
        try:
            s.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP
        except OSError as e:
            return e.errno == errno.ENOTCONN
    return True


needs_tls = pytest.mark.skipif(not kernel_has_tls(), reason="this kernel has no TLS")


class Capture:
    """All that goes over the loopback device meanwhile."""

    def __enter__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.bind(("lo", 0))
        self.socket.settimeout(0.2)
        self.frames, self.end = [], threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def _run(self):
        while True:
            try:
                self.frames.append(self.socket.recv(1 << 17))
            except TimeoutError:
                if self.end.is_set():
                    return

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()
        self.socket.close()

    def __contains__(self, data):
        return any(data in frame for frame in self.frames)

    def bytes(self):
        return sum(map(len, self.frames))


def configure(directory, how, settings=""):
    for node in (1, 2):
        (directory / str(node) / "causeway.conf.d").mkdir(parents=True)
        (directory / str(node) / "causeway.conf.d" / "test.conf").write_text(f"[Network]\nDataEncryption = {how}\n{settings}")


@pytest.mark.parametrize("how", ["off", pytest.param("require", marks=needs_tls)])
def test_what_is_put_and_got_is_on_the_wire_or_not(make, directory, how):  # noqa: F811
    configure(directory, how)
    nodes = make(2, detection=2)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    segment = exporter.export(size=SIZE)
    small, large, collected = (os.urandom(32) for _ in range(3))
    with Capture() as wire:
        importer.reach(0, segment, 1)
        importer.good("put", 0, 0, small)
        importer.good("put", 0, 1024, large * 512)
        code, got = importer.get(0, SIZE - 4096, 4096)
        assert (code, got) == (0, fill(SIZE, 1)[-4096:])
        importer.good("mode", 0, 1)
        importer.good("open", 0)
        importer.good("put", 0, 0, collected)
        importer.good("close", 0)
        time.sleep(0.1)
    assert exporter.load(0, 0, 32) == collected and exporter.load(0, 1024, 16384) == large * 512, "it has arrived"
    assert wire.bytes() > 16384 + 4096, "the capture has seen it"
    plain = how == "off"
    assert (small in wire, large in wire, collected in wire, fill(SIZE, 1)[-64:] in wire) == (plain, plain, plain, plain)
    assert nodes.view(2)[1]["data"] == nodes.view(1)[2]["data"] == ("plain" if plain else "encrypted")
    nodes.finish()


@pytest.mark.parametrize("how", ["off", pytest.param("require", marks=needs_tls)])
def test_pages_of_maps_are_on_the_wire_or_not(make, directory, how):  # noqa: F811
    configure(directory, how)
    nodes = make(2, detection=2)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    segment = exporter.export(size=SIZE)
    there, stored = fill(SIZE, 1)[-PAGE:], os.urandom(32) * (PAGE // 32)
    with Capture() as wire:
        importer.reach(0, segment, 1)
        importer.good("map", 0, 0, SIZE)
        assert importer.mload(0, SIZE - PAGE, PAGE) == there
        importer.good("mstore", 0, PAGE, stored)
        assert exporter.load(0, PAGE, PAGE) == stored
        time.sleep(0.1)
    assert wire.bytes() > 2 * PAGE, "the capture has seen it"
    plain = how == "off"
    assert (there[:64] in wire, stored[:32] in wire) == (plain, plain)
    nodes.finish()


def sockets(pid):
    found = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(fd))
    return {link for link in found if link.startswith("socket:")}


@needs_tls
@pytest.mark.parametrize("records", [256, 1 << 24])
def test_a_page_link_gets_new_keys_after_so_many_records(make, directory, records):  # noqa: F811
    """Each word goes to and fro, with its page; nobody else's connection is made anew meanwhile."""
    configure(directory, "require", f"DataKeyRecords = {records}\n")
    nodes = make(2, detection=2)
    exporter, importer = nodes.agent(1), nodes.agent(2)
    importer.reach(0, exporter.export(size=SIZE), 1)
    importer.good("map", 0, 0, SIZE)
    importer.good("mstore", 0, 0, b"warm")
    daemon = nodes.daemon(1)
    before, rounds, end = sockets(daemon), 0, time.monotonic() + 10 * SLOW
    while rounds < 300 or (records == 256 and not sockets(daemon) - before):
        assert time.monotonic() < end, f"the link is the same after {rounds} rounds"
        word = os.urandom(8)
        importer.good("mstore", 0, 0, word)
        assert exporter.load(0, 0, 8) == word
        rounds += 1
    assert bool(sockets(daemon) - before) == (records == 256)
    nodes.finish()


@needs_tls
def test_a_pair_goes_on_under_new_keys_and_when_its_home_s_daemon_dies(make, directory):  # noqa: F811
    configure(directory, "require", "DataKeyRecords = 256\n")
    nodes = make(2, detection=5)
    pair = Pair(nodes, 1, 2)
    for _ in range(3):
        pair.check()
        nodes.wait_restart(1, nodes.kill_daemon(1))
    pair.check()
    nodes.wait_restart(2, nodes.kill_daemon(2))
    pair.check()
    eventually(lambda: nodes.view(2)[1]["data"] == "encrypted")
    pair.end()
    nodes.finish()
