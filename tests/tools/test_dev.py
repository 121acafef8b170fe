# SPDX-License-Identifier: Apache-2.0
"""./dev, and what README promises about the build tree."""
import os
import pathlib
import re
import subprocess
import tempfile

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
SANITIZED = os.environ.get("CAUSEWAY_TEST_ROW") in ("asan", "tsan")


def sh(script, **options):
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=50, **options)


def write(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture
def bare_tree():
    """./dev with its list of packages and nothing else, readable for everybody, and a dpkg-query that misses one package."""
    with tempfile.TemporaryDirectory() as name:
        tree = pathlib.Path(name)
        tree.chmod(0o755)
        write(tree / "dev", (TREE / "dev").read_text(), 0o755)
        write(tree / "scripts" / "packages", (TREE / "scripts" / "packages").read_text())
        write(tree / "bin" / "dpkg-query", '#!/bin/sh\n/usr/bin/dpkg-query "$@" | grep -v " meson$"\n', 0o755)
        write(tree / "bin" / "sudo", "#!/bin/sh\nexit 1\n", 0o755)
        yield tree


@pytest.mark.parametrize("command", ["demo", "test", "build", "env", "lint", "bench local", "deps"])
def test_without_packages_a_user_gets_the_line_to_run_and_exit_3(bare_tree, command):
    as_user = NOBODY if os.getuid() == 0 else []
    out = subprocess.run([*as_user, str(bare_tree / "dev"), *command.split()], capture_output=True, text=True, timeout=20,
                         stdin=subprocess.DEVNULL, env={"PATH": f"{bare_tree}/bin:/usr/bin:/bin", "HOME": "/nonexistent"})
    assert out.returncode == 3, out.stderr
    assert out.stdout == ""
    assert re.search(r"^ +apt-get update .* && apt-get install .*\bmeson\b", out.stderr, re.M)


def test_deps_lists_what_the_build_needs():
    listed = sh(f"'{TREE}/dev' deps --list build").stdout.split()
    assert "meson" in listed and "build-essential" in listed


def test_an_unknown_command_shows_the_usage():
    out = sh(f"'{TREE}/dev' dance")
    assert out.returncode == 2 and "usage: ./dev" in out.stderr


@pytest.fixture
def hello(tmp_path):
    program = re.search(r"^```c\n(.*?)^```$", (TREE / "README.md").read_text(), re.M | re.S)[1]
    (tmp_path / "hello.c").write_text(program)
    cc = sh("cc -Wall -Wextra -Werror hello.c $(pkg-config --cflags --libs rsm) -o hello", cwd=tmp_path)
    assert cc.returncode == 0, cc.stderr
    return tmp_path / "hello"


if not SANITIZED:  # a sanitizer's run-time library cannot be loaded into a program late
    def test_the_program_of_the_readme_does_what_it_says(hello):
        script = """
            coproc "$0" give
            giver=$COPROC_PID
            exec 3<&"${COPROC[0]}"
            read -r id <&3
            "$0" take "$id"
            cat <&3
            wait "$giver"
        """
        out = subprocess.run(["causeway", "run", "--", "bash", "-ec", script, hello], capture_output=True, text=True, timeout=30)
        assert (out.stdout, out.returncode) == ("Hello from another process.\n", 0), out.stderr


def test_the_flags_survive_a_blank_in_the_path_of_the_tree(tmp_path):
    tree = tmp_path / "a tree"
    write(tree / "include" / "rsmapi.h", "int rsm_one(void);\n")
    write(tree / "src" / "api" / "rsm" / "funcs.txt", "")
    write(tree / "build" / "src" / "api" / "rsm" / "one.c", "int rsm_one(void);\nint rsm_one(void) { return 1; }\n")
    write(tmp_path / "main.c", "#include <rsmapi.h>\nint main(void) { return rsm_one() - 1; }\n")
    functions = (TREE / "dev").read_text().split("\ncommand=${1:-}")[0]
    write(tree / "dev", functions + "\nprint_env default\n", 0o755)
    script = """
        cc -shared -fPIC -o "a tree/build/src/api/rsm/librsm.so" "a tree/build/src/api/rsm/one.c"
        eval "$('a tree/dev')"
        cc -o main main.c $(pkg-config --cflags --libs rsm)
        ./main
    """
    env = dict(os.environ, XDG_CACHE_HOME=str(tmp_path / "cache"))
    env.pop("CAUSEWAY_BUILDS", None)
    out = subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30)
    assert out.returncode == 0, out.stderr
