# SPDX-License-Identifier: Apache-2.0
"""Packets that no honest library sends, and connections that do not behave: the sender is refused or cut off, others do not notice."""
import concurrent.futures
import os
import random
import socket
import struct
import time

import pytest

import wire
from wire import HEADER, LAYOUT, NUMBER, ONEWAY, REQUESTS, STATUS, pack, pack_record
from world import SLOW, eventually

INDEX_FIELDS = {"segment", "import", "index", "slot", "cell"}


class Attacker:
    """A client that connects again whenever it was cut off."""

    def __init__(self, path):
        self.path, self.client, self.cuts = path, None, 0

    def fresh(self):
        if not self.client:
            self.client = wire.Client(self.path, timeout=3)
        return self.client

    def send(self, packet, answer=True):
        """The answer's status, or "cut off"; silence for a second is a failure where an answer is due."""
        client = self.fresh()
        try:
            client.send_raw(packet)
            if not answer:
                return None
            reply = client.receive()
            reply.close()
            return reply.status
        except wire.Closed:
            self.cuts += 1
            client.close()
            self.client = None
            return "cut off"

    def close(self):
        if self.client:
            self.client.close()


def full_body(name):
    return pack_record(name.lower())


def truncations(path):
    a, serial = Attacker(path), 1
    for name in REQUESTS:
        packet = pack(NUMBER[name], serial, full_body(name))
        for n in range(1, len(packet)):
            assert a.send(packet[:n]) == "cut off", f"{name} cut to {n} bytes"
    a.close()
    return a.cuts


def test_every_message_with_every_truncation_is_cut_off(attack):
    assert attack(truncations) > 500


def short_bodies(path):
    """A body that is shorter than it should be but says so is an older version's: missing fields are zero."""
    a = Attacker(path)
    for name in REQUESTS:
        if name in ("HELLO", "WATCH"):
            continue
        body = full_body(name)
        for n in range(0, len(body)):
            client = a.fresh()
            client.serial += 1
            status = a.send(pack(NUMBER[name], client.serial, body[:n]))
            assert status == "cut off" or status in STATUS.values(), (name, n, status)
    a.close()


def test_short_bodies_are_answered(attack):
    attack(short_bodies)


def lying_headers(path):
    a = Attacker(path)
    for name in REQUESTS:
        body = full_body(name)
        size = HEADER.size + len(body)
        for said_size, said_body in ((size + 1, len(body)), (size - 1, len(body)), (0, len(body)), (2**32 - 1, len(body)),
                                     (HEADER.size - 1, 0), (size, len(body) + 1), (size, 65535), (2**31, 32768)):
            client = a.fresh()
            client.serial += 1
            packet = HEADER.pack(said_size, NUMBER[name], said_body, client.serial, 0, 0) + body
            assert a.send(packet) == "cut off", (name, said_size, said_body)
    limit = wire.CONSTANT["WIRE_PACKET_MAX"]
    for size in (limit, limit + 1, 3 * limit):
        client = a.fresh()
        client.serial += 1
        a.send(pack(NUMBER["PING"], client.serial, b"", b"x" * (size - HEADER.size)))
    a.close()


def test_sizes_that_lie_are_cut_off(attack):
    attack(lying_headers)


def test_an_empty_packet_is_the_end(attack):
    def probe(path):
        with wire.Client(path) as c:
            c.sock.send(b"")
            return c.is_cut_off(2)
    assert attack(probe)


def counts(path):
    a = Attacker(path)
    client = a.fresh()
    memory = client.must("SEGMENT_CREATE", space=1, mode=0o600, size=4096)
    for name in ("SEGMENT_PUBLISH", "SEGMENT_REPUBLISH"):
        for n, entries in ((2**32 - 1, 0), (2**32 - 1, 3), (2**31, 1), (1, 0), (0, 1), (17, 17), (1000, 1000), (2**29 + 1, 1)):
            client = a.fresh()
            client.serial += 1
            body = pack_record(name.lower(), segment=memory.segment, n_access=n)
            status = a.send(pack(NUMBER[name], client.serial, body, pack_record("access", mode=0o600) * entries))
            assert status != 0 or (n, entries) == (0, 1), (name, n, entries, status)
    a.close()


def test_counts_that_do_not_fit_their_records_are_refused(attack):
    attack(counts)


def foreign_indices(path):
    """Without objects of one's own every index is wrong; those of others are out of reach."""
    wild = [0, 1, 2, 63, 65535, 65536, 1 << 20, 2**31 - 1, 2**31, 2**32 - 1]
    with wire.Client(path) as c:
        for name in REQUESTS:
            fields = [f for f, _ in LAYOUT[name.lower()] if f in INDEX_FIELDS]
            if not fields:
                continue
            for value in wild:
                for side in (0, 1, 2, 3, 2**32 - 1) if "side" in dict(LAYOUT[name.lower()]) else (None,):
                    given = {f: value for f in fields} | ({} if side is None else {"side": side})
                    reply = c.call(name, **given)
                    # nothing to check: there is no userfaultfd; a cell is only where a listing goes on
                    assert reply.status in (STATUS["BAD_HANDLE"], STATUS["BAD_REQUEST"]) or name in ("CHECK_MAP", "STAT"), (name, given, reply)
                    reply.close()


