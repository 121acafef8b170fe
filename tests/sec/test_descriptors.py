# SPDX-License-Identifier: Apache-2.0
"""What a hostile program of another user can do with the descriptors it gets: nothing that they were not given for."""
import contextlib
import ctypes
import errno
import fcntl
import mmap
import os

import pytest

import wire
from wire import STATUS
from world import LIBC, ORDINARY, fill, needs_root, run_as

pytestmark = needs_root

SIZE = 65536
F_ADD_SEALS, F_GET_SEALS = 1033, 1034
SEALS = 1 | 2 | 4  # SEAL, SHRINK, GROW
PUNCH = 1 | 2  # KEEP_SIZE, PUNCH_HOLE
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.mprotect.argtypes = LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


def refused(what, *errors, allowed=False):
    """Runs what(); an OSError of one of errors is expected."""
    try:
        what()
    except OSError as e:
        assert e.errno in errors, f"{errno.errorcode[e.errno]}"
        return
    assert allowed, "was possible"


def libc(result):
    if result in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "")
    return result


def received(path, readonly_id, writable_id):
    """Everything the daemon hands out: name, descriptor, size, whether it may be written."""
    c = wire.Client(path)
    space = {"space": 1, "controller": 1, "node": 0}
    own = c.must("SEGMENT_CREATE", space=1, mode=0o600, size=SIZE)
    readonly = c.must("IMPORT_CONNECT", id=readonly_id, rights=4, **space)
    writable = c.must("IMPORT_CONNECT", id=writable_id, rights=6, **space)
    cells = c.must("CELLS", side=2, index=writable.fields["import"])
    rows = [("node page", c.welcome.fds[0], False), ("status page", c.welcome.fds[1], False), ("client page", c.welcome.fds[2], True),
            ("own memory", own.fds[0], True), ("read-only memory", readonly.fds[0], False),
            ("read-only memory again", c.must("IMPORT_MEMORY", **{"import": readonly.fields["import"]}).fds[0], False),
            ("writable memory", writable.fds[0], True), ("cells", cells.fds[0], True)]
    return c, rows


def probe_hardening(path, *ids):
    _, rows = received(path, *ids)
    for name, fd, _ in rows:
        st = os.fstat(fd)
        assert (st.st_uid, st.st_mode & 0o777) == (0, 0o600), name
        assert fcntl.fcntl(fd, F_GET_SEALS) == SEALS, name
        refused(lambda: os.fchmod(fd, 0o666), errno.EPERM)
        refused(lambda: os.fchown(fd, ORDINARY, ORDINARY), errno.EPERM)
        refused(lambda: fcntl.fcntl(fd, F_ADD_SEALS, 8), errno.EPERM)
        refused(lambda: os.ftruncate(fd, 0), errno.EPERM, errno.EINVAL)
        refused(lambda: os.ftruncate(fd, st.st_size + 4096), errno.EPERM, errno.EINVAL)
        refused(lambda: libc(LIBC.fallocate(fd, 0, st.st_size, 4096)), errno.EPERM, errno.EBADF)
        refused(lambda: os.setxattr(fd, "user.x", b""), errno.EPERM, errno.EOPNOTSUPP, errno.EACCES, errno.EBADF)


def map_shared(fd, prot):
    return libc(LIBC.mmap(None, 4096, prot, mmap.MAP_SHARED, fd, 0))


def probe_read_only(path, *ids):
    _, rows = received(path, *ids)
    for name, fd, may_write in rows:
        if may_write:
            continue
        for flags in (os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
            refused(lambda: os.open(f"/proc/self/fd/{fd}", flags), errno.EACCES)
            refused(lambda: os.open(f"/proc/{os.getpid()}/task/{os.getpid()}/fd/{fd}", flags), errno.EACCES)
        refused(lambda: os.pwrite(fd, b"x", 0), errno.EBADF)
        refused(lambda: map_shared(fd, mmap.PROT_WRITE), errno.EACCES)
        refused(lambda: libc(LIBC.fallocate(fd, PUNCH, 0, 4096)), errno.EBADF)
        at = map_shared(fd, mmap.PROT_READ)
        refused(lambda: libc(LIBC.mprotect(at, 4096, mmap.PROT_READ | mmap.PROT_WRITE)), errno.EACCES)
        refused(lambda: os.open(f"/proc/self/map_files/{at:x}-{at + 4096:x}", os.O_RDWR), errno.EPERM, errno.EACCES, errno.ENOENT)
        with open("/proc/self/mem", "r+b", 0) as memory:
            memory.seek(at)
            refused(lambda: memory.write(b"x"), errno.EIO, errno.EFAULT)
        source, _ = os.pipe()
        os.write(_, b"x")
        refused(lambda: os.splice(source, fd, 1) if hasattr(os, "splice") else os.pwrite(fd, b"", 0), errno.EBADF)


def probe_private_store(path, *ids):
    """A store that is forced into a private map makes a copy: the memfd stays as it is."""
    _, rows = received(path, *ids)
    for name, fd, may_write in rows:
        if may_write:
            continue
        before = os.pread(fd, 4096, 0)
        at = libc(LIBC.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE, fd, 0))
        with open("/proc/self/mem", "r+b", 0) as memory:
            memory.seek(at)
            memory.write(b"forced")
        libc(LIBC.mprotect(at, 4096, mmap.PROT_READ | mmap.PROT_WRITE))
        ctypes.memmove(at + 100, b"stored", 6)
        assert ctypes.string_at(at, 6) == b"forced", "control: the copy did change"
        assert os.pread(fd, 4096, 0) == before, name


