#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The objects that the vendor's headers have in the place of flags and other constants, for programs that were compiled with these.

    constants.py SISCI_API_H > constants.c
"""
import re
import sys

OTHERS = {"SCI_INFINITE_TIMEOUT", "SCI_LOCAL_HOST"}

print("/* Made by constants.py. */")
print("#include <sisci_api.h>")
for line in open(sys.argv[1]):
    name = re.match(r"#define\s+(\w+)\s+\S", line)
    if name and (name[1] in OTHERS or name[1].startswith(("SCI_FLAG_", "SCI_Q_"))):
        print(f"extern const unsigned int _SISCI_PUBLIC_CONST_{name[1]};")
        print(f'__attribute__((visibility("default"))) const unsigned int _SISCI_PUBLIC_CONST_{name[1]} = {name[1]};')
