# SPDX-License-Identifier: Apache-2.0
"""What a hostile node can do to those who import from it: fail, and nothing else; to others nothing at all."""
import contextlib
import os
import subprocess
import threading

import pytest

import peer
import wire
from home import DETECTION, home_of
from peer import DATA, DONE, FAILED, HomeStream
from wire import STATUS
from world import ABORTED, CODE, RDWR, TIMEOUT, eventually, needs_root

pytestmark = needs_root
UNREACHABLE = CODE["RSMERR_REMOTE_NODE_UNREACHABLE"]
KEY, GRANT = b"k" * 16, b"g" * 16
SECONDS = 2 * DETECTION + 3


@pytest.fixture
def home(world, tmp_path, request):
    with home_of(world, tmp_path, request) as home:
        yield home


@pytest.fixture
def importer(world, home):
    """A program of node 1 that imports from node 2."""
    agent = world.agent(home.node, controller=False)
    agent.good("controller", 0, "tcp0")
    return agent


def begin(p, importer, i=0, id=1234):
    tag = importer.start("connect", i, id, RDWR, p.me)
    return tag, p.wait("peer_connect")


def grant(p, asked, status=0, **fields):
    given = {"client": asked.client, "index": asked.index, "generation": asked.generation, "instance": 99, "size": 65536,
             "rights": asked.rights, "key": KEY, "grant": GRANT, **fields}
    p.send("PEER_CONNECT_REPLY", serial=asked.serial, status=status, **given)


def imported(home, p, importer, i=0, id=1234):
    """An import of a segment of 64 KiB: what was asked, and the data connection, if there is a new one."""
    tag, asked = begin(p, importer, i, id)
    grant(p, asked)
    stream = HomeStream(home.listeners[p.me]) if asked.data else None
    assert importer.finish(tag)[0] == 0
    return asked, stream


def test_control_a_polite_home_is_used(home, importer):
    with home.peer() as p:
        p.live()
        asked, stream = imported(home, p, importer)
        assert (stream.node, stream.grant) == (1, GRANT)
        tag = importer.start("put", 0, 8, b"12345678")
        kind, _, size, off, key = stream.request()
        assert (kind, size, off, key) == (peer.PUT, 8, 8, KEY)
        stream.answer(DONE, 1)
        assert importer.finish(tag)[0] == 0
        importer.good("disconnect", 0)
        p.wait("peer_disconnect")
        stream.close()


LIES = {"no instance": {"instance": 0}, "no size": {"size": 0}, "half a page": {"size": 2048}, "2^64-1 bytes": {"size": 2**64 - 1},
        "more rights": {"rights": 7}, "other rights": {"rights": 4}, "no rights": {"rights": 0}}


def test_a_grant_that_cannot_be_ends_the_connection(home, importer):
    """It is asked for again on the next one, until there is none."""
    tag = importer.start("connect", 0, 1234, RDWR, 2)
    for what, lie in LIES.items():
        with home.peer() as p:
            grant(p, p.wait("peer_connect"), **lie)
            assert p.is_cut_off(), what
            assert not importer.is_finished(tag), what
    assert importer.finish(tag, SECONDS)[0] == UNREACHABLE


def test_a_status_that_nobody_knows_is_one_that_the_page_documents(home, importer):
    with home.peer() as p:
        p.live()
        for status in (4711, 2**31, 2**32 - 1):
            tag, asked = begin(p, importer)
            grant(p, asked, status=status)
            assert importer.finish(tag)[0] in CODE.values()
        with wire.Client(home.node.socket) as c:
            for status in (4711, 2**31 - 1, 2**31, 2**32 - 1):
                c.send("LIST", node=2)
                p.send("PEER_LIST_REPLY", serial=p.wait("peer_list").serial, status=status)
                assert c.receive().status == STATUS["NOT_SUPPORTED"]


