# SPDX-License-Identifier: Apache-2.0
"""What people use of clshm: causeway ipcs and ipcrm, clshmctl, clshm_diag, doctor, and the example on each kind of loss."""
import json
import os
import re
import signal
import subprocess
import types

import pytest

from attachers import AUTORMID, RMID, Attacher, Failed
from cluster import cluster, directory  # noqa: F401
from world import BUILD, ORDINARY, SLOW, as_user, eventually, needs_root

PAGE = 4096


@pytest.fixture
def three(cluster):
    cluster("start", "-n", 3)
    return cluster


@pytest.fixture
def program():
    """program(cluster, node): a process that does what it is told and ends with the test."""
    made = []

    def start(c, node, **kwargs):
        nodes = types.SimpleNamespace(cluster=c, socket=lambda n: c.dir / str(n) / "socket")
        made.append(Attacher(nodes, node, **kwargs))
        return made[-1]
    yield start
    for p in made:
        if p.process.poll() is None:
            p.kill()


def segments(c, node, *args):
    """By number."""
    return {row["shmid"]: row for row in c.tool(node, "ipcs", *args)["segments"]}


def enter(c):
    """Others may come as far as the sockets."""
    c.dir.chmod(0o755)
    for node in c.dir.iterdir():
        if node.is_dir():
            node.chmod(0o755)


def as_other(c, node, *command):
    """What a command says of an ordinary user who was not started on the node."""
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=30 * SLOW,
                          env=dict(os.environ, CAUSEWAY_SOCKET=f"{c.dir}/{node}/socket"), **as_user(ORDINARY))


# --- ipcs -----------------------------------------------------------------------------------------

def test_every_partition_shows_the_segments_of_all(three, program):
    p = program(three, 2)
    made = {node: p.make(PAGE * node, node, 0o664) for node in (1, 2, 3)}
    host = os.uname().nodename
    for viewer in 1, 2, 3:
        rows = segments(three, viewer)
        assert set(rows) == set(made.values())
        for node, shmid in made.items():
            row = rows[shmid]
            assert (row["partition"], row["host"], row["bytes"], row["perms"], row["nattch"]) == (node, host, PAGE * node, "664", 0)
            assert row["key"] >> 24 == shmid >> 24 == node and row["status"] == ""
    assert set(segments(three, 1, "--partition", 3)) == {made[3]}
    maker = segments(three, 3, "--pid")[made[2]]
    assert (maker["cpid"], maker["command"]) == (p.pid, "attacher")


def test_attaches_are_counted_as_they_come_and_go(three, program):
    makers = [program(three, node) for node in (1, 2, 3)]
    shmid = makers[0].make(PAGE, 2, 0o666)
    for p in makers:
        p.attach(shmid, 0)
    assert segments(three, 3)[shmid]["nattch"] == 3
    assert segments(three, 1, "--time")[shmid]["detached"] is None
    makers[2].kill()
    eventually(lambda: segments(three, 1)[shmid]["nattch"] == 2)
    row = segments(three, 1, "--time")[shmid]
    assert row["changed"] <= row["attached"] <= row["detached"]
    assert segments(three, 2, "--pid")[shmid]["lpid"] == makers[2].pid


def test_status_says_what_will_become_of_a_segment(three, program):
    p = program(three, 1)
    ids = [p.make(PAGE, 2, 0o666) for _ in range(3)]
    for shmid in ids[1:]:
        p.attach(shmid, 0)
    p.control(ids[1], AUTORMID)
    p.control(ids[2], RMID)
    rows = segments(three, 3)
    assert [rows[shmid]["status"] for shmid in ids] == ["", "auto", "dest"]
    assert rows[ids[2]]["key"] == 0
    p.kill()
    eventually(lambda: set(segments(three, 3)) == {ids[0]})


def test_a_partition_that_is_down_is_named_and_the_others_are_shown(three, program):
    p = program(three, 1)
    shmid = p.make(PAGE, 2, 0o666)
    p.make(PAGE, 3, 0o666)
    three("kill", "-n", 3)
    eventually(lambda: p.partitions() == [1, 2], 10)
    result = three.run("run", "-n", 1, "--", "causeway", "ipcs", "--json")
    said = json.loads(result.stdout)
    assert result.returncode == 0 and [s["shmid"] for s in said["segments"]] == [shmid]
    assert [(q["partition"], q["up"]) for q in said["partitions"]] == [(1, True), (2, True), (3, False)]
    assert re.match("causeway: partition 3: the node does not answer.*; its segments are not shown\n$", result.stderr)
    assert "partition 3: the node does not answer" in three.fails("run", "-n", 1, "--", "causeway", "ipcs", "-p", 3)
    assert "there is no partition 9" in three.fails("run", "-n", 1, "--", "causeway", "ipcs", "-p", 9)


