# SPDX-License-Identifier: Apache-2.0
"""A machine for tests: how one is described, and one that runs (QEMU, as whoever runs the tests, with nothing but pipes and a
folder of its own, so that any number of runs go on beside each other).

The host leads: run() does one shell command inside and gives its status and output, tap() counts the results of a test program
one by one. Every wait has a deadline. Whatever happens to a machine - it panics, it hangs, it ends - is an exception that says
so with the last lines of its console, and the machine is gone. A QEMU dies with the process that started it.
"""
import base64
import contextlib
import ctypes
import dataclasses
import itertools
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
import tty

import pytest

import initramfs
import kernels
import report
import tap

QEMU = "qemu-system-x86_64"
ACCELERATOR = os.environ.get("CAUSEWAY_VM_ACCEL", "tcg,thread=multi")  # works everywhere; see README.md
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
BOOT_SECONDS = 90
RUN_SECONDS = 30
CONSOLE_LINES = 40
LONGEST_REQUEST = 4000  # a terminal holds 4096 bytes


@dataclasses.dataclass(frozen=True)
class Node:
    """A NUMA node. Without processors it is memory only, as CXL memory is."""
    megabytes: int = 256
    cpus: int = 1


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a test asks for. Modules are loaded with what they need; files are named as initramfs.locate() knows them."""
    kernel: str = kernels.SERIES[-1]
    nodes: tuple = (Node(256, 2),)
    distances: tuple = ()  # a row a node; by default 10 to itself and 20 to others
    modules: tuple = ()
    files: tuple = ()
    append: str = ""  # to the kernel's command line

    def distance(self, a, b):
        return self.distances[a][b] if self.distances else 10 if a == b else 20


class Trouble(AssertionError):
    """A machine is gone; its text ends with the console's last lines."""


class Panicked(Trouble):
    pass


class Hung(Trouble):
    pass


class Ended(Trouble):
    pass


@dataclasses.dataclass
class Result:
    status: int
    output: str
    seconds: float


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def numa_options(description):
    options, first = [], 0
    for i, node in enumerate(description.nodes):
        cpus = f",cpus={first}-{first + node.cpus - 1}" if node.cpus else ""
        first += node.cpus
        options += ["-object", f"memory-backend-ram,id=m{i},size={node.megabytes}M", "-numa", f"node,nodeid={i},memdev=m{i}{cpus}"]
    for a, b in itertools.permutations(range(len(description.nodes)), 2):
        options += ["-numa", f"dist,src={a},dst={b},val={description.distance(a, b)}"]
    return options


def network_options(index, count, folder):
    """The wire between two machines: a socket of each, in their common folder."""
    if count == 1:
        return []
    mine, other = folder / f"net{index}", folder / f"net{1 - index}"
    return ["-netdev", f"dgram,id=net,local.type=unix,local.path={mine},remote.type=unix,remote.path={other}",
            "-device", f"virtio-net-pci,netdev=net,mac=52:54:00:00:09:0{index + 1},romfile="]


