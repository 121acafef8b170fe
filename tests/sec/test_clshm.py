# SPDX-License-Identifier: Apache-2.0
"""clshm: what another user, another node and a node that lies can do with segments, keys and attaches of others: nothing."""
import errno
import fcntl
import mmap
import os
import pathlib
import random
import signal
import threading
import time
import types

import pytest

import wire
from attachers import RDONLY, RMID, Attacher, Failed
from home import USER, home_of
from peer import identity
from wire import CONSTANT, NUMBER, STATUS, STATUS_NAME, pack, pack_record
from world import ORDINARY, SLOW, STRANGER, descriptors, eventually, needs_root, run_as

SPACE, HERE, VERSION = CONSTANT["WIRE_SPACE_CLSHM"], 2**32 - 1, 0x10000
READ, WRITE = 4, 2
REMOVE, AUTOREMOVE, SET, LOCK, UNLOCK = (CONSTANT[f"WIRE_SHM_{n}"] for n in ("REMOVE", "AUTOREMOVE", "SET", "LOCK", "UNLOCK"))
PAGE = 4096
SECRET = b"secret!!"


class User(wire.Client):
    """A process that uses clshm, packet by packet."""

    def __init__(self, path, **kwargs):
        super().__init__(path, **kwargs)
        self.must("SHM_HELLO", version=VERSION)

    def key(self):
        return self.must("SHM_KEY", partition=HERE).key

    def make(self, mode=0o600, size=PAGE):
        return self.must("SHM_GET", key=self.key(), size=size, mode=mode).shmid

    def attach(self, shmid, rights=READ | WRITE):
        return self.call("IMPORT_CONNECT", space=SPACE, controller=1, id=shmid, rights=rights)

    def control(self, shmid, command, **fields):
        return STATUS_NAME[self.call("SHM_CONTROL", shmid=shmid, command=command, **fields).status]


def rows(client, name="SHM_LIST", **fields):
    """All that a list shows."""
    found, cursor, record = [], 0, "shm_row" if name == "SHM_LIST" else "list_row"
    while True:
        reply = client.must(name, cursor=cursor, **fields)
        tail = reply.tail
        while tail:
            row, tail = wire.unpack_record(record, tail)
            found.append(row)
        cursor = reply.next
        if not cursor:
            return found


@pytest.fixture
def owner(node, attack):
    """A process of root's; what it has made goes with it."""
    with User(node.socket) as c:
        yield c
        for row in rows(c, partition=HERE):
            c.must("SHM_CONTROL", shmid=row["shmid"], command=REMOVE)


# --- other users ----------------------------------------------------------------------------------

