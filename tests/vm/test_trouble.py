# SPDX-License-Identifier: Apache-2.0
"""The harness itself: what happens to a machine is told as it is, and nothing stays behind."""
import os
import pathlib
import select
import signal
import subprocess
import sys
import threading

import pytest

import kernels
import machine
from machine import Ended, Hung, Machine, Panicked


def test_a_panic_is_reported_with_the_last_lines_of_the_console(vm, kernel):
    guest = vm(Machine(kernel=kernel))
    with pytest.raises(Panicked, match="sysrq triggered crash") as caught:
        guest.output("echo 'the last words'; sleep 0.2; echo c >/proc/sysrq-trigger; sleep 60")
    assert "the last words" in str(caught.value)


def test_an_oops_is_a_panic(vm):
    """What the kernel would survive must not go unseen either: the machine takes every oops for a panic."""
    assert vm(Machine()).output("cat /proc/sys/kernel/panic_on_oops") == "1\n"


def test_what_hangs_is_cut_at_its_deadline_and_the_next_test_gets_another_machine(vm):
    guest = vm(Machine())
    with pytest.raises(Hung, match="no end within 2 s") as caught:
        guest.output("echo 'before it hung'; sleep 1000", seconds=2)
    assert "before it hung" in str(caught.value) and not guest.alive
    assert vm(Machine()).output("echo well") == "well\n"


def test_a_wait_that_something_else_ends_ends_the_machine_too(vm):
    guest = vm(Machine())

    def alarm(signum, frame):
        raise TimeoutError
    before = signal.signal(signal.SIGUSR1, alarm)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    with pytest.raises(TimeoutError):
        guest.output("sleep 1000")
    signal.signal(signal.SIGUSR1, before)
    assert not guest.alive


def test_a_machine_that_goes_down_is_told_from_one_that_panics(vm):
    with pytest.raises(Ended, match="the machine ended"):
        vm(Machine()).output("poweroff -f; sleep 60")


def test_a_machine_that_does_not_boot_is_cut_too(vm, monkeypatch):
    monkeypatch.setattr(machine, "BOOT_SECONDS", 0.1)
    with pytest.raises(Hung, match="booting"):
        vm(Machine(), fresh=True)


def test_each_line_of_a_test_program_is_a_result_of_its_own(vm, tmp_path, monkeypatch):
    monkeypatch.setenv("CAUSEWAY_TEST_REPORT", str(tmp_path / "report"))
    with pytest.raises(pytest.fail.Exception, match="1 of 3 failed: walks"):
        vm(Machine()).tap("echo 1..3; echo ok 1 - runs; echo not ok 2 - walks; echo 'ok 3 - flies # SKIP no wings'; exit 1")
    lines = (tmp_path / "report").read_text().splitlines()
    assert len(lines) == 3 and '"skipped"' in lines[2] and "no wings" in lines[2]


def test_a_test_program_that_ends_before_its_plan_has_failed(vm):
    with pytest.raises(pytest.fail.Exception, match="2 results of 3"):
        vm(Machine()).tap("echo 1..3; echo ok 1 - runs; echo ok 2 - walks")


def test_a_test_program_that_skips_gives_its_reason(vm):
    with pytest.raises(pytest.skip.Exception, match="no wings"):
        vm(Machine()).tap("echo skip: no wings; exit 77")


def test_without_a_kernel_the_remedy_is_named(vm, tmp_path, monkeypatch):
    monkeypatch.setenv("CAUSEWAY_CACHE", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="fetch-kernels"):
        vm(Machine(), fresh=True)


def test_a_fetch_without_network_says_so_and_leaves_nothing_half_done(tmp_path, monkeypatch):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apt-cache").write_text("#!/bin/sh\necho '  Depends: linux-image-6.1.0-99-amd64'\n")
    (tools / "apt-get").write_text("#!/bin/sh\necho 'E: could not resolve' >&2\nexit 100\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("CAUSEWAY_CACHE", str(tmp_path / "cache"))
    with pytest.raises(kernels.Missing, match="could not resolve.*network"):
        kernels.fetch("6.1")
    assert [f.name for f in (tmp_path / "cache" / "vm").iterdir()] == ["lock"]


def test_closing_leaves_neither_process_nor_file(vm):
    guest = vm(Machine())
    pid, folder = guest.process.pid, guest.console.parent
    guest.close()
    assert not pathlib.Path(f"/proc/{pid}").exists()
    vm(Machine())
    assert not folder.exists()


def test_a_machine_does_not_outlive_a_runner_that_is_killed(tmp_path):
    program = "import sys; sys.path[:0] = sys.argv[2:]; import machine, pathlib, time; " \
              "print(machine.Running(machine.Machine(), pathlib.Path(sys.argv[1])).process.pid, flush=True); time.sleep(60)"
    runner = subprocess.Popen([sys.executable, "-c", program, tmp_path, *sys.path], stdout=subprocess.PIPE, text=True)
    guest = os.pidfd_open(int(runner.stdout.readline()))
    runner.kill()
    runner.communicate()
    assert select.select([guest], [], [], 10)[0], "the machine still runs"
    os.close(guest)
