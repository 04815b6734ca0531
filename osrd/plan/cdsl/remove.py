# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing CDSLs (spec/cdsl.md 3.1 without its bugs): the content comes back at the public path on every node.

Nothing that is not registered is ever removed with them. Directories that were made only to hold their data go when
nothing else is in them, which can only be told with ``names``; else they stay, empty.
"""

from collections.abc import Iterator, Sequence

from osrd.model.cdsl import Cdsl, CdslType, FileKind, Inventory, Place, Removal
from osrd.model.errors import ConflictError, NotFoundError
from osrd.model.layout import within
from osrd.model.transaction import CopyTree, DropLink, DropTree, MakeDirectory, Step, Transaction
from osrd.parse.inventory import render_inventory
from osrd.plan.cdsl.builder import Builder, Of
from osrd.plan.cdsl.index import Index, below, components, index_of, join, parent_path, prefixes, with_cdsls
from osrd.plan.cdsl.refusals import divergent, registered
from osrd.plan.cdsl.share import choose
from osrd.plan.cdsl.sight import Look, Names
from osrd.plan.cdsl.words import command, listed, printable, shown


def remove(  # noqa: PLR0917 - everything the plan depends on
    inventory: Inventory,
    src: str,
    removal: Removal,
    bound: str,
    differing: Sequence[str],
    look: Look,
    when: str,
    names: Names | None = None,
) -> Transaction:
    """The CDSL goes. Of a host-dependent one the winner's content becomes everybody's: ``removal.winner``, else, when
    no copies differ, that of ``bound`` (the node that the link shows) or the first that has one. Of a shared one each
    node gets a copy. ``differing`` are the nodes whose copy is not like the winner's.

    Raises NotFoundError, ConflictError for CDSLs below it without ``recursive``, for differing copies without a
    winner, and when something else is where its links should be.
    """
    index = index_of(inventory)
    cdsl = registered(index, src)
    below_it = index.descendants(src)
    if below_it and not removal.recursive:
        raise ConflictError(
            f"{shown(src)} cannot be removed: below it {listed(shown(each.src) for each in below_it)} "
            f"{'is a CDSL' if len(below_it) == 1 else 'are CDSLs'}, too",
            f"remove those first, or all together: {command('remove', '--recursive', shown(src))}",
        )
    if differing and not removal.winner and not removal.discard and cdsl.type is CdslType.HOSTDEPENDENT:
        raise divergent(src, differing, "removed")
    work = _Removing(Builder(index, look, when), cdsl, removal, names)
    if removal.discard:
        work.discard()
    elif cdsl.type is CdslType.SHARED:
        work.give_back()
    else:
        work.settle(bound, differing)
    gone = {cdsl.src, *(each.src for each in below_it)}
    after = with_cdsls(inventory, tuple(each for each in inventory.cdsls if each.src not in gone))
    built = work.builder.done(
        f"{'delete' if removal.discard else 'remove'} {shown(src)}",
        lines=work.lines,
        watched=work.watched,
        inventory=render_inventory(after),
    )
    assert built is not None
    return built


class _Removing:
    """One removal as it is put together."""

    def __init__(self, builder: Builder, cdsl: Cdsl, removal: Removal, names: Names | None) -> None:
        self.builder = builder
        self.lines: list[str] = []
        self.watched: list[str] = []
        self._index: Index = builder.index
        self._cdsl = cdsl
        self._removal = removal
        self._names = names
        self._family = (cdsl, *self._index.descendants(cdsl.src))
        self._gone: set[str] = set()

    def discard(self) -> None:
        """Links first: nobody must see them dangle."""
        for place in self._links().values():
            self.builder.take_away(place)
        self._drop_data()
        names = listed(shown(each.src) for each in self._family)
        self.lines.append(f"deleted {names} on all nodes; osrctl cdsl undo brings it back until the next change")

    def give_back(self) -> None:
        """A shared one: each node's own copy in place of its link, with what that node sees below it."""
        src = self._cdsl.src
        source = self._index.data(self._cdsl, "")
        if self.builder.now(source) is None:
            raise NotFoundError(
                f"the shared data of {shown(src)} is missing: {shown(source)}",
                f"restore it there, or forget it with {command('remove', '--discard', shown(src))}",
            )
        self.watched.append(source)
        for node, place in self._links().items():
            self.builder.copy(place, source, Of(src, node), "", self._materialised(self._cdsl, node, place))
        self._drop_data()
        self.lines.append(f"{shown(src)} is no longer shared: each node has its own copy now")

    def settle(self, bound: str, differing: Sequence[str]) -> None:
        """A host-dependent one: the winner's content in place of the link."""
        src = self._cdsl.src
        copies = self._index.copies(self._cdsl)
        winner = choose(src, copies, self._removal.winner, self.builder.now, bound)
        (place,) = self._links().values()
        more = self._materialised(self._cdsl, winner, place)
        self.builder.copy(place, copies[winner], Of(src, winner), "", more)
        self.watched += [path for path in copies.values() if self.builder.now(path) is not None]
        losing = [node for node in copies if node in differing and node != winner]
        self._drop_data(winner, losing, place)
        self.lines.append(f"{shown(src)} is no longer host-dependent: it has the content of {printable(winner)}")

    def _links(self) -> dict[str, str]:
        """The places of the links, which must be links or missing."""
        places = self._index.places(self._cdsl.src)
        for place in places.values():
            self._is_link(place, self._cdsl)
        return places

    def _is_link(self, place: str, cdsl: Cdsl) -> bool:
        """Whether a link is there; False when nothing is. Raises ConflictError for anything else."""
        seen = self.builder.now(place)
        if seen is not None and seen.kind is not FileKind.LINK:
            raise ConflictError(
                f"{shown(place)} is not the link of the CDSL {shown(cdsl.src)}, but something of its own",
                f"{command('repair')} keeps it as a backup and puts the link back",
            )
        if obstacle := self.builder.now.obstacle(place):
            raise ConflictError(
                f"{shown(obstacle)} is no directory, but {shown(cdsl.src)} is below it", "move it away"
            )
        return seen is not None

    def _materialised(self, cdsl: Cdsl, node: str, final: str) -> list[Step]:
        """Steps after a copy of its data: what the copy has of CDSLs below is replaced by what ``node`` sees there."""
        return list(self._replace_children(cdsl, node, "", final))

    def _replace_children(self, cdsl: Cdsl, node: str, at: str, final: str) -> Iterator[Step]:
        yield from (DropTree(join(at, path)) for path in self._machinery(cdsl, node))
        for child in self._index.children(cdsl.src):
            rest = below(child.src, cdsl.src)
            link = self._index.beside(child.src, node)
            if self._is_link(link, child):
                yield DropLink(join(at, rest))
            source = self._index.data(child, node)
            if self.builder.now(source) is None:
                continue  # this node has not got it: nothing to bring back
            data = self._index.data(cdsl, node)
            missing = [path for path in prefixes(link) if _is_below(path, data) and self.builder.now(path) is None]
            yield from (MakeDirectory(join(at, below(path, data))) for path in reversed(missing))
            self.watched.append(source)
            yield CopyTree(source, join(at, rest), join(final, rest))
            yield from self._replace_children(child, node, join(at, rest), join(final, rest))

    def _machinery(self, cdsl: Cdsl, node: str) -> list[str]:
        """What else lies in its data physically: data of CDSLs further down, beside the links that lead there."""
        data = self._index.data(cdsl, node)
        inside = [
            self._top_of(each, path)
            for each in self._family
            if each.src != cdsl.src and within(path := self._index.data(each, node), data) and self.builder.now(path)
        ]
        outermost = [path for path in dict.fromkeys(inside) if not any(_is_below(path, other) for other in inside)]
        return [below(path, data) for path in outermost]

    def _drop_data(self, winner: str = "", losing: Sequence[str] = (), place: str = "") -> None:
        for each in self._family:
            for node, data in self._index.copies(each).items():
                is_own = each is self._cdsl
                # Deeper copies are not compared; those of other nodes than the winner's are never just dropped.
                keep = node in losing if is_own else self._is_unseen(each, node, winner, losing)
                self._drop(each, node, data, place if keep and is_own else "", keep=keep)

    def _is_unseen(self, each: Cdsl, node: str, winner: str, losing: Sequence[str]) -> bool:
        """Whether a copy further down is content that no node would see any more and nobody compared."""
        if not winner or each.type is CdslType.SHARED or node == winner:
            return False
        outer = self._index.data(self._cdsl, node)
        return not within(self._index.data(each, node), outer) or node in losing

    def _drop(self, cdsl: Cdsl, node: str, data: str, place: str, *, keep: bool) -> None:
        """The data goes; so do the directories made for it that are then empty."""
        if any(within(data, gone) for gone in self._gone) or self.builder.now(data) is None:
            return
        kept = ""
        if keep and place and self._removal.others is Place.BESIDE:
            self._put_beside(cdsl, node, data, f"{place}.{node}")
        elif keep:
            kept = self.builder.backup(cdsl.src, node)
            self.lines.append(f"kept what {printable(node)} had at {shown(cdsl.src)} as {shown(kept)}")
        self._gone.add(data)
        self.builder.take_away(data, kept)
        top = self._top_of(cdsl, data)
        if top != data:
            self._gone.add(top)
            self.builder.take_away(top)

    def _put_beside(self, cdsl: Cdsl, node: str, data: str, beside: str) -> None:
        if self.builder.now(beside) is not None:
            raise ConflictError(
                f"the copy of {printable(node)} cannot go to {shown(beside)}, which exists", "move that away"
            )
        self.builder.copy(beside, data, Of(cdsl.src, node))
        self.lines.append(f"kept what {printable(node)} had at {shown(cdsl.src)} as {shown(beside)}")

    def _top_of(self, cdsl: Cdsl, data: str) -> str:
        """The highest directory that was made for ``data`` and holds nothing else but what goes, too."""
        top = data
        if self._names is None:
            return top
        made_for = self._index.made_for(cdsl)
        spare = components(self._index.expanded(cdsl)) - made_for - 1
        while spare > 0 and self._holds_only_gone(parent_path(top), top):
            top, spare = parent_path(top), spare - 1
        return top

    def _holds_only_gone(self, directory: str, going: str) -> bool:
        assert self._names is not None
        paths = (join(directory, name) for name in self._names(directory))
        return all(path == going or path in self._gone for path in paths)


def _is_below(path: str, other: str) -> bool:
    return path != other and within(path, other)
