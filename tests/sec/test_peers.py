# SPDX-License-Identifier: Apache-2.0
"""What another node can do with the control protocol, with and without a key: what its key is for, to itself."""
import select
import socket
import struct
import threading

import pytest

import peer
import wire
from home import DETECTION, KEYS, USER, home_of
from peer import Peer, Refused, connect, identity
from wire import CONSTANT, NUMBER, STATUS, pack, pack_record
from world import needs_root

pytestmark = needs_root


@pytest.fixture
def home(world, tmp_path, request):
    with home_of(world, tmp_path, request) as home:
        yield home


# --- who it is ------------------------------------------------------------------------------------

def test_a_node_with_another_key_is_refused(home):
    for key in (KEYS[3], bytes(32), b"", KEYS[2][:31], KEYS[2] + b"\0"):
        with pytest.raises(Refused):
            home.peer(key=key or b"\0")
    assert "says that it is node 2 and has another key" in home.node.words()


def test_a_node_cannot_be_another_one(home):
    for name in ("causeway:3:1", "causeway:1:1", "causeway:1:2", "causeway:2:3", "causeway:4:1", "causeway:02:1", "causeway:2:1:", "causeway: 2:1",
                 "causeway:4294967298:1", "causeway:2:1\n", "causeway:2", "", "x" * 65535):
        with pytest.raises(Refused):
            home.peer(claims=name or "\0")
    for fields, status in (({"node": 3}, "BAD_REQUEST"), ({"node": 1}, "BAD_REQUEST"), ({"to": 3}, "NODE_UNKNOWN"), ({"to": 0}, "NODE_UNKNOWN"),
                           ({"incarnation": 0}, "BAD_REQUEST"), ({"major": 2}, "VERSION"), ({"major": 0}, "VERSION")):
        p = home.peer(hello=False)
        assert p.hello(**fields).status == STATUS[status], fields
        assert p.is_cut_off()


def test_weaker_tls_is_refused(home):
    for priority in (b"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK:+DHE-PSK", b"NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+PSK",
                     b"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+PSK"):
        with pytest.raises(Refused):
            peer.Tls(connect(home.address), "causeway:2:1", KEYS[2], priority)


def test_a_connection_that_was_recorded_opens_nothing(home):
    """All that the importer's node said is said again, byte for byte."""
    said, front = [], socket.create_server(("127.0.0.1", 0))

    def relay():
        near, _ = front.accept()
        with near, connect(home.address) as far:
            while True:
                for s in select.select([near, far], [], [])[0]:
                    try:
                        data = s.recv(65536)
                        (far if s is near else near).sendall(data)
                    except ConnectionError:
                        return
                    if not data:
                        return
                    if s is near:
                        said.append(data)
    thread = threading.Thread(target=relay)
    thread.start()
    with front, Peer(front.getsockname(), KEYS[2]) as p:
        assert p.connect(home.segment, tail=identity(USER, USER)).status == 0
    thread.join()
    home.eventually_imports(1)
    for data in (said, said[1:]):
        with connect(home.address) as s:
            for part in data:
                try:
                    s.sendall(part)
                except ConnectionError:
                    break
            assert peer.is_closed(s, 3)
    assert home.imports() == 1, "only node 3's"


def test_a_session_that_is_over_gives_nothing_back(home):
    old = home.peer()
    key, stream = home.reach(old)
    session = dict(session=old.session, peer_incarnation=old.welcome.incarnation, incarnation=old.incarnation)
    lies = {"another incarnation": {"incarnation": old.incarnation + 1}, "of another daemon": {"peer_incarnation": 1},
            "another session": {"session": session["session"] + 2}, "none": {"session": 0}}
    for what, lie in lies.items():
        with home.peer(**{**session, **lie}) as new:
            assert new.welcome.resumed == 0, what
            assert old.is_cut_off() and stream.is_cut_off()
            home.eventually_imports(1)
            with peer.Stream(home.address, 2, bytes(16)) as s:
                assert s.is_cut_off()
            new.send("PEER_HOLDS", pack_record("hold", client=1, index=0, generation=1), n=1, first=1, last=1)
            assert new.is_cut_off(), "nothing was resumed"
        old = home.peer()
        key, stream = home.reach(old)
        session = dict(session=old.session, peer_incarnation=old.welcome.incarnation, incarnation=old.incarnation)
    with home.peer(**session) as again:
        assert again.welcome.resumed == 1, "control"
        again.send("PEER_HOLDS", pack_record("hold", client=1, index=0, generation=1), n=1, first=1, last=1)
        assert again.is_up()
        assert stream.get(key, 0, 8)[0] == 0
    assert stream.is_cut_off()


