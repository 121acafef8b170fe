# SPDX-License-Identifier: Apache-2.0
"""Several nodes on this machine, by causeway cluster, for tests: a fixture that leaves nothing running."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from world import SLOW, as_user, children, reap_orphans

netns = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2: network namespaces")


class Cluster:
    def __init__(self, directory, user=None):
        self.dir, self.user = directory, user

    def run(self, command, *args, **kw):
        return subprocess.run(["causeway", "cluster", command, "-d", str(self.dir), *map(str, args)], capture_output=True, text=True,
                              timeout=30 * SLOW, **as_user(self.user), **kw)

    def __call__(self, command, *args, **kw):
        """What it printed; it must succeed."""
        result = self.run(command, *args, **kw)
        assert result.returncode == 0, (command, args, result.stderr)
        return result.stdout

    def fails(self, command, *args):
        """What it said; it must fail."""
        result = self.run(command, *args)
        assert result.returncode == 1, (result.returncode, result.stdout, result.stderr)
        assert result.stderr.startswith("causeway: ")
        return result.stderr

    def status(self):
        return {row["node"]: row for row in json.loads(self("status", "--json"))["nodes"]}

    def on(self, node, *command):
        """A program on a node, that has begun."""
        process = subprocess.Popen(["causeway", "cluster", "run", "-d", str(self.dir), "-n", str(node), "--", "sh", "-c",
                                    'echo; exec "$@"', "sh", *map(str, command)], stdout=subprocess.PIPE, **as_user(self.user))
        assert process.stdout.readline() == b"\n"
        return process

    def ask(self, node, *command):
        return self("run", "-n", node, "--", *command)

    def tool(self, node, *args):
        """What causeway ARGS --json says on a node."""
        return json.loads(self.ask(node, "causeway", *args, "--json"))

    def incarnation(self, node):
        return self.tool(node, "status")["incarnation"]


@pytest.fixture
def directory():
    name = pathlib.Path(tempfile.mkdtemp(prefix="causeway-c-", dir="/tmp"))  # short: sockets lie in it
    yield name
    shutil.rmtree(name)


@pytest.fixture
def cluster(directory):
    c = Cluster(directory)
    yield c
    c.run("stop")
    reap_orphans()
    assert not children()
    assert not (directory / "cluster").exists()
