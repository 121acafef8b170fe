# SPDX-License-Identifier: Apache-2.0
"""What a user can do to root, who runs the tool in a directory of his."""
import os
import subprocess

import pytest

from world import ORDINARY, needs_root

pytestmark = needs_root
WORDS = (["cluster", "start", "-n", "1"], ["cluster", "stop"], ["cluster", "status"], ["keygen"])


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_the_tool_does_not_work_in_another_user_s_directory(tmp_path, words):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    mine = tmp_path / "mine"
    (mine / "1").mkdir(parents=True)
    for link in (".cluster", "cluster", "1/causeway.conf", "1/log", "1/keys", "1/.keys"):
        (mine / link).symlink_to(precious)
    for path in (mine, mine / "1"):
        os.chown(path, ORDINARY, ORDINARY)
    done = subprocess.run(["causeway", *words, "-d", str(mine), *(["1", "2"] if words == ["keygen"] else [])], capture_output=True, text=True, timeout=20)
    assert (done.returncode, "is not yours alone" in done.stderr) == (1, True), done
    assert precious.read_text() == "precious"
