# SPDX-License-Identifier: Apache-2.0
"""Python in a machine, with pytest: what Machine(files=...) needs for it. The same interpreter and modules as here."""
import importlib
import pathlib
import re
import sysconfig

PYTHON = pathlib.Path("/usr/bin/python3")
# Of the standard library: what no test needs, and large.
WITHOUT = {"__pycache__", "test", "tests", "idlelib", "lib2to3", "pydoc_data", "distutils", "ensurepip", "tkinter", "turtledemo", "asyncio",
           "xmlrpc", "sqlite3", "curses", "wsgiref", "dbm", "dist-packages", "site-packages", "venv", "config-3.11-x86_64-linux-gnu"}
PACKAGES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "attr", "py", "pytest_timeout", "pygments")


def below(root, without=frozenset()):
    return [p for p in sorted(root.rglob("*")) if p.is_file() and not without & set(p.relative_to(root).parts)]


def package(name):
    """The files of a package or module, where Python finds it."""
    file = pathlib.Path(importlib.import_module(name).__file__)
    return below(file.parent, {"__pycache__"}) if file.name == "__init__.py" else [file]


def files():
    """Pairs for Machine(files=...): the interpreter as /bin/python3, its library, pytest."""
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    found = below(library, WITHOUT)
    for name in PACKAGES:
        found += package(name)
    return ((str(PYTHON), "/bin/python3"), *((str(p), str(p)) for p in found))


def tree(*names):
    """Pairs for files of our tree, or of a folder of it, which lie in /tree there as here."""
    root, found = pathlib.Path(__file__).resolve().parents[2], []
    for name in names:
        path = root / name
        found += below(path, {"__pycache__"}) if path.is_dir() else [path]
    return tuple((str(p), f"/tree/{p.relative_to(root)}") for p in found)


def run_tests(guest, arguments, seconds, environment=""):
    """Runs pytest in /tree of the machine, and gives its output: all must pass, and there must be some."""
    result = guest.run(f"export CAUSEWAY_TEST_ROW=vm CAUSEWAY_BUILD_DIR=/build TMPDIR=/tmp {environment}; cd /tree && "
                       f"python3 -m pytest -p no:cacheprovider -q --color=no -p pytest_timeout -rfEs --timeout=100 --durations=0 {arguments}",
                       seconds=seconds)
    print(result.output)
    assert result.status == 0, result.output
    assert re.search(r"\d+ passed", result.output)
    return result.output
