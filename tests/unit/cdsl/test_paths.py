# SPDX-License-Identifier: GPL-3.0-or-later
"""Where data is: the tables and trees of the original programs (spec/cdsl.md 2.3, 2.8)."""

import pytest

from osrd.model.cdsl import Cdsl, CdslType, Inventory, Layout, MarkerStyle
from osrd.plan.cdsl.paths import expanded, locate, public_of

HOST, SHARED = CdslType.HOSTDEPENDENT, CdslType.SHARED
GEN3 = Layout(".cluster/cdsl", ".cluster/shared", ".cdsl.local")
GEN2 = Layout(style=MarkerStyle.SUFFIX)


def chain(layout: Layout, *paths: str) -> Inventory:
    """CDSLs at ``paths``, from the outermost, alternating."""
    kinds = (HOST, SHARED)
    return Inventory(layout, tuple(Cdsl(path, kinds[k % 2], ("1", "2")) for k, path in enumerate(paths)))


LEVELS = ("h", "h/s", "h/s/h", "h/s/h/s", "h/s/h/s/h")
PLAIN = ("t/h", "t/h/t/s", "t/h/t/s/t/h", "t/h/t/s/t/h/t/s")


@pytest.mark.parametrize(
    ("layout", "paths", "data"),
    [
        (GEN3, LEVELS[:1], ".cluster/cdsl/1/h"),
        (GEN3, LEVELS[:2], ".cluster/shared/h/s"),
        (GEN3, LEVELS[:3], ".cluster/cdsl/1/h/.cdsl.s/h"),
        (GEN3, LEVELS[:4], ".cluster/shared/h/s/.cdsl.h/s"),
        (GEN3, LEVELS, ".cluster/cdsl/1/h/.cdsl.s/h/.cdsl.s/h"),
        (GEN3, PLAIN[:3], ".cluster/cdsl/1/t/h/t/.cdsl.s/t/h"),
        (GEN3, PLAIN, ".cluster/shared/t/h/t/s/t/.cdsl.h/t/s"),
        (GEN2, LEVELS[:2], "cluster/shared/h/s"),
        (GEN2, LEVELS[:3], "cluster/cdsl/1/h.cdsl/s/h"),
        (GEN2, LEVELS[:4], "cluster/shared/h.cdsl/s/h/s"),
        (GEN2, LEVELS, "cluster/cdsl/1/h.cdsl/s/h.cdsl/s/h"),
    ],
)
def test_data_is_where_the_original_puts_it(layout: Layout, paths: tuple[str, ...], data: str) -> None:
    inventory = chain(layout, *paths)
    assert data.endswith(expanded(inventory, inventory.cdsls[-1]))
    assert locate(inventory, paths[-1], "1") == data
    assert locate(inventory, f"{paths[-1]}/x/y", "1") == f"{data}/x/y"
    assert public_of(inventory, f"{data}/x/y") == f"{paths[-1]}/x/y"
