# SPDX-License-Identifier: Apache-2.0
"""TAP as our test programs print it, cmocka's included."""
import re


def reasons(text):
    """The reasons of skips, in order: "skip: REASON" or "# skipped: REASON" a line."""
    return re.findall(r"^(?:# )?skip(?:ped)?: (.*)", text, re.M | re.I)


def plan(text):
    """How many results there should be, or None."""
    m = re.search(r"^1\.\.(\d+)", text, re.M)
    return int(m[1]) if m else None


def parse(text):
    """(name, outcome, reason) of each result. Reasons of skips stand before them, in order. A number counts once, since a forked
    child may print its parent's buffer again."""
    seen, waiting = {}, reasons(text)
    for line in text.splitlines():
        m = re.match(r"(not )?ok (\d+)(?: -)? ?(.*?)\s*(?:# SKIP ?(.*))?$", line)
        if not m or m[2] in seen:
            continue
        if m[4] is None:
            seen[m[2]] = m[3], "failed" if m[1] else "passed", ""
        else:  # "name # SKIP reason" as the protocol has it, or "# SKIP name" as cmocka has it
            reason = (m[3] and m[4]) or (waiting.pop(0) if waiting else "")
            seen[m[2]] = m[3] or m[4], "skipped", reason
    return list(seen.values())
