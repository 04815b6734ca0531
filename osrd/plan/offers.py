# SPDX-License-Identifier: GPL-3.0-or-later
"""What each root volume's nodes are offered: the [root] section that speaks about it, kernels, surroundings."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from osrd.model.cluster import Cluster, Node, RootVolume
from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding, Severity
from osrd.model.netboot import HostFacts, StoredPair
from osrd.model.output import Content, CopyOf, Kind, Output
from osrd.model.settings import RootSettings, Settings
from osrd.plan.kernels import KernelChoice, choose_kernels
from osrd.plan.menus import PREVIOUS, Surroundings, surroundings, unusable
from osrd.plan.roots import root_of_volume


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """For the nodes of one root volume. ``around`` is None when they can be given no menu. Nodes named in ``fallen``
    have the offer ``instead``: they did not come up with the current image. Compared by identity."""

    volume: RootVolume | None
    root: RootSettings | None
    around: Surroundings | None
    fallen: frozenset[str] = frozenset()
    instead: "Offer | None" = None

    def to(self, node: Node) -> "Offer":
        return self.instead if self.instead is not None and node.name in self.fallen else self


class Offers:
    """Offers by volume, each worked out when the first node asks for it; ``findings`` grow meanwhile."""

    def __init__(
        self, settings: Settings, cluster: Cluster, facts: HostFacts, templates: str, kinds: frozenset[Kind]
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._facts = facts
        self._templates = templates
        self._kinds = kinds
        self._by_volume: dict[tuple[str, str] | None, Offer] = {}
        self._by_root: dict[str, tuple[KernelChoice, Surroundings | None]] = {}
        self.findings: list[Finding] = []

    def of_all(self, nodes: Iterable[Node]) -> list[Offer]:
        """The offer of each node. Nodes share the objects of their few root volumes, and each is looked up once."""
        nodes = tuple(nodes)
        volumes = [node.root for node in nodes]
        distinct = {id(volume): volume for volume in volumes}
        offers = {number: self.of(volume) for number, volume in distinct.items()}
        found = [offers[id(volume)] for volume in volumes]
        if any(offer.instead is not None for offer in offers.values()):
            return [offer.to(node) for offer, node in zip(found, nodes, strict=True)]
        return found

    def known(self, node: Node) -> Offer | None:
        """The offer of ``node``, None when no node with its root volume asked for one yet."""
        offer = self._by_volume.get(_key(node.root))
        return None if offer is None else offer.to(node)

    def of(self, volume: RootVolume | None) -> Offer:
        key = _key(volume)
        offer = self._by_volume.get(key)
        if offer is None:
            root = root_of_volume(self._settings, volume)
            if root is None and volume is not None:
                self.findings.append(_no_section(volume))
            around = self._of_root(root) if root is not None else None
            offer = Offer(volume, root, around)
            if root is not None and around is not None and (fallen := self._fallen(root, around)):
                instead = replace(offer, around=replace(around, default=PREVIOUS))
                offer = replace(offer, fallen=fallen, instead=instead)
            self._by_volume[key] = offer
        return offer

    def _fallen(self, root: RootSettings, around: Surroundings) -> frozenset[str]:
        """The nodes whose menus start the previous entry by themselves."""
        images = self._facts.images.get(root.name)
        differ = (around.pair.kernel, around.pair.initrd) != (around.pair.previous_kernel, around.pair.previous_initrd)
        if not root.previous_after or not root.takes_images or images is None or not differ:
            return frozenset()
        return frozenset(images.choice.fallen)

    @property
    def stored(self) -> dict[str, StoredPair]:
        """The current pair of every [root] section that nodes use."""
        return {name: choice.stored for name, (choice, _) in self._by_root.items() if choice.stored is not None}

    def files(self) -> list[tuple[Output, Content]]:
        """Kernels and initrds of the roots in use; last (so that they win) those whose content can be copied."""
        files = [
            (output, choice.contents[output.recipe])
            for _, (choice, _) in sorted(self._by_root.items())
            for output in choice.outputs
        ]
        return sorted(files, key=lambda file: isinstance(file[1], CopyOf))

    def spare(self) -> dict[str, Content]:
        """Content by recipe that is not published and that a rollback may ask for."""
        return {recipe: content for choice, _ in self._by_root.values() for recipe, content in choice.contents.items()}

    def _of_root(self, root: RootSettings) -> Surroundings | None:
        if root.name in self._by_root:
            return self._by_root[root.name][1]
        choice = choose_kernels(root, self._settings, self._facts)
        self.findings += choice.findings
        around = None
        if choice.pair is not None:
            try:
                around = surroundings(
                    self._settings,
                    self._cluster,
                    root,
                    choice.pair,
                    way=choice.way,
                    templates=self._templates,
                    kinds=self._kinds,
                )
            except InvalidConfigError as error:
                self.findings.append(unusable(root, error))
        self._by_root[root.name] = choice, around
        return around


def _key(volume: RootVolume | None) -> tuple[str, str] | None:
    return None if volume is None else (volume.name, volume.fstype)


def _no_section(volume: RootVolume) -> Finding:
    return Finding(
        "no-root-section",
        Severity.WARNING,
        f"no [root] section speaks about root volume {volume.name}, so its nodes get no boot entries",
        "add a [root NAME] section with kernel and initrd (and volume, if it is not for all volumes) to osrd.conf",
        attribute="volume",
        value=volume.name,
    )