def probe_punch(path, *ids):
    """Allowed where writing is; what it makes are zeros, in that memory alone."""
    client, rows = received(path, *ids)
    for name, fd, may_write in rows:
        if may_write:
            libc(LIBC.fallocate(fd, PUNCH, 0, os.fstat(fd).st_size))
    client.must("PING")
    client.must("CELLS", side=2, index=1)
    client.must("POKE", side=2, index=1, cell=0)
    client.must("CHECK_MAP", slot=0) if client.call("CHECK_MAP", slot=0).status == 0 else None


@pytest.fixture
def ids(world, node):
    exporter = world.agent(node)
    return exporter, [exporter.export(0, mode=0o604), exporter.export(1, mode=0o606)]


def test_the_technique_works_against_memory_that_is_not_hardened():
    """The control for what follows: an ordinary memfd, handed out read-only, is reopened for writing."""
    fd = os.memfd_create("soft", 0)
    os.ftruncate(fd, 4096)
    readonly = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    run_as(ORDINARY, lambda: os.pwrite(os.open(f"/proc/self/fd/{readonly}", os.O_RDWR), b"x", 0))
    assert os.pread(fd, 1, 0) == b"x"
    os.close(readonly)
    os.close(fd)


def test_descriptors_are_sealed_and_belong_to_the_daemon(attack, ids):
    attack(probe_hardening, *ids[1])


def test_a_read_only_descriptor_cannot_be_made_writable(attack, ids):
    attack(probe_read_only, *ids[1])
    assert ids[0].load(0, 0, SIZE) == fill(SIZE, 1)


def test_a_forced_store_into_a_private_map_changes_nothing(attack, ids):
    attack(probe_private_store, *ids[1])
    assert ids[0].load(0, 0, SIZE) == fill(SIZE, 1)


def test_holes_are_zeros_in_that_segment_and_nothing_else(attack, ids):
    exporter, numbers = ids
    attack(probe_punch, *numbers)
    assert exporter.load(1, 0, SIZE) == bytes(SIZE), "the exporter gave the right to write"
    assert exporter.load(0, 0, SIZE) == fill(SIZE, 1)
    exporter.good("store", 1, 0, b"still usable")
    assert exporter.load(1, 0, 12) == b"still usable"
    assert exporter.post("e1") == 0


def test_flags_that_one_holder_changes_do_not_reach_the_daemon(attack, node, ids):
    def probe(path, *numbers):
        c, rows = received(path, *numbers)
        pipe = c.must("PIPE", side=2, index=1)
        for fd in [fd for _, fd, _ in rows] + pipe.fds + [c.sock.fileno()]:
            with contextlib.suppress(OSError):
                fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND | os.O_ASYNC)
            with contextlib.suppress(OSError):
                fcntl.fcntl(fd, fcntl.F_SETFL, 0)
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        refused(lambda: os.write(pipe.fds[0], b"x"), errno.EBADF)
        refused(lambda: os.open(f"/proc/self/fd/{pipe.fds[0]}", os.O_WRONLY | os.O_NONBLOCK), errno.EACCES)
        for _ in range(100):
            c.must("POKE", side=2, index=1, cell=c_cell(c))
    attack(probe, *ids[1])


def c_cell(client):
    reply = client.must("CELLS", side=2, index=1)
    reply.close()
    return reply.cell


def probe_nothing_asked(path, secret_id, readable_id):
    with wire.Client(path) as c:
        space = {"space": 1, "controller": 1, "node": 0, "rights": 0}
        assert c.call("IMPORT_CONNECT", id=secret_id, **space).status == STATUS["DENIED"], "no right at all: no connection, so no cells"
        nothing = c.must("IMPORT_CONNECT", id=readable_id, **space)
        assert nothing.fds == []
        assert c.must("IMPORT_MEMORY", **{"import": nothing.fields["import"]}).fds == []


def test_asking_for_no_rights_gives_no_memory(world, node, attack):
    """Nothing asked was nothing refused, once; and what came was readable."""
    exporter = world.agent(node)
    attack(probe_nothing_asked, exporter.export(0, mode=0o600), exporter.export(1, mode=0o604))