@needs_root
def test_an_ordinary_user_sees_what_he_may_read(three, program):
    enter(three)
    p = program(three, 1)
    shmid = p.make(PAGE, 1, 0o644)
    p.make(PAGE, 1, 0o600)
    p.make(PAGE, 3, 0o600)
    rows = json.loads(as_other(three, 1, "causeway", "ipcs", "--json").stdout)["segments"]
    assert [row["shmid"] for row in rows] == [shmid]
    assert len(segments(three, 1)) == 3


# --- ipcrm ----------------------------------------------------------------------------------------

def test_segments_are_removed_by_number_and_by_key_from_anywhere(three, program):
    p = program(three, 1)
    ids = [p.make(PAGE, node, 0o604) for node in (1, 2, 3, 3)]
    rows = segments(three, 1)
    three.ask(1, "causeway", "ipcrm", "-m", ids[1], hex(ids[2]))
    three.ask(3, "causeway", "ipcrm", "-M", hex(rows[ids[3]]["key"]))
    assert set(segments(three, 2)) == {ids[0]}
    said = three.fails("run", "-n", 1, "--", "causeway", "ipcrm", "-m", ids[1], ids[0])
    assert said == f"causeway: cannot remove shmid {ids[1]}: partition 2 has no such segment\n"
    assert not segments(three, 2)
    assert "partition 3 has no such segment" in three.fails("run", "-n", 1, "--", "causeway", "ipcrm", "-M", rows[ids[3]]["key"])


def test_what_is_attached_goes_with_its_last_attach(three, program):
    p = program(three, 3)
    shmid = p.make(PAGE, 1, 0o666)
    slot = p.attach(shmid, 0)
    three.ask(1, "causeway", "ipcrm", "-m", shmid)
    assert p.add(slot, 0, 1) == 1
    assert "it is removed, and goes with its last attach" in three.fails("run", "-n", 2, "--", "causeway", "ipcrm", "-m", shmid)
    assert segments(three, 2)[shmid]["status"] == "dest"
    p.detach(slot)
    eventually(lambda: shmid not in segments(three, 2))
    assert "partition 1 has no such segment" in three.fails("run", "-n", 2, "--", "causeway", "ipcrm", "-m", shmid)


@needs_root
def test_only_owner_creator_and_root_remove(three, program):
    enter(three)
    shmid = program(three, 1).make(PAGE, 1, 0o666)
    result = as_other(three, 1, "causeway", "ipcrm", "-m", shmid)
    assert (result.returncode, result.stderr) == (1, f"causeway: cannot remove shmid {shmid}: only its owner, its creator and root of partition 1 may\n")
    assert shmid in segments(three, 1)


# --- clshm_diag -----------------------------------------------------------------------------------

def diag(c, node):
    result = c.run("run", "-n", node, "--", "clshm_diag")
    return result.returncode, result.stdout.splitlines()


def test_diag_names_every_partition_and_its_host(three):
    host = os.uname().nodename
    assert diag(three, 2) == (0, [f"partition 1: {host}", f"partition 2: {host} (this one)", f"partition 3: {host}"])
    three("kill", "-n", 1)

    def seen():
        code, lines = diag(three, 2)
        return code == 0 and lines[0].startswith("partition 1: not up: the node does not answer") and lines[2] == f"partition 3: {host}"
    eventually(seen, 10)
    result = subprocess.run(["clshm_diag"], capture_output=True, text=True, timeout=30 * SLOW, env=dict(os.environ, CAUSEWAY_SOCKET=f"{three.dir}/1/socket"))
    assert result.returncode == 1 and result.stderr.startswith("clshm_diag: ") and not result.stdout


def test_a_node_with_a_number_above_63_is_no_partition(cluster):
    cluster("start", "--ids", "1,63,64")
    assert [line.split(":")[0] for line in diag(cluster, 1)[1]] == ["partition 1", "partition 63"]
    assert diag(cluster, 64) == (1, [])
    assert "its number is above 63" in cluster.fails("run", "-n", 64, "--", "causeway", "ipcs")
    checks = {check["check"]: check for check in cluster.tool(64, "doctor")["checks"]}
    assert checks["clshm"]["result"] == "warning" and "NodeId=" in checks["clshm"]["remedy"]


# --- clshmctl -------------------------------------------------------------------------------------

def config(c, node):
    return json.loads(c.ask(node, "clshmctl", "getcfg", "--json"))


def test_limits_change_and_outlive_the_daemon(three, program):
    before = config(three, 1)
    assert (before["partition"], before["state"], before["on_loss"]) == (1, "up", "sigbus")
    p = program(three, 1)
    three.ask(1, "clshmctl", "maxpgs", 5)
    three.ask(1, "clshmctl", "timeout", 2500)
    changed = dict(before, maxpgs=5, timeout=2500)
    assert config(three, 1) == changed and config(three, 2)["timeout"] == before["timeout"]
    p.make(3 * PAGE)
    with pytest.raises(Failed, match="ENOSPC"):
        p.make(3 * PAGE)
    p.make(2 * PAGE)
    old = three.status()[1]["daemon"]
    three("kill-daemon", "-n", 1)
    eventually(lambda: three.status()[1]["daemon"] not in (0, None, old))
    assert config(three, 1) == changed


