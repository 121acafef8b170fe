# SPDX-License-Identifier: Apache-2.0
"""Memory that several nodes have mapped is sequentially consistent: the classic litmus tests, locks, counters, and a model."""
import collections
import os
import time

import pytest

from cluster import directory, netns  # noqa: F401
from nodes import make  # noqa: F401
from sharers import Sharers
from world import SLOW

ROUNDS = int(os.environ.get("CAUSEWAY_LITMUS_ROUNDS", 300))
PLACES = {"home and another": [1, 2], "two others": [1, 2, 3], "three nodes": [2, 1, 3, 1], "several a node": [1, 1, 2, 2, 3, 3]}


@pytest.fixture(params=[pytest.param(False, id="loopback"), pytest.param(True, id="netns", marks=netns)])
def three(make, request):
    return make(3, netns=request.param, detection=5 * SLOW)


@pytest.fixture
def share():
    """share(nodes, work, where, rounds, …): what each of them said, after all went right. meanwhile(sharers) is called when they have begun."""
    made = []

    def run(*args, seconds=60, meanwhile=None, **kwargs):
        made.append(Sharers(*args, **kwargs))
        made[-1].meet(seconds)
        if meanwhile:
            meanwhile(made[-1])
        return made[-1].finish(seconds)
    yield run
    for sharers in made:
        sharers.abandon()


def outcomes(reports, workers):
    """How often each combination of what these workers read came up."""
    columns = [next(words[1] for words in reports[k] if words[0] == "results") for k in workers]
    return collections.Counter("".join(round_) for round_ in zip(*columns))


@pytest.mark.parametrize("where", [[1, 2], [2, 3], [1, 3]], ids=str)
def test_store_buffering_never_lets_both_read_the_old(three, share, where):
    reports = share(three, "store-buffering", where, ROUNDS)
    seen = outcomes(reports, (0, 1))
    assert seen["00"] == 0, seen
    assert len(seen) > 1, f"they never met: {seen}"


@pytest.mark.parametrize("where", [[1, 2], [2, 3]], ids=str)
def test_load_buffering_never_lets_both_read_what_comes_later(three, share, where):
    seen = outcomes(share(three, "load-buffering", where, ROUNDS), (0, 1))
    assert seen["11"] == 0, seen


@pytest.mark.parametrize("where", [[1, 2, 3, 1], [1, 1, 2, 3], [2, 3, 1, 3]], ids=str)
def test_all_see_independent_writes_in_one_order(three, share, where):
    seen = outcomes(share(three, "iriw", where, ROUNDS), (2, 3))
    # digit: x + 2 y. Worker 2 reads x, then y; worker 3 reads y, then x.
    assert seen["12"] == 0, f"x before y, and y before x: {seen}"


@pytest.mark.parametrize("where", PLACES.values(), ids=PLACES)
def test_who_sees_the_message_sees_its_content(three, share, where):
    reports = share(three, "message-passing", where, max(5 * ROUNDS, 500))  # the writer must not be through before readers look
    changes = [int(words[1]) for report in reports for words in report if words[0] == "changes"]
    assert len(changes) == len(where) - 1 and min(changes) > 2, changes


@pytest.mark.parametrize("where", PLACES.values(), ids=PLACES)
def test_nobody_sees_a_word_go_back(three, share, where):
    reports = share(three, "coherence", where, 20 * ROUNDS)
    assert all(int(words[1]) >= 0 for report in reports for words in report)


@pytest.mark.parametrize("where", [[1, 2], [1, 1, 2]], ids=str)
def test_peterson_keeps_two_nodes_apart(three, share, where):
    share(three, "peterson", where, ROUNDS)


@pytest.mark.parametrize("where", PLACES.values(), ids=PLACES)
def test_no_increment_is_lost(three, share, where):
    total = 1000 * ROUNDS
    reports = share(three, "counter", where, total)
    shares = [int(words[1]) for report in reports for words in report if words[0] == "own"]
    # each adds once more after the others have reached the end, or not at all
    assert total <= sum(shares) < total + len(where), shares


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("where", PLACES.values(), ids=PLACES)
def test_random_stores_with_false_sharing_are_what_the_model_says(three, share, where, seed):
    reports = share(three, "random", where, 40 * ROUNDS, pages=4, seed=seed, seconds=120)
    sums = {words[1] for report in reports for words in report if words[0] == "sum"}
    assert len(sums) == 1, "in the end all see the same"


@pytest.mark.parametrize("killed", [1, 2], ids=["another", "home"])
def test_a_daemon_may_be_killed_meanwhile(three, share, killed):
    """The programs live on, and what they see is still what the model says."""
    def kill(sharers):
        old = three.kill_daemon(killed)
        assert sharers.busy(), "the work was over too soon"
        three.wait_restart(killed, old)
    reports = share(three, "random", PLACES["three nodes"], 100 * ROUNDS, pages=4, seconds=120, meanwhile=kill)
    sums = {words[1] for report in reports for words in report if words[0] == "sum"}
    assert len(sums) == 1, "in the end all see the same"


@netns
@pytest.mark.parametrize("node", [1, 2, 4], ids=["one", "home", "another"])
def test_a_cable_may_be_cut_for_less_than_the_detection_time_meanwhile(make, share, node):
    """Four nodes, two processes on the one whose pages everybody wants: accesses wait, and go on."""
    nodes = make(4, netns=True, detection=5)

    def cut(sharers):
        for _ in range(3):
            assert sharers.busy(), "the work was over too soon"
            with nodes.cut(node):
                time.sleep(0.7)
            time.sleep(0.2)
    reports = share(nodes, "random", [2, 1, 3, 4, 1], 100 * ROUNDS, pages=4, seconds=120, meanwhile=cut)
    sums = {words[1] for report in reports for words in report if words[0] == "sum"}
    assert len(sums) == 1, "in the end all see the same"
