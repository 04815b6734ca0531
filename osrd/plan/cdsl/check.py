# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk against the inventory against the mount table, as findings (codes ``cdsl-...``).

Everything is judged physically, so that it does not matter whose tree is mounted at the link, or whether any is
(spec/cdsl.md 6.1 no. 27, 28). ``Finding.node`` is the name of the node's tree ("" when all nodes are concerned),
``Finding.value`` the path inside the root, ``fix`` the command that repairs it.
"""

from collections.abc import Iterator, Sequence

from osrd.model.cdsl import INVENTORY, WORK, Cdsl, CdslType, FileKind, Inventory
from osrd.model.finding import Finding, Severity
from osrd.plan.cdsl.index import Index, index_of, join
from osrd.plan.cdsl.judging import Verdict, has_old_link, judge
from osrd.plan.cdsl.membership import orphaned
from osrd.plan.cdsl.rebuild import node_trees, unregistered
from osrd.plan.cdsl.refusals import WORD
from osrd.plan.cdsl.restoring import outermost_first
from osrd.plan.cdsl.sight import Look, Names, Sight
from osrd.plan.cdsl.words import command, printable, shown

_REPAIR = f"run {command('repair')}"


def check(  # noqa: PLR0917 - everything it is judged by
    inventory: Inventory, nodes: Sequence[str], look: Look, names: Names, mounts: Sequence[str], bound: str
) -> tuple[Finding, ...]:
    """Everything that is not as the inventory says. ``nodes`` are those of the cluster (none: unknown). ``mounts``
    describe what is mounted at the link, the visible one last; ``bound`` is the node whose tree that is, "" when it is
    none of this root's."""
    checker = _Checker(inventory, nodes, Sight(look), names)
    return (
        *checker.layout(),
        *checker.trees(look),
        *(finding for cdsl in outermost_first(inventory.cdsls) for finding in checker.cdsl(cdsl)),
        *checker.unregistered(),
        *checker.leftovers(),
        *checker.mounted(mounts, bound),
    )


def _finding(code: str, message: str, path: str, fix: str, node: str = "") -> Finding:
    return Finding(f"cdsl-{code}", Severity.WARNING, message, fix, node=node, value=path)


def _note(code: str, message: str, path: str, fix: str, node: str = "") -> Finding:
    return Finding(f"cdsl-{code}", Severity.INFO, message, fix, node=node, value=path)