def test_a_partition_that_is_shut_down_keeps_what_it_has(three, program):
    p, q = program(three, 1), program(three, 2)
    shmid = q.make(PAGE, 2, 0o666)
    slot = p.attach(shmid, 0)
    three.ask(2, "clshmctl", "shutdown")
    assert config(three, 2) == {"partition": 2, "state": "shut down", "maxpgs": None, "timeout": None, "on_loss": None, "version": None}
    eventually(lambda: p.partitions() == [1, 3])
    assert diag(three, 1)[1][1] == "partition 2: not up: its clshm is shut down, or of another major version"
    assert p.add(slot, 0, 1) == 1
    with pytest.raises(Failed):
        q.make(PAGE)
    with pytest.raises(Failed):
        p.make(PAGE, 2)
    assert "clshmctl startup" in three.fails("run", "-n", 2, "--", "causeway", "ipcs")
    three.ask(2, "clshmctl", "startup")
    eventually(lambda: p.partitions() == [1, 2, 3])
    assert segments(three, 3)[shmid]["nattch"] == 1
    p.make(PAGE, 2)


@pytest.mark.parametrize("words", ["", "start", "maxpgs", "maxpgs -1", "maxpgs 1 2", "timeout 99", "timeout 1s", "shutdown now", "startup --json", "--nonsense"])
def test_wrong_usage_of_the_small_tools_gives_2_and_says_why(words):
    result = subprocess.run(["clshmctl", *words.split()], capture_output=True, text=True, timeout=20 * SLOW)
    assert result.returncode == 2 and result.stderr.startswith("clshmctl: ") and not result.stdout
    result = subprocess.run(["clshm_diag", "--help"], capture_output=True, text=True, timeout=20 * SLOW)
    assert result.returncode == 0 and "--json" in result.stdout
    assert subprocess.run(["clshm_diag", "everything"], capture_output=True, timeout=20 * SLOW).returncode == 2


@needs_root
def test_only_root_and_the_daemons_user_change_something(three):
    enter(three)
    for words in ["shutdown"], ["maxpgs", 1], ["timeout", 100]:
        result = as_other(three, 1, "clshmctl", *words)
        assert result.returncode == 1 and "only root and the daemon's own user may" in result.stderr
    assert as_other(three, 1, "clshmctl", "getcfg").returncode == 0
    assert config(three, 1)["state"] == "up"


# --- the example, on each kind of loss ------------------------------------------------------------

@pytest.mark.parametrize("loss", ["sigbus", "zero", "kill"])
def test_the_example_ends_as_configured_when_a_partition_is_lost(cluster, tmp_path, loss):
    for node in 1, 2:
        folder = cluster.dir / str(node) / "causeway.conf.d"
        folder.mkdir(parents=True)
        (folder / "clshm.conf").write_text(f"[Clshm]\nOnLoss = {loss}\n")
    cluster("start", "-n", 2, "--detection", "1s")
    assert config(cluster, 1)["on_loss"] == loss
    words, sort = tmp_path / "words", BUILD / "examples" / "clshm-sort"
    words.write_text("".join(f"{i * 7919 % 10007}\n" for i in range(10007)))
    tmp_path.chmod(0o755)
    made = cluster.run("run", "-n", 1, "--", sort, "make", words, 1, 2)
    if made.returncode == 3:
        pytest.skip("memory of other partitions cannot be attached here")
    keys = made.stdout.split()
    assert len(keys) == 2
    workers = [subprocess.Popen(["causeway", "cluster", "run", "-d", str(cluster.dir), "-n", str(i + 1), "--", str(sort), "work", str(i), str(words),
                                 str(tmp_path / f"merged.{i}"), *keys], stdout=subprocess.PIPE, text=True, start_new_session=True) for i in (0, 1)]
    for line in workers[0].stdout:
        if "waits;" in line:
            break
    else:
        pytest.fail("the first process ended early")
    merged = sorted(words.read_text().split())
    assert (tmp_path / "merged.0").read_text().split() == (tmp_path / "merged.1").read_text().split() == merged
    cluster("kill", "-n", 2)
    rest, _ = workers[0].communicate(timeout=20 * SLOW)
    workers[1].communicate()
    if loss == "kill":
        assert (workers[0].returncode, rest) == (-signal.SIGKILL, "")
    else:
        what = {"sigbus": "SIGBUS", "zero": "zeros"}[loss]
        assert workers[0].returncode == 0 and f"the segment of partition 2: {what}\n" in rest and "2 of 2 slices of the other" in rest
    assert [row["partition"] for row in segments(cluster, 1).values()] == [1]
