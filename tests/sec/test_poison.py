# SPDX-License-Identifier: Apache-2.0
"""Descriptors that clients send: nothing but a userfaultfd is taken, and nothing that they do blocks the daemon or stays in it."""
import array
import ctypes
import fcntl
import os
import select
import socket
import struct
import tempfile
import time

import pytest

import wire
from world import LIBC

UFFD_USER_MODE_ONLY = 1
UFFDIO_API = 0xc018aa3f


def uffd():
    fd = LIBC.syscall(323, os.O_CLOEXEC | os.O_NONBLOCK | UFFD_USER_MODE_ONLY)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return fd


def full_pipe():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, writer


def full_socket():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    a.setblocking(False)
    try:
        while True:
            a.send(b"x" * 100)
    except BlockingIOError:
        a.setblocking(True)
    return a.detach(), b.detach()


def socket_in_flight():
    """A socket that carries itself: the kernel's collector has to deal with it."""
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [b.fileno()]))])
    return a.detach(), b.detach()


def epoll():
    inner = select.epoll()
    inner.register(os.pipe()[0])
    return (os.dup(inner.fileno()),)


def named_like_a_uffd():
    name = "anon_inode:[userfaultfd]"
    path = tempfile.mkdtemp(dir="/tmp")
    file = os.open(f"{path}/{name}", os.O_RDWR | os.O_CREAT, 0o600)
    os.unlink(f"{path}/{name}")
    os.rmdir(path)
    return os.memfd_create(name), file


POISON = {
    "pipe": os.pipe,
    "full pipe": full_pipe,
    "full socket": full_socket,
    "socket in flight": socket_in_flight,
    "/dev/zero": lambda: (os.open("/dev/zero", os.O_RDWR),),
    "/dev/null": lambda: (os.open("/dev/null", os.O_RDWR),),
    "directory": lambda: (os.open("/", os.O_RDONLY | os.O_DIRECTORY),),
    "O_PATH": lambda: (os.open("/etc/passwd", os.O_PATH),),
    "own memory": lambda: (os.open("/proc/self/mem", os.O_RDWR),),
    "memfd": lambda: (os.memfd_create("m", os.MFD_ALLOW_SEALING),),
    "eventfd": lambda: (os.eventfd(0),),
    "epoll": epoll,
    "pidfd": lambda: (os.pidfd_open(os.getpid()),),
    "named like a userfaultfd": named_like_a_uffd,
}


def outcome(client, seconds=1.0):
    """The status of the answer, or "cut off"; a daemon that says neither within the time fails the test."""
    client.sock.settimeout(seconds)
    try:
        reply = client.receive()
        reply.close()
        return reply.status
    except wire.Closed:
        return "cut off"


def send_poison(path, kind, count):
    for name in wire.REQUESTS:
        fds = POISON[kind]()
        with wire.Client(path, hello=name != "HELLO") as c:
            try:
                c.send(name, fds=(list(fds) * 253)[:count or len(fds)], **({"major": 1} if name == "HELLO" else {}))
                answer = outcome(c)
            except (wire.Closed, PermissionError):  # Linux 6.16 and later refuse descriptors before hello by themselves
                answer = "cut off"
            # what comes with a hello may also be closed unseen, which the check for leaks sees
            assert answer != 0 or name == "HELLO", f"{name} was done with a descriptor of kind {kind}"
        for fd in fds:
            os.close(fd)


@pytest.mark.parametrize("kind", POISON)
def test_a_poisoned_descriptor_is_refused_with_every_message(attack, kind):
    attack(send_poison, kind, None)


@pytest.mark.parametrize("count", [2, 9, 17, 253])
def test_many_descriptors_in_a_packet_are_refused_with_every_message(attack, count):
    attack(send_poison, "memfd", count)


def test_a_userfaultfd_is_taken_and_replaced_without_a_trace(attack):
    def probe(path):
        with wire.Client(path) as c:
            for _ in range(300):
                fd = uffd()
                c.must("WATCH", fds=[fd])
                os.close(fd)
        for name in wire.REQUESTS:
            if name in ("WATCH", "HELLO"):
                continue
            with wire.Client(path) as c:
                fd = uffd()
                c.send(name, fds=[fd])
                assert outcome(c) != 0, name
                os.close(fd)
    attack(probe)


def test_another_process_s_userfaultfd_does_no_harm(attack):
    def probe(path):
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        pid = os.fork()
        if pid == 0:
            b.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [uffd()]))])
            os._exit(0)
        _, control, _, _ = a.recvmsg(1, 64)
        fd = array.array("i", control[0][2])[0]
        os.waitpid(pid, 0)  # its memory is gone, its userfaultfd is here
        with wire.Client(path) as c:
            c.must("WATCH", fds=[fd])
            memory = c.must("SEGMENT_CREATE", space=1, mode=0o600, size=4096)
            os.pwrite(c.welcome.fds[2], struct.pack("<QQQII", 0x10000, 4096, 0, 1, memory.segment), 64)
            reply = c.must("CHECK_MAP", slot=0)
            assert reply.error != 0 or reply.stage != wire.CONSTANT["WIRE_CHECK_DONE"]
            memory.close()
    attack(probe)


def test_a_userfaultfd_whose_handshake_was_done_otherwise_does_no_harm(attack):
    def probe(path):
        for features in (0, 1 << 3):
            fd = uffd()
            fcntl.ioctl(fd, UFFDIO_API, bytearray(struct.pack("QQQ", 0xaa, features, 0)))
            with wire.Client(path) as c:
                c.must("WATCH", fds=[fd])
                memory = c.must("SEGMENT_CREATE", space=1, mode=0o600, size=4096)
                LIBC.mmap.restype = ctypes.c_void_p
                at = LIBC.mmap(None, ctypes.c_size_t(4096), 3, 1, memory.fds[0], ctypes.c_long(0))
                os.pwrite(c.welcome.fds[2], struct.pack("<QQQII", at, 4096, 0, 1, memory.segment), 64)
                c.must("CHECK_MAP", slot=0)
                ctypes.memset(at, 1, 4096)  # nothing is left protected
                memory.close()
            os.close(fd)
    attack(probe)


def test_descriptors_in_flight_that_nobody_reads_do_not_starve_others(attack):
    """Replies with descriptors pile up unread until the sender is cut off."""
    def probe(path):
        clients = []
        for _ in range(20):
            c = wire.Client(path)
            memory = c.must("SEGMENT_CREATE", space=1, mode=0o600, size=4096)
            clients.append(c)
            try:
                for _ in range(2000):
                    c.send("CELLS", side=1, index=memory.segment)
            except (wire.Closed, TimeoutError):
                pass
        time.sleep(0.3)
        for c in clients:
            c.close()
    attack(probe)
