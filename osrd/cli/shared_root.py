# SPDX-License-Identifier: GPL-3.0-or-later
"""The shared root that a command is about: found by path or by its name in osrd.conf, opened for direct work."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Protocol

import click

from osrd.cli.text import safe
from osrd.model.cdsl import Changed, Inventory, Layout, Members, Removal
from osrd.model.errors import NotFoundError, OsrdError
from osrd.model.finding import Finding
from osrd.model.settings import Settings

if TYPE_CHECKING:
    from osrd.engine.members import KnownMembers

Progress = Callable[[float, str], None]


class Root(Protocol):
    """The part of osrd.engine.sharedroot.SharedRoot that commands use."""

    @property
    def inventory(self) -> Inventory: ...
    @property
    def nodes(self) -> tuple[str, ...]: ...
    @property
    def bound(self) -> str: ...
    @property
    def directory(self) -> os.stat_result: ...
    def public(self, path: str) -> str: ...
    def init(self, layout: Layout | None = None, *, maxnodeidnum: int = 0, use_nodeids: bool = True) -> Changed: ...
    def make(self, path: str, nodes: Sequence[str] = (), *, orig: bool = False) -> Changed: ...
    def share(self, path: str, winner: str = "", *, orig: bool = False) -> Changed: ...
    def remove(self, path: str, removal: Removal = ...) -> Changed: ...
    def undo(self) -> Changed: ...
    def recover(self) -> Changed: ...
    def check(self) -> tuple[Finding, ...]: ...
    def repair(self) -> Changed: ...
    def rebuild(self, layout: Layout | None = None) -> Changed: ...
    def rebuilt(self, layout: Layout | None = None) -> Inventory: ...
    def convert(self) -> Changed: ...
    def adopt(self, tree: str, node: str) -> Changed: ...
    def archive(self, node: str) -> Changed: ...
    def backups(self) -> tuple[str, ...]: ...
    def drop_backup(self, name: str) -> Changed: ...
    def bind(self, link: str) -> Changed: ...
    def set(self, name: str, value: str) -> Changed: ...
    def add_node(self, node: str) -> Changed: ...
    def delete_node(self, node: str) -> Changed: ...
    def register(self, mountpoint: str) -> Changed: ...
    def dismantle(self, *, discard: bool = False) -> Changed: ...


@dataclass(frozen=True, slots=True)
class Work:
    """How direct work is watched and stopped; ``simulate``: say what would be done, and change nothing."""

    progress: Progress = lambda fraction, message: None
    cancelled: Callable[[], bool] = lambda: False
    simulate: bool = False


Opener = Callable[[str, Members, Work], "AbstractRoot"]


class AbstractRoot(Root, Protocol):
    """A Root that is closed at the end of a with block."""

    def __enter__(self) -> Root: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Where:
    """A shared root on this host. ``name`` is its section of osrd.conf, "" when it has none; ``clusterconf`` is the
    cluster.conf that the caller named, or ""."""

    path: str
    name: str = ""
    settings: Settings = field(default_factory=Settings)
    clusterconf: str = ""

    def members(self) -> "KnownMembers":
        """Raises what reading a cluster.conf that was named raises."""
        from osrd.engine.members import find_members

        return find_members(self.path, self.settings, self.clusterconf)


def read_configuration(file: str) -> Settings:
    """osrd.conf as far as it can be read: without it roots have no names, and all nodes use every root."""
    from osrd.observe.configuration import read_settings

    return read_settings(file)[0]


def find_root(word: str, settings: Settings, clusterconf: str = "") -> Where:
    """The root that a user means by ``word``. Raises NotFoundError.

    A word without a slash is first a name of osrd.conf; ``./NAME`` is always a directory.
    """
    section = next((root for root in settings.roots if root.name == word), None)
    if section and not section.path:
        raise NotFoundError(
            f"osrd.conf does not say where the root {word} is on this host", f"add `path =` to [root {word}]"
        )
    path = section.path if section else os.path.abspath(word)
    if not os.path.isdir(path):
        names = ", ".join(root.name for root in settings.roots)
        known = f"give a directory, or one of the roots of osrd.conf: {names}" if names else "give a directory"
        raise NotFoundError(f"{path}: there is no such directory", known)
    if section is None:
        from osrd.engine.members import section_of

        section = section_of(path, settings)
    return Where(path, section.name if section else "", settings, clusterconf)


def path_in_root(root: str, path: str) -> str:
    """What a user means by ``path``, relative to the root (no leading slash, ``.`` and ``..`` still in it).

    Absolute: as a program on a node would say it, or with the root's own path before it. Relative: from the current
    directory when that is in the root, else from the root.
    """
    if os.path.isabs(path):
        return below(root, path)
    here = below_real(root, os.getcwd())
    return os.path.join(here, path) if here is not None else path


def below(root: str, path: str) -> str:
    """An absolute path without the root before it."""
    for prefix in dict.fromkeys((os.path.normpath(root), os.path.realpath(root))):
        if prefix != "/" and (path == prefix or path.startswith(prefix + "/")):
            return path[len(prefix) :].lstrip("/")
    return path.lstrip("/")


def below_real(root: str, path: str) -> str | None:
    """Where ``path`` is in the root, None when it is outside. Both are resolved on this host."""
    top, place = os.path.realpath(root), os.path.realpath(path)
    if place != top and not place.startswith(top.rstrip("/") + "/"):
        return None
    return place[len(top) :].lstrip("/")


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C (and SIGTERM) ask the work to take back what it began; asked twice, it stops at once, and the next
    command or any other host finishes or takes back what is left."""
    asked = False

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        click.echo("taking it back; once more to stop at once", err=True)

    kinds = (signal.SIGINT, signal.SIGTERM)
    # Ignored by whoever started us (nohup, a shell's background job) stays ignored.
    before = {kind: signal.signal(kind, ask) for kind in kinds if signal.getsignal(kind) is not signal.SIG_IGN}
    try:
        yield lambda: asked
    except OsrdError as error:
        if not asked:
            raise
        # Usually that it was cancelled, but perhaps that something could not be taken back.
        click.echo(safe(str(error)), err=True)
        raise KeyboardInterrupt from error
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def tell_warnings(findings: Sequence[Finding]) -> None:
    """On standard error, since standard output holds the result only."""
    for finding in findings:
        place = f"{finding.place}: " if finding.place else ""
        click.echo(f"{safe(place)}{finding.severity.value}: {safe(finding.message)} [{finding.code}]", err=True)


def tree_of(word: str, root: Root, members: Members) -> str:
    """The tree of the node that a user names by id, by name or by its tree. Raises NotFoundError for nobody's."""
    trees = known_trees(root, members)
    if word not in trees:
        known = ", ".join(dict.fromkeys(trees.values())) or "none"
        raise NotFoundError(f"there is no node {word}", f"known are: {known}; check cluster.conf")
    return trees[word]


def known_trees(root: Root, members: Members) -> dict[str, str]:
    """Everything that names a node of the root, and its tree."""
    inventory = root.inventory
    by_id = inventory.use_nodeids or inventory.maxnodeidnum > 0
    trees = tuple(inventory.layout.prefix + node_id for node_id in members.ids) if by_id else members.names
    known = dict(zip(members.names, trees, strict=True))
    # An id counts before a name that looks like one, and a tree before both.
    known |= zip(members.ids, trees, strict=True)
    mentioned = {node for cdsl in inventory.cdsls for node in cdsl.nodes}
    return known | {tree: tree for tree in (*trees, *root.nodes, *sorted(mentioned))}
