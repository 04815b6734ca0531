# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system that a com-* command works on: the root given with -r, and those mounted below it that have CDSLs
of their own (spec/cdsl.md 1.6)."""

import optparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from osrd.cli.com.program import Environment, warn
from osrd.cli.shared_root import Root, Work, below, find_root, interruptible, read_configuration
from osrd.model.cdsl import Members
from osrd.model.errors import UnsupportedError
from osrd.observe.inroot import directory_in_root


@dataclass(frozen=True, slots=True)
class Repository:
    """An opened file system. ``path`` is its directory on this host; ``mountpoint`` is where it is in the root, ""
    for the root's own."""

    root: Root
    path: str
    mountpoint: str
    members: Members


class Repositories:
    """Opens the file systems of a root. Paths of users and of inventories are kept inside the root."""

    def __init__(self, options: optparse.Values, environment: Environment) -> None:
        """Raises OsrdError for a root or a cluster.conf that is not there."""
        settings = read_configuration(environment.configuration)
        # A word without a slash is a directory for these commands, as ever.
        where = find_root(os.path.join(".", options.root), settings, options.clusterconf)
        known = where.members()
        warn(options, known.findings)
        self.top = where.path
        self.members = known.members
        self._options = options
        self._environment = environment

    @contextmanager
    def open(self, mountpoint: str = "") -> Iterator[Repository]:
        """The file system mounted at ``mountpoint`` in the root. Ctrl-C takes back what was begun."""
        mountpoint = "/".join(part for part in mountpoint.split("/") if part not in ("", "."))
        path, found = self.top, None
        if mountpoint:
            path, found = os.path.join(self.top, mountpoint), directory_in_root(self.top, mountpoint)
        with interruptible() as cancelled:
            work = Work(cancelled=cancelled, simulate=self._options.noexecute)
            with self._environment.open_root(path, self.members, work) as root:
                if found and not os.path.samestat(found, root.directory):
                    raise UnsupportedError(f"{path} is being exchanged for another directory", "look who does that")
                yield Repository(root, path, mountpoint, self.members)

    def place_of(self, word: str) -> str:
        """What a user means by ``word``, absolute in the root: from the current directory, without the root before
        it (spec/cdsl.md 2.2)."""
        return "/" + below(self.top, os.path.join(os.getcwd(), word))

    @contextmanager
    def home(self, outer: Repository, place: str) -> Iterator[tuple[Repository, str]]:
        """The file system that has ``place`` (of the root), and the place in it."""
        if outer.mountpoint:
            # Named with -m: a path that does not begin with it is meant to be in it already.
            prefix = f"/{outer.mountpoint}/"
            yield outer, place[len(prefix) - 1 :] if place.startswith(prefix) else place
            return
        wanted = os.path.normpath(place).lstrip("/")
        below_it = [
            each.path for each in outer.root.inventory.repositories if f"{wanted}/".startswith(f"{each.path}/")
        ]
        mountpoint = max(below_it, key=len, default="")
        if not mountpoint:
            yield outer, place
            return
        with self.open(mountpoint) as inner:
            yield inner, "/" + wanted[len(mountpoint) :].lstrip("/")
