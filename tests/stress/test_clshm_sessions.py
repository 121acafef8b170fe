# SPDX-License-Identifier: Apache-2.0
"""Sessions for clshm's sake: there while one process uses it, and nothing of them afterwards."""
import pathlib
import re
import time

from attachers import Attacher
from cluster import directory  # noqa: F401
from nodes import make  # noqa: F401
from world import SLOW, eventually

LINGER = 10  # seconds that a session without use stays


def wakeups(pid):
    """Of all threads."""
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (t / "status").read_text(), re.M)[1])
               for t in pathlib.Path(f"/proc/{pid}/task").iterdir())


def sessions(nodes):
    """Of each node with each other one: what they call their session; None: there is none."""
    return {(a, row["node"]): row.get("session") for a in (1, 2, 3)
            for row in nodes.cluster.tool(a, "nodes", "-o", "node,session")["nodes"] if row["node"] != a}


def test_sessions_are_kept_while_a_process_uses_clshm_and_no_longer(make):  # noqa: F811
    nodes = make(3, detection=1)
    p = Attacher(nodes, 2)
    eventually(lambda: p.partitions() == [1, 2, 3], 5, "three partitions")
    first = sessions(nodes)
    assert first[2, 1] and first[2, 3] and not first[1, 3]
    end = time.monotonic() + LINGER + 4
    while time.monotonic() < end:
        assert p.partitions() == [1, 2, 3]
        time.sleep(0.1)
    assert sessions(nodes) == first
    # a daemon that is replaced, of a node that uses nothing itself, is known again
    nodes.kill_daemon(3)
    end = time.monotonic() + LINGER + 2
    while time.monotonic() < end:
        assert p.partitions() == [1, 2, 3]
        time.sleep(0.1)
    assert sessions(nodes) == first
    p.kill()
    eventually(lambda: not any(sessions(nodes).values()), LINGER + 5, "no sessions")
    daemons = {node: nodes.daemon(node) for node in (1, 2, 3)}
    time.sleep(1.2)  # threads that close descriptors end
    before = {n: wakeups(pid) for n, pid in daemons.items()}
    time.sleep(5)
    after = {n: wakeups(pid) - before[n] for n, pid in daemons.items()}
    assert all(n <= (50 if SLOW > 1 else 0) for n in after.values()), after
    nodes.finish()