def test_another_node_s_session_is_not_had_by_naming_it(home):
    fields = dict(session=home.polite.session, peer_incarnation=home.polite.welcome.incarnation, incarnation=home.polite.incarnation)
    with home.peer(**fields) as p:
        assert p.welcome.resumed == 0
        assert p.welcome.session != home.polite.session
        p.disconnect()
        assert p.call("PEER_DATA", client=1).status == STATUS["NOT_FOUND"]
        assert p.is_up()
    assert home.imports() == 1


# --- what it says ---------------------------------------------------------------------------------

def test_messages_that_come_twice_count_once(home):
    with home.peer() as p:
        first = [p.connect(home.segment, data=1, tail=identity(USER, USER)) for _ in range(20)]
        assert {(r.status, r.key, r.instance) for r in first} == {(0, first[0].key, first[0].instance)}
        assert home.imports() == 2
        with peer.Stream(home.address, 2, first[-1].grant) as s:
            assert s.get(first[0].key, 0, 8)[0] == 0
        for _ in range(3):
            p.disconnect()
            p.ping()
        assert p.is_up()
        home.eventually_imports(1)


def connect_body(**fields):
    return pack_record("peer_connect", **{"client": 1, "generation": 1, "space": 1, "rights": 6, "id": 1, **fields})


CONNECT = NUMBER["PEER_CONNECT"]
HOLD = pack_record("hold", client=1, index=0, generation=1)
BROKEN = {
    "size 0": struct.pack("<I", 0) * 6,
    "less than a header": struct.pack("<I", CONSTANT["WIRE_HEADER_SIZE"] - 1) + bytes(23),
    "more than a packet": struct.pack("<I", CONSTANT["WIRE_PACKET_MAX"] + 1) + bytes(23),
    "size -1": b"\xff" * 24,
    "a body larger than the packet": wire.HEADER.pack(wire.HEADER.size + 8, CONNECT, 9, 1, 0, 0) + bytes(8),
    "a body of 65535": wire.HEADER.pack(wire.HEADER.size + 8, CONNECT, 65535, 1, 0, 0) + bytes(8),
    "no identity": pack(CONNECT, 1, connect_body()),
    "half an identity": pack(CONNECT, 1, connect_body(), identity()[:-1]),
    "an identity and a byte": pack(CONNECT, 1, connect_body(), identity() + b"x"),
    "groups that are not there": pack(CONNECT, 1, connect_body(), identity(n_groups=1)),
    "4 Gi groups": pack(CONNECT, 1, connect_body(), identity(n_groups=2**32 - 1)),
    "1 Gi groups": pack(CONNECT, 1, connect_body(), identity(n_groups=2**30)),
    "4000 groups": pack(CONNECT, 1, connect_body(), identity(groups=range(4000))[:CONSTANT["WIRE_PACKET_MAX"] - 100]),
    "client 0": pack(CONNECT, 1, connect_body(client=0), identity()),
    "generation 0": pack(CONNECT, 1, connect_body(generation=0), identity()),
    "an index that cannot be": pack(CONNECT, 1, connect_body(index=2**32 - 1), identity()),
    "data 2": pack(CONNECT, 1, connect_body(data=2), identity()),
    "holds without a resume": pack(NUMBER["PEER_HOLDS"], 1, pack_record("peer_holds", n=1, first=1, last=1), HOLD),
    "lost in an impossible state": pack(NUMBER["PEER_LOST"], 1, pack_record("peer_lost", client=1, state=1)),
    "another hello": pack(NUMBER["PEER_HELLO"], 1, pack_record("peer_hello", major=1, node=2, to=1, incarnation=1)),
    "a client's request": pack(NUMBER["NODE_STATUS"], 1, pack_record("node_status")),
    "a client's reload": pack(NUMBER["RELOAD"], 1, pack_record("reload")),
}


def test_what_breaks_the_protocol_is_cut_off(home):
    for kind, packet in BROKEN.items():
        p = home.peer()
        assert p.welcome.resumed == 0
        _, stream = home.reach(p)
        p.send_raw(packet)
        assert p.is_cut_off(), kind
        p.close()
        stream.close()
    assert "node 2 is cut off: it breaks the protocol" in home.node.words()
    home.eventually_imports(1)  # the last one's end with the detection time


def test_what_a_later_version_says_is_left_out(home):
    with home.peer() as p:
        for packet in (pack(0x17f, 1), pack(0x7ff0, 2, bytes(100), bytes(1000)), pack(0x81ff, 3), pack(CONNECT | 0x4000, 4)):
            p.send_raw(packet)
        assert p.is_up()


