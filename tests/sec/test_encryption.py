# SPDX-License-Identifier: Apache-2.0
"""What a stranger, or a hostile node, can do to a home that requires encryption. The handshake needs TLS in the kernel: what tests it
is skipped where there is none, and run in virtual machines that have it (tests/vm/test_encryption.py). What the kernel does there,
GnuTLS does here: the records are the same."""
import contextlib
import ctypes
import errno
import os
import pathlib
import socket
import time

import pytest

import peer
from home import KEYS, USER, Home, home_of
from peer import POSSIBLE, REQUIRED, TLS, Encrypted, HomeStream, Peer, Refused, Stream, connect, hello, identity, is_closed
from wire import STATUS
from world import CODE, RDWR, SLOW, descriptors, eventually, needs_root

pytestmark = needs_root
UNREACHABLE = CODE["RSMERR_REMOTE_NODE_UNREACHABLE"]
REQUIRE = "DataEncryption = require"  # Home's configuration ends with [Network]


def kernel_has_tls():
    with socket.socket() as s:
        try:
            s.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP
        except OSError as e:
            return e.errno == errno.ENOTCONN
    return True


HAS_TLS = kernel_has_tls()
needs_tls = pytest.mark.skipif(not HAS_TLS, reason="this kernel has no TLS")
needs_none = pytest.mark.skipif(HAS_TLS, reason="this kernel has TLS")


class SecretHome(Home):
    """A home that requires; its peers can."""

    def peer(self, me=2, key=None, encryption=POSSIBLE, **fields):
        return super().peer(me, key, encryption=encryption, **fields)

    def secret_of(self, p, client=1, index=0):
        """A connect: its reply, and the secret of its grant."""
        reply = p.connect(self.segment, client=client, index=index, data=1, tail=identity(USER, USER))
        assert reply.status == 0, reply
        return reply, p.tls.secret(reply.grant)

    def reach(self, p, client=1, index=0):
        reply, secret = self.secret_of(p, client, index)
        return reply.key, Stream(None, sock=Encrypted(self.address, p.me, reply.grant, secret))


@pytest.fixture
def secret(world, tmp_path, request):
    with home_of(world, tmp_path, request, make=SecretHome, config=REQUIRE) as home:
        yield home


def works(home, reply, secret):
    with Stream(None, sock=Encrypted(home.address, 2, reply.grant, secret)) as s:
        return s.get(reply.key, 0, 8)[0] == 0


# --- where there is no TLS ------------------------------------------------------------------------

@needs_none
def test_who_cannot_encrypt_gives_nothing_in_the_clear(world, tmp_path):
    keys = tmp_path / "keys"
    keys.touch(0o600)
    keys.write_text(f"2 {KEYS[2].hex()}\n")
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
        address, there = free.getsockname(), other.getsockname()
        free.close()
        node = world.node(start=False, config=f"[Node]\nNodeId = 1\n[Nodes]\n1 = {address[0]}:{address[1]}\n2 = {there[0]}:{there[1]}\n"
                                              f"[Network]\nKeyFile = {keys}\n{REQUIRE}\n")
        node.start()
        segment = world.agent(node, umask=0).export(0, 65536)
        for encryption in (0, POSSIBLE, REQUIRED, POSSIBLE | REQUIRED, 2**32 - 1):
            with Peer(address, KEYS[2], encryption=encryption) as p:
                assert p.connect(segment, data=1, tail=identity(USER, USER)).status == STATUS["NOT_ENCRYPTED"]
                assert p.connect(segment, data=0, tail=identity(USER, USER)).status == STATUS["NOT_ENCRYPTED"]
                assert p.call("PEER_DATA", client=1).status == STATUS["NOT_FOUND"]
                for flags in (0, 1):
                    with connect(address) as s:
                        s.sendall(hello(2, bytes(16), flags))
                        assert is_closed(s, 3)
        assert node.status().n_imports == 0
        assert "this kernel has no TLS" in node.words()


