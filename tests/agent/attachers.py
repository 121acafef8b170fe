# SPDX-License-Identifier: Apache-2.0
"""Programs of tests/sysv on several partitions (nodes)."""
import os
import select
import signal
import subprocess

from world import AGENT, SLOW, popen

FOLDER = AGENT.parents[1] / "sysv"
RMID, AUTORMID = 0, 15
RDONLY, CREAT, EXCL = 0o10000, 0o1000, 0o2000


class Failed(Exception):
    """Of a call; its text is the name of errno, or SIGBUS."""


class Attacher:
    """A process: p.get(key, size, flags) … return numbers, or raise Failed."""

    def __init__(self, nodes, node, **kwargs):
        env = dict(os.environ, CAUSEWAY_SOCKET=str(nodes.socket(node)), CAUSEWAY_CLUSTER_NODE=f"{nodes.cluster.dir}/{node}")
        self.node, self.seconds = node, 20
        self.process = popen([str(FOLDER / "attacher")], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", **kwargs)
        self.pid = self.process.pid

    def say(self, verb, *args):
        self.process.stdin.write(" ".join(map(str, (verb, *args))).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self):
        """The answer to what was said last, within `seconds`: no call may wait for ever."""
        assert select.select([self.process.stdout], [], [], self.seconds * SLOW)[0], f"no answer from process {self.pid} on node {self.node}"
        word, *values = self.process.stdout.readline().decode().split() or ["ended"]
        if word != "ok":
            raise Failed(word)
        return values

    def __getattr__(self, verb):
        def call(*args):
            self.say(verb.replace("_", "-"), *args)
            values = self.hear()
            return int(values[0]) if len(values) == 1 else [int(v, 8 if i == 2 else 10) for i, v in enumerate(values)]
        return call

    def partitions(self):
        self.say("list")
        return [int(v) for v in self.hear()]

    def n_attached(self, shmid):
        return self.stat(shmid)[0]

    def make(self, size, node=-1, mode=0o600):
        return self.get(self.key(node), size, CREAT | mode)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(10 * SLOW)
        self.process.stdout.close()
        return status