def test_indices_of_others_reach_nothing(attack, node):
    attack(foreign_indices)
    assert node.counts()["n_segments"] == 1


def sizes_and_modes(path):
    with wire.Client(path) as c:
        for size in (0, 1, 4095, 4097, 2**63, 2**63 - 4096, 2**64 - 4096, 2**64 - 1, 2**47 + 4096):
            assert c.call("SEGMENT_CREATE", space=1, mode=0o600, size=size).status in (STATUS["BAD_SIZE"], STATUS["QUOTA_BYTES"]), size
        for space in (0, 6, 2**32 - 1):
            assert c.call("SEGMENT_CREATE", space=space, mode=0o600, size=4096).status != 0
        reply = c.call("SEGMENT_CREATE", space=1, mode=2**32 - 1, size=4096)
        reply.close()
        for rights in (1, 8, 7, 2**32 - 1):
            assert c.call("IMPORT_CONNECT", space=1, controller=1, node=0, id=0x80000000, rights=rights).status != 0
        for cursor in (0, 1, 2**63, 2**64 - 1):
            assert c.call("LIST", cursor=cursor).status == 0
        c.send_raw(pack(NUMBER["CONTROLLER"], 10000, b"x" * 64))
        assert c.receive().status in (STATUS["NO_CONTROLLER"], STATUS["BAD_REQUEST"])
        c.send_raw(pack(NUMBER["CONTROLLER"], 10001, b"\xff%n%s\0".ljust(64, b"\0")))
        assert c.receive().status == STATUS["NO_CONTROLLER"]


def test_wild_values_get_a_status(attack):
    attack(sizes_and_modes)


def serials(path):
    with wire.Client(path) as c:
        c.send("PING", serial=100)
        assert c.receive().status == 0
        c.send("PING", serial=100)  # replayed: after a restart an honest client may do so
        c.serial = 100
        assert c.call("PING").status == 0
    with wire.Client(path) as c:
        c.send("PING", serial=2**64 - 1)
        assert c.receive().status == 0
        c.send("PING", serial=5)
        assert not c.is_cut_off(0.2)
    with wire.Client(path) as c:
        memory = c.must("SEGMENT_CREATE", space=1, mode=0o600, size=4096)
        c.send("PING", serial=50)
        c.receive()
        c.send("SEGMENT_DESTROY", serial=3, flags=ONEWAY, segment=memory.segment)
        c.serial = 50
        c.must("CELLS", side=1, index=memory.segment).close()
        memory.close()


def test_numbers_that_go_backwards_are_cut_off_or_ignored(attack):
    attack(serials)


def wrong_order(path):
    def cut(*packets, hello=True):
        with wire.Client(path, hello=hello) as c:
            for packet in packets:
                try:
                    c.send_raw(packet)
                except wire.Closed:
                    return True
            return c.is_cut_off(1)
    for name in REQUESTS:
        if name != "HELLO":
            assert cut(pack(NUMBER[name], 1, full_body(name)), hello=False), f"{name} without hello"
    hello = pack(NUMBER["HELLO"], 1, pack_record("hello", major=1))
    assert cut(hello, hello), "a second hello"
    for name, number in NUMBER.items():
        if number & 0x8000:
            assert cut(pack(number, 5, full_body(name))), f"the answer {name} as a request"
    with wire.Client(path) as c:
        assert c.call("RESEND" if "RESEND" in LAYOUT else "PING").status in STATUS.values()


def test_messages_out_of_order_are_cut_off(attack):
    attack(wrong_order)