def test_answers_to_what_was_not_asked_are_not_heard(home, importer):
    """Of another client, another node's import, a former generation, twice."""
    three = home.polite
    asked3, stream3 = imported(home, three, importer, 1, 77)
    with home.peer() as p:
        p.live()
        tag, asked = begin(p, importer)
        for client in (0, asked.client + 1, 2**64 - 1):
            grant(p, asked, client=client)
        grant(p, asked, index=asked.index + 1)
        grant(p, asked, index=2**32 - 1)
        grant(p, asked, generation=asked.generation + 1)
        grant(p, asked3, key=b"!" * 16)
        for who in (asked3,):
            p.send("PEER_LOST", client=who.client, index=who.index, generation=who.generation, state=wire.CONSTANT["WIRE_IMPORT_REVOKED"])
            p.send("PEER_SIGNAL", client=who.client, index=who.index, generation=who.generation, total=5, once=1)
            p.disconnect(who.client, who.index, who.generation)
        p.send("PEER_HELLO_REPLY", major=1, node=2, incarnation=1, session=2)
        assert p.is_up()
        assert not importer.is_finished(tag), "none of them was its grant"
        assert importer.wait("i1", 50) == TIMEOUT, "nobody signalled"
        tag3 = importer.start("put", 1, 0, b"12345678")
        assert stream3.request()[4] == KEY
        stream3.answer(DONE, 1)
        assert importer.finish(tag3)[0] == 0
        grant(p, asked)
        stream = HomeStream(home.listeners[2])
        assert importer.finish(tag)[0] == 0
        grant(p, asked, key=b"!" * 16, size=4096, grant=b"!" * 16)
        tag = importer.start("put", 0, 60000, b"12345678")
        assert stream.request()[4] == KEY, "a second grant counts for nothing"
        stream.answer(DONE, 1)
        assert importer.finish(tag)[0] == 0
        importer.good("disconnect", 0)
        stream.close()
    importer.good("disconnect", 1)
    stream3.close()


