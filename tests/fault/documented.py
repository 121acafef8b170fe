#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""documented.py MAN-DIRECTORY OUTPUT: the codes that each page of section 3rsm lists under ERRORS, as a C table."""
import pathlib
import re
import sys

pages, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
rows = []
for page in sorted(pages.glob("rsm_*.3rsm")):
    text = page.read_text()
    if text.startswith(".so "):
        text = (pages / pathlib.Path(text.split()[1]).name).read_text()
    errors = re.search(r"^\.SH ERRORS$(.*?)^\.SH", text, re.M | re.S)
    codes = re.findall(r"RSMERR_\w+", errors[1]) if errors else []
    names = "".join(f"{code}, " for code in dict.fromkeys(codes))
    rows.append(f'\t{{"{page.stem}", {{{names}RSM_SUCCESS}}}},\n')
output.write_text("".join(rows))
