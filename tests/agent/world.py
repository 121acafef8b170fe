# SPDX-License-Identifier: Apache-2.0
"""Nodes and agents for the system and sec suites: real daemons, real programs, and the check that nothing is left of them.

Needs the environment of ./dev env (CAUSEWAY_BUILD_DIR; causewayd in PATH). Everything a test starts is ended by handle, and the
pytest process adopts orphans, so that a leftover process is somebody's child here and is found.
"""
import collections
import contextlib
import ctypes
import os
import pathlib
import pickle
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib

import pytest

import wire

BUILD = pathlib.Path(os.environ.get("CAUSEWAY_BUILD_DIR", "/nonexistent"))
AGENT = BUILD / "tests" / "agent" / "agent"
ORDINARY, STRANGER = 40001, 40002  # uids without a name, when root
SLOW = {"asan": 4, "tsan": 8, "vm": 4}.get(os.environ.get("CAUSEWAY_TEST_ROW"), 1)
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

# Codes of rsm_common.h that tests name
CODE = {name: int(value) for name, value in
        (line.split()[1:3] for line in (wire.WIRE.parents[1] / "include/sys/rsm/rsm_common.h").read_text().splitlines()
         if line.startswith(("#define RSMERR_", "#define RSM_SUCCESS")))}
NOT_PRESENT, BAD_HANDLE, NOT_PUBLISHED = (CODE[f"RSMERR_{n}"] for n in ("CTLR_NOT_PRESENT", "BAD_SEG_HNDL", "SEG_NOT_PUBLISHED"))
NO_RESOURCES, NO_MEMORY, ABORTED = (CODE[f"RSMERR_{n}"] for n in ("INSUFFICIENT_RESOURCES", "INSUFFICIENT_MEM", "CONN_ABORTED"))
TIMEOUT, INTERRUPTED, DENIED, NOT_CREATOR = (CODE[f"RSMERR_{n}"] for n in ("TIMEOUT", "INTERRUPTED", "PERM_DENIED", "NOT_CREATOR"))
READ, WRITE, RDWR = 0o400, 0o200, 0o600

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: processes of several users")


def eventually(condition, seconds=3.0, what="it"):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.005)


def fill(size, seed):
    """The bytes of the agent's verb fill."""
    mask, x, words = (1 << 64) - 1, (seed * 2 + 1) & ((1 << 64) - 1), []
    for _ in range(size // 8):
        x ^= x << 13 & mask
        x ^= x >> 7
        x ^= x << 17 & mask
        words.append(x.to_bytes(8, "little"))
    return b"".join(words)


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def offspring():
    """Child processes, ended ones too."""
    pids = set()
    for task in pathlib.Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread of ours that has just ended
            pids.update(map(int, (task / "children").read_text().split()))
    return pids


def reap_orphans():
    """Collects adopted children that have ended; not those that a Popen waits for."""
    for pid in offspring() - {p.pid for p in _popen}:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def children():
    """Child processes that live. Those of a process that has just ended are among them: it is looked at first."""
    while True:
        reap_orphans()
        before = offspring()
        alive = {pid for pid in before if is_alive(pid)}
        if offspring() == before:
            return alive


_popen = set()


def popen(*args, **kwargs):
    process = subprocess.Popen(*args, **kwargs)
    _popen.add(process)
    return process


def descriptors(pid):
    """What a process has open, as a sorted list of kinds: numbers that differ in each run are left out."""
    kinds = []
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            link = os.readlink(fd)
            kinds.append(link.split(":[")[0] if ":[" in link else link.removesuffix(" (deleted)"))
    return sorted(kinds)


def shared_maps(pid):
    """Sorted names and sizes of the mappings of memfds."""
    rows = []
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) > 5 and fields[5].startswith("/memfd:"):
            start, end = (int(x, 16) for x in fields[0].split("-"))
            rows.append((fields[5], end - start))
    return sorted(rows)


def as_user(uid):
    """Keywords of Popen; nothing where there is nothing to change."""
    return {} if uid is None or uid == os.geteuid() else {"user": uid, "group": uid, "extra_groups": []}