class Running:
    """A machine that runs. `index` of `count` is its place among those that start together and share `folder`."""

    def __init__(self, description, folder, index=0, count=1):
        if not shutil.which(QEMU):
            raise kernels.Missing(f"no {QEMU}: install the Debian package qemu-system-x86")
        self.description, self.name = description, f"vm{index + 1}"
        self.console, self.complaints, self._marks = folder / f"console{index}", folder / f"qemu{index}", itertools.count(1)
        kernel = kernels.find(description.kernel)
        archive = folder / f"initramfs{index}"
        modules = description.modules + (("virtio_pci", "virtio_net") if count > 1 else ())
        initramfs.build(archive, kernel, modules, description.files)
        words = f"console=ttyS0 panic=-1 oops=panic quiet net.ifnames=0 hostname={self.name} {description.append}"
        words += f" address=10.9.9.{index + 1}/24" if count > 1 else ""
        cpus = sum(node.cpus for node in description.nodes)
        command = [QEMU, "-accel", ACCELERATOR, "-cpu", "max", "-M", "q35", "-smp", str(cpus),
                   "-m", f"{sum(node.megabytes for node in description.nodes)}M", *numa_options(description),
                   "-nodefaults", "-display", "none", "-no-reboot", "-kernel", kernel.image, "-initrd", archive,
                   "-append", words, "-serial", f"file:{self.console}",
                   "-chardev", "stdio,id=requests,signal=off", "-serial", "chardev:requests",
                   *network_options(index, count, folder)]
        with open(self.complaints, "wb") as complaints:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
                                            bufsize=0, preexec_fn=die_with_parent)

    @property
    def alive(self):
        return self.process.poll() is None

    def wait_ready(self):
        self._answer("ready", BOOT_SECONDS, "booting")

    def run(self, command, seconds=RUN_SECONDS):
        """One shell command inside: its status, its output of both kinds, how long it took."""
        mark = f"@request-{next(self._marks)}@"
        request = f"{mark} {base64.b64encode(command.encode()).decode()}\n".encode()
        assert len(request) < LONGEST_REQUEST, "too long for a request: bring a script along as a file"
        begin = time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either, and that tells why
            self.process.stdin.write(request)
        status, output = self._answer(mark, seconds, command)
        return Result(status, output, time.monotonic() - begin)

    def output(self, command, seconds=RUN_SECONDS):
        """The output of a command that must succeed."""
        result = self.run(command, seconds)
        assert result.status == 0, f"{self.name}: {command} ended with {result.status}:\n{result.output}"
        return result.output

    def start(self, command):
        """A command that goes on in the background: its process id inside, and the file there that gets its output."""
        log = f"/tmp/output.{next(self._marks)}"
        return int(self.output(f"{{ {command}; }} >{log} 2>&1 & echo $!")), log

    def tap(self, command, seconds=RUN_SECONDS):
        """A test program inside: each line of its TAP is a result of its own, and the caller fails if one of them does."""
        result = self.run(command, seconds)
        lines = tap.parse(result.output)
        for name, outcome, reason in lines:
            report.add(name, outcome, 0.0, reason)
        if result.status == 77 and not lines:
            pytest.skip("; ".join(tap.reasons(result.output)))
        failed = [name for name, outcome, _ in lines if outcome == "failed"]
        planned = tap.plan(result.output)
        if failed or result.status != 0 or len(lines) != planned:
            pytest.fail(f"{self.name}: {command} ended with {result.status}, {len(lines)} results of {planned}, "
                        f"{len(failed)} of {len(lines)} failed: {', '.join(failed)}\n{result.output}", pytrace=False)

    def shell(self):
        """Joins this terminal with a shell inside, until that ends."""
        self.process.stdin.write(b"shell\n")
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        tty.setraw(terminal)
        try:
            while data := self._shell_output(terminal):
                os.write(sys.stdout.fileno(), data)
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)

    def _shell_output(self, terminal):
        while True:
            ready, _, _ = select.select([terminal, self.process.stdout], [], [])
            if terminal in ready:
                self.process.stdin.write(os.read(terminal, 256))
            if self.process.stdout in ready:
                return self.process.stdout.read(4096)

    def close(self):
        if self.alive:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def _answer(self, mark, seconds, what):
        """Waits for the line with this mark: the status in it, and all that came before. Without it the machine is of no more use,
        also if what ends the wait is the deadline of the whole test."""
        end, pattern = time.monotonic() + seconds, re.compile(re.escape(mark.encode()) + rb" (\d+)\n")
        data = b""
        try:
            while not (match := pattern.search(data)):
                if not select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                    raise Hung(self._story(f"no end within {seconds} s", data, what))
                chunk = self.process.stdout.read(65536)
                if not chunk:
                    raise self._end(data, what)
                data += chunk
        except BaseException:
            self.close()
            raise
        return int(match[1]), data[:match.start()].decode(errors="replace")

    def _end(self, data, what):
        self.process.wait()
        if self.console.exists() and b"Kernel panic" in self.console.read_bytes():
            return Panicked(self._story("the kernel panicked", data, what))
        return Ended(self._story("the machine ended", data, what))

    def _story(self, why, data, what):
        """All that is known about the end of a machine."""
        complaints = self.complaints.read_text(errors="replace")
        return (f"{self.name} (kernel {self.description.kernel}), {what}: {why}\n{data.decode(errors='replace')}{complaints}"
                f"--- the console's last lines\n{self._last_lines()}")

    def _last_lines(self):
        """The end of the console, without the kernel's guesses ("? ") at what else was on the stack."""
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return "\n".join([line for line in text.splitlines() if "]  ? " not in line][-CONSOLE_LINES:])
