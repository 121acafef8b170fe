# SPDX-License-Identifier: Apache-2.0
"""What somebody can do with data connections: a stranger, one who saw a grant or a key, a process that has one of its own."""
import contextlib
import os
import re
import socket
import struct
import time

import pytest

import peer
import wire
from home import SIZE, USER, home_of
from peer import ADD, BATCH, CHECK, DONE, FAILED, GET, MORE, PUT, REQUEST, SIGNAL, SWAP, Stream, connect, hello, identity, is_closed, record
from wire import STATUS
from world import SLOW, descriptors, eventually, fill, needs_root

pytestmark = needs_root
REVOKED, BAD_HANDLE, BAD_OFFSET, DENIED = (STATUS[name] for name in ("REVOKED", "BAD_HANDLE", "BAD_OFFSET", "DENIED"))
FRAME_TIMEOUT = 2.0
BULK_MAX = int(re.search(r"FRAME_BULK_MAX\s+(\d+)u", (wire.WIRE.parent / "fabric" / "tcp" / "frame.h").read_text())[1])


@pytest.fixture
def home(world, tmp_path, request):
    with home_of(world, tmp_path, request) as home:
        yield home


def changed(home, off, data):
    home.expected[off:off + len(data)] = data


# --- who may have one -----------------------------------------------------------------------------

def test_a_grant_is_good_once_and_for_its_node_only(home):
    with home.peer() as p:
        reply = p.connect(home.segment, data=1, tail=identity(USER, USER))
        for node, grant in ((3, reply.grant), (1, reply.grant), (0, reply.grant), (4, reply.grant), (2, bytes(16)), (2, os.urandom(16)),
                            (2, reply.key), (2, reply.grant[:15] + bytes([reply.grant[15] ^ 1]))):
            with Stream(home.address, node, grant) as s:
                assert s.is_cut_off(), (node, grant)
        with Stream(home.address, 2, reply.grant) as s:
            assert s.get(reply.key, 0, 8)[0] == 0, "all that did not use it up"
            with Stream(home.address, 2, reply.grant) as again:
                assert again.is_cut_off()
            assert s.get(reply.key, 0, 8)[0] == 0
    assert home.imports() == 1


def test_a_new_grant_ends_the_former_ones(home):
    with home.peer() as p:
        key, stream = home.reach(p)
        assert stream.put(key, 0, b"x" * 8) == 0
        changed(home, 0, b"x" * 8)
        unused = p.connect(home.segment, data=1, tail=identity(USER, USER)).grant
        renewed = p.call("PEER_DATA", client=1)
        assert (renewed.status, renewed.done) == (0, 1)
        assert stream.is_cut_off()
        with Stream(home.address, 2, unused) as s:
            assert s.is_cut_off()
        with Stream(home.address, 2, renewed.grant) as s:
            s.send(GET, key, 0, 8)
            s.reply()
            assert s.reply()[2] == 2, "operations are counted on"
        assert p.call("PEER_DATA", client=2).status == STATUS["NOT_FOUND"]


def test_no_more_grants_than_some_are_kept(home):
    with home.peer() as p:
        grants = [p.connect(home.segment, data=1, tail=identity(USER, USER)) for _ in range(100)]
        for old in grants[:-4]:
            with Stream(home.address, 2, old.grant) as s:
                assert s.is_cut_off()
        with Stream(home.address, 2, grants[-1].grant) as s:
            assert s.get(grants[-1].key, 0, 8)[0] == 0


def test_what_is_no_hello_is_cut_off(home):
    for said in (b"x", b"\0", b"GET / HTTP/1.0\r\n\r\n", b"C" * 32, hello(2, bytes(16))[:7] + b"\2" + bytes(24), hello(2, bytes(16))[:12] + b"\1" + bytes(19)):
        with connect(home.address) as s:
            s.sendall(said)
            began = time.monotonic()
            assert is_closed(s, 1.5), said


