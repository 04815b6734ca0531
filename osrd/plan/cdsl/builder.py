# SPDX-License-Identifier: GPL-3.0-or-later
"""A transaction under construction: what is put where, on top of what is on the disk.

The builder knows what the disk will look like when its exchanges so far have happened. Missing directories on the way
to a new object become part of its build (the exchange is then at the highest of them), with the owner and mode of the
public directories that they stand for: a private directory must not become public in a node's tree (spec/cdsl.md 6.1
no. 16). Node trees that do not exist yet are copied from the template.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from osrd.model.cdsl import WORK, FileKind, Seen
from osrd.model.errors import ConflictError
from osrd.model.layout import within
from osrd.model.transaction import (
    CopyTree,
    DropLink,
    DropTree,
    Exchange,
    MakeDirectory,
    MakeLink,
    Replaces,
    Step,
    Transaction,
)
from osrd.plan.cdsl.index import Index, below, join, parent_path, prefixes
from osrd.plan.cdsl.links import moved
from osrd.plan.cdsl.sight import Look, Sight
from osrd.plan.cdsl.words import shown

#: characters of a path in the name of a backup
_NAME_LENGTH = 80
_DIRECTORY = Seen(FileKind.DIRECTORY, empty=True)


class Of(NamedTuple):
    """Whose an object is: the CDSL at this public path, as seen by this node."""

    src: str
    node: str


NOBODY = Of("", "")


@dataclass(slots=True)
class _Draft:
    """An Exchange that can still grow. Without ``steps`` it takes something away."""

    at: str
    replaces: Replaces = Replaces.NOTHING
    steps: list[Step] = field(default_factory=list)
    old_link: str | None = None
    keep: str = ""


@dataclass(frozen=True, slots=True)
class _Planned:
    """What will be at a path: ``seen`` itself (None: nothing), or, for what is below a copy, what is below
    ``source`` now."""

    seen: Seen | None
    source: str = ""


class Builder:
    """One transaction. ``when`` is the time that names its backups."""

    def __init__(self, index: Index, look: Look, when: str) -> None:
        self.index = index
        self.now = Sight(look)
        self._when = when
        self._drafts: list[_Draft] = []
        self._builds: dict[str, _Draft] = {}
        self._planned: dict[str, _Planned] = {}
        self._backups: dict[str, str] = {}

    def then(self, path: str) -> Seen | None:
        """What will be at the physical path."""
        for place in (path, *prefixes(path)):
            if (planned := self._planned.get(place)) is not None:
                if place == path:
                    return planned.seen
                return self.now(join(planned.source, below(path, place))) if planned.source else None
        return self.now(path)

    def backup(self, what: str, holder: str) -> str:
        """Where something of ``holder``, a node, is kept: a directory of this transaction's own, named by what it is
        about and the time. The names of holders are unique within it."""
        readable = re.sub(r"[^A-Za-z0-9._]+", "-", what, flags=re.ASCII).strip("-.")[:_NAME_LENGTH] or "root"
        directory = name = f"{WORK}/backup/{readable}-{self._when}"
        number = 2
        while what not in self._backups and (name in self._backups.values() or self.now(name) is not None):
            name, number = f"{directory}-{number}", number + 1
        return join(self._backups.setdefault(what, name), holder)

    def link(self, at: str, text: str, of: Of, keep: str = "") -> None:
        """A symlink at ``at``, in place of whatever is there."""
        self._put(at, [MakeLink("", text)], _Planned(Seen(FileKind.LINK, text)), of, keep)

    def copy(self, at: str, source: str, of: Of, keep: str = "", more: Sequence[Step] = ()) -> None:
        """A copy of ``source``, followed by the steps in ``more``, at ``at``. A symlink is copied as a symlink that
        means the same from there."""
        seen = self.now(source)
        if seen is not None and seen.kind is FileKind.LINK:
            self.link(at, self._moved(seen.text, source, at), of, keep)
        else:
            self._put(at, [CopyTree(source, "", at), *more], _Planned(seen, source), of, keep)

    def _moved(self, text: str, source: str, at: str) -> str:
        changed = moved(self.index, text, source, at, source)
        return text if changed is None else changed

    def directory(self, at: str, of: Of = NOBODY) -> None:
        """A directory at ``at``, unless one is there."""
        if self.then(at) is None:
            self._put(at, [MakeDirectory("", self._like(at, of))], _Planned(_DIRECTORY), of)

    def take_away(self, at: str, keep: str = "") -> None:
        """What is at ``at`` goes away; nothing happens when nothing is there."""
        seen = self.now(at)
        if seen is None or self.then(at) is None:
            return
        self._drafts.append(_Draft(at, Replaces.SOMETHING, [], _text(seen), keep))
        self._planned[at] = _Planned(None)

    def tree(self, node: str) -> None:
        """The tree of ``node``: a copy of the template unless it is there (spec/cdsl.md 1.1)."""
        layout = self.index.layout
        at, template = layout.node_tree(node), layout.node_tree(layout.default)
        if self.then(at) is not None:
            return
        if node != layout.default and self.now(template) is not None:
            self._put(at, [CopyTree(template, "", at)], _Planned(_DIRECTORY, template), NOBODY)
        else:
            self.directory(at)

    def _put(self, at: str, steps: list[Step], planned: _Planned, of: Of, keep: str = "") -> None:
        self._need_tree(at)
        present = self.then(at)
        home = self._home(at)
        if home is not None:
            if present is not None:
                home.steps.append((DropLink if present.kind is FileKind.LINK else DropTree)(below(at, home.at)))
            top = at if present is not None else self._highest_missing(at)
            home.steps += self._parents(top, at, home.at, of)
            home.steps += [replace(step, at=join(below(at, home.at), step.at)) for step in steps]
        elif present is not None:
            self._add(_Draft(at, Replaces.SOMETHING, steps, _text(present), keep))
        else:
            top = self._highest_missing(at)
            made = self._parents(top, at, top, of)
            inner = below(at, top) if top != at else ""
            moved_in = [replace(step, at=join(inner, step.at)) for step in steps]
            self._add(_Draft(top, Replaces.NOTHING, [*made, *moved_in]))
        self._planned[at] = planned

    def _need_tree(self, at: str) -> None:
        """The node tree that ``at`` is in must exist, or it would be made without what the template has."""
        tree = self.index.layout.tree
        if within(at, tree) and (node := below(at, tree).partition("/")[0]) and at != join(tree, node):
            self.tree(node)

    def _home(self, at: str) -> _Draft | None:
        """The exchange of this transaction that brings the directory which ``at`` is in."""
        return next((home for path in prefixes(at) if (home := self._builds.get(path)) is not None), None)

    def _add(self, draft: _Draft) -> None:
        self._drafts.append(draft)
        self._builds[draft.at] = draft

    def _highest_missing(self, at: str) -> str:
        top = at
        while (parent := parent_path(top)) and (seen := self.then(parent)) is None:
            top = parent
        if parent and seen is not None and seen.kind is not FileKind.DIRECTORY:
            raise ConflictError(
                f"{shown(parent)} is in the way: a directory is needed there for {shown(at)}", "move it away"
            )
        return top

    def _parents(self, top: str, at: str, origin: str, of: Of) -> list[Step]:
        """Steps for the missing directories from ``top`` down to the one that holds ``at``."""
        missing = [path for path in prefixes(at) if within(path, top)]
        for path in missing:
            self._planned[path] = _Planned(_DIRECTORY)
        return [
            MakeDirectory(below(path, origin) if path != origin else "", self._like(path, of))
            for path in reversed(missing)
        ]

    def _like(self, directory: str, of: Of) -> str:
        """The real public directory that a new one stands for, "" when there is none."""
        real = self.index.counterpart(directory, of.src, of.node) if of.src else ""
        seen = self.now(real) if real else None
        return real if seen is not None and seen.kind is FileKind.DIRECTORY else ""

    def done(
        self,
        title: str,
        *,
        lines: Iterable[str],
        watched: Iterable[str] = (),
        inventory: bytes | None = None,
    ) -> Transaction | None:
        """The transaction, None when it would change nothing."""
        if not self._drafts and inventory is None:
            return None
        return Transaction(
            title=title,
            exchanges=tuple(map(_exchange, self._drafts)),
            watched=tuple(dict.fromkeys(watched)),
            inventory=inventory,
            lines=tuple(lines),
            backups=tuple(self._backups.values()),
        )


def _text(seen: Seen) -> str | None:
    return seen.text if seen.kind is FileKind.LINK else None


def _exchange(draft: _Draft) -> Exchange:
    first = draft.steps[0] if draft.steps else None
    new_link = first.text if isinstance(first, MakeLink) and not first.at else None
    return Exchange(draft.at, tuple(draft.steps), draft.replaces, new_link, draft.old_link, draft.keep)
