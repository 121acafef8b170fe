# SPDX-License-Identifier: Apache-2.0
"""System V segments that the daemon attaches for others: only such as the exporter could attach himself."""
import array
import ctypes
import os
import socket

import pytest

import wire
from home import home_of
from world import LIBC, ORDINARY, needs_root, run_as

pytestmark = needs_root
CLONE_NEWNS, CLONE_NEWUSER, MNT_DETACH, IPC_RMID = 0x20000, 0x10000000, 2, 0
LIBC.shmat.restype = LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


@pytest.fixture
def home(world, tmp_path, request):
    with home_of(world, tmp_path, request) as home:
        yield home


def segment_file(inode):
    """A descriptor of a file that the kernel calls /SYSV0, with that inode if it is not too high: of a mount nobody else sees."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        uid = os.geteuid()
        assert LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {uid} 1")):
            with open(f"/proc/self/{name}", "w") as f:
                f.write(text)
        assert LIBC.mount(b"x", b"/mnt", b"tmpfs", 0, None) == 0
        fd = os.open("/mnt/SYSV0", os.O_RDWR | os.O_CREAT)
        while os.fstat(fd).st_ino < min(inode, 20000):
            os.close(fd)
            os.unlink("/mnt/SYSV0")
            fd = os.open("/mnt/SYSV0", os.O_RDWR | os.O_CREAT)
        os.ftruncate(fd, 4096)
        assert LIBC.umount2(b"/mnt", MNT_DETACH) == 0
        theirs.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        os._exit(0)
    theirs.close()
    _, control, _, _ = ours.recvmsg(1, 100)
    os.waitpid(pid, 0)
    return array.array("i", control[0][2])[0] if control else -1


def export_file(path, inode):
    fd = segment_file(inode)
    if fd < 0:
        return None
    at = LIBC.mmap(None, 4096, 3, 1, fd, 0)
    with open("/proc/self/maps") as f:
        assert any(line.endswith("/SYSV0\n") for line in f), "control: that is what it is called"
    with wire.Client(path) as c:
        return c.call("SEGMENT_CREATE", space=1, mode=0o666, size=4096, address=at).status


def test_a_file_that_is_called_like_a_segment_is_none(home):
    """Root's segment with that id was read and written through the daemon, once."""
    shmid = LIBC.shmget(0, 4096, 0o1600)
    try:
        status = run_as(ORDINARY, export_file, str(home.node.socket), shmid)
        if status is None:
            pytest.skip("no user namespaces for ordinary users")
        assert status == wire.STATUS["NOT_ADOPTABLE"]
    finally:
        LIBC.shmctl(shmid, IPC_RMID, None)


def test_a_segment_is_exported_by_who_may_use_it(home):
    def probe(path):
        own = LIBC.shmget(0, 4096, 0o1600)
        at = LIBC.shmat(own, None, 0)
        with wire.Client(path) as c:
            status = c.call("SEGMENT_CREATE", space=1, mode=0o666, size=4096, address=at).status
        LIBC.shmctl(own, IPC_RMID, None)
        return status
    assert run_as(ORDINARY, probe, str(home.node.socket)) == 0
