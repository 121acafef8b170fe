# SPDX-License-Identifier: Apache-2.0
"""Several nodes with agents, for tests of what happens when one of them dies: made and ended by causeway cluster.

An agent on a node is one of its programs (it dies when the node is killed), yet it reaches nothing but its daemon's socket.
Times are CLOCK_MONOTONIC, in seconds.
"""
import collections
import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

import wire
from cluster import Cluster
from world import CODE, LIBC, RDWR, SLOW, Agent, children, descriptors, eventually, is_alive, reap_orphans, shared_maps

UNREACHABLE, BARRIER_FAILURE = CODE["RSMERR_REMOTE_NODE_UNREACHABLE"], CODE["RSMERR_BARRIER_FAILURE"]
SIZE = 65536
NOTHING = dict.fromkeys(("segments", "imports", "remote", "guests"), 0)  # Nodes.counts()
NETNS = pathlib.Path("/run/netns")


def threads(pid):
    """Names of the threads of a process; not of those that close descriptors, which have its own name and end by themselves."""
    names = [(task / "comm").read_text().strip() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    own = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return [name for name in names if name != own]


class NodeAgent(Agent):
    def __init__(self, nodes, node, **kwargs):
        self.node = node
        super().__init__(nodes.socket(node), env={"CAUSEWAY_CLUSTER_NODE": f"{nodes.cluster.dir}/{node}"}, controller=False,
                         umask=0, **kwargs)  # its segments are for everybody: root is nobody on another node
        self.good("controller", 0, nodes.way)

    def time(self, verb, *args):
        """Begins a call that a thread of the agent does; ended() has its end's time last."""
        return self.send(verb, *args, aside=True, timed=True)

    def ended(self, tag, seconds=20):
        """Code, values, when."""
        code, values = self.finish(tag, seconds)
        return code, values[:-1], int(values[-1]) / 1e6

    def reach(self, i, segment, node):
        """Connects import i to another node's segment."""
        self.good("connect", i, segment, RDWR, node)
        return i


class Nodes:
    """N nodes that know each other, with these lines in [Network]; agents use the controller `way`. lag: how late a thread of
    ours was at most, which the daemons may have been, too."""

    def __init__(self, directory, n=2, detection=1.0, netns=False, network="", way="tcp0"):
        self.cluster, self.detection, self.n, self.netns, self.way = Cluster(directory), detection, n, netns, way
        self.agents, self.before = [], children()
        for node in range(1, n + 1) if network else ():
            folder = pathlib.Path(directory) / str(node) / "causeway.conf.d"
            folder.mkdir(parents=True)
            (folder / "network.conf").write_text(f"[Network]\n{network}\n")
        self.cluster("start", "-n", n, "--detection", f"{detection * 1000:.0f}ms", *(["--netns"] if netns else []))
        self.lag, self._end, self._name = 0.0, threading.Event(), self._find_name() if netns else ""
        threading.Thread(target=self._watch_the_clock, daemon=True).start()

    def _watch_the_clock(self):
        while not self._end.is_set():
            began = time.monotonic()
            time.sleep(0.005)
            self.lag = max(self.lag, time.monotonic() - began - 0.005)

    # what there is

    def socket(self, node):
        return self.cluster.dir / str(node) / "socket"

    def agent(self, node, **kwargs):
        self.agents.append(NodeAgent(self, node, **kwargs))
        return self.agents[-1]

    def pids(self, node):
        """Daemon and keeper, or None while nobody answers."""
        try:
            s = wire.status(self.socket(node))
            return s.daemon_pid, s.keeper_pid
        except (OSError, wire.Closed, AssertionError):
            return None

    def daemon(self, node):
        return eventually(lambda: self.pids(node), 10, "an answer of the daemon")[0]

    def keeper(self, node):
        return eventually(lambda: self.pids(node), 10, "an answer of the daemon")[1]

    def view(self, node):
        """What a node says of the others: number → row of causeway nodes."""
        return {row["node"]: row for row in self.cluster.tool(node, "nodes")["nodes"]}

    def counts(self, node):
        """Segments, imports at home here, imports of other nodes' segments, guests."""
        s, rows = wire.status(self.socket(node)), self.view(node).values()
        return {"segments": s.fields["n_segments"], "imports": s.fields["n_imports"],
                "remote": sum(r["imports"] for r in rows), "guests": sum(r["guests"] for r in rows)}

    def footprint(self, node):
        """Of daemon and keeper: what is open, mapped and which threads there are."""
        return {who: collections.Counter(descriptors(pid)) + collections.Counter(map(str, shared_maps(pid))) +
                collections.Counter(threads(pid)) for who, pid in zip(("daemon", "keeper"), self.pids(node))}

    def check_freed(self, node, footprint, seconds=3.0, segments=0):
        """Nothing but so many segments is left at a node, and its processes have no more than they had."""
        def rest():
            more = {}
            if self.counts(node) == {**NOTHING, "segments": segments}:
                time.sleep(0.02)  # that was a client
                now = self.footprint(node)
                more = {who: dict(now[who] - footprint[who]) for who in now if now[who] - footprint[who]}
                if not more:
                    return None
            return more or self.counts(node)
        end = time.monotonic() + seconds * SLOW
        while left := rest():
            assert time.monotonic() < end, f"node {node} still has {left}"
            time.sleep(0.02)

    def warm_up(self):
        """Each pair of nodes meets once and leaves; the footprints after that."""
        for home in range(1, self.n + 1):
            exporter = NodeAgent(self, home)
            segment = exporter.export()
            for node in set(range(1, self.n + 1)) - {home}:
                importer = NodeAgent(self, node)
                importer.reach(0, segment, home)
                importer.good("put", 0, 0, b"12345678")
                importer.good("disconnect", 0)
                assert importer.close() == 0
            assert exporter.close() == 0
        for node in range(1, self.n + 1):
            eventually(lambda: {**self.counts(node), "segments": 0} == NOTHING, what="a node without imports")

        def settled(node):
            before = self.footprint(node)
            time.sleep(0.05)
            return before if before == self.footprint(node) else None
        return {node: eventually(lambda: settled(node), what="a node at rest") for node in range(1, self.n + 1)}

    # what happens to it

    def kill(self, node):
        """All of it at one instant, as when the power fails; when."""
        began = time.monotonic()
        self.cluster("kill", "-n", node)
        return began, time.monotonic()

    def come_back(self, node):
        self.cluster("start-node", "-n", node)

    def kill_daemon(self, node):
        old = self.daemon(node)
        os.kill(old, signal.SIGKILL)
        return old

    def wait_restart(self, node, old):
        eventually(lambda: (self.pids(node) or (old,))[0] != old, 10, "a new daemon")

    def kill_keeper(self, node):
        old = self.keeper(node)
        os.kill(old, signal.SIGKILL)
        eventually(lambda: (self.pids(node) or (0, old))[1] not in (0, old), 10, "a new keeper")

    def kill_both(self, node):
        """Daemon and keeper at one instant; their programs live on."""
        pids = self.pids(node)
        for sig in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, sig)

    @contextlib.contextmanager
    def without_daemon(self, node):
        """Killed, and its keeper starts none until the end."""
        daemon, keeper = self.pids(node)
        os.kill(keeper, signal.SIGSTOP)
        os.kill(daemon, signal.SIGKILL)
        try:
            yield
        finally:
            os.kill(keeper, signal.SIGCONT)
            self.wait_restart(node, daemon)

    @contextlib.contextmanager
    def stopped(self, node):
        daemon = self.daemon(node)
        os.kill(daemon, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(daemon, signal.SIGCONT)

    def _find_name(self):
        """What the names of the cluster's namespaces begin with."""
        name = subprocess.run(["ip", "netns", "identify", str(self.daemon(1))], capture_output=True, text=True, check=True, timeout=20).stdout
        return name.strip().rpartition("-")[0]

    @contextlib.contextmanager
    def cut(self, node):
        self.cluster("cut", "-n", node)
        try:
            yield
        finally:
            self.cluster("heal", "-n", node)

    @contextlib.contextmanager
    def deaf(self, node):
        """Nothing comes to the node any more; what it says gets out."""
        with self._queue("switch", f"node{node}", "pfifo", "limit", 0):
            yield

    @contextlib.contextmanager
    def mute(self, node):
        """Nothing that the node says gets out."""
        with self._queue(node, "eth0", "pfifo", "limit", 0):
            yield

    @contextlib.contextmanager
    def narrow(self, node, bits_a_second):
        """What the node says gets out slowly."""
        with self._queue(node, "eth0", "tbf", "rate", f"{bits_a_second}bit", "burst", 3000, "limit", 6000):
            yield

    @contextlib.contextmanager
    def _queue(self, where, device, *words):
        tc = ["ip", "netns", "exec", f"{self._name}-{where}", "tc", "qdisc"]
        subprocess.run([*tc, "replace", "dev", device, "root", *map(str, words)], check=True, capture_output=True, timeout=20)
        try:
            yield
        finally:
            subprocess.run([*tc, "del", "dev", device, "root"], check=True, capture_output=True, timeout=20)

    # the end

    def finish(self, footprints=None):
        """The test passed: agents end, nothing may be left."""
        for agent in self.agents:
            if is_alive(agent.pid):
                assert agent.close() == 0, f"agent {agent.pid} ended badly"
            else:
                agent.process.wait()
        for node, footprint in (footprints or {}).items():
            self.check_freed(node, footprint)

    def abandon(self):
        self._end.set()
        for agent in self.agents:
            agent.process.kill()
            agent.process.wait()
            agent.close()
        self.cluster.run("stop")
        reap_orphans()


class Pair:
    """An importer that works all the time over an exporter on another node: blocks to and fro, every byte checked, and that
    what was taken stays so. check(): it goes on, all was right, every code was 0."""

    def __init__(self, nodes, home, node):
        self.exporter, self.importer = nodes.agent(home), nodes.agent(node)
        self.importer.reach(0, self.exporter.export(), home)
        self.exporter.good("echo", 0)
        self.importer.good("trips", 0)

    def check(self, bound=None):
        rounds = self.importer.report("trips_report")[1]
        eventually(lambda: self.importer.report("trips_report")[1] > rounds + 2, 8, "a further round trip")
        code, rounds, wrong, slowest = self.importer.report("trips_report")
        assert (code, wrong) == (0, 0), f"code {code}, {wrong} wrong of {rounds}"
        assert bound is None or slowest < bound * SLOW, f"a round trip took {slowest:.3f} s"
        return slowest

    def end(self):
        for agent, verb in ((self.importer, "trips_stop"), (self.exporter, "echo_stop")):
            code, rounds, wrong, _ = agent.report(verb)
            assert (code, wrong) == (0, 0), f"{verb}: code {code}, {wrong} wrong of {rounds}"
        self.importer.good("disconnect", 0)
        self.exporter.good("destroy", 0)


@pytest.fixture
def make(directory, request):
    """make(N, detection=…, netns=…): nodes that end with the test; nothing may stay behind."""
    made = []

    def start(n=2, **kwargs):
        made.append(Nodes(directory, n, **kwargs))
        return made[-1]
    try:
        yield start
        if getattr(request.node, "failed", False):
            for node in range(1, made[-1].n + 1) if made else ():
                sys.stderr.write(f"--- log of node {node}\n{log_of(made[-1], node)}")
    finally:
        for nodes in made:
            nodes.abandon()
        Cluster(directory).run("stop")
    eventually(lambda: not children(), 3, "the end of every child")  # a forked agent ends when it is told


@contextlib.contextmanager
def stopped_thread(tid):
    """One thread stands still while its process goes on: by ptrace, which ends with us."""
    seize, interrupt, detach = 0x4206, 0x4207, 17
    LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    LIBC.ptrace.restype = ctypes.c_long
    assert LIBC.ptrace(seize, tid, None, None) == 0, os.strerror(ctypes.get_errno())
    assert LIBC.ptrace(interrupt, tid, None, None) == 0
    os.waitpid(tid, 0x40000000)  # __WALL
    try:
        yield
    finally:
        LIBC.ptrace(detach, tid, None, None)


def log_of(nodes, node):
    return (nodes.cluster.dir / str(node) / "log").read_text(errors="replace")
