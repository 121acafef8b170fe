# SPDX-License-Identifier: Apache-2.0
"""What the tool says of several nodes: nodes, list, show, ping, bench, doctor, status; and how the node list changes."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from cluster import Cluster, cluster, directory, netns  # noqa: F401
from world import ORDINARY, SLOW, as_user, eventually, needs_root

DETECTION = 0.5


@pytest.fixture
def three(cluster):
    cluster("start", "-n", 3, "--detection", f"{DETECTION * 1000:.0f}ms")
    return cluster


def states(c, node):
    return {row["node"]: row["state"] for row in c.tool(node, "nodes")["nodes"]}


def serve(c, node):
    """A segment that everybody may import, with a program that answers signals."""
    program = subprocess.Popen(["causeway", "cluster", "run", "-d", str(c.dir), "-n", str(node), "--", "causeway", "bench", "--serve"],
                               stdout=subprocess.PIPE, text=True)
    return program, int(re.match("segment (0x[0-9a-f]+) serves", program.stdout.readline())[1], 16)


def end(*programs):
    for p in programs:
        p.kill()
        p.wait()


# --- looking --------------------------------------------------------------------------------------

def test_a_connection_is_made_when_it_is_wanted(three):
    assert states(three, 1) == {1: "self", 2: "idle", 3: "idle"}
    trips = three.tool(1, "ping", "2", "-c", "20")
    assert trips["node"] == 2 and trips["round_trips"]["count"] == 20
    assert 0 < trips["round_trips"]["min_ns"] <= trips["round_trips"]["p99_ns"] < 1e9
    assert states(three, 1) == {1: "self", 2: "up", 3: "idle"}
    assert states(three, 2)[1] == "up" and states(three, 3) == {1: "idle", 2: "idle", 3: "self"}
    assert three.tool(1, "status")["peers"] == 2


def test_list_and_show_know_the_segments_of_all_nodes(three):
    (two, id_two), (four, id_three) = serve(three, 2), serve(three, 3)
    listed = three.tool(1, "list")
    assert {(s["node"], s["id"], s["command"]) for s in listed["segments"]} == {(2, id_two, "causeway-bench"), (3, id_three, "causeway-bench")}
    assert listed["silent"] == []
    assert [s["node"] for s in three.tool(1, "list", "--node", "3")["segments"]] == [3]
    assert three.tool(1, "list", "--node", "1")["segments"] == []
    shown = three.tool(1, "show", hex(id_two))
    assert {s["node"] for s in shown} == ({2, 3} if id_two == id_three else {2})
    assert [s["node"] for s in three.tool(1, "show", hex(id_two), "--node", "2")] == [2]
    end(two, four)
    eventually(lambda: not three.tool(1, "list")["segments"])


def test_a_segment_shows_its_importers_on_other_nodes(three):
    server, segment = serve(three, 2)
    bench = subprocess.Popen(["causeway", "cluster", "run", "-d", str(three.dir), "-n", "1", "--", "causeway", "bench", "2"],
                             stdout=subprocess.DEVNULL)
    importers = eventually(lambda: three.tool(2, "show", hex(segment), "--node", "2")[0]["importers"])
    assert [(i["command"], i["rights"], i["state"]) for i in importers] == [("causeway", "rw", "connected")]
    row = next(r for r in three.tool(2, "nodes")["nodes"] if r["node"] == 1)
    assert (row["state"], row["guests"], row["imports"]) == ("up", 1, 0)
    end(bench, server)


def test_a_node_that_does_not_answer_is_named_and_the_others_are_shown(three):
    server, segment = serve(three, 2)
    three("kill", "-n", 3)
    listed = json.loads((result := three.run("run", "-n", 1, "--", "causeway", "list", "--json")).stdout)
    assert result.returncode == 0
    assert [s["id"] for s in listed["segments"]] == [segment]
    assert [s["node"] for s in listed["silent"]] == [3]
    assert "causeway: node 3: the node does not answer: " in result.stderr and "nobody listens there" in result.stderr
    for command in ["list", "--node", "3"], ["ping", "3"], ["bench", "3"]:
        said = three.fails("run", "-n", 1, "--", "causeway", *command)
        assert "node 3" in said and "does not answer" in said and "nobody listens" in said
    end(server)


def test_no_answer_takes_no_longer_than_the_detection_time(three):
    three.tool(1, "ping", "2")
    daemon = three.status()[2]["daemon"]
    os.kill(daemon, signal.SIGSTOP)
    began = time.monotonic()
    assert "does not answer" in three.fails("run", "-n", 1, "--", "causeway", "ping", "2")
    assert time.monotonic() - began < (2 * DETECTION + 0.5) * SLOW
    os.kill(daemon, signal.SIGCONT)
    eventually(lambda: three.run("run", "-n", 1, "--", "causeway", "ping", "2").returncode == 0)


def test_bench_measures_put_get_and_signals(three):
    assert "causeway bench --serve" in three.fails("run", "-n", 1, "--", "causeway", "bench", "2")
    server, _ = serve(three, 2)
    rows = three.tool(1, "bench", "2")["rows"]
    assert {(r["work"], r["size"]) for r in rows} == {(w, n) for w in ("put", "get") for n in (8, 64, 512, 4096, 65536, 1 << 20)} | {("signal", None)}
    assert all(0 < r["min"] <= r["median"] <= r["p99"] for r in rows)
    end(server)


def test_bench_ends_when_the_other_node_does(three):
    server, _ = serve(three, 2)
    bench = subprocess.Popen(["causeway", "cluster", "run", "-d", str(three.dir), "-n", "1", "--", "causeway", "bench", "2"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    three("kill", "-n", 2)
    assert bench.wait(10 * SLOW) == 1
    assert "node 2 is lost" in bench.stderr.read()
    server.wait()


# --- doctor ---------------------------------------------------------------------------------------

def doctor(c, node):
    result = c.run("run", "-n", node, "--", "causeway", "doctor", "--json")
    return {check["check"]: check for check in json.loads(result.stdout)["checks"]}


def test_doctor_says_how_it_stands_with_each_node(three):
    checks = doctor(three, 1)
    for node in 2, 3:
        assert checks[f"node {node}"]["result"] == "ok"
        assert re.search(r"reached and key accepted, causewayd \S+, .*round trip \d+ us, lost after 0.5 s", checks[f"node {node}"]["found"])
        assert re.match("tcp, congestion control .*; no RDMA|tcp, congestion control .*; RDMA device", checks[f"data of node {node}"]["found"])
    assert "node 1" not in checks


def test_doctor_tells_causes_apart(three):
    keys = three.dir / "3" / "keys"
    three("kill", "-n", 2)
    keys.write_text(re.sub("^1 .*", "1 " + "0" * 64, keys.read_text(), flags=re.M))
    three.ask(3, "causeway", "reload")
    three.ask(1, "causeway", "node", "add", 4, "127.0.0.1:9")
    three.ask(1, "causeway", "node", "add", 5, "no-such-host.invalid:9")
    (three.dir / "1" / "keys").open("a").write("5 " + "0" * 64 + "\n")
    three.ask(1, "causeway", "reload")
    checks = doctor(three, 1)
    assert [checks[f"node {n}"]["result"] for n in (2, 3, 4, 5)] == ["failed"] * 4
    assert "start causewayd there" in checks["node 2"]["remedy"] and f"{three.dir}/1/causeway.conf:" in checks["node 2"]["remedy"]
    assert "--replace 3" in checks["node 3"]["remedy"]
    assert "causeway keygen -d DIR 1 4" in checks["node 4"]["remedy"]
    assert "nodes.conf" in checks["node 5"]["remedy"] and "resolver" in checks["node 5"]["remedy"]


# --- the node list --------------------------------------------------------------------------------

def test_a_node_joins_and_leaves_while_the_others_run(cluster):
    cluster("start", "--ids", "1,2")
    other = Cluster(cluster.dir / "more")
    subprocess.run(["causeway", "keygen", "-d", str(cluster.dir), "3"], check=True, capture_output=True)
    (cluster.dir / "more").mkdir(mode=0o700)
    (cluster.dir / "more" / "3").mkdir(mode=0o700)
    other("start", "--ids", "3")
    address = other.status()[3]["address"]
    other("stop")
    (cluster.dir / "more" / "3" / "keys").touch(0o600)
    (cluster.dir / "more" / "3" / "keys").write_bytes((cluster.dir / "3" / "keys").read_bytes())
    drop_ins = cluster.dir / "more" / "3" / "causeway.conf.d"
    drop_ins.mkdir()
    rows = cluster.status()
    drop_ins.joinpath("others.conf").write_text("[Nodes]\n" + "".join(f"{n} = {r['address']}\n" for n, r in rows.items()))
    other("start", "--ids", "3")
    address = other.status()[3]["address"]
    try:
        life = cluster.incarnation(1)
        for node in 1, 2:
            said = cluster.ask(node, "causeway", "node", "add", 3, address)
            assert f"Node 3 is {address}" in said and "nodes.conf" in said
            assert f"'causeway node add 3 {address}'" in said
            cluster.ask(node, "causeway", "reload")
        for node, c in (1, cluster), (2, cluster):
            assert c.tool(node, "ping", "3")["node"] == 3
        assert other.tool(3, "ping", "2")["node"] == 2
        assert "is out of" in cluster.ask(1, "causeway", "node", "remove", 3)
        assert states(cluster, 1).keys() == {1, 2}
        assert "no such node" in cluster.fails("run", "-n", 1, "--", "causeway", "ping", "3")
        assert cluster.incarnation(1) == life
    finally:
        other("stop")


def test_what_the_daemon_does_not_take_is_taken_back(three):
    drop_in = three.dir / "1" / "causeway.conf.d" / "nodes.conf"
    own = three.status()[1]["address"]
    said = three.fails("run", "-n", 1, "--", "causeway", "node", "add", 1, "127.0.0.1:9")
    assert "goes on with what it had" in said and "own address" in said
    assert not drop_in.exists()
    three.ask(1, "causeway", "node", "add", 9, "h9")
    before = drop_in.read_text()
    three.fails("run", "-n", 1, "--", "causeway", "node", "add", 1, "127.0.0.1:9")
    assert drop_in.read_text() == before
    assert three.tool(1, "nodes")["nodes"][0]["address"] == own


def test_only_lines_of_the_node_in_question_change(three):
    drop_in = three.dir / "1" / "causeway.conf.d" / "nodes.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("# ours\n[Limits]\nMaxSegmentsPerUser = 77\n\n[Nodes]\n# the old one\n 8 = h8:8  \n")
    three.ask(1, "causeway", "node", "add", 9, "[::1]:9")
    assert drop_in.read_text() == "# ours\n[Limits]\nMaxSegmentsPerUser = 77\n\n[Nodes]\n9 = [::1]:9\n# the old one\n 8 = h8:8  \n"
    three.ask(1, "causeway", "node", "add", 8, "other")
    assert states(three, 1).keys() == {1, 2, 3, 8, 9}
    three.ask(1, "causeway", "node", "remove", 9)
    assert drop_in.read_text() == "# ours\n[Limits]\nMaxSegmentsPerUser = 77\n\n[Nodes]\n8 = other\n# the old one\n"
    assert drop_in.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in drop_in.parent.iterdir()] == ["nodes.conf"]


def test_a_file_that_is_read_later_wins_and_is_named(three):
    later = three.dir / "1" / "causeway.conf.d" / "zzz.conf"
    later.parent.mkdir()
    later.write_text("[Nodes]\n9 = elsewhere\n")
    said = three.fails("run", "-n", 1, "--", "causeway", "node", "add", 9, "here")
    assert f"{later}:2" in said and "elsewhere" in said
    said = three.fails("run", "-n", 1, "--", "causeway", "node", "remove", 2)
    assert f"{three.dir}/1/causeway.conf:" in said and "causeway reload" in said


def test_a_node_without_a_number_cannot_have_peers(world):
    node = world.node()
    out = subprocess.run(["causeway", "node", "add", "2", "h"], capture_output=True, text=True, timeout=20,
                         env=dict(os.environ, CAUSEWAY_SOCKET=str(node.socket)))
    assert out.returncode == 1 and "NodeId=" in out.stderr


@needs_root
def test_only_root_and_the_daemons_user_may_have_it_reload(three):
    three.dir.chmod(0o755)
    (three.dir / "1").chmod(0o755)
    result = subprocess.run(["causeway", "reload"], capture_output=True, text=True, timeout=20,
                            env=dict(os.environ, CAUSEWAY_SOCKET=f"{three.dir}/1/socket"), **as_user(ORDINARY))
    assert result.returncode == 1 and "only root" in result.stderr


# --- cables ---------------------------------------------------------------------------------------

@netns
def test_a_node_that_is_cut_off_is_away_then_lost_then_back(cluster):
    cluster("start", "-n", 2, "--netns", "--detection", "600ms")
    server, _ = serve(cluster, 2)
    bench = cluster.on(1, "sh", "-c", "while causeway bench 2 >/dev/null 2>&1; do :; done")
    eventually(lambda: states(cluster, 1)[2] == "up")
    cluster("cut", "-n", 2)
    eventually(lambda: states(cluster, 1)[2] not in ("up",), 3)
    said = cluster.fails("run", "-n", 1, "--", "causeway", "ping", "2")
    assert "node 2" in said
    cluster("heal", "-n", 2)
    eventually(lambda: cluster.run("run", "-n", 1, "--", "causeway", "ping", "2").returncode == 0, 8)
    end(bench, server)
