# SPDX-License-Identifier: GPL-3.0-or-later
"""The simplest thing that says what each node must see: one dictionary of paths per node, no trees, no links."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

from osrd.model.cdsl import CdslType

TEMPLATE = "default"
HOST, SHARED = CdslType.HOSTDEPENDENT, CdslType.SHARED

#: ("directory", mode), ("file", content, mode) or ("link", public path that it means)
Entry = tuple[object, ...]


def is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}/")


@dataclass
class Model:
    """``views`` of the nodes and of the template; ``cdsls`` by public path."""

    views: dict[str, dict[str, Entry]]
    cdsls: dict[str, CdslType] = field(default_factory=dict)

    def copy(self) -> "Model":
        return copy.deepcopy(self)

    def parent(self, path: str) -> str | None:
        """The nearest CDSL above ``path``."""
        above = [src for src in self.cdsls if src != path and is_below(path, src)]
        return max(above, key=len, default=None)

    def children(self, path: str) -> list[str]:
        return [src for src in self.cdsls if src != path and is_below(src, path)]

    def everybody(self, path: str, node: str) -> list[str]:
        """Who sees it when ``node`` changes ``path``."""
        owner = path if path in self.cdsls else self.parent(path)
        return [node] if owner is not None and self.cdsls[owner] is HOST else list(self.views)

    def write(self, node: str, path: str, content: bytes) -> None:
        for each in self.everybody(path, node):
            self.views[each][path] = ("file", content, 0o644)

    def delete(self, node: str, path: str) -> None:
        for each in self.everybody(path, node):
            self.views[each].pop(path, None)

    def may_be(self, path: str, kind: CdslType) -> bool:
        """Whether ``path`` may become a CDSL of that type, if it exists."""
        if path in self.cdsls or self.children(path):
            return False
        above = self.parent(path)
        return kind is HOST if above is None else self.cdsls[above] is not kind

    def make(self, path: str) -> None:
        self.cdsls[path] = HOST

    def share(self, path: str, winner: str) -> None:
        self.cdsls[path] = SHARED
        self._everybody_has(path, winner)

    def remove(self, path: str, winner: str) -> None:
        kind = self.cdsls[path]
        for child in self.children(path):
            del self.cdsls[child]
        del self.cdsls[path]
        if kind is HOST:
            self._everybody_has(path, winner)

    def add_node(self, node: str) -> None:
        self.views[node] = dict(self.views[TEMPLATE])

    def subtree(self, node: str, path: str) -> dict[str, Entry]:
        return {each: entry for each, entry in self.views[node].items() if is_below(each, path)}

    def alike(self, path: str) -> bool:
        """Whether all that have ``path`` have the same there."""
        found = [self.subtree(node, path) for node in self.views if path in self.views[node]]
        return all(each == found[0] for each in found)

    def _everybody_has(self, path: str, winner: str) -> None:
        content = self.subtree(winner, path)
        for view in self.views.values():
            for each in list(view):
                if is_below(each, path):
                    del view[each]
            for above in parents(path):
                if above not in view:
                    view[above] = self.views[winner][above]
            view.update(content)

    def expected(self, node: str) -> dict[str, Entry]:
        """The view as it must be seen: links by what is at their end."""
        view = self.views[node]
        return {path: self._shown(view, entry) for path, entry in view.items()}

    def _shown(self, view: dict[str, Entry], entry: Entry) -> Entry:
        if entry[0] != "link":
            return entry
        end = view.get(str(entry[1]))
        if end is None:
            return ("link", None)
        return ("link", end[1] if end[0] == "file" else "directory")


def parents(path: str) -> Iterator[str]:
    """The directories above ``path``, the topmost first."""
    components = path.split("/")
    for count in range(1, len(components)):
        yield "/".join(components[:count])
