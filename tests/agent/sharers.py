# SPDX-License-Identifier: Apache-2.0
"""Programs of tests/sharer on several nodes: started, met, judged."""
import os
import pathlib
import select
import subprocess
import time

import pytest

from world import AGENT, SLOW, popen

SHARER = AGENT.parents[1] / "sharer" / "sharer"


class Sharers:
    """One sharer a word of where: where[0] is the node of the exporter, the others import; all do the same work."""

    def __init__(self, nodes, work, where, rounds, pages=8, seed=1):
        self.nodes, self.work, self.where, self.programs, self.said = nodes, work, where, [], []
        common = [str(rounds), str(seed), str(pages)]
        self._start(where[0], [work, "0", str(len(where)), *common])
        line = self.read_line(0, 20)
        assert line.startswith("segment "), line
        self.segment = int(line.split()[1])
        for k, node in enumerate(where[1:], 1):
            self._start(node, [work, str(k), str(len(where)), *common, str(where[0]), str(self.segment)])

    def _start(self, node, arguments):
        env = dict(os.environ, CAUSEWAY_SOCKET=str(self.nodes.socket(node)), CAUSEWAY_CLUSTER_NODE=f"{self.nodes.cluster.dir}/{node}")
        self.programs.append(popen([str(SHARER), *arguments], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd="/"))
        self.said.append(b"")

    def read_line(self, k, seconds):
        """A line of program k, which must come within so many seconds, and before another fails: it may wait for that one."""
        end = time.monotonic() + seconds * SLOW
        while b"\n" not in self.said[k]:
            left = end - time.monotonic()
            if not select.select([self.programs[k].stdout], [], [], max(0, min(left, 1)))[0]:
                ended = [(j, p.stdout.read()) for j, p in enumerate(self.programs) if p.poll() not in (None, 0)]
                if ended or left <= 0:
                    pytest.fail(f"{self.work}: worker {k} on node {self.where[k]} said nothing within {seconds} s: {self.states()} {ended}")
                continue
            data = os.read(self.programs[k].stdout.fileno(), 65536)
            assert data, f"{self.work}: worker {k} on node {self.where[k]} ended"
            self.said[k] += data
        line, _, self.said[k] = self.said[k].partition(b"\n")
        return line.decode()

    def states(self):
        """For people: where each program stands."""
        def of(program):
            stat = pathlib.Path(f"/proc/{program.pid}/stat")
            return stat.read_text().split()[2] if stat.exists() else "gone"
        return [of(p) for p in self.programs]

    def meet(self, seconds=60):
        """Until all have the memory: the work begins."""
        for k in range(len(self.programs)):
            line = self.read_line(k, seconds)
            assert line == "met", f"{self.work}: worker {k}: {line}"

    def busy(self):
        """All are still at work."""
        return not select.select([p.stdout for p in self.programs], [], [], 0)[0]

    def finish(self, seconds=60):
        """What each said between "met" and "right": a list of lists of words."""
        reports = []
        for k in range(len(self.programs)):
            lines = []
            while (line := self.read_line(k, seconds)) != "right":
                assert line != "wrong" and not line.startswith("failed"), f"{self.work}: worker {k}: {lines} {line}"
                lines.append(line.split())
            reports.append(lines)
        for program in reversed(self.programs):
            program.stdin.close()
            assert program.wait(20 * SLOW) == 0
        return reports

    def abandon(self):
        for program in self.programs:
            program.kill()
            program.wait()
            program.stdin.close()
            program.stdout.close()