@needs_root
def test_a_mode_that_forbids_it_is_passed_by_no_message(owner, attack):
    """Nor is it told that there is such a segment, beyond what System V tells."""
    key = owner.key()
    shmid = owner.must("SHM_GET", key=key, size=PAGE, mode=0o600).shmid
    memory = owner.attach(shmid)
    os.pwrite(memory.fds[0], SECRET, 0)
    instance = memory.instance

    def probe(path):
        with User(path) as c:
            said = {}
            for space in range(8):
                for node in (0, 1, 77):
                    for controller in range(5):
                        for rights in range(9):
                            r = c.call("IMPORT_CONNECT", space=space, controller=controller, node=node, id=shmid, rights=rights)
                            assert r.status and not r.fds, (space, node, controller, rights)
                r = c.call("SEGMENT_ATTACH", space=space, id=shmid)
                assert r.status and not r.fds, space
                for name in ("SHOW", "LIST"):
                    assert not c.call(name, space=space, id=shmid, instance=instance).tail if name == "SHOW" else not rows(c, name, space=SPACE)
            for command in range(8):
                said[command] = c.control(shmid, command, uid=os.geteuid(), gid=os.getegid(), mode=0o666)
            for name, fields in {"SHM_STAT": {"shmid": shmid}, "SHM_NODE": {"shmid": shmid}, "OWNERS": {"instance": instance},
                                 "SHM_PLACE": {"shmid": shmid, "order": 1, "nodes": b"\1"}, "SHM_GET": {"key": key, "size": PAGE, "mode": 0o400},
                                 "SHOW": {"space": SPACE, "id": shmid}, "SHM_CONFIGURE": {"what": 1}}.items():
                reply = c.call(name, **fields)
                said[name] = STATUS_NAME[reply.status]
                assert not reply.tail and not reply.fds
            said["key"] = STATUS_NAME[c.call("SHM_PLACE", key=key, order=1, nodes=b"\1").status]
            assert not rows(c, partition=HERE)
            assert not any(r["id"] == shmid for r in rows(c, "LIST"))
            return said
    said = attack(probe)
    assert {said[n] for n in range(1, 6)} == {"NOT_CREATOR"} and {said[0], said[6], said[7]} == {"BAD_REQUEST"}
    assert {said[n] for n in ("SHM_STAT", "SHM_NODE", "SHM_GET", "SHM_PLACE", "SHM_CONFIGURE", "key")} <= {"DENIED", "WRONG_STATE"}
    assert {said["SHOW"], said["OWNERS"]} == {"NOT_FOUND"}
    assert os.pread(memory.fds[0], 8, 0) == SECRET
    assert wire.unpack_record("shm_row", owner.must("SHM_STAT", shmid=shmid).tail)[0]["n_attached"] == 1
    memory.close()


@needs_root
def test_who_may_only_write_attaches_nothing(owner, attack):
    """There is no memory that can be written and not read, and an attach without rights would only keep the segment."""
    shmid = owner.make(mode=0o622)

    def probe(path):
        with User(path) as c:
            return [STATUS_NAME[c.attach(shmid, rights).status] for rights in (0, WRITE, READ, READ | WRITE)]
    assert attack(probe) == ["DENIED"] * 4


def shut(action):
    """The error of what must fail."""
    try:
        action()
    except (OSError, ValueError) as e:
        return e.errno if isinstance(e, OSError) else errno.EACCES
    return 0