def test_strangers_have_two_seconds(home):
    said = (b"", b"C", hello(2, bytes(16))[:-1], b"\x16", b"\x16\3\1\1\0\1\0\0\xfc\3\3" + bytes(100))
    sockets = [connect(home.address) for _ in said]
    began = time.monotonic()
    for s, data in zip(sockets, said):
        s.sendall(data)
    for s, data in zip(sockets, said):
        assert is_closed(s, 4), data
        assert 1.8 < time.monotonic() - began < 3 * SLOW, data
        s.close()


def test_strangers_bytes_are_bounded(home):
    """A handshake that goes on and on: records of nothing, then of a hello that is never whole."""
    for body in (b"\x16\3\1\0\0", b"\x16\3\1\1\0" + b"\1\0\xff\xff\3\3" + bytes(250), b"\x14\3\3\0\1\1"):
        with connect(home.address) as s:
            s.sendall(b"\x16\3\1")
            with contextlib.suppress(ConnectionError):
                for _ in range(5000):
                    s.sendall(body)
            assert is_closed(s, 3)


@pytest.mark.parametrize("said", [b"", b"\x16", b"C", hello(2, bytes(16))], ids=["nothing", "tls", "half", "hello"])
def test_a_flood_of_strangers_disturbs_nobody_who_is_there(home, said):
    before = len(descriptors(home.node.daemon))
    held, end, slowest, most = [], time.monotonic() + 0.5, 0, 0
    while time.monotonic() < end:
        for _ in range(20):
            s = socket.socket()
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                s.connect(home.address)
            with contextlib.suppress(OSError):
                s.send(said)
            held.append(s)
        while len(held) > 300:
            held.pop(0).close()
        began = time.monotonic()
        assert home.polite_stream.get(home.polite_key, 0, 8)[0] == 0
        assert home.polite.is_up()
        slowest = max(slowest, time.monotonic() - began)
        most = max(most, len(descriptors(home.node.daemon)))
    for s in held:
        s.close()
    assert slowest < 0.5 * SLOW
    assert most < before + 64 + 16
    with home.peer() as p:
        key, stream = home.reach(p)
        assert stream.get(key, 0, 8)[0] == 0
    eventually(lambda: len(descriptors(home.node.daemon)) <= before, 4, "descriptors given back")


# --- what is behind it ----------------------------------------------------------------------------

ALL = {"put": (PUT, 0, 8, b"12345678"), "large put": (PUT, 0, 9000, bytes(9000)), "batch": (BATCH, 1, 16, record(0, b"12345678", 8)), "get": (GET, 0, 8, b""),
       "large get": (GET, 0, 9000, b""), "add": (ADD, 0, 8, struct.pack("<QQ", 1, 0)), "swap": (SWAP, 0, 8, struct.pack("<QQ", 1, 2)),
       "signal": (SIGNAL, 0, 0, b"")}


def every(stream, key):
    """The status of each kind of request under a key."""
    return {name: stream.status(kind, key, off, size, data, 8 if kind in (ADD, SWAP) else 0) for name, (kind, off, size, data) in ALL.items()}


def test_a_key_opens_nothing_but_on_its_connection(home):
    with home.peer() as p:
        key, stream = home.reach(p)
        other_key, other = home.reach(p, client=2, rights=4)
        for stolen in (other_key, home.polite_key, bytes(16), os.urandom(16), key[:15] + bytes([key[15] ^ 0x80])):
            assert set(every(stream, stolen).values()) == {BAD_HANDLE}
        assert every(other, key) == dict.fromkeys(ALL, BAD_HANDLE), "more rights than its own"
        assert stream.get(key, 0, 8)[0] == 0