def run_as(uid, function, *args):
    """function(*args) in a forked process of another user; its result, or its exception, comes back. A hostile program is
    dumpable, so that its own /proc/self belongs to it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if uid != os.geteuid():
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
            result = (True, function(*args))
        except BaseException as e:  # pytest's failures too
            import traceback
            result = (False, f"{e!r}\n{traceback.format_exc()}")
        with os.fdopen(writer, "wb") as f:
            pickle.dump(result, f)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as f:
        data = f.read()
    os.waitpid(pid, 0)
    assert data, "the process that was to attack died"
    good, value = pickle.loads(data)
    assert good, value
    return value


# --- nodes ----------------------------------------------------------------------------------------

class Node:
    """A causewayd of its own in a directory that others may enter. config: text of a file in its configuration directory."""

    def __init__(self, uid=None, config=None, directory=None, arguments=()):
        self.uid = os.geteuid() if uid is None else uid
        self.dir = pathlib.Path(directory or tempfile.mkdtemp(prefix="node-"))
        self.own_dir = directory is None
        self.dir.chmod(0o755)
        self.socket = self.dir / "socket"
        self.log = self.dir / "log"
        self.config = config
        self.arguments = list(arguments)
        self.process = None
        if self.uid != os.geteuid():
            os.chown(self.dir, self.uid, self.uid)

    def command(self):
        line = ["causewayd", "--socket", str(self.socket), *self.arguments]
        if self.config is not None:
            (self.dir / "causeway").mkdir(exist_ok=True)
            (self.dir / "causeway" / "causeway.conf").write_text(self.config)
            line += ["--config", str(self.dir / "causeway")]
        return line

    def start(self):
        reader, writer = os.pipe()
        with open(self.log, "ab") as log:
            self.process = popen([*self.command(), "--ready-fd", str(writer)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 pass_fds=[writer], **as_user(self.uid))
        os.close(writer)
        ready, _, _ = select.select([reader], [], [], 10 * SLOW)
        said = os.read(reader, 1) if ready else b""
        os.close(reader)
        assert said, f"causewayd is not ready: {self.words()}"
        self.pids = self.daemon, self.keeper = self.ask()
        return self

    def words(self):
        return self.log.read_text(errors="replace")

    def status(self):
        return wire.status(self.socket)

    def ask(self):
        s = self.status()
        return s.daemon_pid, s.keeper_pid

    def answers(self):
        """The pids, or None while nobody answers."""
        try:
            return self.ask()
        except (OSError, wire.Closed, AssertionError):
            return None

    def kill_daemon(self, wait=True):
        old = self.daemon
        os.kill(old, signal.SIGKILL)
        if wait:
            self.wait_restart(old)

    def wait_restart(self, old):
        eventually(lambda: (self.answers() or (old,))[0] != old, 10, "a new daemon")
        self.daemon, self.keeper = self.ask()

    def kill_keeper(self):
        old = self.keeper
        os.kill(old, signal.SIGKILL)
        eventually(lambda: (self.answers() or (0, old))[1] not in (0, old), 10, "a new keeper")
        self.daemon, self.keeper = self.ask()

    def kill_both(self):
        """At the same instant, as far as the survivors can see: both are stopped first."""
        for sig in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (self.keeper, self.daemon):
                os.kill(pid, sig)
        self.wait_gone()

    def wait_gone(self):
        def gone():
            reap_orphans()
            if self.process:
                self.process.poll()
            return not is_alive(self.daemon) and not is_alive(self.keeper)
        eventually(gone, 5, "the end of the node")

    def stop(self):
        """Ends it as an administrator would; a keeper that replaced the first one too."""
        for pid in (self.keeper, self.daemon):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.keeper, signal.SIGTERM)
        self.wait_gone()
        return self.process.wait(5)

    def destroy(self):
        """After the processes have ended."""
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    # what must be at its baseline again

    def counts(self):
        s = self.status()
        return {k: s.fields[k] for k in ("n_segments", "n_imports", "bytes")}

    def footprint(self):
        return {who: (descriptors(pid), shared_maps(pid)) for who, pid in (("daemon", self.daemon), ("keeper", self.keeper))}

    def settled_footprint(self):
        """The footprint with no client connected, once it does not change any more."""
        return eventually(lambda: (lambda a: time.sleep(0.03 * SLOW) or (a if a == self.footprint() else None))(self.footprint()), 3)

    def check_clean(self, baseline):
        """Nothing is left of any client: objects, bytes, descriptors and maps of daemon and keeper."""
        none = {"n_segments": 0, "n_imports": 0, "bytes": 0}
        end = time.monotonic() + 3 * SLOW
        while True:
            counts = self.counts()
            time.sleep(0.02)  # that was a client, too
            now = self.footprint()
            if (counts, now) == (none, baseline) or time.monotonic() > end:
                break
        assert counts == none
        for who in now:
            for then_list, now_list in zip(baseline[who], now[who]):
                then, more = collections.Counter(then_list), collections.Counter(now_list)
                assert then == more, f"the {who} has more: {dict(more - then)}, less: {dict(then - more)}"


# --- agents ---------------------------------------------------------------------------------------

class Gone(Exception):
    """The agent ended."""


class Agent:
    """A process of tests/agent. agent.put(0, 0, b"…") sends the verb and returns its code; verbs that bring values have methods
    below. start("wait", "e0", 1000) has a thread of the agent do it; finish(tag) waits for its answer."""

    def __init__(self, socket_path=None, uid=None, env=None, controller=True, program=AGENT, **popen_arguments):
        environment = dict(os.environ, **(env or {}))
        environment.pop("CAUSEWAY_SOCKET", None)
        if socket_path:
            environment["CAUSEWAY_SOCKET"] = str(socket_path)
        environment.setdefault("CAUSEWAY_DAEMON", shutil.which("causewayd") or "")
        self.process = popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0, cwd="/",
                             **as_user(uid), **popen_arguments)
        self._streams(self.process.stdin.fileno(), self.process.stdout.fileno())
        self.pid = self.process.pid
        if controller:
            self.good("controller", 0)

    def _streams(self, to, back):
        self.to, self.back, self.tags, self.replies, self.rest = to, back, 0, {}, b""

    # protocol

    def send(self, verb, *args, aside=False, timed=False):
        self.tags += 1
        tag = f"{'@' if aside else ''}{'%' if timed else ''}{self.tags}"
        words = [tag, verb, *(a.hex() if isinstance(a, (bytes, bytearray)) else str(a) for a in args)]
        try:
            data = (" ".join(words) + "\n").encode()
            while data:
                data = data[os.write(self.to, data):]
        except BrokenPipeError:
            raise Gone from None
        return tag

    def start(self, verb, *args):
        return self.send(verb, *args, aside=True)

    def is_finished(self, tag, seconds=0):
        return self._read(tag, seconds)

    def _read(self, tag, seconds):
        end = time.monotonic() + seconds
        while tag not in self.replies:
            ready, _, _ = select.select([self.back], [], [], max(0, end - time.monotonic()))
            if not ready:
                return False
            data = os.read(self.back, 1 << 16)
            if not data:
                raise Gone
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                word, *values = line.decode().split(" ")
                self.replies[word] = (int(values[0]), [v for v in values[1:] if v])
        return True

    def finish(self, tag, seconds=20):
        assert self._read(tag, seconds * SLOW), f"the agent said nothing for {seconds} s"
        return self.replies.pop(tag)

    def ask(self, verb, *args, seconds=20):
        """Code and values."""
        code, values = self.finish(self.send(verb, *args), seconds)
        assert code != -1, f"the agent did not understand or could not do: {verb} {args}"
        return code, values

    def code(self, verb, *args, **kw):
        return self.ask(verb, *args, **kw)[0]

    def good(self, verb, *args, **kw):
        code, values = self.ask(verb, *args, **kw)
        assert code == 0, f"{verb} {args}: {code}"
        return values

    def __getattr__(self, verb):
        if verb.startswith("_"):
            raise AttributeError(verb)
        return lambda *args, **kw: self.code(verb, *args, **kw)

    # verbs that bring values

    def load(self, b, offset, length):
        return bytes.fromhex("".join(self.good("load", b, offset, length)))

    def mload(self, i, offset, length):
        return bytes.fromhex("".join(self.good("mload", i, offset, length)))

    def get(self, i, offset, length):
        """Code and bytes."""
        code, values = self.ask("get", i, offset, length)
        return code, bytes.fromhex("".join(values))

    def sum(self, b):
        return int(self.good("sum", b)[0])

    def msum(self, i):
        return int(self.good("msum", i)[0])

    def report(self, verb):
        """Of a load: code, rounds, wrong, slowest in seconds."""
        code, values = self.ask(verb)
        return code, int(values[0]), int(values[1]), int(values[2]) / 1e6

    def export(self, n=0, size=65536, seed=1, mode=None, id=0):
        """Buffer n, filled, exported and published as export n; the id."""
        self.good("alloc", n, size)
        self.good("fill", n, seed)
        self.good("create", n, n)
        return int(self.good("publish", n, id, *([mode] if mode is not None else []))[0])

    def fork(self, directory):
        """A forked child, as an agent of its own."""
        path = f"{directory}/fork-{self.pid}-{self.tags}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(1)
        listener.settimeout(10 * SLOW)
        pid = int(self.good("fork", path)[0])
        stream, _ = listener.accept()
        listener.close()
        os.unlink(path)
        child = object.__new__(Agent)
        child.process, child.stream, child.pid = None, stream, pid
        child._streams(stream.fileno(), stream.fileno())
        return child

    # life

    def kill(self, sig=signal.SIGKILL):
        os.kill(self.pid, sig)
        if sig == signal.SIGKILL and self.process:
            self.process.wait()

    def close(self):
        """As a program that is done; its exit status."""
        if not self.process:
            self.stream.close()
            return None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            status = self.process.wait(5 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = "did not end"
        self.process.stdout.close()
        return status


class Beside:
    """A well-behaved pair that works all the time while something else happens: blocks to and fro, and connect, map, unmap,
    disconnect. check() after it: every byte was right, every code was 0, nothing took longer than the bound."""

    def __init__(self, path, uid=None):
        self.exporter, self.importer = Agent(path, uid), Agent(path, uid)
        segment = self.exporter.export(0, 65536)
        self.importer.good("connect", 0, segment)
        self.exporter.good("echo", 0)
        self.importer.good("trips", 0)
        self.importer.good("requests", 0, segment)

    def rounds(self):
        return self.importer.report("trips_report")[1], self.importer.report("requests_report")[1]

    def check(self, bound=1.0):
        before = self.rounds()
        eventually(lambda: all(a > b for a, b in zip(self.rounds(), before)), 5, "a further round trip beside")
        for what in ("trips", "requests"):
            code, rounds, wrong, slowest = self.importer.report(f"{what}_report")
            assert (code, wrong) == (0, 0), f"{what} beside: code {code}, {wrong} wrong of {rounds}"
            assert slowest < bound * SLOW, f"{what} beside took {slowest:.3f} s"

    def end(self):
        for agent, verb in ((self.importer, "requests_stop"), (self.importer, "trips_stop"), (self.exporter, "echo_stop")):
            code, *rest = agent.report(verb)
            assert code == 0, f"{verb}: {code} {rest}"
        assert self.importer.close() == 0
        assert self.exporter.close() == 0


# --- fixtures -------------------------------------------------------------------------------------

class World:
    """Makes nodes and agents, and ends them all."""

    def __init__(self):
        self.before = children()
        self.nodes, self.agents, self.baselines = [], [], []

    def node(self, start=True, **kwargs):
        node = Node(**kwargs)
        self.nodes.append(node)
        if start:
            node.start()
            self.baselines.append((node, node.settled_footprint()))
        return node

    def agent(self, where=None, **kwargs):
        agent = Agent(where.socket if isinstance(where, Node) else where, **kwargs)
        self.agents.append(agent)
        return agent

    def fork(self, parent, directory):
        self.agents.append(parent.fork(directory))
        return self.agents[-1]

    def finish(self):
        """The test passed: now nothing may be left."""
        for agent in self.agents:
            with contextlib.suppress(ProcessLookupError):
                os.kill(agent.pid, signal.SIGCONT)
            assert agent.close() in (0, None, -signal.SIGKILL), f"agent {agent.pid} ended badly"
        for node, baseline in self.baselines:
            if is_alive(node.keeper) and is_alive(node.daemon) and not getattr(node, "restarted", False):
                node.check_clean(baseline)
        for node in self.nodes:
            if node.process and is_alive(node.keeper):
                assert node.stop() in (0, -signal.SIGKILL), node.words()
                assert not node.socket.exists(), "the socket is left"
        eventually(lambda: children() <= self.before, 3, "the end of all processes of the test")

    def abandon(self):
        """Ends whatever is left. All are stopped first: daemon and keeper start each other again."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for process in _popen:
                process.poll()
            reap_orphans()
            left = offspring() - self.before
            if not left:
                break
            for sig in (signal.SIGSTOP, signal.SIGKILL):
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, sig)
        for node in self.nodes:
            node.destroy()
        reap_orphans()


@pytest.fixture
def world(request):
    if not AGENT.exists():
        pytest.fail(f"{AGENT} is not built: eval \"$(./dev env)\" first")
    w = World()
    try:
        yield w
        if not getattr(request.node, "failed", False):
            w.finish()
        else:
            for node in w.nodes:
                if node.log.exists():
                    sys.stderr.write(f"--- log of the node in {node.dir}\n{node.words()}")
    finally:
        w.abandon()


@pytest.fixture
def node(world):
    return world.node()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().when == "call" and outcome.get_result().failed:
        item.failed = True
