# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that should be published, from the inputs alone (DESIGN 3, desire).

What a node adds is kept between calls (``nodemenus``), so that of 10,000 nodes only the edited one is rendered again.
Contents are handed out once, with the call that rendered them, and not kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter

from osrd.model.cluster import Cluster, Node
from osrd.model.finding import Finding, Place
from osrd.model.netboot import HostFacts, StoredPair
from osrd.model.output import Content, Desired, Kind, Output
from osrd.model.settings import Settings
from osrd.plan.aggregates import Aggregates, Aggregator
from osrd.plan.loaders import plan_loaders
from osrd.plan.menus import MENU_KINDS, MenuMaker
from osrd.plan.nodemenus import Made, NodeMenus
from osrd.plan.offers import Offers
from osrd.plan.templating import TemplateFailedError, Templates, unknown_overrides


@dataclass(frozen=True, slots=True)
class Inputs:
    """``nodes`` are the nodes to publish: valid ones, and for the names in ``quarantined`` their last good value."""

    settings: Settings
    cluster: Cluster
    nodes: tuple[Node, ...]
    quarantined: frozenset[str]
    facts: HostFacts


@dataclass(frozen=True, slots=True)
class _Run:
    """The last call: what it was asked, and everything that answers content_of()."""

    inputs: Inputs
    desired: Desired
    made: Made
    #: the paths of the outputs that are no node's
    shared: frozenset[str]


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
        self._sources: Mapping[str, object] = {}
        self._menus = NodeMenus(MenuMaker(Templates({})))
        self._aggregator = Aggregator()
        self._last: _Run | None = None

    def desire(self, inputs: Inputs) -> Desired:
        """All outputs for ``inputs``; contents of those that were rendered just now."""
        last = self._last
        same_ground = last is not None and _same_ground(last.inputs, inputs)
        if last is not None and same_ground and _same_nodes(last.inputs, inputs):
            return replace(last.desired, changed=(last.desired.outputs, frozenset()))
        self._use_templates(inputs.facts)
        collected = _Collected()
        collected.findings += unknown_overrides(inputs.facts.templates)
        kinds = self._shared_menus(inputs, collected)
        offers = Offers(inputs.settings, inputs.cluster, inputs.facts, self._menus.maker.templates.digest, kinds)
        before = last.made if last else None
        made = self._menus.make(inputs.nodes, offers, collected.contents, last=before, same_ground=same_ground)
        self._give_up(collected)
        self._collect_odd(inputs, made, collected)
        self._collect_files(inputs, made.offers, collected)
        self._collect_aggregates(self._aggregate(inputs, made), collected)
        shared = frozenset(collected.outputs)
        for path in (last.shared - shared) if last is not None and made.changed is not None else ():
            made.outputs.pop(path, None)
        made.outputs.update(collected.outputs)
        desired = Desired(
            made.outputs,
            collected.contents,
            frozenset(collected.frozen_kinds),
            frozenset(collected.frozen_nodes),
            tuple(dict.fromkeys(collected.findings)),
        )
        light = {recipe: content for recipe, content in collected.contents.items() if _is_light(content)}
        self._last = _Run(inputs, replace(desired, contents=light), made, shared)
        if last is not None and made.changed is not None:
            return replace(desired, changed=(last.desired.outputs, made.changed | shared | last.shared))
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
                    self._menus.maker.node(node, entry.around, found.emit)
        elif output.kind in MENU_KINDS:
            self._menus.maker.shared(run.inputs.cluster, run.inputs.settings, output.kind, found.emit)
        elif output.kind in (Kind.EXPORTS, Kind.HOSTS, Kind.DHCP):
            self._collect_aggregates(self._aggregate(run.inputs, run.made), found)
        content = found.contents.get(output.recipe)
        return content if isinstance(content, bytes) else None

    def _use_templates(self, facts: HostFacts) -> None:
        if facts.templates != self._sources:
            self._sources = facts.templates
            self._menus = NodeMenus(MenuMaker(Templates(facts.templates)))

    def _shared_menus(self, inputs: Inputs, collected: _Collected) -> frozenset[Kind]:
        """The files for unknown machines; the kinds of menus whose templates work as far as that shows."""
        good = set()
        for kind in sorted(MENU_KINDS):
            finding = self._menus.maker.broken(kind)
            if finding is None:
                try:
                    self._menus.maker.shared(inputs.cluster, inputs.settings, kind, collected.emit)
                    good.add(kind)
                    continue
                except TemplateFailedError as error:
                    finding = error.finding
            collected.findings.append(finding)
            collected.frozen_kinds.add(kind)
        return frozenset(good)

    def _give_up(self, collected: _Collected) -> None:
        """Kinds of menus whose template failed on a node stay as published."""
        for kind, broken in self._menus.broken.items():
            collected.findings.append(broken.finding)
            collected.frozen_kinds.add(kind)
        for path in [path for path, output in collected.outputs.items() if output.kind in self._menus.broken]:
            del collected.outputs[path]

    @staticmethod
    def _collect_odd(inputs: Inputs, made: Made, collected: _Collected) -> None:
        """Nodes without the menus that they should have keep those that were published."""
        for node, entry in made.odd:
            collected.frozen_nodes.add(node.name)
            if entry.refusal is not None:
                collected.findings.append(_placed(entry.refusal, node, inputs.cluster))

    def _collect_files(self, inputs: Inputs, offers: Offers, collected: _Collected) -> None:
        """Kernels and loaders. Menus that stay as they are name kernels that nothing else wants any more, so no kernel
        is removed while there are such menus."""
        collected.findings += offers.findings
        collected.contents.update(offers.spare())
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

    def _aggregate(self, inputs: Inputs, made: Made) -> Aggregates:
        known = list(map(attrgetter("addresses"), made.entries))
        return self._aggregator.make(
            inputs.settings, inputs.cluster, inputs.facts, inputs.nodes, known=known, offered=made.offered
        )

    @staticmethod
    def _collect_aggregates(made: Aggregates, collected: _Collected) -> None:
        for output, content in made.files:
            collected.emit(output, content)
        collected.findings += made.findings
        collected.frozen_kinds |= made.frozen


def _same_ground(then: Inputs, now: Inputs) -> bool:
    """Whether nothing but nodes changed that decides the outputs. The config_version decides nothing."""
    return (
        then.settings == now.settings
        and then.facts == now.facts
        and (then.cluster.file, then.cluster.name, then.cluster.type)
        == (now.cluster.file, now.cluster.name, now.cluster.type)
    )


def _same_nodes(then: Inputs, now: Inputs) -> bool:
    """Whether the nodes are the same, at the same places (in findings) of the file."""
    return then.nodes == now.nodes and then.cluster.lines == now.cluster.lines


def _is_light(content: Content) -> bool:
    """Whether it is only a description of where content comes from."""
    return not isinstance(content, bytes)


def _placed(finding: Finding, node: Node, cluster: Cluster) -> Finding:
    index = next((index for index, other in enumerate(cluster.nodes) if other is node or other == node), None)
    place = Place(cluster.file) if index is None or index >= len(cluster.lines) else cluster.place(index)
    return replace(finding, place=place)
