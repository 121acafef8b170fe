#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The names that the vendor's headers give to every function, for who looks them up: a linker script of assignments.

    aliases.py FUNCS_TXT > aliases.ld
"""
import sys

for line in open(sys.argv[1]):
    words = line.split()
    if not words or words[0] == "#" or words[1] == "issue":
        continue
    for kind in "MT", "ST":
        print(f"_SISCI_PUBLIC_FUNC_{kind}_{words[0]} = {words[0]};")
