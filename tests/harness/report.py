# SPDX-License-Identifier: Apache-2.0
"""pytest plugin of tests/run: one JSON line a test, written at once, so that a killed run still tells what it did."""
import json
import os


def pytest_runtest_logreport(report):
    if report.when != "call" and report.outcome == "passed":
        return
    name = report.nodeid.split("::", 1)[-1]
    if report.when == "teardown":
        name += " (teardown)"
    reason = report.longrepr[2].removeprefix("Skipped: ") if report.skipped and isinstance(report.longrepr, tuple) else ""
    line = {"name": name, "outcome": report.outcome, "seconds": report.duration, "reason": reason}
    with open(os.environ["CAUSEWAY_TEST_REPORT"], "a") as f:
        f.write(json.dumps(line) + "\n")
