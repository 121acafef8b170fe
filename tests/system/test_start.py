# SPDX-License-Identifier: Apache-2.0
"""How nodes start and are found: by hand, by the library, by causeway run; and what is said when there is none."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

import pytest

import wire
from world import (AGENT, DENIED, NOT_PRESENT, ORDINARY, SLOW, STRANGER, as_user, children, eventually, fill, is_alive, needs_root,
                   reap_orphans)

no_system_node = pytest.mark.skipif(pathlib.Path("/run/causeway").exists(), reason="/run/causeway exists: the library looks only there")


def causeway(*args, env=None, **kw):
    environment = dict(os.environ, **(env or {}))
    return subprocess.run(["causeway", *args], capture_output=True, text=True, timeout=30 * SLOW, env=environment, **kw)


# --- by hand --------------------------------------------------------------------------------------

def test_a_left_over_socket_is_taken_over(world, node):
    node.kill_both()
    assert node.socket.exists()
    again = world.node(directory=node.dir)
    assert again.counts()["n_segments"] == 0


def test_a_second_daemon_on_the_same_socket_is_refused_and_the_first_stays(world, node):
    second = subprocess.run(node.command(), capture_output=True, text=True, timeout=10)
    assert second.returncode not in (0, -signal.SIGSEGV)
    assert str(node.socket) in second.stderr and "already" in second.stderr, second.stderr
    assert node.answers() == (node.daemon, node.keeper)


def test_a_second_daemon_is_refused_also_after_the_first_lost_its_keeper(world, node):
    node.kill_keeper()

    def names_the_new_keeper():
        second = subprocess.run(node.command(), capture_output=True, text=True, timeout=10)
        assert second.returncode != 0
        return str(node.keeper) in second.stderr
    eventually(names_the_new_keeper)
    assert node.answers() == (node.daemon, node.keeper)


def test_a_file_that_is_no_socket_is_not_removed(world):
    node = world.node(start=False)
    node.socket.write_text("precious")
    result = subprocess.run(node.command(), capture_output=True, text=True, timeout=10)
    assert result.returncode != 0 and str(node.socket) in result.stderr
    assert node.socket.read_text() == "precious"


@pytest.mark.parametrize("line, named", [("NodeId=none", "NodeId"), ("Nonsense=1", "Nonsense"), ("no equals sign", "causeway.conf")])
def test_a_malformed_configuration_line_is_named_by_file_and_line(world, line, named):
    node = world.node(start=False, config=f"[Node]\n{line}\n")
    result = subprocess.run(node.command(), capture_output=True, text=True, timeout=10)
    if result.returncode == 0:
        pytest.fail("accepted")
    assert "causeway.conf:2" in result.stderr and named in result.stderr, result.stderr
    assert not node.socket.exists()


def test_status_names_daemon_and_keeper(world, node):
    told = json.loads(causeway("status", "--json", env={"CAUSEWAY_SOCKET": str(node.socket)}).stdout)
    told = told[0] if isinstance(told, list) else told
    assert (told["daemon"], told["keeper"]) == (node.daemon, node.keeper)


def test_an_idle_daemon_does_not_wake_up(world, node):
    time.sleep(0.1)

    def switches():
        return [int(line.split()[1]) for pid in (node.daemon, node.keeper)
                for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if "ctxt_switches" in line]
    before = switches()
    time.sleep(1.5)
    assert switches() == before


# --- none -----------------------------------------------------------------------------------------

def test_without_a_daemon_the_codes_are_those_of_the_decisions_and_doctor_explains(world, tmp_path):
    nowhere = tmp_path / "nowhere" / "socket"
    agent = world.agent(nowhere, controller=False)
    assert agent.controller(0) == NOT_PRESENT
    assert agent.topology() == 32
    result = causeway("doctor", env={"CAUSEWAY_SOCKET": str(nowhere)})
    text = result.stdout + result.stderr
    assert str(nowhere) in text and "no socket" in text, text
    assert result.returncode not in (0, 2) and result.returncode > 0
    assert not nowhere.parent.exists(), "nothing is started where CAUSEWAY_SOCKET points"


def test_a_socket_that_nobody_listens_on_is_explained(world, tmp_path):
    path = tmp_path / "socket"
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.bind(str(path))
    s.close()
    assert world.agent(path, controller=False).controller(0) == NOT_PRESENT
    assert "nobody listens" in causeway("doctor", env={"CAUSEWAY_SOCKET": str(path)}).stdout


def test_a_silent_listener_is_given_up_after_the_timeout(world, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(str(path))
        s.listen(1)
        begin = time.monotonic()
        agent = world.agent(path, controller=False, env={"CAUSEWAY_TIMEOUT": "1"})
        assert agent.controller(0) == NOT_PRESENT
        assert time.monotonic() - begin < 3 * SLOW


# --- users ----------------------------------------------------------------------------------------

@needs_root
def test_an_ordinary_user_runs_a_node_of_his_own(world):
    node = world.node(uid=ORDINARY)
    assert node.status().uid == ORDINARY
    exporter, importer = world.agent(node, uid=ORDINARY), world.agent(node, uid=ORDINARY)
    importer.good("connect", 0, exporter.export(0, mode=0o600))
    importer.good("put", 0, 0, b"by a user")
    assert exporter.load(0, 0, 9) == b"by a user"
    node.kill_daemon()
    importer.good("map", 0, 0, 4096)
    assert importer.mload(0, 0, 9) == b"by a user"
    importer.good("unmap", 0)


@needs_root
def test_a_users_node_does_not_serve_others(world):
    node = world.node(uid=ORDINARY)
    assert stat.S_IMODE(node.socket.stat().st_mode) == 0o600
    assert world.agent(node, uid=STRANGER, controller=False).controller(0) == NOT_PRESENT


@needs_root
def test_a_strangers_daemon_is_not_trusted(world):
    node = world.node(uid=STRANGER)
    node.socket.chmod(0o666)
    assert world.agent(node, uid=ORDINARY, controller=False).controller(0) == NOT_PRESENT
    text = causeway("doctor", env={"CAUSEWAY_SOCKET": str(node.socket)}, **as_user(ORDINARY)).stdout
    assert "another user" in text


@needs_root
def test_users_share_over_roots_node_what_their_modes_allow(world, node):
    exporter = world.agent(node, uid=ORDINARY)
    closed, readable, open_ = (exporter.export(n, mode=m) for n, m in enumerate((0o600, 0o604, 0o606)))
    importer = world.agent(node, uid=STRANGER)
    assert importer.connect(0, closed) == DENIED
    assert importer.connect(1, readable) == DENIED
    importer.good("connect", 1, readable, 0o400)
    importer.good("connect", 2, open_)
    assert importer.get(1, 0, 100) == (0, fill(104, 1)[:100])
    assert importer.put(1, 0, b"no") == DENIED
    importer.good("put", 2, 0, b"yes")
    assert exporter.load(2, 0, 3) == b"yes"
    assert exporter.load(1, 0, 3) == fill(8, 1)[:3]


# --- by the library -------------------------------------------------------------------------------

class Embedded:
    """A runtime directory in which the library may start nodes; each start is written down by a wrapper around causewayd."""

    def __init__(self, world, tmp_path, config="[Daemon]\nIdleExit=300ms\n", uid=None):
        self.world, self.uid = world, uid
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="embedded-"))
        self.dir.chmod(0o755)
        self.runtime = self.dir / "runtime"
        self.runtime.mkdir(mode=0o700)
        (self.dir / "config").mkdir()
        (self.dir / "config" / "causeway.conf").write_text(config)
        self.starts_file = self.dir / "starts"
        self.starts_file.touch()
        self.starts_file.chmod(0o666)
        self.wrapper = self.dir / "causewayd"
        self.wrapper.write_text(f"#!/bin/bash -p\necho \"$$ $*\" >>{self.starts_file}\nenv >{self.dir}/environment\n"
                                f"exec {shutil.which('causewayd')} --config {self.dir}/config \"$@\"\n")
        self.wrapper.chmod(0o755)
        if uid:
            for path in (self.runtime, self.dir):
                os.chown(path, uid, uid)
        self.socket = self.runtime / "causeway" / "socket"

    def agent(self, where=None, **kw):
        return self.world.agent(where, uid=self.uid, env={"XDG_RUNTIME_DIR": str(self.runtime), "CAUSEWAY_DAEMON": str(self.wrapper),
                                                         "SECRET": "of the program"}, **kw)

    def starts(self):
        return len(self.starts_file.read_text().splitlines())

    def pids(self):
        s = wire.status(self.socket)
        return s.daemon_pid, s.keeper_pid

    def wait_end(self, pids, seconds=3):
        def ended():
            reap_orphans()
            return not any(is_alive(p) for p in pids)
        eventually(ended, seconds, "the end of the embedded node")


@pytest.fixture
def embedded(world, tmp_path):
    places = []

    def make(**kw):
        places.append(Embedded(world, tmp_path, **kw))
        return places[-1]
    yield make
    for place in places:
        shutil.rmtree(place.dir, ignore_errors=True)


@no_system_node
@pytest.mark.parametrize("uid", [None, pytest.param(ORDINARY, marks=needs_root)])
def test_many_programs_at_once_start_exactly_one_daemon_which_ends_after_them(embedded, uid):
    place = embedded(uid=uid)
    agents = [place.agent(controller=False) for _ in range(20)]
    for tag, agent in [(a.send("controller", 0), a) for a in agents]:
        assert agent.finish(tag)[0] == 0
    assert place.starts() == 1
    pids = place.pids()
    agents[3].good("connect", 0, agents[7].export(0))
    assert agents[3].get(0, 0, 8) == (0, fill(8, 1))
    for agent in agents[:-1]:
        assert agent.close() == 0
    time.sleep(0.8)
    assert is_alive(pids[0]) and is_alive(pids[1]), "it stays as long as there is a client"
    assert agents[-1].close() == 0
    place.wait_end(pids)
    assert not place.socket.exists()
    agent = place.agent()
    assert place.starts() == 2
    pids = place.pids()
    agent.close()
    place.wait_end(pids)


@no_system_node
def test_an_embedded_daemon_has_nothing_of_the_program(embedded):
    place = embedded()
    agent = place.agent(controller=False)
    agent.good("watch_children")
    agent.good("alloc", 0, 4096)
    agent.good("controller", 0)
    assert agent.good("children") == ["0", "0"], "no SIGCHLD and no child"
    for pid in place.pids():
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        assert b"SECRET" not in environment and b"XDG" not in environment
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert os.getsid(pid) != os.getsid(agent.pid)
        assert os.readlink(f"/proc/{pid}/fd/0") == os.readlink(f"/proc/{pid}/fd/1") == "/dev/null"
        links = []
        for f in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                links.append(os.readlink(f))
        assert not any("pipe:" in link for link in links), "a pipe of the program's"
    directory = place.socket.parent.stat()
    assert stat.S_IMODE(directory.st_mode) == 0o700
    pids = place.pids()
    agent.close()
    place.wait_end(pids)


@no_system_node
def test_an_embedded_daemon_survives_the_program_that_started_it_and_kill_9(embedded):
    place = embedded()
    first, second = place.agent(), place.agent()
    pids = place.pids()
    id_ = second.export(0)
    first.kill()
    os.kill(pids[0], signal.SIGKILL)
    third = place.agent()
    third.good("connect", 0, id_)
    assert third.get(0, 0, 8) == (0, fill(8, 1))
    again = place.pids()
    assert again[1] == pids[1] and place.starts() == 1
    second.close()
    third.close()
    place.wait_end(again)


@no_system_node
def test_a_daemon_that_cannot_start_gives_the_code_and_its_words_are_kept(embedded):
    place = embedded(config="[Node]\nNonsense=1\n")
    agent = place.agent(controller=False)
    begin = time.monotonic()
    assert agent.controller(0) == NOT_PRESENT
    assert time.monotonic() - begin < 3 * SLOW
    assert "Nonsense" in (place.socket.parent / "causewayd.log").read_text()
    assert agent.good("children") == ["0", "0"]


@no_system_node
@needs_root
def test_a_runtime_directory_that_others_may_write_to_is_not_used(embedded):
    place = embedded(uid=ORDINARY)
    (place.runtime / "causeway").mkdir()
    (place.runtime / "causeway").chmod(0o777)
    assert place.agent(controller=False).controller(0) == NOT_PRESENT
    assert place.starts() == 0


@no_system_node
@needs_root
def test_a_set_uid_program_starts_no_daemon_and_ignores_the_environment(world, embedded, node):
    place = embedded(uid=ORDINARY)
    program = place.dir / "set-uid-agent"
    shutil.copy(AGENT, program)
    os.chown(program, STRANGER, STRANGER)
    program.chmod(0o4755)
    if os.statvfs(program).f_flag & os.ST_NOSUID:
        pytest.skip("set-uid programs do nothing in the temporary directory")
    before = children()
    for socket_path in (None, node.socket):
        agent = place.agent(controller=False, program=program, where=socket_path)
        assert agent.good("who")[1] == str(STRANGER)
        assert agent.controller(0) == NOT_PRESENT
        agent.kill()  # a set-uid program does not hear that a sanitizer shall not look for leaks at its end
    assert place.starts() == 0
    assert children() <= before
    shutil.rmtree(f"/tmp/causeway-{STRANGER}", ignore_errors=True)  # where that user's node would be


# --- causeway run ---------------------------------------------------------------------------------

def test_run_gives_a_command_its_own_node_and_its_exit_status(world):
    before = set(pathlib.Path("/tmp").glob("causeway-run.*"))
    result = causeway("run", "--", "sh", "-c", "causeway status --json; exit 7")
    assert result.returncode == 7, result.stderr
    told = json.loads(result.stdout)
    told = told[0] if isinstance(told, list) else told
    assert not is_alive(told["daemon"]) and not is_alive(told["keeper"])
    assert not pathlib.Path(told["socket"]).exists()
    assert set(pathlib.Path("/tmp").glob("causeway-run.*")) <= before


def test_run_survives_the_death_of_its_daemon_and_ends_all_of_it(world):
    script = "set -- $(causeway status --json | tr -dc '0-9,' ); causeway status --json; " \
             "kill -9 $(causeway status --json | sed -n 's/.*\"daemon\": *\\([0-9]*\\).*/\\1/p'); causeway ping"
    result = causeway("run", "--", "bash", "-c", script)
    assert result.returncode == 0, result.stderr
    assert "1" in result.stdout


def test_run_that_is_killed_leaves_no_node(world, tmp_path):
    before = children()
    process = subprocess.Popen(["causeway", "run", "--", "sleep", "1000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=dict(os.environ, XDG_RUNTIME_DIR=str(tmp_path)))
    time.sleep(0.5)
    process.kill()
    process.wait()
    process.stdout.close(), process.stderr.close()

    def daemons():
        return [p for p in children() - before if b"causewayd" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()]
    eventually(lambda: not daemons(), 5, "the end of the node")
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)  # the command itself is not ours to end
    reap_orphans()


def test_a_listener_with_a_full_queue_is_given_up_after_the_timeout(world, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(str(path))
        s.listen(0)
        waiting = []
        with pytest.raises(BlockingIOError):
            while True:
                waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                waiting[-1].setblocking(False)
                waiting[-1].connect(str(path))
        begin = time.monotonic()
        agent = world.agent(path, controller=False, env={"CAUSEWAY_TIMEOUT": "1"})
        assert agent.controller(0, seconds=5) == NOT_PRESENT
        assert time.monotonic() - begin < 3 * SLOW
        for w in waiting:
            w.close()