class _Checker:
    def __init__(self, inventory: Inventory, nodes: Sequence[str], sight: Sight, names: Names) -> None:
        self._index: Index = index_of(inventory)
        self._inventory = inventory
        self._given = tuple(nodes)
        listed_nodes = (node for cdsl in inventory.cdsls for node in cdsl.nodes)
        self._nodes = dict.fromkeys((*(nodes or listed_nodes), inventory.layout.default))
        self._sight = sight
        self._names = names
        self._old_link = has_old_link(self._index, sight)

    def layout(self) -> Iterator[Finding]:
        """The machinery that all CDSLs need, and what is older than osrd's."""
        layout = self._inventory.layout
        if self._kind(layout.shared) is not FileKind.DIRECTORY:
            yield self._machinery("the shared tree", layout.shared)
        link = self._sight(layout.link)
        if link is None or link.kind not in (FileKind.LINK, FileKind.DIRECTORY):
            yield self._machinery("the link", layout.link)
        elif self._old_link:
            yield _note(
                "old-layout",
                f"{shown(layout.link)} is a directory: links are right only when the file system is mounted at /",
                layout.link,
                f"unmount it everywhere, then run {command('convert')}",
            )
        else:
            yield from self._link(link.text)
        if self._inventory.file not in ("", INVENTORY):
            yield _note(
                "old-inventory",
                f"the inventory is at the place of an older generation, {shown(self._inventory.file)}",
                self._inventory.file,
                f"run {command('convert')}",
            )

    def _link(self, text: str) -> Iterator[Finding]:
        layout = self._inventory.layout
        verdict = judge(self._index, layout.link, text, layout.link, old_link=False)
        if verdict is Verdict.WRONG:
            yield _finding(
                "link-elsewhere",
                f"{shown(layout.link)} leads to {printable(text)}, not to the mount point {shown(layout.mount_point)}",
                layout.link,
                f"remove that symlink, then run {command('repair')}",
            )
        elif self._kind(layout.mount_point) is not FileKind.DIRECTORY:
            yield self._machinery("the mount point", layout.mount_point)

    def _machinery(self, what: str, path: str) -> Finding:
        seen = self._sight(path)
        state = "is missing" if seen is None else "is no directory"
        fix = _REPAIR if seen is None else f"move it away, then run {command('repair')}"
        return _finding("infrastructure", f"{what} {shown(path)} {state}", path, fix)

    def trees(self, look: Look) -> Iterator[Finding]:
        layout = self._inventory.layout
        for node in self._nodes:
            path = layout.node_tree(node)
            if self._kind(path) is not FileKind.DIRECTORY:
                what = "the template" if node == layout.default else f"the tree of {printable(node)}"
                yield Finding(
                    "cdsl-tree-missing",
                    Severity.WARNING,
                    f"{what}, {shown(path)}, is {'missing' if self._sight(path) is None else 'no directory'}",
                    _REPAIR if self._sight(path) is None else f"move it away, then run {command('repair')}",
                    node=node,
                    value=path,
                )
        for tree in orphaned(self._inventory, tuple(self._nodes), look, self._names):
            yield _note(
                "orphaned-tree",
                f"{shown(layout.node_tree(tree))} is the tree of a node that is not in the cluster (any more)",
                layout.node_tree(tree),
                f"give it to a node with {command('adopt', tree)} NODE, or keep it as a backup with "
                f"{command('archive', tree)}",
                tree,
            )

    def cdsl(self, cdsl: Cdsl) -> Iterator[Finding]:
        yield from self._copies(cdsl)
        for node, place in self._index.places(cdsl.src).items():
            if not node or node in self._nodes:
                yield from self._place(cdsl, node, place)

    def _copies(self, cdsl: Cdsl) -> Iterator[Finding]:
        index, layout = self._index, self._inventory.layout
        copies = {node: path for node, path in index.copies(cdsl).items() if not node or node in self._nodes}
        missing = {node: path for node, path in copies.items() if self._sight(path) is None}
        discard = command("remove", "--discard", shown(cdsl.src))
        for node, path in missing.items():
            if node and self._kind(layout.node_tree(node)) is not FileKind.DIRECTORY:
                continue  # told once, of the tree
            fix = f"restore it from a backup, or forget it with {discard}" if len(missing) == len(copies) else _REPAIR
            obstacle = self._sight.obstacle(path)
            if obstacle:
                fix = f"move {shown(obstacle)}, which is no directory, away, then run {command('repair')}"
            if cdsl.type is CdslType.SHARED:
                yield _finding("data-missing", f"the shared data of {shown(cdsl.src)} is missing", path, fix)
            elif node == layout.default:
                yield _finding("template-missing", f"the template has no copy of {shown(cdsl.src)}", path, fix, node)
            else:
                message = f"{printable(node)} has no copy of {shown(cdsl.src)}"
                yield _finding("copy-missing", message, path, fix, node)

    def _place(self, cdsl: Cdsl, node: str, place: str) -> Iterator[Finding]:
        index = self._index
        parent = index.parent(cdsl.src)
        seen = self._sight(place)
        target = index.target(cdsl)
        whose = f" of {printable(node)}" if node else ""
        if seen is None:
            if parent is None or self._sight(index.data(parent, node)) is not None:
                obstacle = self._sight.obstacle(place)
                fix = f"move {shown(obstacle)}, which is no directory, away first; then" if obstacle else ""
                yield _finding(
                    *("link-missing", f"the link{whose} for {shown(cdsl.src)} is missing", place),
                    *(f"{fix} {_REPAIR}".strip(), node),
                )
        elif seen.kind is not FileKind.LINK:
            what = "a directory" if seen.kind is FileKind.DIRECTORY else "a file"
            yield _finding(
                "link-replaced",
                f"{what} is where the link{whose} for the {WORD[cdsl.type]} {shown(cdsl.src)} should be",
                place,
                f"{_REPAIR}, which keeps it as a backup",
                node,
            )
        else:
            verdict = judge(index, place, seen.text, target, old_link=self._old_link)
            if verdict is Verdict.WRONG:
                message = f"the link{whose} for {shown(cdsl.src)} leads to {printable(seen.text)}, not {shown(target)}"
                yield _finding("link-wrong", message, place, _REPAIR, node)
            elif verdict is Verdict.AT_ROOT:
                message = f"the link{whose} for {shown(cdsl.src)} is right only when the file system is mounted at /"
                yield _note("link-only-at-root", message, place, f"run {command('convert')}", node)

    def unregistered(self) -> Iterator[Finding]:
        """Links that lead to data as CDSLs do, and their data, without an entry."""
        trees = node_trees(self._inventory.layout, self._sight, self._names)
        for cdsl in unregistered(self._index, trees, self._sight, self._names):
            yield _finding(
                "unregistered",
                f"{shown(cdsl.src)} looks like a {WORD[cdsl.type]} CDSL, but is not in the inventory",
                self._index.beside(cdsl.src, self._inventory.layout.default),
                f"enter everything that the disk has with {command('rebuild')}",
            )

    def leftovers(self) -> Iterator[Finding]:
        """What a transaction that never came to its end has left."""
        work = f"{WORK}/tx"
        for name in self._names(work) if self._kind(work) is FileKind.DIRECTORY else []:
            staged = join(join(work, name), "new")
            seen = self._sight(staged)
            if seen is not None and seen.kind is FileKind.DIRECTORY and not seen.empty:
                yield _finding(
                    "leftover",
                    f"{shown(staged)} was left by a change that was interrupted",
                    staged,
                    f"run {command('recover')}",
                )

    def mounted(self, mounts: Sequence[str], bound: str) -> Iterator[Finding]:
        layout = self._inventory.layout
        point = layout.link if self._old_link else layout.mount_point
        bind = f"run {command('bind')}"
        if not bound and not mounts:
            if self._inventory.cdsls:
                yield _finding("not-mounted", f"no node's tree is mounted at {shown(point)}", point, bind)
        elif not bound:
            what = printable(mounts[-1])
            yield _finding(
                "foreign-mount", f"what is mounted at {shown(point)} is no tree of this root: {what}", point, bind
            )
        elif self._given and bound not in self._nodes:
            message = (
                f"the tree mounted at {shown(point)} is that of {printable(bound)}, which is no node of the cluster"
            )
            yield _finding("mounted-orphan", message, point, bind, bound)

    def _kind(self, path: str) -> FileKind | None:
        seen = self._sight(path)
        return seen.kind if seen else None
