# SPDX-License-Identifier: Apache-2.0
"""A node with peers for the sec suite: node 1 is a real daemon, nodes 2 and 3 are Python. Node 2 is hostile; node 3 is polite, and
must not notice."""
import contextlib
import socket
import time

import peer
from world import SLOW, eventually, fill

SIZE = 65536
USER = 40007  # without a name, and without a process here
KEYS = {2: bytes(range(32)), 3: bytes(range(100, 132))}
DETECTION = 2.0


def listener():
    s = socket.create_server(("127.0.0.1", 0), backlog=64)
    s.settimeout(5)
    return s


def memory_of(pid):
    """Bytes of its own that a process has in memory."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("RssAnon:"))


class Home:
    """Node 1 exports `segment` for everybody to read and write, SIZE bytes of fill(1)."""

    def __init__(self, world, directory, config=""):
        self.world = world
        self.listeners = {2: listener(), 3: listener()}  # their data connections come here
        with listener() as free:
            self.address = free.getsockname()
        nodes = {1: self.address, **{n: s.getsockname() for n, s in self.listeners.items()}}
        keys = directory / "keys"
        keys.touch(0o600)
        keys.write_text("".join(f"{n} {key.hex()}\n" for n, key in KEYS.items()))
        self.node = world.node(start=False, config=f"""
[Node]
NodeId = 1
[Nodes]
{chr(10).join(f"{n} = {host}:{port}" for n, (host, port) in nodes.items())}
[Network]
KeyFile = {keys}
DetectionTime = {DETECTION * 1000:.0f}ms
{config}""")
        self.peers = []
        self.node.start()
        self._warm_up()
        world.baselines.append((self.node, self.node.settled_footprint()))
        self.memory = memory_of(self.node.daemon)
        self.exporter = world.agent(self.node, umask=0)
        self.segment = self.exporter.export(0, SIZE)
        self.expected = bytearray(fill(SIZE, 1))
        self.polite = self.peer(me=3)
        self.polite.live()
        self.polite_key, self.polite_stream = self.reach(self.polite)
        assert self.polite_stream.get(self.polite_key, 0, 8)[0] == 0, "it has arrived"

    def _warm_up(self):
        """What a daemon makes with its first guest it keeps."""
        exporter = self.world.agent(self.node, umask=0)
        self.segment = exporter.export(0, SIZE)
        with self.peer() as p:
            key, stream = self.reach(p)
            with stream:
                assert stream.put(key, 0, b"x") == 0
        assert exporter.close() == 0
        self.world.agents.remove(exporter)
        eventually(lambda: self.node.status().n_clients == 1 and self.node.counts() == {"n_segments": 0, "n_imports": 0, "bytes": 0})

    def peer(self, me=2, key=None, **fields):
        p = peer.Peer(self.address, key or KEYS[me], me=me, **fields)
        self.peers.append(p)
        return p

    def reach(self, p, client=1, index=0, rights=6, id=None, **fields):
        """An import of the segment, or another one, with its data connection: key and stream."""
        reply = p.connect(id or self.segment, client=client, index=index, rights=rights, data=1, tail=peer.identity(USER, USER), **fields)
        assert reply.status == 0, reply
        return reply.key, peer.Stream(self.address, p.me, reply.grant)

    def imports(self):
        return self.node.status().n_imports

    def eventually_imports(self, n):
        eventually(lambda: self.imports() == n, what=f"{n} imports")

    def content(self):
        return self.exporter.load(0, 0, SIZE)

    def check(self):
        """Node 1 is alive, nothing has changed that was not to, node 3 goes on, nothing is kept for node 2."""
        began = time.monotonic()
        assert self.polite.is_up(), "node 3 was cut off"
        assert self.polite_stream.put(self.polite_key, SIZE - 8, b"politely") == 0
        self.expected[SIZE - 8:] = b"politely"
        assert self.polite_stream.get(self.polite_key, SIZE - 8, 8) == (0, b"politely")
        assert time.monotonic() - began < 1
        assert self.content() == self.expected
        assert self.node.answers() == self.node.pids, self.node.words()

    def finish(self):
        self.check()
        for p in self.peers:
            p.leave()
        self.polite_stream.close()
        self.exporter.good("unpublish", 0)
        self.exporter.good("destroy", 0)
        if SLOW == 1:  # sanitizers keep what was freed
            eventually(lambda: memory_of(self.node.daemon) < self.memory + (16 << 20), what="memory given back")

    def abandon(self):
        for p in self.peers:
            p.close()
        for s in self.listeners.values():
            s.close()


@contextlib.contextmanager
def home_of(world, directory, request, make=Home, **kwargs):
    home = make(world, directory, **kwargs)
    try:
        yield home
        if not getattr(request.node, "failed", False):
            home.finish()
    finally:
        home.abandon()
