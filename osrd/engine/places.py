# SPDX-License-Identifier: GPL-3.0-or-later
"""Where changes have to be noticed: the inputs, and everything that is published."""

import os
from collections.abc import Iterable, Mapping

from osrd.model.settings import Settings

#: Directory to the names of interest in it, None for every name.
Watched = Mapping[str, frozenset[str] | None]


def together(one: Watched, other: Watched) -> Watched:
    """Both at once."""
    joined = dict(one)
    for directory, names in other.items():
        known = joined.get(directory, frozenset())
        joined[directory] = None if known is None or names is None else known | names
    return joined


class Places:
    """Published paths, sorted into directories that are all osrd's and single files elsewhere; they only add up."""

    def __init__(self) -> None:
        self._directories: set[str] = set()
        self._files: set[str] = set()

    def remember(self, paths: Iterable[str], settings: Settings) -> None:
        owned = settings.tftp.directory + "/"
        for path in paths:
            if path.startswith(owned):
                self._directories.add(path.rpartition("/")[0])
            else:
                self._files.add(path)

    def watched(self, settings: Settings, inputs: Watched) -> Watched:
        """``inputs`` (kernels, templates), cluster.conf, and all that was remembered."""
        watched = dict(inputs)
        # A cluster.conf that is a symbolic link (into a directory under version control) changes at its other end.
        file = settings.cluster_conf
        for path in (file, os.path.realpath(file), *self._files):
            directory, name = os.path.split(path)
            names = watched.get(directory, frozenset())
            if names is not None:
                watched[directory] = names | {name}
        watched.update(dict.fromkeys(self._directories))
        return watched
