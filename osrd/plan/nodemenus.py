# SPDX-License-Identifier: GPL-3.0-or-later
"""What each node adds to the desired state: its menus, and what the files that all nodes share need of it.

Of 10,000 nodes only those are looked at that an edit left between the unchanged ones at both ends of the file, and
only those are rendered that are new. That takes the same ground: settings, kernels, templates. Otherwise there is a
pass over all nodes, which renders those that are made differently now.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from operator import attrgetter

from osrd.model.alike import between
from osrd.model.cluster import Node
from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding
from osrd.model.output import Content, Kind, Output
from osrd.model.value import value
from osrd.plan.hosts import Addresses, addresses
from osrd.plan.menus import MenuMaker, Surroundings, refused, without
from osrd.plan.offers import Offer, Offers
from osrd.plan.templating import TemplateFailedError

#: What identifies a node's value: its text, or the value itself when it was made without one.
Key = bytes | Node

_OUTPUTS, _ODD, _PATH = attrgetter("outputs"), attrgetter("odd"), attrgetter("path")


def key_of(node: Node) -> Key:
    return node.source or node


@value
class Entry:
    """What one node adds. ``around`` (compared by identity) is what its menus were made with, None for no menus.
    ``odd``: it should have menus and has none, for ``refusal`` or for want of a kernel."""

    around: Surroundings | None
    outputs: tuple[Output, ...]
    addresses: Addresses
    refusal: Finding | None = None
    odd: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """A template of ``kind`` failed for this node in these surroundings; as long as both stay it will again."""

    key: Key
    around: Surroundings
    finding: Finding


@dataclass(frozen=True, slots=True)
class Made:
    """What all ``nodes`` add: the entry and the offer of each, and their outputs by path. The caller adds those that
    are no node's to the same mapping, since a second one of 30,000 would take 1.3 MiB. ``changed`` are the paths at
    which the nodes' outputs may differ from those of the Made before, None when nobody knows: then the mapping is a
    new one, and else a copy of the one before, with what the caller had added."""

    nodes: tuple[Node, ...]
    offers: Offers
    entries: list[Entry]
    offered: list[Offer]
    arounds: dict[Offer, Surroundings | None]
    outputs: dict[str, Output]
    changed: frozenset[str] | None = None
    #: no two nodes have an output at one path
    distinct: bool = True

    @property
    def odd(self) -> Iterator[tuple[Node, Entry]]:
        """The nodes that should have menus and have none."""
        return compress(zip(self.nodes, self.entries, strict=True), map(_ODD, self.entries))


class NodeMenus:
    """Makes the entries of all nodes with one set of templates, and remembers which of them failed."""

    def __init__(self, maker: MenuMaker) -> None:
        self.maker = maker
        self._known: dict[Surroundings, Surroundings] = {}
        self.broken: dict[Kind, Broken] = {}

    def make(
        self,
        nodes: tuple[Node, ...],
        offers: Offers,
        contents: dict[str, Content],
        *,
        last: Made | None,
        same_ground: bool,
    ) -> Made:
        """An entry per node; ``contents`` gets what was rendered for it. ``same_ground``: all but the nodes is as it
        was for ``last``. When a template fails on a node, its kind is given up and all is done without it: half a
        cluster with the new menu and half with the old one would be worse than the old one for all."""
        whole = last is not None and same_ground and not self.broken  # a mended kind is missing in ``last``
        self._forget_mended(nodes, offers)
        while True:
            fresh: dict[str, Content] = {}
            try:
                made = None
                if last is not None and whole and not self.broken:
                    made = self._edited(nodes, last, fresh)
                if made is None:
                    made = self._all(nodes, offers, fresh, last)
            except _TemplateBrokeError as stop:
                self.broken[stop.kind] = stop.broken
                continue
            contents.update(fresh)
            return made

    def _forget_mended(self, nodes: tuple[Node, ...], offers: Offers) -> None:
        """Give a kind another chance when the node it failed on is gone or is made differently now."""
        if not self.broken:
            return
        failed = {broken.key for broken in self.broken.values()}
        now = {key: offers.of(node.root).to(node).around for node in nodes if (key := key_of(node)) in failed}
        self.broken = {kind: broken for kind, broken in self.broken.items() if now.get(broken.key) == broken.around}

    def _edited(self, nodes: tuple[Node, ...], last: Made, contents: dict[str, Content]) -> Made | None:
        """``last`` with what is between the nodes that are as they were; None when that does not tell everything: a
        root volume is new or not used any more, two nodes claim one path. Raises _TemplateBrokeError."""
        if not last.distinct:
            return None
        was, now = between(last.nodes, nodes)
        middle = [last.offers.known(node) for node in nodes[now]]
        offers = [offer for offer in middle if offer is not None]
        offered = [*last.offered[: was.start], *offers, *last.offered[was.stop :]]
        if len(offers) < len(middle) or any(offer not in offered for offer in set(last.offered[was])):
            return None
        former = last.entries[was]
        known = _by_key(last.nodes[was], former)
        entries = self._entries(zip(nodes[now], offers, strict=True), last.arounds, known, contents)
        outputs = last.outputs.copy()
        gone, new = _outputs(_others(former, entries)), _outputs(_others(entries, former))
        for output in gone:
            del outputs[output.path]
        outputs.update(zip(map(_PATH, new), new, strict=True))
        if len(outputs) != len(last.outputs) - len(gone) + len(new):
            return None
        changed = frozenset(map(_PATH, gone)) | frozenset(map(_PATH, new))
        entries = [*last.entries[: was.start], *entries, *last.entries[was.stop :]]
        return Made(nodes, last.offers, entries, offered, last.arounds, outputs, changed)

    def _all(self, nodes: tuple[Node, ...], offers: Offers, contents: dict[str, Content], last: Made | None) -> Made:
        """Entries of all nodes, rendering those that are not known yet. Raises _TemplateBrokeError."""
        interned: dict[Surroundings, Surroundings] = {}
        offered = offers.of_all(nodes)
        arounds = {offer: self._interned(offer.around, interned) for offer in dict.fromkeys(offered)}
        known = _by_key(last.nodes, last.entries) if last else {}
        entries = self._entries(zip(nodes, offered, strict=True), arounds, known, contents)
        self._known = interned
        every = _outputs(entries)
        outputs = dict(zip(map(_PATH, every), every, strict=True))
        return Made(nodes, offers, entries, offered, arounds, outputs, distinct=len(outputs) == len(every))

    def _interned(self, around: Surroundings | None, known: dict[Surroundings, Surroundings]) -> Surroundings | None:
        """The same object for equal surroundings, call after call, less the kinds that are broken."""
        if around is None:
            return None
        around = without(around, frozenset(self.broken))
        return known.setdefault(around, self._known.get(around, around))

    def _entries(
        self,
        nodes: Iterable[tuple[Node, Offer]],
        arounds: dict[Offer, Surroundings | None],
        known: dict[Key, Entry],
        contents: dict[str, Content],
    ) -> list[Entry]:
        entries = []
        for node, offer in nodes:
            around = arounds[offer]
            entry = known.get(node.source or node)
            if entry is None or entry.around is not around:
                entry = _entry(self.maker, node, offer, around, contents)
            entries.append(entry)
        return entries


def _by_key(nodes: Sequence[Node], entries: Sequence[Entry]) -> dict[Key, Entry]:
    return dict(zip([node.source or node for node in nodes], entries, strict=True))


def _others(entries: Sequence[Entry], known: Sequence[Entry]) -> list[Entry]:
    """Those that are not the very same ones as in ``known``."""
    numbers = set(map(id, known))
    return [entry for entry in entries if id(entry) not in numbers]


def _outputs(entries: Sequence[Entry]) -> list[Output]:
    return list(chain.from_iterable(map(_OUTPUTS, entries)))


def _entry(
    maker: MenuMaker, node: Node, offer: Offer, around: Surroundings | None, contents: dict[str, Content]
) -> Entry:
    outputs: list[Output] = []

    def emit(output: Output, content: Content) -> None:
        outputs.append(output)
        contents[output.recipe] = content

    refusal = None
    if around is not None and node.com_info:
        try:
            maker.node(node, around, emit)
        except TemplateFailedError as error:
            full = offer.around or around
            raise _TemplateBrokeError(error.kind, Broken(key_of(node), full, error.finding)) from None
        except InvalidConfigError as error:
            refusal, outputs = refused(node, error), []
    odd = refusal is not None or (around is None and node.com_info)
    return Entry(around, tuple(outputs), addresses(node), refusal, odd)


class _TemplateBrokeError(Exception):
    """Leaves a pass over the nodes."""

    def __init__(self, kind: Kind, broken: Broken) -> None:
        super().__init__(kind)
        self.kind = kind
        self.broken = broken
