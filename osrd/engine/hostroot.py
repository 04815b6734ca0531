# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared root as the daemon opens it: where a path does not say which node's copy is meant, it is that of the node
whose tree is mounted at the link on this host."""

import os
from collections.abc import Callable

from osrd.engine.sharedroot import Progress, SharedRoot
from osrd.model.cdsl import Members
from osrd.model.errors import NotFoundError
from osrd.observe.mounts import node_at_link


def open_root(
    path: str, members: Members, *, progress: Progress, cancelled: Callable[[], bool], wait: float
) -> SharedRoot:
    """The root at ``path``. Raises OsrdError, NotFoundError when nothing is there."""

    def bound() -> str:
        try:
            return node_at_link(os.path.realpath(path), root.inventory.layout)
        except NotFoundError:
            return ""

    root = SharedRoot(path, members, progress=progress, cancelled=cancelled, wait=wait, bound=bound)
    return root
