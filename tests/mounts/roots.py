# SPDX-License-Identifier: GPL-3.0-or-later
"""Small shared roots for tests, in either layout."""

import subprocess
from pathlib import Path

from osrd.model.cdsl import Layout

LAYOUT = Layout()
OLD = Layout(tree=".cluster/cdsl", shared=".cluster/shared", link=".cdsl.local")


def make_root(root: Path, layout: Layout = LAYOUT, nodes: tuple[str, ...] = ("1", "2"), *, old: bool = False) -> Path:
    """A root whose node trees say whose they are in the file ``who``."""
    for node in (*nodes, layout.default):
        tree = root / layout.node_tree(node)
        tree.mkdir(parents=True)
        (tree / "who").write_text(node)
    (root / layout.shared).mkdir(parents=True)
    if old:
        (root / layout.link).mkdir()
    else:
        (root / layout.mount_point).mkdir()
        (root / layout.link).symlink_to(layout.mount_point)
    return root


def who(root: Path, layout: Layout = LAYOUT) -> str:
    """Whose tree is at the link, "" when none is."""
    file = root / layout.link / "who"
    return file.read_text() if file.exists() else ""


def run(*argv: str | Path) -> None:
    subprocess.run([str(each) for each in argv], check=True)


def table() -> str:
    return Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
