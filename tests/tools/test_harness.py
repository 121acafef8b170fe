# SPDX-License-Identifier: Apache-2.0
"""The runner itself: what it counts, and that a program that hangs or leaves others behind does not pass."""
import importlib.machinery
import importlib.util
import json
import pathlib
import subprocess
import sys
import time

TREE = pathlib.Path(__file__).resolve().parents[2]


def load_runner():
    loader = importlib.machinery.SourceFileLoader("causeway_run", str(TREE / "tests" / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


runner = load_runner()


def item(script, seconds=10):
    return runner.Item("x", "y", ["/bin/sh", "-c", script], {}, "/", seconds, False)


def outcomes(script, seconds=10):
    results, _ = runner.run_item(item(script, seconds), "default")
    return [(r["outcome"], r["name"]) for r in results]


def test_every_line_of_tap_counts_once():
    assert outcomes("echo ok 1 - a; echo not ok 2 - b; echo ok 1 - a; echo 'not ok 3 # SKIP c'; exit 1") == [
        ("passed", "y: a"), ("failed", "y: b"), ("skipped", "y: c")]


def test_skips_get_their_reasons_in_order():
    results, _ = runner.run_item(item("echo skip: no zebra; echo skip: no gnu; echo 'not ok 1 # SKIP a'; echo ok 2 - b; "
                                      "echo 'not ok 3 # SKIP c'; echo 'ok 4 - d # SKIP no emu'"), "default")
    assert [(r["name"], r["reason"]) for r in results] == [
        ("y: a", "no zebra"), ("y: b", ""), ("y: c", "no gnu"), ("y: d", "no emu")]


def test_a_program_that_dies_after_its_last_line_has_failed():
    assert outcomes("echo ok 1 - a; kill -SEGV $$")[-1] == ("failed", "y")


def test_a_program_without_tap_is_judged_by_its_exit():
    assert outcomes("exit 0") == [("passed", "y")]
    assert outcomes("exit 77") == [("skipped", "y")]
    assert outcomes("exit 3") == [("failed", "y")]


def test_a_program_that_hangs_is_killed_with_its_children():
    begin = time.monotonic()
    results, _ = runner.run_item(item("sleep 86399 & echo $!; sleep 86399", 0.3), "default")
    assert results[-1]["reason"].startswith("killed after") and time.monotonic() - begin < 5


def test_a_sanitizer_report_of_any_process_fails_the_item():
    script = "d=${ASAN_OPTIONS##*log_path=}; echo bad > $d.1; echo ok 1 - a"
    assert outcomes(script)[-1] == ("failed", "y")


def test_a_process_left_behind_is_found_and_killed():
    program = """if True:
        import importlib.machinery, sys
        r = importlib.machinery.SourceFileLoader("r", sys.argv[1]).load_module()
        r.adopt_orphans()
        r.run_item(r.Item("x", "y", ["/bin/sh", "-c", "setsid sleep 86398 & sleep 1"], {}, "/", 9, False), "default")
        print(r.remove_orphans(0.2))
    """
    out = subprocess.run([sys.executable, "-Wignore", "-c", program, TREE / "tests" / "run"], capture_output=True, text=True, timeout=30)
    assert out.stdout.strip() == "['sleep 86398']", out.stderr


def test_a_skip_fails_in_ci_unless_it_is_allowed(tmp_path, capsys, monkeypatch):
    record = tmp_path / "record"
    lines = [{"row": "default", "suite": "x", "name": n, "outcome": o, "seconds": 0, "reason": "because"}
             for n, o in [("a", "passed"), ("b", "skipped")]]
    record.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setenv("CI", "false")
    assert runner.close([record], None) == 0
    assert capsys.readouterr().out.endswith("\n1 passed, 0 failed, 1 skipped\n")
    monkeypatch.setenv("CI", "true")
    assert runner.close([record], None) == 1
    assert capsys.readouterr().out.endswith("\n1 passed, 1 failed, 0 skipped\n")


def test_a_record_without_a_line_is_a_failure(tmp_path):
    assert runner.close([tmp_path / "none"], None) == 1
