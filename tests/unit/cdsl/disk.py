# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system in memory that transactions are applied to, and how a node sees it through its bind mount."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from osrd.model.cdsl import INVENTORY, FileKind, Inventory, Layout, Seen
from osrd.model.transaction import (
    CopyTree,
    DropLink,
    DropTree,
    Exchange,
    MakeDirectory,
    MakeFile,
    MakeLink,
    Replaces,
    Step,
    Transaction,
)
from osrd.parse.inventory import parse_inventory
from osrd.plan.cdsl.index import Index, components, parent_path
from osrd.plan.cdsl.paths import rebased


@dataclass(frozen=True)
class Directory:
    mode: str = "0755"


@dataclass(frozen=True)
class File:
    data: bytes = b""


@dataclass(frozen=True)
class Link:
    text: str


Node = Directory | File | Link


@dataclass
class Disk:
    """Physical paths and what is there. ``mounted`` is the node whose tree is bound at the mount point."""

    layout: Layout = field(default_factory=Layout)
    files: dict[str, Node] = field(default_factory=lambda: {"": Directory()})
    undo: list[tuple[str, dict[str, Node]]] = field(default_factory=list)

    def add(self, path: str, node: Node) -> None:
        parent = parent_path(path)
        if parent not in self.files:
            self.add(parent, Directory())
        assert isinstance(self.files[parent], Directory), (path, self.files[parent])
        self.files[path] = node

    def below(self, path: str) -> Iterator[str]:
        yield from [each for each in self.files if each == path or each.startswith(f"{path}/") or not path]

    # what the planners and checkers ask

    def look(self, path: str) -> Seen | None:
        assert not path or isinstance(self.files.get(parent_path(path), Directory()), Directory), f"{path}: in the way"
        node = self.files.get(path)
        match node:
            case Directory():
                return Seen(FileKind.DIRECTORY, empty=not self.names(path))
            case Link(text):
                return Seen(FileKind.LINK, text)
            case File():
                return Seen(FileKind.FILE)
        return None

    def names(self, path: str) -> list[str]:
        assert isinstance(self.files[path], Directory)
        start = len(path) + 1 if path else 0
        return sorted(each[start:] for each in self.files if each and parent_path(each) == path)

    @property
    def inventory(self) -> Inventory:
        node = self.files[INVENTORY]
        assert isinstance(node, File)
        return parse_inventory(node.data, INVENTORY)

    # what the executor does

    def apply(self, transaction: Transaction | None, inventory: Inventory) -> None:
        """Stage everything, then exchange, in the order that the executor has to keep."""
        if transaction is None:
            return
        staged = [self.stage(exchange, inventory) for exchange in transaction.exchanges]
        self.undo = []
        for exchange, built in zip(transaction.exchanges, staged, strict=True):
            self.exchange(exchange, built)
        if transaction.inventory is not None:
            self.files[INVENTORY] = File(transaction.inventory)

    def stage(self, exchange: Exchange, inventory: Inventory) -> dict[str, Node]:
        built: dict[str, Node] = {}
        for step in exchange.build:
            self.step(step, built, inventory)
        top = built.get("")
        assert (top.text if isinstance(top, Link) else None) == exchange.new_link
        assert bool(built) == bool(exchange.build)
        return built

    def step(self, step: Step, built: dict[str, Node], inventory: Inventory) -> None:
        if step.at:
            assert isinstance(built[parent_path(step.at)], Directory)
        if isinstance(step, DropLink):
            assert isinstance(built.pop(step.at), Link)
            return
        if isinstance(step, DropTree):
            assert not isinstance(built[step.at], Link)
            for path in [path for path in built if path == step.at or path.startswith(f"{step.at}/")]:
                del built[path]
            return
        assert step.at not in built, step
        match step:
            case MakeLink(at, text):
                built[at] = Link(text)
            case MakeFile(at, data):
                built[at] = File(data)
            case MakeDirectory(at, like):
                model = self.files[like] if like else Directory()
                assert isinstance(model, Directory)
                built[at] = model
            case CopyTree(source, at, final):
                assert source in self.files, step
                for path in self.below(source):
                    rest = path[len(source) :]
                    node = self.files[path]
                    if isinstance(node, Link):
                        text = rebased(inventory, node.text, path, final + rest, source)
                        node = replace(node, text=node.text if text is None else text)
                    built[(at + rest).lstrip("/")] = node

    def exchange(self, exchange: Exchange, built: dict[str, Node]) -> None:
        present = self.files.get(exchange.at)
        assert isinstance(self.files.get(parent_path(exchange.at)), Directory), exchange
        assert (present is not None) == (exchange.replaces is Replaces.SOMETHING), exchange
        assert (present.text if isinstance(present, Link) else None) == exchange.old_link, exchange
        taken = {path: self.files.pop(path) for path in list(self.below(exchange.at))}
        if taken and exchange.keep:
            for path, node in taken.items():
                self.add(exchange.keep + path[len(exchange.at) :], node)
        elif taken:
            self.undo.append((exchange.at, taken))
        for path, node in built.items():
            self.files[f"{exchange.at}/{path}" if path else exchange.at] = node

    # what a node sees

    def resolve(self, path: str, node: str, followed: int = 0) -> str | None:
        """The physical path that the kernel of ``node`` reaches, the last component not followed."""
        at = ""
        parts = path.split("/")
        for position, part in enumerate(parts):
            if part in ("", ".", ".."):
                at = parent_path(at) if part == ".." else at
                continue
            at = f"{at}/{part}" if at else part
            if at == self.layout.mount_point or (at == self.layout.link and isinstance(self.files.get(at), Directory)):
                at = self.layout.node_tree(node)
            found = self.files.get(at)
            if isinstance(found, Link) and position < len(parts) - 1:
                if followed > 40:
                    return None
                base = "" if found.text.startswith("/") or "/" not in at else parent_path(at) + "/"
                rest = "/".join((found.text.strip("/"), *parts[position + 1 :]))
                return self.resolve(base + rest, node, followed + 1)
        return at

    def seen(self, node: str, inventory: Inventory) -> dict[str, object]:
        """Everything that ``node`` sees at public paths, links of CDSLs followed; of other symlinks what they mean."""
        return dict(self._seen(Index(inventory), node, "", ""))

    def _seen(self, index: Index, node: str, physical: str, public: str) -> Iterator[tuple[str, object]]:
        found = self.files.get(physical)
        if isinstance(found, Link) and index.linked_at(physical):
            target = self.hop(node, physical, found)
            assert target == index.data(index.by_src[public], node), (node, public, found, target)
            if target in self.files:
                yield from self._seen(index, node, target, public)
        elif isinstance(found, Link):
            yield public, ("means", self.meaning(index, node, physical, found))
        elif found is not None:
            yield public, found
        if isinstance(found, Directory):
            for name in self.names(physical):
                inner = f"{physical}/{name}" if physical else name
                if not self.is_machinery(index, node, inner):
                    yield from self._seen(index, node, inner, f"{public}/{name}" if public else name)

    def meaning(self, index: Index, node: str, physical: str, link: Link) -> str | None:
        target = self.hop(node, physical, link)
        return None if target is None else index.public_of(target)

    def hop(self, node: str, physical: str, link: Link) -> str | None:
        """Where one symlink leads."""
        base = "" if link.text.startswith("/") else parent_path(physical)
        return self.resolve(f"{base}/{link.text}".strip("/"), node)

    def is_machinery(self, index: Index, node: str, physical: str) -> bool:
        """Whether a path exists only for the machinery: osrd's own names, and what holds data of nested CDSLs."""
        layout = self.layout
        own = {layout.tree.partition("/")[0], layout.shared.partition("/")[0], layout.link.partition("/")[0]}
        if physical in (own | {".osrd", INVENTORY}):
            return True
        for cdsl in index.inventory.cdsls:
            data = index.data(cdsl, node)
            area = components(data) - components(index.expanded(cdsl))
            is_on_the_way = data.startswith(f"{physical}/") or data == physical
            if is_on_the_way and components(physical) > area + index.made_for(cdsl):
                return True
        return False
