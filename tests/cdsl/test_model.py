# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine against the model: at least 2,000 random steps in CI, fewer on a user's machine."""

import re
import subprocess
import sys

import pytest

from tests.conftest import IN_CI, REPOSITORY


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.needs("unshare")
def test_every_node_sees_what_the_model_says() -> None:
    wanted = 2000 if IN_CI else 150
    machine = [sys.executable, "-m", "tests.cdsl.machine", str(wanted)]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", *machine],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) steps", done.stdout)
    assert found is not None
    assert int(found[1]) >= wanted
