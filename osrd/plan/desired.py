# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that should be published, from the inputs alone (DESIGN 3, desire).

What a node adds is kept between calls under the node's own text, so that of 10,000 nodes only the edited one is
rendered again. Contents are handed out once, with the call that rendered them, and not kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from osrd.model.cluster import Cluster, Node
from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding, Place
from osrd.model.netboot import HostFacts, StoredPair
from osrd.model.output import Content, Desired, Kind, Output
from osrd.model.settings import Settings
from osrd.plan.aggregates import Aggregates, Aggregator
from osrd.plan.hosts import Addresses, addresses
from osrd.plan.loaders import plan_loaders
from osrd.plan.menus import MENU_KINDS, MenuMaker, Surroundings, refused, without
from osrd.plan.offers import Offer, Offers
from osrd.plan.templating import TemplateFailedError, Templates, unknown_overrides


@dataclass(frozen=True, slots=True)
class Inputs:
    """``nodes`` are the nodes to publish: valid ones, and for the names in ``quarantined`` their last good value."""

    settings: Settings
    cluster: Cluster
    nodes: tuple[Node, ...]
    quarantined: frozenset[str]
    facts: HostFacts


#: What identifies a node's value: its text, or the value itself when it was made without one.
_Key = bytes | Node


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one node adds. ``around`` (compared by identity) is what its menus were made with, None for no menus."""

    around: Surroundings | None
    outputs: tuple[Output, ...]
    addresses: Addresses
    refusal: Finding | None = None


@dataclass(frozen=True, slots=True)
class _Broken:
    """A template of ``kind`` failed for this node in these surroundings; as long as both stay it will again."""

    key: _Key
    around: Surroundings
    finding: Finding


@dataclass(frozen=True, slots=True)
class _Run:
    """The last call: what it was asked, and everything that answers content_of()."""

    inputs: Inputs
    keys: list[_Key]
    desired: Desired
    made: "_Made"


@dataclass(frozen=True, slots=True)
class _Made:
    """What a pass over the nodes found: for each node its entry and its offer."""

    offers: Offers
    entries: list[_Entry]
    offered: list[Offer]


@dataclass(slots=True)
class _Collected:
    """The parts of a Desired while they come together."""

    outputs: dict[str, Output] = field(default_factory=dict)
    contents: dict[str, Content] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    frozen_kinds: set[Kind] = field(default_factory=set)
    frozen_nodes: set[str] = field(default_factory=set)

    def emit(self, output: Output, content: Content) -> None:
        self.outputs[output.path] = output
        self.contents[output.recipe] = content


class Desirer:
    """Computes the desired state again and again. Not thread safe."""

    def __init__(self) -> None:
        self._maker = MenuMaker(Templates({}))
        self._sources: Mapping[str, object] = {}
        self._entries: dict[_Key, _Entry] = {}
        self._known: dict[Surroundings, Surroundings] = {}
        self._broken: dict[Kind, _Broken] = {}
        self._aggregator = Aggregator()
        self._last: _Run | None = None

    def desire(self, inputs: Inputs) -> Desired:
        """All outputs for ``inputs``; contents of those that were rendered just now."""
        keys: list[_Key] = [node.source or node for node in inputs.nodes]
        if self._last is not None and _same(self._last, inputs, keys):
            files = {recipe: made for recipe, made in self._last.desired.contents.items() if _is_light(made)}
            return replace(self._last.desired, contents=files)
        self._use_templates(inputs.facts)
        collected = _Collected()
        collected.findings += unknown_overrides(inputs.facts.templates)
        kinds = self._shared_menus(inputs, collected)
        offers = Offers(inputs.settings, inputs.cluster, inputs.facts, self._maker.templates.digest, kinds)
        made = self._node_menus(inputs, keys, offers, collected)
        self._collect_nodes(inputs, made.entries, collected)
        self._collect_files(inputs, offers, collected)
        self._collect_aggregates(self._aggregate(inputs, made), collected)
        desired = Desired(
            collected.outputs,
            collected.contents,
            frozenset(collected.frozen_kinds),
            frozenset(collected.frozen_nodes),
            tuple(dict.fromkeys(collected.findings)),
        )
        light = {recipe: made for recipe, made in collected.contents.items() if _is_light(made)}
        self._last = _Run(inputs, keys, replace(desired, contents=light), made)
        return desired

    def current_pairs(self) -> Mapping[str, StoredPair]:
        """Name of a [root] section to the kernel and initrd that its menus offer, as of the last call."""
        return self._last.made.offers.stored if self._last else {}

    def content_of(self, path: str) -> bytes | None:
        """Render one output of the last call again; None for unknown paths and for files that are copied or built."""
        run = self._last
        output = run.desired.outputs.get(path) if run else None
        if run is None or output is None:
            return None
        found = _Collected()
        if output.kind in MENU_KINDS and output.node:
            nodes = ((node, entry) for node, entry in zip(run.inputs.nodes, run.made.entries, strict=True))
            for node, entry in nodes:
                if node.name == output.node and entry.around is not None:
                    self._maker.node(node, entry.around, found.emit)
        elif output.kind in MENU_KINDS:
            self._maker.shared(run.inputs.cluster, run.inputs.settings, output.kind, found.emit)
        elif output.kind in (Kind.EXPORTS, Kind.HOSTS, Kind.DHCP):
            self._collect_aggregates(self._aggregate(run.inputs, run.made), found)
        content = found.contents.get(output.recipe)
        return content if isinstance(content, bytes) else None

    def _use_templates(self, facts: HostFacts) -> None:
        if facts.templates != self._sources:
            self._sources = facts.templates
            self._maker = MenuMaker(Templates(facts.templates))
            self._broken.clear()

    def _shared_menus(self, inputs: Inputs, collected: _Collected) -> frozenset[Kind]:
        """The files for unknown machines; the kinds of menus whose templates work as far as that shows."""
        good = set()
        for kind in sorted(MENU_KINDS):
            finding = self._maker.broken(kind)
            if finding is None:
                try:
                    self._maker.shared(inputs.cluster, inputs.settings, kind, collected.emit)
                    good.add(kind)
                    continue
                except TemplateFailedError as error:
                    finding = error.finding
            collected.findings.append(finding)
            collected.frozen_kinds.add(kind)
        return frozenset(good)

    def _node_menus(self, inputs: Inputs, keys: list[_Key], offers: Offers, collected: _Collected) -> _Made:
        """An entry per node. When a template fails on a node, its kind is given up and all is done without it: half a
        cluster with the new menu and half with the old one would be worse than the old one for all."""
        self._forget_mended(inputs.nodes, keys, offers)
        while True:
            contents: dict[str, Content] = {}
            try:
                made = self._one_pass(inputs.nodes, keys, offers, contents)
            except _TemplateBrokeError as stop:
                self._broken[stop.kind] = stop.broken
                continue
            break
        collected.contents.update(contents)
        for kind, broken in self._broken.items():
            collected.findings.append(broken.finding)
            collected.frozen_kinds.add(kind)
        for path in [path for path, output in collected.outputs.items() if output.kind in self._broken]:
            del collected.outputs[path]
        return made

    def _forget_mended(self, nodes: tuple[Node, ...], keys: list[_Key], offers: Offers) -> None:
        """Give a kind another chance when the node it failed on is gone or is made differently now."""
        if not self._broken:
            return
        failed = {broken.key for broken in self._broken.values()}
        now = {key: offers.of(node.root).around for node, key in zip(nodes, keys, strict=True) if key in failed}
        self._broken = {kind: broken for kind, broken in self._broken.items() if now.get(broken.key) == broken.around}

    def _one_pass(
        self, nodes: tuple[Node, ...], keys: list[_Key], offers: Offers, contents: dict[str, Content]
    ) -> _Made:
        """Entries of all nodes, rendering those that are not known yet. Raises _TemplateBrokeError."""
        known: dict[Surroundings, Surroundings] = {}
        offered = offers.of_all(nodes)
        arounds = {offer: self._interned(offer.around, known) for offer in dict.fromkeys(offered)}
        entries = []
        for node, key, offer, entry in zip(nodes, keys, offered, map(self._entries.get, keys), strict=True):
            around = arounds[offer]
            if entry is None or entry.around is not around:
                entry = self._entry(node, key, offer, around, contents)  # noqa: PLW2901
            entries.append(entry)
        self._entries, self._known = dict(zip(keys, entries, strict=True)), known
        return _Made(offers, entries, offered)

    def _interned(self, around: Surroundings | None, known: dict[Surroundings, Surroundings]) -> Surroundings | None:
        """The same object for equal surroundings, call after call, less the kinds that are broken."""
        if around is None:
            return None
        around = without(around, frozenset(self._broken))
        return known.setdefault(around, self._known.get(around, around))

    def _entry(
        self, node: Node, key: _Key, offer: Offer, around: Surroundings | None, contents: dict[str, Content]
    ) -> _Entry:
        outputs: list[Output] = []

        def emit(output: Output, content: Content) -> None:
            outputs.append(output)
            contents[output.recipe] = content

        refusal = None
        if around is not None and node.com_info:
            try:
                self._maker.node(node, around, emit)
            except TemplateFailedError as error:
                full = offer.around or around
                raise _TemplateBrokeError(error.kind, _Broken(key, full, error.finding)) from None
            except InvalidConfigError as error:
                refusal, outputs = refused(node, error), []
        return _Entry(around, tuple(outputs), addresses(node), refusal)

    def _collect_nodes(self, inputs: Inputs, entries: list[_Entry], collected: _Collected) -> None:
        outputs = collected.outputs
        for node, entry in zip(inputs.nodes, entries, strict=True):
            for output in entry.outputs:
                outputs[output.path] = output
            if entry.around is None:
                if node.com_info:
                    collected.frozen_nodes.add(node.name)
            elif entry.refusal is not None:
                collected.frozen_nodes.add(node.name)
                collected.findings.append(_placed(entry.refusal, node, inputs.cluster))

    def _collect_files(self, inputs: Inputs, offers: Offers, collected: _Collected) -> None:
        """Kernels and loaders. Menus that stay as they are name kernels that nothing else wants any more, so no kernel
        is removed while there are such menus."""
        collected.findings += offers.findings
        for output, content in offers.files():
            collected.emit(output, content)
        if collected.frozen_nodes or collected.frozen_kinds & MENU_KINDS:
            collected.frozen_kinds |= {Kind.KERNEL, Kind.INITRD}
        loaders = plan_loaders(inputs.settings, inputs.facts)
        collected.findings += loaders.findings
        for output in loaders.outputs:
            collected.emit(output, loaders.contents[output.recipe])
        if loaders.keep:
            collected.frozen_kinds.add(Kind.LOADER)

    def _aggregate(self, inputs: Inputs, made: _Made) -> Aggregates:
        known = [entry.addresses for entry in made.entries]
        return self._aggregator.make(
            inputs.settings, inputs.cluster, inputs.facts, inputs.nodes, known=known, offered=made.offered
        )

    @staticmethod
    def _collect_aggregates(made: Aggregates, collected: _Collected) -> None:
        for output, content in made.files:
            collected.emit(output, content)
        collected.findings += made.findings
        collected.frozen_kinds |= made.frozen


class _TemplateBrokeError(Exception):
    """Leaves a pass over the nodes."""

    def __init__(self, kind: Kind, broken: _Broken) -> None:
        super().__init__(kind)
        self.kind = kind
        self.broken = broken


def _same(last: _Run, inputs: Inputs, keys: list[_Key]) -> bool:
    """Whether nothing that decides the outputs (or the places in findings) changed. The config_version decides
    nothing."""
    then, now = last.inputs.cluster, inputs.cluster
    return (
        last.keys == keys
        and last.inputs.settings == inputs.settings
        and last.inputs.facts == inputs.facts
        and (then.file, then.name, then.type, then.lines) == (now.file, now.name, now.type, now.lines)
    )


def _is_light(content: Content) -> bool:
    """Whether it is only a description of where content comes from."""
    return not isinstance(content, bytes)


def _placed(finding: Finding, node: Node, cluster: Cluster) -> Finding:
    index = next((index for index, other in enumerate(cluster.nodes) if other is node or other == node), None)
    place = Place(cluster.file) if index is None or index >= len(cluster.lines) else cluster.place(index)
    return replace(finding, place=place)