def stolen_identity(path):
    with wire.Client(path) as c:
        token, id_ = c.welcome.token, c.welcome.client
        for other in range(0, id_ + 10):
            with wire.Client(path, hello=False) as thief:
                for guess in (bytes(16), token if other != id_ else bytes(16), os.urandom(16)):
                    with wire.Client(path, hello=False) as thief:
                        if other:
                            assert thief.hello(resume_client=other, token=guess).status != 0, other
        pid = os.fork()
        if pid == 0:
            with wire.Client(path, hello=False) as thief:
                os._exit(0 if thief.hello(resume_client=id_, token=token).status != 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "another process took the identity over"
        c.must("PING")


def test_another_client_s_identity_cannot_be_taken(attack):
    attack(stolen_identity)


def random_packets(path, seed):
    rng = random.Random(seed)
    a = Attacker(path)
    for _ in range(1500):
        client = a.fresh()
        client.serial += 1
        kind = rng.randrange(4)
        name = rng.choice(REQUESTS)
        if name in ("HELLO", "SEGMENT_CREATE"):
            continue
        if kind == 0:
            packet = rng.randbytes(rng.randrange(1, 300))
        elif kind == 1:
            packet = pack(rng.randrange(65536), client.serial, rng.randbytes(rng.randrange(200)))
        elif kind == 2:
            packet = pack(NUMBER[name], client.serial, rng.randbytes(len(full_body(name))), rng.randbytes(rng.choice((0, 0, 8, 80))))
        else:
            packet = pack(NUMBER[name], client.serial, struct.pack("<I", rng.choice((0, 1, 2))) * (len(full_body(name)) // 4))
        a.send(packet, answer=packet[16:24] and not packet[20:24] == b"\1\0\0\0" and kind > 1)
        if kind <= 1:
            a.close()
            a.client = None
    a.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_packets_are_survived(attack, seed):
    attack(random_packets, seed)


# --- connections that do not behave -------------------------------------------------------------------

def test_a_connection_that_says_nothing_is_cut_off_after_two_seconds(attack):
    def probe(path):
        with wire.Client(path, hello=False) as c:
            begin = time.monotonic()
            assert c.is_cut_off(6)
            return time.monotonic() - begin
    assert 1.8 < attack(probe) < 3 * SLOW


def test_half_a_hello_is_cut_off_at_once(attack):
    def probe(path):
        with wire.Client(path, hello=False) as c:
            c.send_raw(pack(NUMBER["HELLO"], 1, pack_record("hello", major=1))[:20])
            return c.is_cut_off(0.5)
    assert attack(probe)


def test_who_does_not_read_answers_is_cut_off(attack):
    def probe(path):
        with wire.Client(path) as c:
            c.sock.settimeout(3)
            try:
                for _ in range(100000):
                    c.send("LIST")
            except (wire.Closed, ConnectionError):
                return True
            return False
    assert attack(probe)


def test_a_flood_of_requests_is_served_in_turn(attack):
    def probe(path):
        clients = [wire.Client(path) for _ in range(4)]
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for c in clients:
                for _ in range(50):
                    c.send("NODE_STATUS")
                for _ in range(50):
                    c.receive()
        for c in clients:
            c.close()
    attack(probe)


def test_ten_thousand_one_way_messages_are_taken(attack):
    def probe(path):
        with wire.Client(path) as c:
            memory = c.must("SEGMENT_CREATE", space=1, mode=0o600, size=4096)
            pipe = c.must("PIPE", side=1, index=memory.segment)
            for i in range(10000):
                c.send(("POKE", "SEGMENT_DESTROY", "IMPORT_DISCONNECT", "PING")[i % 4], flags=ONEWAY,
                       **({"side": 1, "index": memory.segment, "cell": 0} if i % 4 == 0 else {"segment": 77} if i % 4 == 1 else
                          {"import": 77} if i % 4 == 2 else {}))
            c.must("PING")
            os.set_blocking(pipe.fds[0], False)
            assert os.read(pipe.fds[0], 100) == b"\0", "a pipe holds one byte, however often it is poked"
    attack(probe)


def test_two_hundred_connections_at_once_are_served(attack):
    def probe(path):
        for _ in range(3):
            clients = [wire.Client(path) for _ in range(200)]
            for c in clients:
                c.must("PING")
            for c in clients:
                c.close()
    attack(probe)


def hold_silent(path, seconds):
    """As many connections without a hello as there is room for, the oldest replaced by new ones; how many were made."""
    held, n = [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.setblocking(False)
        try:
            s.connect(path)
            held.append(s)
            n += 1
        except BlockingIOError:
            time.sleep(0.01)
        if len(held) > 400:
            held.pop(0).close()
    return n


def come_and_go(path, seconds):
    n = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            wire.Client(path, hello=False).close()
            n += 1
        except BlockingIOError:
            time.sleep(0.001)
    return n


@pytest.mark.parametrize("storm", [hold_silent, come_and_go])
def test_a_storm_of_connections_does_not_keep_another_user_out(world, attack, node, storm):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        attacker = pool.submit(attack, storm, 3)
        time.sleep(0.5)
        for _ in range(10):
            begin = time.monotonic()
            assert world.agent(node, controller=False).controller(0) == 0, f"refused after {time.monotonic() - begin:.3f} s"
            assert time.monotonic() - begin < SLOW
            time.sleep(0.1)
        assert attacker.result() > 300


def test_connections_beyond_the_quota_are_refused_and_not_kept(world, attack):
    node = world.node(config="[Limits]\nMaxClientsPerUser=10\n")

    def probe(path, target):
        clients, refused = [], 0
        for _ in range(60):
            c = wire.Client(target, hello=False)
            if c.hello().status:
                refused += 1
                assert c.is_cut_off(1)
            clients.append(c)
        return refused
    assert attack(probe, str(node.socket)) >= 50
    eventually(lambda: node.status().n_clients == 1)
