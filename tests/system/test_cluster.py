# SPDX-License-Identifier: Apache-2.0
"""causeway cluster: several nodes on one machine, with which users and tests try failures."""
import json
import os
import pathlib
import signal
import subprocess
import time

from cluster import Cluster, cluster, directory, netns  # noqa: F401
from world import ORDINARY, SLOW, children, eventually, is_alive, needs_root

NETNS = pathlib.Path("/run/netns")


def ended(*pids):
    return eventually(lambda: not any(is_alive(p) for p in pids) or None, what=f"the end of {pids}")


# --- from start to stop ---------------------------------------------------------------------------

def test_nodes_have_their_numbers_and_answer(cluster):
    said = cluster("start", "-n", 3)
    status = cluster.status()
    assert [*status] == [1, 2, 3]
    for node, row in status.items():
        assert row["state"] == "running" and row["programs"] == 0
        assert row["address"].startswith("127.0.0.1:") and f"node {node}: {row['address']}" in said
        told = json.loads(cluster.ask(node, "causeway", "status", "--json"))
        assert (told["node"], told["daemon"], told["keeper"]) == (node, row["daemon"], row["keeper"])
        assert told["socket"] == row["socket"] == f"{cluster.dir}/{node}/socket"
    assert len({row["address"] for row in status.values()}) == 3


def test_ids_and_detection_time_are_configured(cluster):
    listed = json.loads(cluster("start", "--ids", "7,300", "--detection", "250ms", "--json"))["nodes"]
    assert [n["node"] for n in listed] == [7, 300]
    config = subprocess.run(["causewayd", "--config", f"{cluster.dir}/300", "--print-config"], capture_output=True, text=True, check=True)
    assert "NodeId=300" in config.stdout.replace(" ", "") and "DetectionTime=250ms" in config.stdout.replace(" ", "")
    for n in listed:
        assert f"{n['node']}={n['address']}" in config.stdout.replace(" ", "")


def test_after_stop_only_files_remain_and_a_new_start_uses_the_keys(cluster):
    cluster("start", "-n", 2)
    pids = [row[who] for row in cluster.status().values() for who in ("daemon", "keeper")]
    keys = (cluster.dir / "1" / "keys").read_text()
    cluster("stop")
    ended(*pids)
    assert sorted(p.name for p in (cluster.dir / "1").iterdir()) == ["causeway.conf", "keys", "log"]
    assert sorted(p.name for p in cluster.dir.iterdir()) == ["1", "2"]
    assert "no cluster" in cluster.fails("status")
    cluster("start", "-n", 2)
    assert (cluster.dir / "1" / "keys").read_text() == keys


def test_two_clusters_live_beside_each_other(cluster, directory):
    other = Cluster(directory / "other")
    cluster("start", "-n", 2)
    other("start", "-n", 2)
    addresses = {row["address"] for c in (cluster, other) for row in c.status().values()}
    assert len(addresses) == 4
    other("kill", "-n", 1)
    cluster("stop")
    assert other.status()[2]["state"] == "running"
    other("stop")


def test_a_second_start_in_the_same_directory_is_refused(cluster):
    cluster("start", "-n", 1)
    before = cluster.status()
    said = cluster.fails("start", "-n", 2)
    assert str(before[1]["keeper"]) in said and "cluster stop" in said
    assert cluster.status() == before


def test_a_drop_in_of_the_users_counts_and_a_bad_one_is_named(cluster):
    (cluster.dir / "2" / "causeway.conf.d").mkdir(parents=True)
    drop_in = cluster.dir / "2" / "causeway.conf.d" / "mine.conf"
    drop_in.write_text("[Limits]\nMaxSegmentsPerUser = many\n")
    said = cluster.fails("start", "-n", 2)
    assert f"{drop_in}:2" in said
    assert not children() and not (cluster.dir / "cluster").exists()
    drop_in.write_text("[Limits]\nMaxSegmentsPerUser = 3\n")
    cluster("start", "-n", 2)
    limits = {n: json.loads(cluster.ask(n, "causeway", "status", "--json"))["max_segments"] for n in (1, 2)}
    assert limits == {1: 65536, 2: 3}


def test_nothing_of_the_caller_stays_open_in_the_nodes(cluster):
    reader, writer = os.pipe()
    cluster("start", "-n", 1, pass_fds=[writer])
    os.close(writer)
    os.set_blocking(reader, False)
    assert os.read(reader, 1) == b""  # the end: nobody has the other side
    os.close(reader)


def test_a_long_path_is_refused_before_anything_starts(directory):
    long = Cluster(directory / ("x" * 100))
    assert "too long" in long.fails("start", "-n", 1)
    assert not children()


# --- programs -------------------------------------------------------------------------------------

