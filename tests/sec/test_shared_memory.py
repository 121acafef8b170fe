# SPDX-License-Identifier: Apache-2.0
"""What strangers write into memory that they share with the daemon or with a program: wrong counts at worst."""
import ctypes
import mmap
import os
import random
import struct
import threading
import time

import pytest

import wire
from test_poison import uffd
from world import LIBC, SLOW, TIMEOUT

MAP = struct.Struct("<QQQII")
MAPS_AT = 64
CELL = 64
DONE = wire.CONSTANT["WIRE_CHECK_DONE"]


def scribble(path, id_, seconds, seed):
    """Random words into the cells of another user's segment, for some time."""
    rng = random.Random(seed)
    c = wire.Client(path)
    import_ = c.must("IMPORT_CONNECT", space=1, controller=1, node=0, id=id_, rights=6).fields["import"]
    cells = mmap.mmap(c.must("CELLS", side=2, index=import_).fds[0], 65536 * CELL)
    words = (0, 1, 0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for cell in (0, 0, 1, 2, 3, rng.randrange(64)):
            word = rng.choice(words) if rng.random() < 0.7 else rng.randrange(1 << 32)
            struct.pack_into("<III", cells, cell * CELL, word, rng.choice((0, 1, 0xffffffff)), rng.choice((0, 1, 0xffffffff)))
    cells[0:4 * CELL] = bytes(4 * CELL)


@pytest.mark.parametrize("seed", [1, 2])
def test_an_exporter_whose_cells_are_scribbled_in_neither_crashes_nor_hangs(world, node, attack, seed):
    exporter = world.agent(node)
    id_ = exporter.export(0, mode=0o666)
    honest = world.agent(node)
    honest.good("connect", 0, id_)
    attacker = threading.Thread(target=attack, args=(scribble, id_, 2, seed))
    attacker.start()
    allowed = {0, TIMEOUT}
    while attacker.is_alive():
        for agent, handle in ((exporter, "e0"), (honest, "i0")):
            begin = time.monotonic()
            assert agent.wait(handle, 20) in allowed
            assert agent.post(handle) == 0
            assert time.monotonic() - begin < SLOW
    attacker.join()
    honest.good("put", 0, 0, b"unharmed")
    assert exporter.load(0, 0, 8) == b"unharmed"
    honest.good("disconnect", 0)
    exporter.good("unpublish", 0)
    exporter.good("destroy", 0)


def test_a_stranger_who_fills_and_empties_the_exporter_s_count_hurts_that_segment_only(world, node, attack):
    exporter = world.agent(node)
    victim, other = exporter.export(0, mode=0o666), exporter.export(1, mode=0o600)
    importer = world.agent(node)
    importer.good("connect", 0, other)
    attack(scribble, victim, 0.5, 3)
    while exporter.wait("e0", 0) == 0:
        pass
    importer.good("post", "i0")
    assert exporter.wait("e1", 0) == 0
    assert exporter.wait("e1", 0) == TIMEOUT


MMAP, MUNMAP = 9, 11


def raw_mmap(at, size, prot, flags, fd, offset):
    LIBC.syscall.restype = ctypes.c_long
    return LIBC.syscall(MMAP, ctypes.c_void_p(at), ctypes.c_size_t(size), prot, flags, fd, ctypes.c_long(offset))


def reserve(size):
    """An address where so much is free."""
    at = raw_mmap(None, size, 0, 0x22, -1, 0)
    LIBC.syscall(MUNMAP, ctypes.c_void_p(at), ctypes.c_size_t(size))
    return at


def map_fixed(at, size, fd, offset=0):
    return raw_mmap(at, size, 3, 1 | 0x10, fd, offset)


def hostile_maps(path):
    size = 1 << 20
    with wire.Client(path) as c:
        own = c.must("SEGMENT_CREATE", space=1, mode=0o600, size=size)
        fd = uffd()
        c.must("WATCH", fds=[fd])
        at = map_fixed(reserve(3 * size) + size, size, own.fds[0])  # nothing is mapped before and behind it
        page = c.welcome.fds[2]

        def check(slot, *fields):
            if fields:
                os.pwrite(page, MAP.pack(*fields), MAPS_AT + slot * MAP.size)
            return c.call("CHECK_MAP", slot=slot)
        good = check(0, at, size, 0, 1, own.segment)
        assert (good.status, good.stage, good.error) == (0, DONE, 0), f"control: {good}"
        for address in (0, 1, 4096, at + 1, at + size, 0x7ffffffff000, 0x8000000000000000, 0xffff888000000000, 2**64 - 4096, 2**64 - 1):
            for length in (0, 1, 4096, size, size + 4096, 2**40, 2**63, 2**64 - 4096, 2**64 - 1):
                for offset in (0, 4096, size, 2**64 - 4096):
                    reply = check(1, address, length, offset, 1, own.segment)
                    assert reply.status != 0 or reply.stage != DONE or reply.error, (hex(address), length, offset)
        for side, index in ((0, 0), (2, 0), (2, 65535), (1, 77), (1, 2**32 - 1), (2**32 - 1, 0)):
            assert check(2, at, 4096, 0, side, index).status != 0
        for slot in (65536, 2**31, 2**32 - 1):
            assert check(slot).status != 0
        os.pwrite(page, b"\xff" * (MAPS_AT + 65536 * MAP.size), 0)  # magic, size, all slots
        for slot in (0, 1, 65535):
            assert check(slot).status != 0
        good = check(3, at, size, 0, 1, own.segment)
        assert (good.status, good.stage, good.error) == (0, DONE, 0)
        ctypes.memset(at, 7, size)  # nothing stays protected


def test_a_hostile_client_page_is_not_believed(attack):
    attack(hostile_maps)


def test_maps_that_change_while_they_are_checked_do_no_harm(attack):
    def probe(path):
        size = 1 << 20
        with wire.Client(path) as c:
            own = c.must("SEGMENT_CREATE", space=1, mode=0o600, size=size)
            c.must("WATCH", fds=[uffd()])
            fixed = map_fixed(reserve(size), size, own.fds[0])
            page = mmap.mmap(c.welcome.fds[2], MAPS_AT + 65536 * MAP.size)
            ended = threading.Event()

            def change():
                rng = random.Random(1)
                while not ended.is_set():
                    MAP.pack_into(page, MAPS_AT, rng.choice((fixed, fixed + 4096, 0, 2**63)), rng.choice((size, 4096, 2**63)),
                                  rng.choice((0, 4096, 2**63)), rng.choice((1, 2, 3)), own.segment)
                    LIBC.syscall(MUNMAP, ctypes.c_void_p(fixed + 8192), ctypes.c_size_t(4096))
                    map_fixed(fixed + 8192, 4096, own.fds[0], 8192)
            thread = threading.Thread(target=change, daemon=True)
            thread.start()
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                c.call("CHECK_MAP", slot=0)
            ended.set()
            thread.join(1)  # a change within a check waits for a reader that there may not be: that is his own harm
    attack(probe)


def test_pokes_without_end_delay_nobody(attack, node, world):
    exporter = world.agent(node)
    id_ = exporter.export(0, mode=0o666)

    def probe(path, segment):
        with wire.Client(path) as c:
            import_ = c.must("IMPORT_CONNECT", space=1, controller=1, node=0, id=segment, rights=6).fields["import"]
            c.must("PIPE", side=2, index=import_)
            end = time.monotonic() + 2
            while time.monotonic() < end:
                for cell in (0, 1, 2, 65535, 2**32 - 1):
                    for _ in range(20):
                        c.send("POKE", flags=wire.ONEWAY, side=2, index=import_, cell=cell)
            c.must("PING")
    attack(probe, id_)


def test_status_and_node_page_hold_no_secret_of_others(attack):
    """The status page tells a client about its own imports; nothing in it is of use against others."""
    def probe(path):
        with wire.Client(path) as a, wire.Client(path) as b:
            page = os.pread(a.welcome.fds[1], 1 << 20, 0)
            for secret in (b.welcome.token, a.welcome.token):
                assert secret.encode() if isinstance(secret, str) else secret not in page
            assert b.welcome.token not in os.pread(b.welcome.fds[0], 4096, 0)
    attack(probe)


def test_new_memory_never_holds_what_was_in_freed_memory(attack):
    def probe(path):
        with wire.Client(path) as c:
            for _ in range(20):
                m = c.must("SEGMENT_CREATE", space=1, mode=0o600, size=1 << 20)
                assert not any(os.pread(m.fds[0], 1 << 20, 0))
                os.pwrite(m.fds[0], b"secret" * 1000, 0)
                m.close()
                c.must("SEGMENT_DESTROY", segment=m.segment)
    attack(probe)