@pytest.mark.parametrize("rights", [0, 2, 4])
def test_an_operation_needs_its_right(home, rights):
    with home.peer() as p:
        key, stream = home.reach(p, rights=rights)
        reads, writes = bool(rights & 4), bool(rights & 2)
        need = {"put": writes, "large put": writes, "batch": writes, "get": reads, "large get": reads, "add": False, "swap": False, "signal": True}
        if writes:
            changed(home, 0, bytes(9000))
            changed(home, 0, b"12345678")
        assert every(stream, key) == {name: 0 if good else DENIED for name, good in need.items()}


def test_no_range_reaches_beyond_the_segment(home):
    with home.peer() as p:
        key, stream = home.reach(p)
        for off, size in ((SIZE, 1), (SIZE - 7, 8), (SIZE - 8999, 9000), (2**63, 8), (2**64 - 8, 8), (2**64 - 1, 1), (2**64 - 4, 16), (2**32, 8)):
            assert stream.status(PUT, key, off, size, b"!" * size) == BAD_OFFSET, (off, size)
            assert stream.get(key, off, size)[0] == BAD_OFFSET, (off, size)
        for off in (SIZE, SIZE - 4, 2**64 - 8, 4, 1):
            for kind in (ADD, SWAP):
                assert stream.status(kind, key, off, 8, bytes(16), width=8) == BAD_OFFSET, off
        for off in (SIZE, SIZE - 4, 2**48 - 8, 2**48 - 1):
            assert stream.status(BATCH, key, 1, 16, record(off, b"!" * 8)) == BAD_OFFSET
        assert stream.get(key, SIZE - 1, 1)[0] == 0


LYING = {
    "a type that is none": (0, 0, 0), "an answer": (DONE, 0, 0), "too large a put": (PUT, 0, BULK_MAX + 1), "2^32-1 bytes": (PUT, 0, 2**32 - 1),
    "too large a get": (GET, 0, 2**32 - 1), "too large a batch": (BATCH, 1, 2 * BULK_MAX + 1), "a signal with bytes": (SIGNAL, 0, 1),
    "a word of three bytes": (ADD, 0, 3),
}


def test_lengths_that_cannot_be_end_the_connection(home):
    with home.peer() as p:
        p.live()
        for client, (what, (kind, off, size)) in enumerate(LYING.items(), 1):
            key, stream = home.reach(p, client=client)
            stream.send(kind, key, off, size)
            assert stream.is_cut_off(), what
        for client, records in enumerate((struct.pack("<Q", 9) + bytes(8), struct.pack("<Q", 0x3fff) + bytes(8), b"x" * 7, struct.pack("<Q", 1) + b"abcd"), 100):
            key, stream = home.reach(p, client=client)
            stream.send(BATCH, key, 1, len(records), records)
            assert stream.is_cut_off(), records
        changed(home, 0, b"a")  # a whole record before the end that is none
        assert p.is_up(), "that was a process, not the node"


def test_half_a_frame_has_a_deadline_and_changes_nothing(home):
    with home.peer() as p:
        p.live()
        streams = []
        for client, (kind, off, size, data) in enumerate([(PUT, 0, 8, b""), (PUT, 0, 8, b"1234567"), (BATCH, 2, 32, b"\0" * 7), (ADD, 0, 8, bytes(15))], 1):
            key, stream = home.reach(p, client=client)
            stream.send(kind, key, off, size, data, 8 if kind == ADD else 0)
            streams.append(stream)
        key, stream = home.reach(p, client=50)
        stream.sock.sendall(REQUEST.pack(PUT, 0, 0, 8, 0, key)[:-1])
        streams.append(stream)
        began = time.monotonic()
        for stream in streams:
            assert stream.is_cut_off(FRAME_TIMEOUT + 2)
            assert FRAME_TIMEOUT - 0.2 < time.monotonic() - began < (FRAME_TIMEOUT + 1) * SLOW
        assert p.is_up()