def test_half_a_packet_is_no_packet(home):
    """Of a stream that ends there, in order, cut, or just silent."""
    packet = pack(CONNECT, 1, connect_body(id=home.segment), identity(USER, USER))
    for end in ("bye", "cut", "silence"):
        p = home.peer()
        p.send_raw(packet[:-1])
        if end == "bye":
            peer.TLS.gnutls_bye(p.tls.session, 1)
        if end == "cut":
            p.close()
        else:
            assert p.is_cut_off(DETECTION + 2), end
        assert home.imports() == 1
    p = home.peer()
    for byte in packet:
        p.send_raw(bytes([byte]))
    assert p.wait("peer_connect_reply").status == 0, "control: slow is not half"


# --- whom it speaks for, and how much -------------------------------------------------------------

RULES = f"[Limits]\nMaxImportsPerPeer = 20\n[Peers]\nAllowUids = 2:0 2:1000-1999 2:{USER}\nMapUids = 2:1000:5000\n"


@pytest.fixture
def strict(world, tmp_path, request):
    """Node 2 may speak for root and users 1000 to 1999, of which 1000 is 5000 here."""
    with home_of(world, tmp_path, request, config=RULES) as home:
        yield home


def judged(p, segment, **who):
    reply = p.connect(segment, tail=identity(**who))
    if reply.status == 0:
        p.disconnect()
    return wire.STATUS_NAME[reply.status]


def private(home, uid, mode):
    """A segment of another user's, with this mode."""
    agent = home.world.agent(home.node, uid=uid, umask=0o777 & ~mode)
    return agent.export(0, 4096)


def test_a_user_is_who_the_rules_say(strict):
    ours, grouped = private(strict, 5000, 0o600), private(strict, 1001, 0o660)
    roots = private(strict, 0, 0o660)
    with strict.peer() as p:
        assert judged(p, ours, uid=1000, gid=1000) == "OK", "mapped"
        assert judged(p, ours, uid=1001, gid=1001) == "DENIED"
        for uid in (999, 2000, 5000, 65534, 2**32 - 2, 2**32 - 1):
            assert judged(p, ours, uid=uid, gid=1000) == "DENIED", uid
        assert judged(p, ours, uid=1001, gid=2**32 - 1) == "DENIED"
        assert judged(p, grouped, uid=1000, gid=1001, groups=[1001]) == "DENIED", "who is mapped has no groups"
        assert judged(p, grouped, uid=1002, gid=1002, groups=[1001]) == "OK", "groups are believed"
        for who in ({"uid": 0}, {"uid": 0, "groups": [0]}, {"uid": 1002, "gid": 0, "groups": [0]}):
            assert judged(p, roots, **who) == "DENIED", "root is nobody here"


def test_a_daemon_that_is_not_root_s_speaks_for_itself_only(home):
    mine = private(home, 1001, 0o660)
    with home.peer(uid=1001) as p:
        assert judged(p, mine, uid=1001, gid=1001) == "OK"
        for uid in (0, 1000, 1002):
            assert judged(p, mine, uid=uid, gid=1001, groups=[1001]) == "DENIED"
    with home.peer(uid=1002) as p:
        assert judged(p, mine, uid=1002, gid=1001, groups=[1001]) == "DENIED", "it is believed no groups"


def test_a_node_has_no_more_imports_than_it_may(strict):
    with strict.peer() as p:
        replies = [p.connect(strict.segment, client=1 + i // 5, index=i, tail=identity(1001, 1001), data=1).status for i in range(100)]
        assert replies == [0] * 20 + [STATUS["NO_RESOURCES"]] * 80
        assert strict.imports() == 21
        assert strict.polite.connect(strict.segment, client=2, tail=identity(USER, USER)).status == 0, "that was node 2's share"


def test_what_another_node_has_is_not_ended_by_naming_it(home):
    with home.peer() as p:
        for client in range(8):
            for generation in (1, 2):
                p.disconnect(client=client, generation=generation)
            p.send("PEER_LOST", client=client, index=0, generation=1, state=wire.CONSTANT["WIRE_IMPORT_REVOKED"])
            assert p.call("PEER_DATA", client=client).status == STATUS["NOT_FOUND"]
        assert p.is_up()
    assert home.imports() == 1


def test_who_asks_and_does_not_read_is_cut_off(home):
    p = home.peer()
    many = b"".join(pack(NUMBER["PEER_STATUS"], n) for n in range(1, 2000))
    with pytest.raises(wire.Closed):
        for _ in range(400):
            p.send_raw(many)
    p.close()
    home.eventually_imports(1)