def test_run_takes_the_commands_place(cluster):
    cluster("start", "-n", 1)
    assert cluster.run("run", "-n", 1, "--", "sh", "-c", "exit 7").returncode == 7
    assert cluster.run("run", "-n", 1, "--", "no-such-command").returncode == 127
    program = cluster.on(1, "sleep", "1000")
    eventually(lambda: pathlib.Path(f"/proc/{program.pid}/comm").read_text() == "sleep\n")
    assert cluster.status()[1]["programs"] == 1
    program.kill()
    program.wait()
    assert cluster.status()[1]["programs"] == 0


def test_stop_ends_programs_also_those_that_ignore_sigterm(cluster):
    cluster("start", "-n", 2)
    stubborn = cluster.on(1, "sh", "-c", "trap '' TERM; echo; while :; do sleep 0.1; done")
    assert stubborn.stdout.readline() == b"\n"
    polite = cluster.on(2, "sleep", "1000")
    cluster("stop")
    assert stubborn.wait(5) == -signal.SIGKILL
    assert polite.wait(5) == -signal.SIGTERM


# --- failures -------------------------------------------------------------------------------------

def test_kill_ends_all_of_one_node_and_nothing_else(cluster):
    cluster("start", "-n", 2)
    before = cluster.status()
    program = cluster.on(1, "sleep", "1000")
    runaway = cluster.on(1, "sh", "-c", "setsid sh -c 'setsid sleep 1000 & echo $!' ")
    deep = int(runaway.stdout.readline())
    runaway.wait(5)
    other = cluster.on(2, "sleep", "1000")
    bystander = subprocess.Popen(["sleep", "1000"])
    assert "killed 4 processes" in cluster("kill", "-n", 1)
    assert program.wait(5) == -signal.SIGKILL
    ended(deep, before[1]["daemon"], before[1]["keeper"])
    after = cluster.status()
    assert after[1]["state"] == "ended" and after[2]["state"] == "running"
    assert (after[2]["daemon"], after[2]["programs"]) == (before[2]["daemon"], 1)
    assert other.poll() is None and bystander.poll() is None
    for process in other, bystander:
        process.kill()
        process.wait()


def test_a_node_is_killed_at_one_instant(cluster):
    """Neither daemon nor keeper sees the other one's death, and so nobody tells the other nodes anything."""
    cluster("start", "-n", 2)
    for _ in range(10):
        cluster("kill", "-n", 2)
        cluster("start-node", "-n", 2)
    assert (cluster.dir / "2" / "log").read_text() == ""


def test_a_killed_node_says_so_and_comes_back_as_a_new_one(cluster):
    cluster("start", "-n", 2)
    address, life = cluster.status()[2]["address"], cluster.incarnation(2)
    cluster("kill", "-n", 2)
    for command in (["run", "-n", 2, "--", "true"], ["kill", "-n", 2], ["kill-daemon", "-n", 2]):
        assert "start-node" in cluster.fails(*command)
    cluster("start-node", "-n", 2)
    row = cluster.status()[2]
    assert (row["state"], row["address"]) == ("running", address)
    assert cluster.incarnation(2) != life
    assert "already" in cluster.fails("start-node", "-n", 2)


def test_kill_daemon_leaves_the_node_alive(cluster):
    cluster("start", "-n", 1)
    before, life = cluster.status()[1], cluster.incarnation(1)
    assert str(before["daemon"]) in cluster("kill-daemon", "-n", 1)
    after = eventually(lambda: (row := cluster.status()[1])["state"] == "running" and row["daemon"] != before["daemon"] and row)
    assert after["keeper"] == before["keeper"] and cluster.incarnation(1) == life


def test_after_a_crash_of_everything_start_begins_anew(cluster):
    cluster("start", "-n", 2)
    for row in cluster.status().values():
        os.kill(row["keeper"], signal.SIGSTOP)
        os.kill(row["daemon"], signal.SIGKILL)
        os.kill(row["keeper"], signal.SIGKILL)
    eventually(lambda: {row["state"] for row in cluster.status().values()} == {"ended"})
    cluster("start", "-n", 3)
    assert {row["state"] for row in cluster.status().values()} == {"running"}


def test_a_stopped_daemon_is_killed_too(cluster):
    cluster("start", "-n", 1)
    row = cluster.status()[1]
    os.kill(row["daemon"], signal.SIGSTOP)
    os.kill(row["keeper"], signal.SIGSTOP)
    began = time.monotonic()
    cluster("stop")
    assert time.monotonic() - began < 15 * SLOW
    ended(row["daemon"], row["keeper"])


