# SPDX-License-Identifier: Apache-2.0
"""pytest plugin of tests/run: one JSON line a test, written at once, so that a killed run still tells what it did."""
import json
import os


def write(name, outcome, seconds, reason):
    if "CAUSEWAY_TEST_REPORT" in os.environ:
        with open(os.environ["CAUSEWAY_TEST_REPORT"], "a") as f:
            f.write(json.dumps({"name": name, "outcome": outcome, "seconds": seconds, "reason": reason}) + "\n")


def add(name, outcome, seconds=0.0, reason=""):
    """One result more of the test that runs now, for a test that runs a program with many."""
    test = os.environ["PYTEST_CURRENT_TEST"].split("::", 1)[-1].rpartition(" ")[0]
    write(f"{test}: {name}", outcome, seconds, reason)


def pytest_runtest_logreport(report):
    if report.when != "call" and report.outcome == "passed":
        return
    name = report.nodeid.split("::", 1)[-1]
    if report.when == "teardown":
        name += " (teardown)"
    reason = report.longrepr[2].removeprefix("Skipped: ") if report.skipped and isinstance(report.longrepr, tuple) else ""
    write(name, report.outcome, report.duration, reason)