def try_to_write(path, shmid):
    with User(path) as c:
        for rights in (WRITE, READ | WRITE):
            assert c.attach(shmid, rights).status == STATUS["DENIED"]
        attached = c.attach(shmid, READ)
        again = c.must("IMPORT_MEMORY", **{"import": attached.fields["import"]})
        cells = c.call("CELLS", side=CONSTANT["WIRE_SIDE_IMPORT"], index=attached.fields["import"])
        for fd in attached.fds + again.fds:
            name = f"/proc/self/fd/{fd}"
            assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
            for what, action in {
                    "reopened": lambda: os.open(name, os.O_RDWR), "reopened to write": lambda: os.open(name, os.O_WRONLY),
                    "truncated by name": lambda: os.truncate(name, 0), "truncated": lambda: os.ftruncate(fd, 0), "made longer": lambda: os.ftruncate(fd, 1 << 20),
                    "written": lambda: os.pwrite(fd, b"x", 0), "allocated": lambda: os.posix_fallocate(fd, 0, PAGE),
                    "sealed": lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE), "its mode": lambda: os.fchmod(fd, 0o666),
                    "mapped": lambda: mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)}.items():
                assert shut(action), what
            m = mmap.mmap(fd, PAGE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
            m[:8] = b"overdone"
            assert os.pread(fd, 8, 0) == SECRET
        cells.close()


@needs_root
def test_memory_that_may_be_read_is_not_written(owner, attack):
    shmid = owner.make(mode=0o644)
    memory = owner.attach(shmid)
    os.pwrite(memory.fds[0], SECRET, 0)
    attack(try_to_write, shmid)
    assert os.pread(memory.fds[0], 8, 0) == SECRET
    for what, action in {"truncated": lambda: os.ftruncate(memory.fds[0], 0), "sealed": lambda: fcntl.fcntl(
            memory.fds[0], fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)}.items():
        assert shut(action), f"{what} by who may write"
    memory.close()


@needs_root
def test_what_was_given_away_or_removed_is_not_had_by_its_number(owner, attack):
    shmid, other = owner.make(mode=0o666), owner.make(mode=0o666)

    def probe(path):
        with User(path) as c, User(path) as late:
            first = c.attach(shmid)
            assert first.status == 0, "control"
            ours = c.make(mode=0o600)
            assert c.control(ours, SET, uid=STRANGER, gid=STRANGER, mode=0) == "OK"
            assert c.attach(ours).status == STATUS["DENIED"], "a creator without rights has none"
            assert c.control(ours, SET, uid=os.geteuid(), gid=os.getegid(), mode=0o600) == "OK", "but gives them to himself, as System V's"
            assert c.control(ours, REMOVE) == "OK"
            yield_to_owner(path, shmid)
            said = [STATUS_NAME[late.attach(n).status] for n in (shmid, ours, other)]
            first.close()
            return said

    def yield_to_owner(path, number):
        pathlib.Path(path + ".now").write_text("")
        eventually(lambda: not pathlib.Path(path + ".now").exists(), 5)

    folder = pathlib.Path(str(owner.sock.getpeername())).parent
    folder.chmod(0o777)
    now = pathlib.Path(str(owner.sock.getpeername()) + ".now")

    def change():
        eventually(now.exists, 5)
        assert owner.control(shmid, REMOVE) == "OK"
        assert owner.control(other, SET, mode=0o600) == "OK"
        now.unlink()
    thread = threading.Thread(target=change)
    thread.start()
    said = attack(probe)
    thread.join()
    folder.chmod(0o755)
    assert said == ["WITHDRAWN", "NOT_FOUND", "DENIED"]
    eventually(lambda: owner.call("SHM_STAT", shmid=shmid).status == STATUS["NOT_FOUND"])


# --- inheriting -----------------------------------------------------------------------------------

def heir(client, parent, attached, **lie):
    fields = {"client": parent.welcome.client, "token": parent.welcome.token, "import": attached.fields["import"], "generation": attached.generation, **lie}
    return client.call("SHM_INHERIT", **fields)


@needs_root
def test_attaches_are_inherited_by_nobody_without_the_token(owner, attack, node):
    shmid = owner.make(mode=0o600)
    memory = owner.attach(shmid)
    rsm = owner.must("SEGMENT_CREATE", space=1, mode=0o600, size=PAGE)
    published = owner.must("SEGMENT_PUBLISH", segment=rsm.segment)
    imported = owner.must("IMPORT_CONNECT", space=1, controller=1, id=published.id, rights=6)
    token, client, index, generation = owner.welcome.token, owner.welcome.client, memory.fields["import"], memory.generation

    def guess(path):
        with User(path) as c:
            for whose in (client, c.welcome.client, 0, 1, 2**64 - 1):
                for t in (token, c.welcome.token, bytes(16), os.urandom(16)):
                    for i in (index, 0, 1, 2**32 - 1):
                        for g in (generation, 0, 2**32 - 1):
                            r = c.call("SHM_INHERIT", client=whose, token=t, **{"import": i}, generation=g)
                            assert r.status == STATUS["BAD_HANDLE"] and not r.fds, "another user, also with the token that it has stolen"
    attack(guess)
    with User(node.socket) as c:
        for lie in ({"token": bytes(16)}, {"token": token[:15] + bytes([token[15] ^ 1])}, {"generation": generation + 1}, {"import": 2**32 - 1},
                    {"import": imported.fields["import"], "generation": imported.generation}):
            assert heir(c, owner, memory, **lie).status == STATUS["BAD_HANDLE"], lie
        control = heir(c, owner, memory)
        assert control.status == 0 and len(control.fds) == 1
        control.close()
    for r in (memory, rsm, imported):
        r.close()


# --- what is one user's -----------------------------------------------------------------------------

def make_many(path, most=2000):
    """One-page segments until no more are given; how many."""
    with User(path, timeout=20) as c:
        n, status = 0, 0
        while not status and n < most:
            status = c.call("SHM_GET", key=c.key(), size=PAGE, mode=0o600).status
            n += not status
        for _ in range(20 if status else 0):
            assert c.call("SHM_GET", key=c.key(), size=PAGE, mode=0o600).status == status
        return n, STATUS_NAME[status]


def remove_all(path):
    with User(path, timeout=20) as c:
        for row in rows(c, partition=HERE):
            c.control(row["shmid"], REMOVE)


@needs_root
def test_segments_that_outlive_their_makers_leave_the_node_descriptors(world, tmp_path, monkeypatch):
    """Once an ordinary user could make so many that nobody could connect any more to remove them, for ever."""
    real = os.popen("command -v causewayd").read().strip()
    tmp_path.chmod(0o755)
    (tmp_path / "causewayd").write_text(f"#!/bin/sh\nulimit -n 600\nexec {real} \"$@\"\n")
    (tmp_path / "causewayd").chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_mode & 0o005 != 0o005:
            pytest.skip("the temporary directory is not for others") if folder.stat().st_uid else folder.chmod(folder.stat().st_mode | 0o005)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    node = world.node(uid=ORDINARY)
    assert run_as(ORDINARY, make_many, str(node.socket)) == (150, "NO_RESOURCES"), "half of what there is, and of that as much as is left"
    for _ in range(2):
        with User(node.socket) as c:
            c.must("SEGMENT_CREATE", space=1, mode=0o600, size=PAGE).close()
            root = c.make()
            assert c.control(root, REMOVE) == "OK"
        assert len(descriptors(node.daemon)) < 250
        node.kill_daemon()
    run_as(ORDINARY, remove_all, str(node.socket))


@needs_root
def test_locks_of_one_user_leave_some_to_others(owner, attack, node):
    def probe(path):
        with User(path, timeout=20) as c:
            made = [c.make() for _ in range(140)]
            for shmid in made:
                c.control(shmid, SET, uid=STRANGER, gid=STRANGER, mode=0o600)  # a gift does not make room
            said = [c.control(shmid, LOCK) for shmid in made]
            return made, said.count("OK"), set(said)
    made, n, said = run_as(ORDINARY, probe, str(node.socket))
    assert n == 128 and said == {"OK", "NO_RESOURCES"}
    shmid = owner.make()
    assert owner.control(shmid, LOCK) == "OK"

    def is_pin(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/comm").read_text() == "causeway-pin\n"
        except OSError:
            return False

    def pins():
        return sum(map(is_pin, pathlib.Path(f"/proc/{node.daemon}/task/{node.daemon}/children").read_text().split()))
    eventually(lambda: pins() == 129)
    for shmid in made:
        assert owner.control(shmid, REMOVE) == "OK"
    eventually(lambda: pins() == 1)


# --- another node that asks -----------------------------------------------------------------------

@pytest.fixture
def home(world, tmp_path, request):
    with home_of(world, tmp_path, request) as home:
        yield home


def question(p, name, tail=None, **fields):
    """The answer to PEER_SHM_name; fields may be called serial."""
    p.serial += 1
    name = f"PEER_SHM_{name}"
    body = pack_record(name.lower(), **{"version": VERSION, **fields})
    p.send_raw(pack(NUMBER[name], p.serial, body, identity(USER, USER) if tail is None else tail))
    return p.wait(f"{name.lower()}_reply", serial=p.serial)


QUESTIONS = ("KEY", "GET", "CONTROL", "STAT", "PLACE", "NODE", "LIST")


@needs_root
def test_a_question_without_who_asks_is_not_answered(home):
    tails = {"none": b"", "half": identity()[:-1], "and a byte": identity() + b"x", "4 Gi groups": identity(n_groups=2**32 - 1), "a group": identity(n_groups=1)}
    with home.peer() as p:
        for name in QUESTIONS:
            for what, tail in tails.items():
                assert question(p, name, tail).status == STATUS["BAD_REQUEST"], (name, what)
            assert question(p, name, version=0x20000).status == STATUS["VERSION"], name
            assert question(p, name, version=0).status == STATUS["VERSION"], name
        assert question(p, "KEY", client=0).status == STATUS["BAD_REQUEST"]
        assert question(p, "GONE", b"", client=0).status == STATUS["BAD_REQUEST"], "that would be all of that node's"
        for host in (b"\xff" * 64, b"\x1b[2J%n%s", b""):
            assert question(p, "HELLO", b"", host=host, keep=7).status == 0
        for n, name in enumerate(QUESTIONS + ("HELLO", "GONE")):
            p.send_raw(pack(NUMBER[f"PEER_SHM_{name}"] | 0x8000, n, pack_record(f"peer_shm_{name.lower()}_reply"), b"x" * 77))
        assert p.is_up(), "answers to nothing are nothing"


@needs_root
def test_another_node_has_no_more_than_its_users_may(home):
    with User(home.node.socket) as root, home.peer() as p:
        key = root.key()
        shmid = root.must("SHM_GET", key=key, size=PAGE, mode=0o640).shmid
        as_root, as_group = identity(0, 0, groups=[0]), identity(USER, 0, groups=[0])
        for who in (as_root, as_group, identity(USER, USER)):
            for command in (REMOVE, AUTOREMOVE, SET, LOCK):
                assert question(p, "CONTROL", who, client=1, serial=1, shmid=shmid, command=command).status == STATUS["NOT_CREATOR"]
            assert question(p, "STAT", who, shmid=shmid).status == STATUS["DENIED"]
            assert question(p, "NODE", who, shmid=shmid).status == STATUS["DENIED"]
            assert question(p, "PLACE", who, shmid=shmid, order=1, nodes=b"\1").status == STATUS["DENIED"]
            assert question(p, "GET", who, client=1, serial=2, key=key, size=PAGE, mode=0o400).status == STATUS["DENIED"]
            assert question(p, "LIST", who).n == 0
            for rights in (0, READ, WRITE, 6):
                assert p.call("PEER_CONNECT", who, client=1, generation=1, space=SPACE, id=shmid, rights=rights).status == STATUS["DENIED"]
        # node 3's attach is not node 2's to inherit, nor is another right
        assert root.control(shmid, SET, mode=0o644) == "OK"
        polite = home.polite.call("PEER_CONNECT", identity(USER, USER), client=9, generation=1, space=SPACE, id=shmid, rights=READ)
        assert polite.status == 0
        mine = p.call("PEER_CONNECT", identity(USER, USER), client=8, generation=1, space=SPACE, id=shmid, rights=READ)
        assert mine.status == 0 and mine.key == bytes(16), "it is mapped, and has no data connection"
        for parent, rights in ((9, READ), (8, READ | WRITE), (8, WRITE), (8, 0), (77, READ)):
            r = p.call("PEER_CONNECT", identity(USER, USER), client=10, generation=1, space=SPACE, id=shmid, rights=rights, heir=1, parent=parent, parent_generation=1)
            assert r.status == STATUS["BAD_HANDLE"], (parent, rights)
        p.disconnect(8)
        home.polite.disconnect(9)
        assert root.control(shmid, REMOVE) == "OK"


@needs_root
def test_who_is_gone_there_takes_no_other_node_s_keys(home):
    with User(home.node.socket) as local, home.peer() as p:
        keys = [local.key(), question(home.polite, "KEY", client=5, serial=1).key, question(p, "KEY", client=5, serial=1).key]
        assert question(p, "KEY", client=5, serial=1).key == keys[2], "said again"
        for client in (5, local.welcome.client, 2**64 - 1):
            assert question(p, "GONE", b"", client=client).status == 0
        got = [question(home.polite, "GET", client=5, serial=n + 2, key=k, size=PAGE) for n, k in enumerate(keys)]
        assert [STATUS_NAME[r.status] for r in got] == ["OK", "OK", "NOT_FOUND"]
        for r in got[:2]:
            assert local.control(r.shmid, REMOVE) == "OK"


def wild(rng, record, numbers):
    """Fields that are right often enough to lead somewhere."""
    fields = {}
    for name, kind in wire.LAYOUT[record]:
        if kind.endswith("s"):
            fields[name] = rng.randbytes(rng.randrange(int(kind[:-1]) + 1))
        elif name in ("key", "shmid") and numbers and rng.random() < 0.8:
            fields[name] = rng.choice(numbers)
        else:
            fields[name] = rng.choice((0, 1, 2, 3, 4, PAGE)) if rng.random() < 0.8 else rng.choice((rng.randrange(2**32), 2**32 - 1))
    return {**fields, "version": VERSION}


@needs_root
@pytest.mark.parametrize("seed", [1, 2])
def test_random_questions_of_another_node_are_survived(home, seed):
    rng, numbers, done = random.Random(seed), [], set()
    with home.peer() as p, User(home.node.socket) as root:
        for _ in range(1500):
            name = rng.choice(QUESTIONS + ("HELLO", "GONE"))
            reply = question(p, name, identity(USER + rng.randrange(3), USER), **wild(rng, f"peer_shm_{name.lower()}", numbers[-12:]))
            assert reply.status in STATUS.values()
            done |= {name} if reply.status == 0 else set()
            numbers += [reply.fields[n] for n in ("key", "shmid") if reply.status == 0 and n in reply.fields]
            if numbers and rng.random() < 0.2:
                p.call("PEER_CONNECT", identity(USER, USER), client=1, index=rng.randrange(4), generation=rng.randrange(1, 4), space=SPACE, id=numbers[-1],
                       rights=rng.choice((0, WRITE, READ, 6)), heir=rng.randrange(2), parent=1, parent_index=rng.randrange(4), parent_generation=1)
        assert p.is_up() and done >= {"KEY", "GET", "LIST"}
        p.leave()
        for r in rows(root, partition=HERE):
            root.control(r["shmid"], REMOVE)


# --- another node that answers --------------------------------------------------------------------

def row(**fields):
    return pack_record("shm_row", **{"shmid": 2 << 24 | 7, "key": 2 << 24 | 8, "mode": 0o600, "size": PAGE, "instance": 1, **fields})


LIES = {  # question to node 2, and answers: fields, tail
    ("SHM_KEY", ("partition", 2)): [({"key": k}, b"") for k in (0, 7, 1 << 24 | 7, 2 << 24, 3 << 24 | 1, 2**32 - 1)],
    ("SHM_GET", ("key", 2 << 24 | 8)): [({"shmid": k}, b"") for k in (0, 7, 1 << 24 | 7, 2 << 24, 3 << 24 | 1, 2**32 - 1)],
    ("SHM_STAT", ("shmid", 2 << 24 | 7)): [({}, t) for t in (
        b"", row()[:-1], row() + b"x", row() * 2, row(shmid=2 << 24 | 6), row(shmid=1 << 24 | 7), row(key=1 << 24 | 8), row(mode=0o1600), row(flags=16))],
    ("SHM_NODE", ("shmid", 2 << 24 | 7)): [({"node": n}, b"") for n in (1024, 2**31, 2**32 - 1)],
    ("SHM_LIST", ("partition", 2)): [({"next": 5, "n": 1}, row()), ({"next": 4, "n": 0}, b""), ({"n": 2**32 - 1}, row()), ({"n": 0}, row()),
                                     ({"n": 1}, row(shmid=1 << 24 | 1)), ({"n": 600}, row() * 100)],
}


@needs_root
def test_an_answer_about_another_partition_is_not_believed(home):
    with home.peer() as p, User(home.node.socket) as c:
        p.live()
        for (name, (field, value)), answers in LIES.items():
            reply = f"PEER_{name}_REPLY"
            for fields, tail in answers:
                c.send(name, **{field: value}, **({"cursor": 5} if name == "SHM_LIST" else {}))
                asked = p.wait(f"peer_{name.lower()}")
                for other in LIES:  # of another question
                    if other[0] != name:
                        p.send(f"PEER_{other[0]}_REPLY", serial=asked.serial + 1)
                p.send(reply, tail, serial=asked.serial, **fields)
                got = c.receive()
                assert STATUS_NAME[got.status] == "NODE_UNREACHABLE" and not got.tail, (name, fields)
        for status in (4711, 2**32 - 1, STATUS["NO_CONTROLLER"]):
            c.send("SHM_STAT", shmid=2 << 24 | 7)
            p.send("PEER_SHM_STAT_REPLY", serial=p.wait("peer_shm_stat").serial, status=status)
            assert STATUS_NAME[c.receive().status] == "NODE_UNREACHABLE"
        c.send("SHM_STAT", shmid=2 << 24 | 7)
        p.send("PEER_SHM_STAT_REPLY", row(command=b"\x1b[2J"), serial=p.wait("peer_shm_stat").serial)
        assert c.receive().status == 0, "control"


# --- slow daemons, and storms ---------------------------------------------------------------------

def attacher(node, **kwargs):
    return Attacher(types.SimpleNamespace(socket=lambda _: node.socket, cluster=types.SimpleNamespace(dir=node.dir)), 1, **kwargs)


def test_a_daemon_that_stands_still_holds_up_no_process_beyond_the_bound(world):
    node = world.node(config="[Clshm]\nCallTimeout = 300ms\n")
    p = attacher(node)
    shmid = p.make(PAGE)
    slots = [p.attach(shmid) for _ in range(3)]
    p.add(slots[0], 0, 5)
    os.kill(node.daemon, signal.SIGSTOP)
    try:
        began = time.monotonic()
        child = p.fork()
        assert time.monotonic() - began < 2 * SLOW, "who forks waits no longer than a call"
        assert p.add(slots[1], 0, 1) == 6
    finally:
        os.kill(node.daemon, signal.SIGCONT)
    eventually(lambda: p.n_attached(shmid) == 6, what="the child's attaches")
    p.end_child(child)
    eventually(lambda: p.n_attached(shmid) == 3)
    os.kill(node.daemon, signal.SIGSTOP)
    p.kill()
    os.kill(node.daemon, signal.SIGCONT)
    q = attacher(node)
    eventually(lambda: q.n_attached(shmid) == 0, what="the end of who was killed meanwhile")
    q.control(shmid, RMID)
    assert q.close() == 0


def test_a_storm_of_children_is_counted(world):
    node = world.node()
    people = [attacher(node) for _ in range(4)]
    shmid = people[0].make(PAGE)
    for p in people:
        for flags in (0, RDONLY):
            p.attach(shmid, flags)
    for _ in range(5):
        for p in people:
            p.say("fork")
        children = [int(p.hear()[0]) for p in people]
        assert people[0].n_attached(shmid) == 16
        os.kill(children[0], signal.SIGKILL)
        for p, child in list(zip(people, children)):
            p.end_child(child)
    eventually(lambda: people[0].n_attached(shmid) == 8)
    people[0].control(shmid, RMID)
    with pytest.raises(Failed):
        people[1].attach(shmid)
    for p in people:
        p.kill()
    eventually(lambda: node.counts()["n_segments"] == 0)
