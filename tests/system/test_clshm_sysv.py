# SPDX-License-Identifier: Apache-2.0
"""What programs count on of System V shared memory holds of clshm: one source, built with either, says the same."""
import os
import subprocess

import pytest

from attachers import FOLDER
from world import SLOW

PARTS = ["getting", "attaching", "places", "families", "removing", "rights", "nonsense", "together", "threads"]


def observations(program, part, node):
    result = subprocess.run([str(FOLDER / program), part], env=dict(os.environ, CAUSEWAY_SOCKET=str(node.socket)), stdout=subprocess.PIPE,
                            text=True, timeout=20 * SLOW)
    assert result.returncode == 0, result.stdout
    return result.stdout.splitlines()


@pytest.mark.parametrize("part", PARTS)
def test_clshm_does_what_system_v_does(world, node, part):
    seen = observations("sysv-clshm", part, node)
    assert seen == observations("sysv-kernel", part, node)
    assert seen or os.geteuid() != 0
