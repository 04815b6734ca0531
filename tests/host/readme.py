# SPDX-License-Identifier: GPL-3.0-or-later
"""What README tells to type, word by word."""

import re

from tests.conftest import REPOSITORY


def commands(heading: str) -> list[list[str]]:
    """The blocks of commands under a heading of README.md, without the remarks behind them."""
    text = (REPOSITORY / "README.md").read_text()
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?m)(?:^    .*\n)+", section)
    return [[re.sub(r"\s{2,}# .*", "", line).strip() for line in block.splitlines()] for block in blocks]


#: on a fresh host, and then in the root that is to be shared
HOST, ROOT = commands("Your first real host")[:2]
#: of the first: up to the one by which osrd is installed
INSTALLATION = HOST[: next(number for number, line in enumerate(HOST, 1) if "osrd_*.deb" in line)]
#: what the first of all installs
PACKAGES = tuple(INSTALLATION[0].removeprefix("apt-get install ").split())