@needs_none
def test_an_importer_that_requires_takes_nothing_from_a_home_that_cannot(world, tmp_path, request):
    """Which believes that it has granted something."""
    with home_of(world, tmp_path, request) as home:
        home.node.stop()
        home.node.config += f"\n{REQUIRE}\n"
        home.node.start()
        importer = world.agent(home.node, controller=False)
        importer.good("controller", 0, "tcp0")
        with home.peer() as p:
            p.live()
            tag = importer.start("connect", 0, 1234, RDWR, 2)
            asked = p.wait("peer_connect")
            p.send("PEER_CONNECT_REPLY", serial=asked.serial, client=asked.client, index=asked.index, generation=asked.generation, instance=99,
                   size=65536, rights=asked.rights, key=b"k" * 16, grant=b"g" * 16)
            assert importer.finish(tag)[0] == UNREACHABLE
            assert p.wait("peer_disconnect")
        home.listeners[2].settimeout(0.5)
        with pytest.raises(TimeoutError):
            home.listeners[2].accept()
        request.node.failed = True  # what was of the first daemon is not checked any more


# --- who may have a connection --------------------------------------------------------------------

@needs_tls
def test_control_who_knows_the_secret_is_served(secret):
    with secret.peer() as p:
        key, stream = secret.reach(p)
        assert stream.put(key, 0, b"secretly") == 0
        secret.expected[:8] = b"secretly"
        assert stream.get(key, 0, 8) == (0, b"secretly")
        data = os.urandom(60000)
        assert stream.put(key, 0, data) == 0
        secret.expected[:60000] = data
        assert stream.get(key, 0, 60000) == (0, data)


@needs_tls
def test_a_plain_hello_is_refused_and_leaves_the_grant_good(secret):
    with secret.peer() as p:
        reply, key = secret.secret_of(p)
        with Stream(secret.address, 2, reply.grant) as s:
            assert s.is_cut_off()
        assert works(secret, reply, key)
        assert "is refused: it is not encrypted" in secret.node.words()
        with pytest.raises((Refused, ConnectionError)):
            Encrypted(secret.address, 2, reply.grant, key)


@needs_tls
def test_without_the_secret_there_is_no_handshake(secret):
    with secret.peer() as p, secret.peer(me=2) as later:  # the second takes the session of the first
        assert p.is_cut_off()
        reply, key = secret.secret_of(later)
        wrong = {"nothing": bytes(32), "the nodes' key": KEYS[2], "the grant": reply.grant * 2, "another grant's": later.tls.secret(bytes(16)),
                 "half of it": key[:16], "another connection's": secret.polite.tls.secret(reply.grant)}
        for what, bytes_ in wrong.items():
            with pytest.raises((Refused, ConnectionError)):
                Encrypted(secret.address, 2, reply.grant, bytes_)
                pytest.fail(what)
        for node in (1, 3, 4):
            with pytest.raises((Refused, ConnectionError)):
                Encrypted(secret.address, node, reply.grant, key)
        assert works(secret, reply, key), "all that did not use it up"


@needs_tls
def test_weaker_tls_is_refused(secret):
    with secret.peer() as p:
        reply, key = secret.secret_of(p)
        for priority in (b"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK", b"NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+PSK",
                         peer.PRIORITY + b":-CIPHER-ALL:+CHACHA20-POLY1305"):
            with pytest.raises((Refused, ConnectionError)):
                Encrypted(secret.address, 2, reply.grant, key, priority=priority)
        assert works(secret, reply, key)


@needs_tls
def test_what_a_node_says_of_itself_is_what_it_gets(secret):
    with secret.peer(encryption=0) as p:
        assert p.connect(secret.segment, data=1, tail=identity(USER, USER)).status == STATUS["NOT_ENCRYPTED"]
        assert secret.imports() == 1, "only node 3's"


