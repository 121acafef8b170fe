# SPDX-License-Identifier: Apache-2.0
"""Quotas and versions: refusals are clear, and nothing leaks."""
import pytest

import wire
from world import NO_MEMORY, NO_RESOURCES, ORDINARY, STRANGER, eventually, fill, needs_root

BAD_LENGTH = 20


def limited(world, **limits):
    return world.node(config="[Limits]\n" + "".join(f"{k}={v}\n" for k, v in limits.items()))


def test_a_segment_above_the_limit_is_refused(world):
    node = limited(world, MaxSegmentBytes="1M")
    agent = world.agent(node)
    agent.good("alloc", 0, 2 << 20)
    assert agent.create(0, 0) == BAD_LENGTH
    agent.good("create", 0, 0, 0, 1 << 20)


def test_the_quota_of_bytes_gives_32_and_leaves_the_memory_as_it_is(world):
    node = limited(world, MaxBytesPerUser="1M")
    one, other = world.agent(node), world.agent(node)
    one.export(0, 768 << 10)
    for _ in range(3):
        other.good("alloc", 0, 512 << 10)
        other.good("fill", 0, 9)
        assert other.create(0, 0) == NO_MEMORY
        assert other.load(0, 0, 4096) == fill(4096, 9)
        assert node.counts() == {"n_segments": 1, "n_imports": 0, "bytes": 768 << 10}
        other.good("free", 0)
    one.good("destroy", 0)
    assert other.export(0, 1 << 20)


def test_the_quota_of_segments_gives_31(world):
    node = limited(world, MaxSegmentsPerUser=3)
    agent = world.agent(node)
    for i in range(3):
        agent.export(i, 4096)
    agent.good("alloc", 3, 4096)
    for _ in range(20):
        assert agent.create(3, 3) == NO_RESOURCES
    agent.good("destroy", 0)
    agent.good("create", 3, 3)
    node.kill_daemon()
    assert agent.create(0, 0) == NO_RESOURCES, "a restart forgets no quota"


def test_the_quota_of_imports_gives_31(world):
    node = limited(world, MaxImportsPerUser=2)
    exporter, importer = world.agent(node), world.agent(node)
    id_ = exporter.export(0)
    importer.good("connect", 0, id_)
    importer.good("connect", 1, id_)
    for _ in range(20):
        assert importer.connect(2, id_) == NO_RESOURCES
    importer.good("disconnect", 0)
    importer.good("connect", 2, id_)


def test_the_quota_of_clients_gives_a_documented_code(world):
    node = limited(world, MaxClientsPerUser=3)
    agents = [world.agent(node) for _ in range(2)]
    clients = [wire.Client(node.socket)]
    refused = world.agent(node, controller=False)
    for _ in range(20):
        assert refused.controller(0) in (1, 3, 4, 16, 32), "the codes of rsm_get_controller"
    clients[0].close()
    eventually(lambda: refused.controller(0) == 0)
    refused.close()
    assert agents[0].export(0)
    world.agents.remove(refused)


@needs_root
def test_a_users_quota_does_not_touch_another_user(world):
    node = limited(world, MaxBytesPerUser="1M", MaxSegmentsPerUser=2)
    greedy, other = world.agent(node, uid=ORDINARY), world.agent(node, uid=STRANGER)
    greedy.export(0, 1 << 20)
    greedy.good("alloc", 1, 4096)
    assert greedy.create(1, 1) == NO_MEMORY
    assert other.export(0, 1 << 20)


@needs_root
def test_changing_identity_does_not_escape_the_quota(world):
    node = limited(world, MaxSegmentsPerUser=2)
    agent = world.agent(node)
    agent.export(0, 4096)
    agent.export(1, 4096)
    agent.good("seteuid", ORDINARY)
    agent.good("alloc", 2, 4096)
    assert agent.create(2, 2) == NO_RESOURCES


# --- versions -------------------------------------------------------------------------------------

def test_a_client_of_the_next_major_version_is_refused_clearly(world, node):
    with wire.Client(node.socket, hello=False) as c:
        reply = c.hello(major=wire.CONSTANT["WIRE_MAJOR"] + 1, minor=0)
        assert reply.status == wire.STATUS["VERSION"]
        assert (reply.major, reply.minor) == (wire.CONSTANT["WIRE_MAJOR"], wire.CONSTANT["WIRE_MINOR"])
        assert not reply.fds
        assert c.is_cut_off(1)


def test_a_client_of_the_next_minor_version_is_served(world, node):
    with wire.Client(node.socket, hello=False) as c:
        reply = c.hello(minor=wire.CONSTANT["WIRE_MINOR"] + 1)
        assert reply.status == 0 and len(reply.fds) >= 3
        c.welcome = reply
        c.must("PING")


@pytest.mark.parametrize("name", ["PING", "SEGMENT_CREATE", "NODE_STATUS"])
def test_fields_that_a_newer_client_added_are_ignored(world, node, name):
    with wire.Client(node.socket) as c:
        body = wire.pack_record(name.lower(), **({"space": 1, "size": 4096, "mode": 0o600} if name == "SEGMENT_CREATE" else {}))
        c.send_raw(wire.pack(wire.NUMBER[name], 77, body + b"\1" * 24))
        reply = c.receive()
        assert (reply.status, reply.serial) == (0, 77)
        reply.close()


def test_fields_that_an_older_client_does_not_know_are_zero(world, node):
    with wire.Client(node.socket) as c:
        c.send_raw(wire.pack(wire.NUMBER["LIST"], 77))
        reply = c.receive()
        assert (reply.status, reply.n) == (0, 0)


def test_a_message_that_this_version_does_not_know_is_refused_and_the_client_stays(world, node):
    with wire.Client(node.socket) as c:
        c.send_raw(wire.pack(0x3ff, 5, b"12345678"))
        reply = c.receive()
        assert (reply.status, reply.serial) == (wire.STATUS["NOT_SUPPORTED"], 5)
        c.serial = 5
        c.must("PING")
