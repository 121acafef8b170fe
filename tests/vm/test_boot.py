# SPDX-License-Identifier: Apache-2.0
"""The machines are what their descriptions say: kernels, nodes, distances, memory without processors, a wire between two."""
from machine import Machine, Node

NODES = "/sys/devices/system/node"
OF_THE_KERNEL = 80  # megabytes of a node that the kernel may keep for itself


def distances(machine, n):
    return [[int(d) for d in machine.output(f"cat {NODES}/node{i}/distance").split()] for i in range(n)]


def megabytes(machine, node):
    return int(machine.output(f"awk '/MemTotal/ {{ print $4 }}' {NODES}/node{node}/meminfo")) // 1024


def test_the_kernel_is_the_one_asked_for_with_modules_and_what_they_need(vm, kernel):
    machine = vm(Machine(kernel=kernel, modules=("rdma_rxe", "tls")))
    assert machine.output("uname -r").startswith(f"{kernel}.")
    assert {"rdma_rxe", "ib_core", "tls"} <= set(machine.output("ls /sys/module").split())


def test_four_nodes_have_their_sizes_processors_and_distances(vm, kernel):
    rows = ((10, 20, 30, 40), (20, 10, 20, 30), (30, 20, 10, 20), (40, 30, 20, 10))
    sizes = (256, 128, 192, 160)
    machine = vm(Machine(kernel=kernel, nodes=tuple(Node(size) for size in sizes), distances=rows))
    assert machine.output(f"cat {NODES}/online") == "0-3\n"
    assert distances(machine, 4) == [list(row) for row in rows]
    for i, size in enumerate(sizes):
        assert machine.output(f"cat {NODES}/node{i}/cpulist") == f"{i}\n"
        assert size - OF_THE_KERNEL <= megabytes(machine, i) <= size


def test_eight_nodes_of_which_six_have_no_processor(vm, kernel):
    machine = vm(Machine(kernel=kernel, nodes=(Node(192), Node(128)) + 6 * (Node(64, 0),)))
    assert machine.output(f"cat {NODES}/has_memory") == "0-7\n"
    assert machine.output(f"cat {NODES}/has_cpu") == "0-1\n"
    assert distances(machine, 8)[7] == 7 * [20] + [10]


def test_two_machines_reach_each_other_by_tcp(vm, kernel):
    server, client = vm(Machine(kernel=kernel), Machine(kernel=kernel))
    _, log = server.start("nc -l -p 7000")
    text = "through the wire between two machines"
    client.output(f"for i in $(seq 50); do echo '{text}' | nc -w 5 vm1 7000 && exit; sleep 0.1; done; exit 1")
    assert server.output(f"for i in $(seq 50); do grep . {log} && exit; sleep 0.1; done; exit 1") == f"{text}\n"