@needs_tls
def test_encryption_that_was_not_agreed_on_is_refused(world, tmp_path, request):
    with home_of(world, tmp_path, request) as home:
        with home.peer(encryption=0) as p:
            reply = p.connect(home.segment, data=1, tail=identity(USER, USER))
            with pytest.raises((Refused, ConnectionError)):
                Encrypted(home.address, 2, reply.grant, p.tls.secret(reply.grant))
            with Stream(home.address, 2, reply.grant) as s:
                assert s.get(reply.key, 0, 8)[0] == 0


# --- handshakes that do not go on -----------------------------------------------------------------

class Short(peer.Tls):
    """A dialler that gives up soon."""

    def set_timeout(self, seconds):
        super().set_timeout(0.2)


def client_hello(secret):
    """The first bytes that a dialler says."""
    here, there = socket.socketpair()
    with here, there:
        with contextlib.suppress(Refused):
            Short(here, "causeway:2:1", secret)
        return there.recv(65536)


def drip(s, data):
    """A byte now and then, until the other side has enough of it."""
    end = time.monotonic() + 3
    for byte in data:
        s.sendall(bytes([byte]))
        time.sleep(0.05)
        if time.monotonic() > end:
            return


@needs_tls
def test_a_handshake_has_a_stranger_s_time_and_bytes(secret):
    with secret.peer() as p:
        p.live()
        reply, key = secret.secret_of(p)
        said = client_hello(key)
        ways = {"nothing": b"", "half": said[:len(said) // 2], "all but a byte": said[:-1], "a hello only": said,
                "rubbish": b"\x16\3\1\2\0" + os.urandom(512), "empty records": b"\x16\3\1\0\0" * 2000, "byte by byte": said}
        for how, data in ways.items():
            began = time.monotonic()
            with connect(secret.address) as s:
                with contextlib.suppress(ConnectionError):
                    s.sendall(hello(2, reply.grant, flags=1))
                    drip(s, data) if how == "byte by byte" else s.sendall(data)
                assert is_closed(s, 4), how
            assert time.monotonic() - began < 5 * SLOW, how
        reply, key = secret.secret_of(p)
        assert works(secret, reply, key)


@needs_tls
def test_a_flood_of_handshakes_disturbs_nobody_who_is_there(secret):
    with secret.peer() as p:
        p.live()
        reply, key = secret.secret_of(p)
        said = hello(2, reply.grant, flags=1) + client_hello(key)
        before, held, end, slowest, most = len(descriptors(secret.node.daemon)), [], time.monotonic() + 2, 0, 0
        while time.monotonic() < end:
            for _ in range(10):
                s = socket.socket()
                s.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    s.connect(secret.address)
                with contextlib.suppress(OSError):
                    s.send(said)
                held.append(s)
            while len(held) > 200:
                held.pop(0).close()
            began = time.monotonic()
            assert secret.polite_stream.get(secret.polite_key, 0, 8)[0] == 0
            assert secret.polite.is_up()
            slowest = max(slowest, time.monotonic() - began)
            most = max(most, len(descriptors(secret.node.daemon)))
        for s in held:
            s.close()
        assert slowest < 2 * SLOW, "in a machine that is translated"
        assert most < before + 64 + 16
        eventually(lambda: len(descriptors(secret.node.daemon)) <= before, 5, "descriptors given back")


# --- after the handshake --------------------------------------------------------------------------

def data_thread_time(node):
    """Seconds of processor that the data thread has had."""
    for task in pathlib.Path(f"/proc/{node.daemon}/task").iterdir():
        if (task / "comm").read_text() == "causeway-data\n":
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    raise AssertionError("there is no data thread")


def record_of(stream, data):
    """The TLS record in which GnuTLS would send this; its number is used up."""
    made = []
    push = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(
        lambda _, at, n: made.append(ctypes.string_at(at, n)) or n)
    tls = stream.sock.tls
    TLS.gnutls_transport_set_push_function.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    TLS.gnutls_transport_set_push_function(tls.session, push)
    TLS.gnutls_record_send(tls.session, data, len(data))
    return b"".join(made)


def say_wrong(stream, what, key):
    """Something that is no record of ours, or not the next one."""
    put = peer.REQUEST.pack(peer.PUT, 0, 0, 8, 0, key) + b"badbadba"
    if what == "an alert":
        TLS.gnutls_bye(stream.sock.tls.session, 1)
        return
    if what == "a record twice":
        data = 2 * record_of(stream, peer.REQUEST.pack(peer.GET, 0, 0, 8, 0, key))
    elif what == "a record left out":
        record_of(stream, put)
        data = record_of(stream, put)
    elif what == "a record that was altered":
        data = record_of(stream, put)
        data = data[:-1] + bytes([data[-1] ^ 1])
    else:
        data = {"rubbish": os.urandom(1000), "plain frames": put, "too long": b"\x17\3\3\xff\xff" + bytes(1000)}[what]
    stream.sock.sock.sendall(data)


@needs_tls
def test_what_is_no_record_of_the_other_s_ends_the_connection(secret):
    kinds = ("rubbish", "plain frames", "a record that was altered", "a record twice", "a record left out", "an alert", "too long")
    with secret.peer() as p:
        p.live()
        for client, what in enumerate(kinds, 1):
            key, stream = secret.reach(p, client=client)
            assert stream.get(key, 0, 8)[0] == 0
            say_wrong(stream, what, key)
            assert is_closed(stream.sock.sock, 4), what
            assert p.is_up(), "that was a process, not the node"
        assert "what came was altered, or is not encrypted" in secret.node.words()


@needs_tls
def test_half_a_record_costs_nothing(secret):
    """Behind a whole one: there Linux 6.1 says again and again that there is something to be read."""
    with secret.peer() as p:
        p.live()
        key, stream = secret.reach(p)
        assert stream.get(key, 0, 8)[0] == 0
        whole, half = (record_of(stream, peer.REQUEST.pack(peer.GET, 0, 0, 8, 0, key)) for _ in range(2))
        stream.sock.sock.sendall(whole + half[:20])
        time.sleep(0.5)
        before = data_thread_time(secret.node)
        time.sleep(2)
        assert data_thread_time(secret.node) - before < 0.5
        assert secret.polite_stream.get(secret.polite_key, 0, 8)[0] == 0
        stream.sock.sock.sendall(half[20:])
        for _ in range(2):
            assert stream.reply()[0] == peer.DATA
            assert stream.reply()[0] == peer.DONE


def answer_wrongly(how, stream):
    if how == "plain":
        stream.sock.sendall(peer.REPLY.pack(peer.DONE, 0, 0, 0, 1))
    elif how == "rubbish":
        stream.sock.sendall(os.urandom(500))
    elif how == "closes":
        stream.close()


@needs_tls
def test_a_home_that_does_not_encrypt_gets_nothing(secret, world):
    """It granted a connection; the importer's daemon goes on meanwhile, and its program is told."""
    importer = world.agent(secret.node, controller=False)
    importer.good("controller", 0, "tcp0")
    with secret.peer() as p:
        p.live()
        for i, how in enumerate(("silent", "plain", "closes", "rubbish")):
            tag = importer.start("connect", i, 1234, RDWR, 2)
            asked, streams, began = p.wait("peer_connect"), [], time.monotonic()
            p.send("PEER_CONNECT_REPLY", serial=asked.serial, client=asked.client, index=asked.index, generation=asked.generation, instance=99,
                   size=65536, rights=asked.rights, key=b"k" * 16, grant=b"g" * 16)
            while not importer.is_finished(tag, 0.01):
                secret.listeners[2].settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    streams.append(HomeStream(secret.listeners[2]))
                    answer_wrongly(how, streams[-1])
                with contextlib.suppress(TimeoutError):
                    again = p.wait("peer_data", 0.01)
                    p.send("PEER_DATA_REPLY", serial=again.serial, client=again.client, done=0, grant=b"g" * 16)
                assert secret.polite.is_up()
                assert time.monotonic() - began < 15 * SLOW, how
            assert importer.finish(tag)[0] == UNREACHABLE, how
            assert streams, "it was tried"
            for stream in streams:
                stream.close()
