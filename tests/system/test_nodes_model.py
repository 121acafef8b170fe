# SPDX-License-Identifier: Apache-2.0
"""A model knows every byte and every signal while daemons are killed and nodes are lost."""
import time

import pytest

from cluster import directory, netns  # noqa: F401
from nodes import make  # noqa: F401
from nodes_model import Model, Trouble


def run(model, things, seed, seconds):
    trouble = Trouble(things, seed)
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            model.step()
    finally:
        trouble.stop()
    model.finish()
    print(f"{model.calls} calls, slowest {model.slowest:.3f} s, {model.losses} losses; {trouble.done}")
    return trouble


def killers(nodes):
    def daemon(*victims):
        for node, old in [(v, nodes.kill_daemon(v)) for v in victims]:
            nodes.wait_restart(node, old)
    return {**{f"daemon {n}": lambda n=n: daemon(n) for n in (1, 2, 3)}, "daemons 1 and 2": lambda: daemon(1, 2),
            **{f"keeper {n}": lambda n=n: nodes.kill_keeper(n) for n in (1, 2)}}


def losses(nodes):
    def during(way, node, share):
        with way(node):
            time.sleep(share * nodes.detection)
    return {f"{way.__name__} {node} {share}": lambda way=way, node=node, share=share: during(way, node, share)
            for way in (nodes.cut, nodes.without_daemon, nodes.stopped, nodes.deaf) for node in (1, 2, 3) for share in (0.4, 1.5)}


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_or_done_twice_while_daemons_and_keepers_are_killed(make, seed):
    nodes = make(3, detection=5)
    footprints = nodes.warm_up()
    trouble = run(Model(nodes, seed), killers(nodes), seed, 8)
    assert len(trouble.done) >= 5
    nodes.finish(footprints)


@netns
@pytest.mark.parametrize("seed", [2])
def test_every_byte_is_the_old_or_the_new_one_while_nodes_are_lost(make, seed):
    nodes = make(3, netns=True, detection=0.5)
    model = Model(nodes, seed, lossy=True)
    trouble = run(model, losses(nodes), seed, 10)
    assert len(trouble.done) >= 3 and model.losses
    assert model.slowest < 2.2 * nodes.detection + 1 + nodes.lag
    nodes.finish()
