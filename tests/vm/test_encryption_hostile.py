# SPDX-License-Identifier: Apache-2.0
"""Hostile nodes where kernels encrypt, and what encryption costs."""
import json
import statistics

import pytest

from encryption import node, pytest_inside, start


@pytest.mark.parametrize("kernel", ["6.1"], indirect=True, scope="module")
@pytest.mark.timeout(300)
def test_hostile_handshakes_and_records(vm, kernel):
    pytest_inside(vm(node(kernel)), "tests/sec/test_encryption.py", 290)


@pytest.mark.parametrize("kernel", ["6.12"], indirect=True, scope="module")
@pytest.mark.timeout(300)
def test_half_a_record_and_wrong_ones_where_poll_is_another(vm, kernel):
    pytest_inside(vm(node(kernel)), "tests/sec/test_encryption.py -k 'control or record'", 290)


@pytest.mark.timeout(300)
def test_what_it_costs_is_shown(vm, kernel):
    """Of a processor that is translated: the ratio says little about hardware. No figure fails this."""
    guest, rounds = vm(node(kernel)), []
    for how in ("off", "require"):
        start(guest, f"/tmp/{how}", how)
    for _ in range(5):
        rounds.append({how: {(row["work"], row["size"]): row["median"] for row in json.loads(
            guest.output(f"causeway cluster run -d /tmp/{how} -n 1 -- causeway bench 2 --json", seconds=60))["rows"]} for how in ("off", "require")})
    for how in ("off", "require"):
        guest.output(f"causeway cluster stop -d /tmp/{how}")
    print(f"\nkTLS / plain on {kernel}: median of {len(rounds)} rounds (least, most)")
    for work in rounds[0]["off"]:
        ratios = [r["require"][work] / r["off"][work] for r in rounds]
        print(f"{work[0]:7} {work[1] or '':>8} {statistics.median(ratios):6.2f} ({min(ratios):.2f}, {max(ratios):.2f})")