ANSWERS = {
    "of no type": (0, 1, 0, 0, b""), "a request": (1, 1, 0, 0, b""), "for what was not said": (DONE, 2, 0, 0, b""),
    "a number that cannot be": (DONE, 2**64 - 1, 0, 0, b""), "a failure without a status": (FAILED, 1, 0, 0, b""),
    "success with a status": (DONE, 1, 5, 0, b""), "data for a put": (DATA, 1, 0, 8, b"12345678"), "4 GiB": (DATA, 1, 0, 2**32 - 1, bytes(4096)),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_cannot_be_fails_the_put(home, importer, answer):
    """And the program lives, and can leave."""
    kind, number, status, size, data = ANSWERS[answer]
    with home.peer() as p:
        p.live()
        asked, stream = imported(home, p, importer)
        tag = importer.start("put", 0, 8, b"12345678")
        stream.request()
        stream.answer(kind, number, status, size, data)
        eventually(lambda: peer.is_closed(stream.sock, 0.05), 3, "the end of the stream")
        p.send("PEER_DATA_REPLY", serial=p.wait("peer_data").serial, status=STATUS["NOT_FOUND"], client=asked.client)
        code, _ = importer.finish(tag, SECONDS)
        assert code == ABORTED
        importer.good("disconnect", 0)


@pytest.mark.parametrize("size", [0, 7, 9, 2**32 - 1])
def test_data_of_another_length_does_not_reach_the_program(home, importer, size):
    with home.peer() as p:
        p.live()
        asked, stream = imported(home, p, importer)
        tag = importer.start("get", 0, 8, 8)
        stream.request()
        stream.answer(DATA, 1, 0, size, b"!" * min(size, 100))
        eventually(lambda: peer.is_closed(stream.sock, 0.05), 3, "the end of the stream")
        p.send("PEER_DATA_REPLY", serial=p.wait("peer_data").serial, status=STATUS["NOT_FOUND"], client=asked.client)
        code, values = importer.finish(tag, SECONDS)
        assert code == ABORTED
        importer.good("disconnect", 0)


def test_a_failure_that_nobody_knows_is_one_that_the_page_documents(home, importer):
    with home.peer() as p:
        p.live()
        asked, stream = imported(home, p, importer)
        for number, status in enumerate((4711, 65535, STATUS["DENIED"], STATUS["REVOKED"]), 1):
            tag = importer.start("put", 0, 8, b"12345678")
            stream.request()
            stream.answer(FAILED, number, status)
            assert importer.finish(tag)[0] in set(CODE.values()) - {0}
        importer.good("disconnect", 0)
        stream.close()


def test_a_renewed_connection_that_counts_wrong_is_lost(home, importer):
    for done in (2**64 - 1, 2**63, 5):
        with home.peer() as p:
            p.live()
            asked, stream = imported(home, p, importer)
            tag = importer.start("put", 0, 8, b"12345678")
            stream.request()
            stream.close()
            p.send("PEER_DATA_REPLY", serial=p.wait("peer_data").serial, client=asked.client, done=done, grant=GRANT)
            with contextlib.suppress(TimeoutError):
                home.listeners[2].settimeout(1)
                HomeStream(home.listeners[2]).close()
            home.listeners[2].settimeout(5)
            p.leave()
            code, _ = importer.finish(tag, SECONDS)
            assert code == ABORTED
            importer.good("disconnect", 0)


# --- what people see ------------------------------------------------------------------------------

def test_what_a_node_says_reaches_no_terminal_unchanged(home):
    """Escapes in names, rows of other nodes, more rows than there are."""
    evil = b"\x1b[2J\x07\n\xff"
    row = wire.pack_record("list_row", instance=1, space=1, node=3, id=5, state=2, size=4096, command=evil)

    def serve(p):
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                q = p.receive(0.2)
                if q.name == "peer_list":
                    p.send("PEER_LIST_REPLY", tail=row, serial=q.serial, n=1)
                elif q.name == "peer_show":
                    p.send("PEER_SHOW_REPLY", tail=row + wire.pack_record("show_import", command=evil), serial=q.serial, n_imports=1)
                elif q.name == "peer_status":
                    p.send("PEER_STATUS_REPLY", serial=q.serial, version=evil)
                elif q.name == "peer_echo":
                    p.send("PEER_ECHO_REPLY", serial=q.serial, value=q.value)
    ended = threading.Event()
    with home.peer() as p:
        p.live()
        threads = [threading.Thread(target=serve, args=(x,)) for x in (p, home.polite)]
        for thread in threads:
            thread.start()
        for words in (["list"], ["list", "--node", "2"], ["show", "--node", "2", "5"], ["nodes"], ["ping", "2"], ["doctor"]):
            done = subprocess.run(["causeway", *words], env={**os.environ, "CAUSEWAY_SOCKET": str(home.node.socket)}, capture_output=True, timeout=20)
            said = done.stdout + done.stderr
            assert not set(said) & {0x1b, 0x07, 0xff}, (words, said)
            assert words[0] not in ("list", "show") or b"?[2J" in said, (words, said)
        ended.set()
        for thread in threads:
            thread.join()


TAILS = {"no row": (1, b""), "half a row": (1, bytes(30)), "4 Gi rows": (2**32 - 1, b""), "rows that were not counted": (0, bytes(200))}


@pytest.mark.parametrize("tail", TAILS)
def test_a_list_that_is_none_is_an_error(home, tail):
    n, data = TAILS[tail]
    with home.peer() as p, wire.Client(home.node.socket) as c:
        c.send("LIST", node=2)
        p.send("PEER_LIST_REPLY", tail=data, serial=p.wait("peer_list").serial, n=n)
        assert c.receive().status == STATUS["BAD_REQUEST"]
        c.send("SHOW", node=2, id=1, space=1)
        p.send("PEER_SHOW_REPLY", tail=data, serial=p.wait("peer_show").serial, n_access=n, n_imports=n)
        assert c.receive().status == STATUS["BAD_REQUEST"]
        c.must("PING")
