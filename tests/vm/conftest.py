# SPDX-License-Identifier: Apache-2.0
"""The fixture `vm`: running machines for a test, from their descriptions."""
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))

import kernels  # noqa: E402
from machine import Running  # noqa: E402

TEST_SECONDS = 150  # the deadlines of a machine are shorter and tell more


def pytest_addoption(parser):
    parser.addoption("--vm-shell", action="store_true", help="a shell in the first machine that a test talks to, then stop")


def pytest_collection_modifyitems(items):
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


class Machines:
    """The machines that run now. One set at a time: who asks for the same again, and they are all well, gets the same."""

    def __init__(self, attend):
        self.descriptions, self.running, self.folder, self.attend = (), [], None, attend

    def __call__(self, *descriptions, fresh=False):
        well = self.running and all(machine.alive for machine in self.running)
        if fresh or not well or descriptions != self.descriptions:
            self.close()
            self.start(descriptions)
        return self.running[0] if len(self.running) == 1 else list(self.running)

    def start(self, descriptions):
        assert 1 <= len(descriptions) <= 2, "one machine, or two with a wire between them"
        self.descriptions = descriptions
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vm-"))
        try:
            for i, description in enumerate(descriptions):
                self.running.append(Running(description, self.folder, i, len(descriptions)))
        except kernels.Missing as reason:
            pytest.skip(str(reason))
        for machine in self.running:
            machine.wait_ready()
            self.attend(machine)

    def close(self):
        for machine in self.running:
            machine.close()
        if self.folder:
            shutil.rmtree(self.folder)
        self.running, self.folder = [], None


def give_shell(machine):
    """Instead of the first command to any machine: the test's machines all run by then."""
    def instead(command, seconds=None):
        print(f"\r\n--- {machine.name}, kernel {machine.description.kernel}; the test would now run:\r\n    {command}\r\n"
              "--- the console is in", machine.console, "; leave with exit\r\n", flush=True)
        machine.shell()
        pytest.exit("left the shell", returncode=0)
    machine.run = instead


@pytest.fixture(scope="module")
def vm(request):
    """vm(Machine(...)) gives a running machine; vm(a, b) two that reach each other as vm1 and vm2, 10.9.9.1 and 10.9.9.2.
    With fresh=True nobody has used them before."""
    machines = Machines(give_shell if request.config.getoption("--vm-shell") else lambda machine: None)
    yield machines
    machines.close()


@pytest.fixture(scope="module", params=kernels.SERIES)
def kernel(request):
    """Each of Debian's kernels in turn."""
    return request.param
