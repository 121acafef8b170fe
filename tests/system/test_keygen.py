# SPDX-License-Identifier: Apache-2.0
"""causeway keygen: a key a pair of nodes, in files that only their nodes get."""
import json
import os
import pathlib
import subprocess

import pytest

from world import ORDINARY, as_user, needs_root


def keygen(directory, *args, **kw):
    return subprocess.run(["causeway", "keygen", "-d", str(directory), *map(str, args)], capture_output=True, text=True, timeout=20, **kw)


def keys(directory, node):
    """What node's file says: {peer: key}."""
    lines = (pathlib.Path(directory) / str(node) / "keys").read_text().splitlines()
    pairs = [line.split() for line in lines if not line.startswith("#")]
    assert len({peer for peer, _ in pairs}) == len(pairs)
    return {int(peer): key for peer, key in pairs}


def tree(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_each_pair_has_a_key_of_its_own_in_both_files(tmp_path):
    result = keygen(tmp_path / "k", 1, 2, 300)
    assert result.returncode == 0, result.stderr
    one, two, three = (keys(tmp_path / "k", n) for n in (1, 2, 300))
    assert one.keys() == {2, 300} and two.keys() == {1, 300} and three.keys() == {1, 2}
    assert one[2] == two[1] and one[300] == three[1] and two[300] == three[2]
    assert len({one[2], one[300], two[300]}) == 3
    assert all(len(bytes.fromhex(key)) == 32 for key in one.values())
    for node in 1, 2, 300:
        assert f"{tmp_path}/k/{node}/keys to node {node}" in result.stdout


def test_only_their_owner_can_read_them(tmp_path):
    old = os.umask(0)
    try:
        assert keygen(tmp_path / "k", 1, 2).returncode == 0
    finally:
        os.umask(old)
    for path in (tmp_path / "k", tmp_path / "k" / "1"):
        assert path.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "k" / "1" / "keys").stat().st_mode & 0o777 == 0o600


def test_a_second_time_makes_only_what_is_missing(tmp_path):
    keygen(tmp_path, 1, 2)
    before = tree(tmp_path)
    assert "Nothing was missing" in keygen(tmp_path, 2, 1).stdout
    assert tree(tmp_path) == before
    assert keygen(tmp_path, 3).returncode == 0
    assert keys(tmp_path, 1)[2] == keys(tmp_path, 2)[1] and bytes(keys(tmp_path, 1)[2], "ascii") in before[tmp_path / "1" / "keys"]
    assert keys(tmp_path, 3).keys() == {1, 2}


def test_a_file_that_went_to_its_node_comes_back_the_same(tmp_path):
    keygen(tmp_path, 1, 2, 3)
    before = keys(tmp_path, 2)
    (tmp_path / "2" / "keys").unlink()
    result = json.loads(keygen(tmp_path, 1, "--json").stdout)
    assert result["made"] == 0
    assert [f["node"] for f in result["files"] if f["changed"]] == [2]
    assert keys(tmp_path, 2) == before


def test_replace_makes_all_keys_of_one_node_new_and_no_others(tmp_path):
    keygen(tmp_path, 1, 2, 3)
    before = keys(tmp_path, 1)
    assert keygen(tmp_path, "--replace", 2).returncode == 0
    after = keys(tmp_path, 1)
    assert after[3] == before[3] == keys(tmp_path, 3)[1]
    assert after[2] != before[2] and after[2] == keys(tmp_path, 2)[1] and keys(tmp_path, 2)[3] == keys(tmp_path, 3)[2]


@pytest.mark.parametrize("text, where", [
    ("2\n", ":1: "), ("2 abc\n", ":1: "), ("# fine\n\n2 " + "0" * 63 + "g\n", ":3: "), ("x " + "0" * 64 + "\n", ":1: "),
    ("0 " + "0" * 64 + "\n", ":1: "), ("1 " + "0" * 64 + "\n", ":1: "), ("2 " + "0" * 64 + " more\n", ":1: "), ("\0\0", ":1: ")])
def test_a_file_that_is_none_is_named_and_stays(tmp_path, text, where):
    keygen(tmp_path, 1, 2)
    (tmp_path / "1" / "keys").write_text(text)
    before = tree(tmp_path)
    result = keygen(tmp_path, 3)
    assert result.returncode == 1
    assert f"{tmp_path}/1/keys{where}" in result.stderr and "--replace 1" in result.stderr
    assert tree(tmp_path) == before
    assert keygen(tmp_path, "--replace", 1).returncode == 0
    assert keys(tmp_path, 1) == {2: keys(tmp_path, 2)[1]}


def test_files_that_disagree_are_named_and_not_repaired_by_guessing(tmp_path):
    keygen(tmp_path, 1, 2)
    path = tmp_path / "2" / "keys"
    path.write_text(f"1 {'0' * 64}\n")
    result = keygen(tmp_path, 1, 2)
    assert result.returncode == 1 and "disagree" in result.stderr and "--replace" in result.stderr
    assert keys(tmp_path, 2) == {1: "0" * 64}


def test_a_file_that_others_may_read_counts_as_known_to_them(tmp_path):
    keygen(tmp_path, 1, 2)
    (tmp_path / "1" / "keys").chmod(0o640)
    result = keygen(tmp_path, 1, 2)
    assert result.returncode == 1 and "mode 0640" in result.stderr and "--replace 1" in result.stderr


def test_a_directory_that_others_may_write_is_refused(tmp_path):
    (tmp_path / "k").mkdir()
    (tmp_path / "k").chmod(0o777)
    result = keygen(tmp_path / "k", 1, 2)
    assert result.returncode == 1 and "not yours alone" in result.stderr


def test_one_node_alone_needs_no_key(tmp_path):
    result = keygen(tmp_path, 1)
    assert result.returncode == 1 and "name the others" in result.stderr


def test_several_at_once_agree(tmp_path):
    running = [subprocess.Popen(["causeway", "keygen", "-d", str(tmp_path), "1", "2", "3", str(10 + i)], stdout=subprocess.DEVNULL)
               for i in range(8)]
    assert [p.wait(20) for p in running] == [0] * 8
    nodes = [1, 2, 3, *range(10, 18)]
    for a in nodes:
        assert keys(tmp_path, a).keys() == set(nodes) - {a}
        assert all(keys(tmp_path, b)[a] == key for b, key in keys(tmp_path, a).items())


@needs_root
def test_what_cannot_be_written_is_said(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "k").mkdir(mode=0o755)
    result = keygen(tmp_path / "k", 1, 2, **as_user(ORDINARY))
    assert result.returncode == 1 and f"{tmp_path}/k" in result.stderr
    assert not list((tmp_path / "k").iterdir())
