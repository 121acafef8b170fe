# SPDX-License-Identifier: Apache-2.0
"""What surrounds SISCI programs: the ids of nodes that an administrator sets, what scripts call, headers of the vendor's demos."""
import os
import pathlib
import re
import subprocess

import pytest

from cluster import Cluster, cluster, directory  # noqa: F401
from world import children, eventually

EXAMPLES = pathlib.Path(os.environ["CAUSEWAY_BUILD_DIR"], "examples")
IDS = "1:24 2:28"


def start(c, n, ids):
    for node in range(1, n + 1):
        (c.dir / str(node) / "causeway.conf.d").mkdir(parents=True)
        (c.dir / str(node) / "causeway.conf.d" / "sisci.conf").write_text(f"[Sisci]\nSisciId = {ids}\n")
    c("start", "-n", n)


def ids(c, node):
    """Its own id and those that answer it."""
    said = c.ask(node, EXAMPLES / "sisci-probe")
    return sorted(int(i) for i in re.findall(r"^Node (\d+) answers", said, re.M))


def test_ids_are_four_times_the_number(cluster):
    cluster("start", "-n", 2)
    assert ids(cluster, 1) == ids(cluster, 2) == [4, 8]


def test_ids_are_what_is_set(cluster):
    start(cluster, 3, IDS)
    for node in 1, 2, 3:
        assert ids(cluster, node) == [12, 24, 28]
    said = cluster.ask(2, EXAMPLES / "sisci-query")
    assert re.search(r"^.*node id.*\b28\b", said, re.M | re.I), said


def test_data_goes_to_the_id_that_is_set(cluster):
    start(cluster, 2, IDS)
    server = cluster.on(2, EXAMPLES / "sisci-dma", "-server", "-size", 100000, "-loops", 2)
    said = cluster.ask(1, EXAMPLES / "sisci-dma", "-client", "-rn", 28, "-size", 100000, "-loops", 2)
    assert "local node id 24, remote node id 28" in said and "; 0 came back wrong" in said
    assert server.wait(20) == 0
    server.stdout.close()


def test_two_nodes_with_one_id_are_refused(cluster):
    (cluster.dir / "1" / "causeway.conf.d").mkdir(parents=True)
    (cluster.dir / "1" / "causeway.conf.d" / "sisci.conf").write_text("[Sisci]\nSisciId = 1:8\n")
    assert "would both have the id 8" in cluster.fails("start", "-n", 2)
    eventually(lambda: not children())  # node 2, if it had begun


DEMO = """
#include <testlib.h>
#include <sisci_demolib.h>

int main(int argc, char **argv)
{
	unsigned int adapter, node;
	char version[80];
	timer_start_t timer;
	sci_error_t error;
	sci_desc_t sd;

	(void)argv;
	SCIInitialize(0, &error);
	SCIOpen(&sd, 0, &error);
	if (error || DetectFirstAdapterCard(&adapter, &node) || GetAPIVersionString(version, sizeof(version)))
		return 1;
	StartTimer(&timer);
	SleepMilliseconds(20);
	if (StopTimer(timer) < 20000 || EndianSwap(0x01020304) != 0x04030201)
		return 2;
	if (argc == 1)
		error = ReceiveInterrupt(sd, adapter, node, 77);
	else
		error = SendInterrupt(sd, adapter, node, 8, 77);
	SCIClose(sd, 0, &error);
	SCITerminate();
	return error ? 3 : 0;
}
"""


@pytest.fixture
def dis(tmp_path):
    subprocess.run(["causeway", "install-sisci", str(tmp_path / "DIS")], check=True, capture_output=True)
    return tmp_path / "DIS"


def test_scripts_learn_ids(cluster, dis):
    cluster("start", "-n", 2)
    assert cluster.ask(2, dis / "sbin" / "dis_config", "-gn") == "8\n"
    assert cluster.ask(2, dis / "sbin" / "disinfo", "get-nodeid") == "8\n"
    assert cluster.ask(2, dis / "sbin" / "disinfo", "get-nodeid", "-hostname", "localhost") == "8\n"
    unknown = cluster.run("run", "-n", 2, "--", dis / "sbin" / "disinfo", "get-nodeid", "-hostname", "nobody.invalid")
    assert unknown.returncode == 1 and "nobody.invalid" in unknown.stderr and not unknown.stdout
    assert cluster.run("run", "-n", 2, "--", dis / "sbin" / "dis_config", "-x").returncode == 2


def test_programs_find_the_headers_of_the_demos(cluster, dis, tmp_path):
    (tmp_path / "demo.c").write_text(DEMO)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{dis}/include", f"-I{dis}/include/dis", f"-I{dis}/src/SISCI/cmd/include",
             f"-I{dis}/src/SISCI/cmd/test/lib"]
    subprocess.run(["cc", *flags, str(tmp_path / "demo.c"), "-o", str(tmp_path / "demo"), f"-L{dis}/lib64", "-lsisci"],
                   check=True, env=os.environ | {"LD_LIBRARY_PATH": f"{dis}/lib64"})
    demo = ["env", f"LD_LIBRARY_PATH={dis}/lib64", tmp_path / "demo"]
    cluster("start", "-n", 2)
    receiver = cluster.on(2, *demo)
    cluster.ask(1, *demo, "send")
    assert receiver.wait(20) == 0
    receiver.stdout.close()
