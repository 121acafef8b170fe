# SPDX-License-Identifier: Apache-2.0
"""Several nodes for minutes: many seeds of the model."""
import pytest

from cluster import directory, netns  # noqa: F401
from nodes import make  # noqa: F401
from nodes_model import Model, killers, losses, run


@pytest.mark.parametrize("seed", range(100, 103))
def test_nothing_is_lost_or_done_twice_while_daemons_and_keepers_are_killed(make, seed):
    nodes = make(3, detection=5)
    footprints = nodes.warm_up()
    run(Model(nodes, seed), killers(nodes), seed, 20)
    nodes.finish(footprints)


@netns
@pytest.mark.parametrize("seed", range(200, 204))
def test_every_byte_is_the_old_or_the_new_one_while_nodes_are_lost(make, seed):
    nodes = make(3, netns=True, detection=0.5)
    footprints = nodes.warm_up()
    model = Model(nodes, seed, lossy=True)
    run(model, losses(nodes), seed, 20)
    assert model.losses
    assert model.slowest < 2.2 * nodes.detection + 1 + nodes.lag
    nodes.finish(footprints)
