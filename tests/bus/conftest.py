# SPDX-License-Identifier: GPL-3.0-or-later
from collections.abc import Iterator

import pytest

from tests.bus.running import PrivateBus
from tests.conftest import refuse


@pytest.fixture
def bus() -> Iterator[PrivateBus]:
    try:
        private = PrivateBus()
    except FileNotFoundError:
        refuse("not installed: dbus-daemon")
    yield private
    private.close()
