# SPDX-License-Identifier: Apache-2.0
"""The checks of ./dev lint find what they are there for."""
import pathlib
import subprocess

TREE = pathlib.Path(__file__).resolve().parents[2]


def check_layers(tree):
    out = subprocess.run([TREE / "scripts" / "check-layers", tree], capture_output=True, text=True)
    return out.returncode, out.stdout


def write(tree, name, text):
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text)


def test_layers_lets_a_room_use_what_is_below_it(tmp_path):
    write(tmp_path, "src/core/a.c", '#include "core/a.h"\n#include <stdint.h>\n#include "wire/status.h"\n#include "base/fd.h"\n')
    assert check_layers(tmp_path) == (0, "")


def test_layers_names_file_and_line_of_an_arrow_backwards(tmp_path):
    write(tmp_path, "src/base/a.c", '#include "base/a.h"\n#include "core/engine.h"\n')
    code, out = check_layers(tmp_path)
    assert code == 1 and f"{tmp_path}/src/base/a.c:2: base may not include core" in out


def test_layers_keeps_foreign_libraries_in_their_rooms(tmp_path):
    write(tmp_path, "src/client/a.c", "#include <systemd/sd-event.h>\n")
    assert check_layers(tmp_path)[0] == 1


def test_layers_knows_every_room(tmp_path):
    write(tmp_path, "src/attic/a.c", "#include <stdint.h>\n")
    assert check_layers(tmp_path)[0] == 1


def test_layers_keeps_conformance_tests_to_public_headers(tmp_path):
    write(tmp_path, "tests/conformance/rsm/a.c", '#include "client/connection.h"\n')
    assert check_layers(tmp_path)[0] == 1


def page(tmp_path, example, name="x.3rsm"):
    text = ['.TH x 3rsm 2026-01-01 Causeway', ".SH NAME", "x \\- y", ".SH SYNOPSIS", ".B #include <stdio.h>", ".SH DESCRIPTION",
            "d", ".SH RETURN VALUE", "r", ".SH ERRORS", "e", ".SH EXAMPLES", ".EX", example, ".EE", ".SH SEE ALSO", "s"]
    write(tmp_path, name, "\n".join(text) + "\n")
    return subprocess.run([TREE / "scripts" / "check-man", tmp_path / name], capture_output=True, text=True)


def test_man_compiles_the_example(tmp_path):
    assert page(tmp_path, 'printf("%d\\en", 1);').returncode == 0
    broken = page(tmp_path, 'printf("%d\\en", nothing);')
    assert broken.returncode == 1 and "does not compile" in broken.stdout


def test_man_misses_a_section(tmp_path):
    write(tmp_path, "x.3rsm", ".TH x 3rsm 2026-01-01 Causeway\n.SH NAME\nx \\- y\n")
    out = subprocess.run([TREE / "scripts" / "check-man", tmp_path / "x.3rsm"], capture_output=True, text=True)
    assert out.returncode == 1 and "has no section RETURN VALUE" in out.stdout