def test_what_is_wrong_is_said(cluster, directory):
    assert "no cluster" in cluster.fails("kill", "-n", 1)
    assert "cannot use the directory" in Cluster(directory / "none").fails("status")
    cluster("start", "-n", 2)
    assert "no node '3'" in (said := cluster.fails("kill", "-n", 3)) and "it has 1, 2" in said
    assert "no node 'two'" in cluster.fails("run", "-n", "two", "--", "true")
    assert "--netns" in cluster.fails("cut", "-n", 1)
    (directory / "cluster").write_text("node one somewhere\n")
    assert "node one somewhere" in cluster.fails("status")
    (directory / "cluster").write_text("node 1 x\nnode 2 x\n")


@needs_root
def test_an_ordinary_user_can_do_all_of_it_without_netns(directory):
    directory.chmod(0o755)
    (directory / "u").mkdir()
    os.chown(directory / "u", ORDINARY, ORDINARY)
    c = Cluster(directory / "u", ORDINARY)
    assert "only root" in c.fails("start", "-n", 2, "--netns")
    c("start", "-n", 2)
    c("kill-daemon", "-n", 1)
    c("kill", "-n", 2)
    c("start-node", "-n", 2)
    program = c.on(2, "sleep", "1000")
    c("stop")
    assert program.wait(5) == -signal.SIGTERM
    stranger = Cluster(directory / "u", ORDINARY + 1)
    assert "u" in stranger.fails("start", "-n", 1)


# --- namespaces -----------------------------------------------------------------------------------

LISTEN = "import socket; s = socket.create_server(('', 5000)); print(flush=True); c = s.accept()[0]; c.sendall(c.recv(9)); c.recv(9)"
TALK = "import socket, sys; s = socket.create_connection((sys.argv[1], 5000), 1); s.sendall(b'hello'); print(s.recv(9).decode())"


def prefix(cluster):
    """Of the cluster's namespaces: a number made from the directory (FNV-1a)."""
    number = 0xcbf29ce484222325
    for byte in os.fsencode(cluster.dir):
        number = (number ^ byte) * 0x100000001b3 & (1 << 64) - 1
    return f"causeway-{number:016x}-"


def names(cluster):
    return {p.name.removeprefix(prefix(cluster)) for p in NETNS.glob(prefix(cluster) + "*")}


def ip_of(cluster, node):
    return cluster.status()[node]["address"].split(":")[0]


@netns
def test_with_netns_each_node_has_a_network_that_goes_with_stop(cluster):
    cluster("start", "-n", 2, "--netns")
    assert names(cluster) == {"1", "2", "switch"}
    assert not [link for link in os.listdir("/sys/class/net") if link.startswith(("node", "bridge"))]
    assert ip_of(cluster, 1) == "10.1.0.1" and "10.1.0.2/8" in cluster.ask(2, "ip", "-br", "address")
    server = cluster.on(2, "/usr/bin/python3", "-c", LISTEN)
    assert server.stdout.readline() == b"\n"
    assert cluster.ask(1, "/usr/bin/python3", "-c", TALK, ip_of(cluster, 2)) == "hello\n"
    server.wait(5)
    cluster("stop")
    assert not names(cluster)


@netns
def test_a_node_that_was_cut_off_is_silent_until_it_is_healed(cluster):
    cluster("start", "-n", 3, "--netns")
    server = cluster.on(2, "/usr/bin/python3", "-c", LISTEN)
    assert server.stdout.readline() == b"\n"
    cluster("cut", "-n", 2)
    assert "(cut)" in cluster.status()[2]["address"]
    assert cluster.run("run", "-n", 1, "--", "/usr/bin/python3", "-c", TALK, "10.1.0.2").returncode != 0
    cluster("cut", "-n", 2)  # twice is no error
    cluster("heal", "-n", 2)
    cluster("heal", "-n", 2)
    assert cluster.status()[2]["address"] == "10.1.0.2:7717"

    def talks():
        result = cluster.run("run", "-n", 3, "--", "/usr/bin/python3", "-c", TALK, "10.1.0.2")
        return result.stdout == "hello\n"
    eventually(talks, 5)
    server.kill()
    server.wait()


@netns
def test_half_made_and_half_removed_networks_are_cleared(cluster):
    cluster("start", "-n", 3, "--netns")
    for node in 1, 2, 3:
        cluster("kill", "-n", node)
    subprocess.run(["ip", "netns", "del", prefix(cluster) + "1"], check=True)
    cluster("start", "-n", 2, "--netns")  # as after a crash
    assert names(cluster) == {"1", "2", "switch"}
    cluster("stop")
    assert not names(cluster)


@netns
def test_a_cluster_that_cannot_start_leaves_no_network(cluster):
    (cluster.dir / "2" / "causeway.conf.d").mkdir(parents=True)
    (cluster.dir / "2" / "causeway.conf.d" / "bad.conf").write_text("nonsense\n")
    assert "bad.conf" in cluster.fails("start", "-n", 2, "--netns")
    assert not names(cluster) and not children()