@pytest.mark.parametrize("how", ["unpublish", "disconnect", "goodbye"])
def test_no_byte_of_a_put_moves_after_revocation(home, how):
    """Half a large put, and half a batch, have come when it is revoked; the rest comes afterwards."""
    segment = home.exporter.export(1, SIZE, seed=2)
    p = home.peer()
    key, stream = home.reach(p, id=segment)
    batch_key, batch = home.reach(p, client=2, id=segment)
    stream.send(PUT, key, 0, 60000, b"A" * 30000)
    batch.send(BATCH, batch_key, 2, 2 * (8 + 4096), record(40000, b"B" * 4096))
    eventually(lambda: home.exporter.load(1, 29999, 1) == b"A" and home.exporter.load(1, 44095, 1) == b"B", what="the first half")
    if how == "unpublish":
        home.exporter.good("unpublish", 1)
    elif how == "disconnect":
        p.disconnect()
        p.disconnect(client=2)
        assert p.is_up()
    else:
        p.send("PEER_BYE")
        assert p.is_cut_off()
    before = home.exporter.load(1, 0, SIZE)
    for s, rest in ((stream, b"A" * 30000), (batch, record(50000, b"B" * 4096))):
        with contextlib.suppress(OSError):
            s.sock.sendall(rest)
    if how == "unpublish":
        assert stream.reply()[:2] == batch.reply()[:2] == (FAILED, REVOKED)
        assert set(every(stream, key).values()) == {REVOKED}
        assert p.wait("peer_lost").state == wire.CONSTANT["WIRE_IMPORT_REVOKED"]
    else:
        assert stream.is_cut_off() and batch.is_cut_off()
        home.exporter.good("unpublish", 1)
    assert home.exporter.load(1, 0, SIZE) == before == b"A" * 30000 + fill(SIZE, 2)[30000:40000] + b"B" * 4096 + fill(SIZE, 2)[44096:]
    home.exporter.good("destroy", 1)


def test_a_key_of_another_connection_may_end_within_a_batch(home):
    """What was refused is not looked at again: that memory may be somebody else's by then."""
    with home.peer() as p:
        _, stream = home.reach(p)
        for client in range(2, 40):
            other_key, other = home.reach(p, client=client)
            stream.send(BATCH, other_key, 2, 32, record(0, b"!" * 8))
            time.sleep(0.005)
            p.disconnect(client=client)
            assert p.is_up()
            stream.sock.sendall(record(8, b"!" * 8))
            assert stream.reply()[:2] == (FAILED, BAD_HANDLE)
            other.close()


def test_who_does_not_read_waits_alone(home):
    with home.peer() as p:
        key, stream = home.reach(p)
        stream.sock.setblocking(False)
        frame = REQUEST.pack(GET, 0, 0, 65536, 0, key) * 100
        with contextlib.suppress(BlockingIOError):
            for _ in range(10000):
                stream.sock.send(frame)
        for _ in range(20):
            began = time.monotonic()
            home.check()
            assert time.monotonic() - began < 0.5 * SLOW
        p.disconnect()
        assert p.is_up()
    assert stream.is_cut_off()


def test_a_process_that_says_all_it_can_leaves_turns_to_others(home):
    with home.peer() as p:
        key, stream = home.reach(p)
        pid = os.fork()
        if pid == 0:
            stream.sock.settimeout(1)
            with contextlib.suppress(OSError):
                many = (REQUEST.pack(PUT, 0, CHECK, 8, 0, key) + REQUEST.pack(SIGNAL, 0, MORE, 0, 0, key)) * 1000
                while True:
                    stream.sock.sendall(many)
                    with contextlib.suppress(BlockingIOError):
                        stream.sock.recv(1 << 20, socket.MSG_DONTWAIT)
            os._exit(0)
        try:
            for _ in range(50):
                began = time.monotonic()
                assert home.polite_stream.get(home.polite_key, 0, 8)[0] == 0
                assert time.monotonic() - began < 0.2 * SLOW
            home.check()
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
