# SPDX-License-Identifier: Apache-2.0
"""A model knows every byte and every signal while daemons are killed and nodes are lost."""
import pytest

from cluster import directory, netns  # noqa: F401
from nodes import make  # noqa: F401
from nodes_model import Model, killers, losses, run


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_or_done_twice_while_daemons_and_keepers_are_killed(make, seed):
    nodes = make(3, detection=5)
    footprints = nodes.warm_up()
    trouble = run(Model(nodes, seed), killers(nodes), seed, 6)
    assert len(trouble.done) >= 5
    nodes.finish(footprints)


@netns
@pytest.mark.parametrize("seed", [2])
def test_every_byte_is_the_old_or_the_new_one_while_nodes_are_lost(make, seed):
    nodes = make(3, netns=True, detection=0.5)
    model = Model(nodes, seed, lossy=True)
    trouble = run(model, losses(nodes), seed, 7)
    assert len(trouble.done) >= 3 and model.losses
    assert model.slowest < 2.2 * nodes.detection + 1 + nodes.lag
    nodes.finish()
