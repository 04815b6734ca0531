# SPDX-License-Identifier: GPL-3.0-or-later
"""One network per test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dhcp.network import Network


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    built = Network(tmp_path)
    try:
        built.build()
        yield built
    finally:
        built.remove()
