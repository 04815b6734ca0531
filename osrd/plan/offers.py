# SPDX-License-Identifier: GPL-3.0-or-later
"""What each root volume's nodes are offered: the [root] section that speaks about it, kernels, surroundings."""

from collections.abc import Iterable
from dataclasses import dataclass

from osrd.model.cluster import Cluster, Node, RootVolume
from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding, Severity
from osrd.model.netboot import HostFacts, StoredPair
from osrd.model.output import Content, CopyOf, Kind, Output
from osrd.model.settings import RootSettings, Settings
from osrd.plan.kernels import KernelChoice, choose_kernels
from osrd.plan.menus import Surroundings, surroundings, unusable
from osrd.plan.roots import root_of_volume


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """For the nodes of one root volume. ``around`` is None when they can be given no menu. Compared by identity."""

    volume: RootVolume | None
    root: RootSettings | None
    around: Surroundings | None


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
        volumes = [node.root for node in nodes]
        distinct = {id(volume): volume for volume in volumes}
        offers = {number: self.of(volume) for number, volume in distinct.items()}
        return [offers[id(volume)] for volume in volumes]

    def known(self, volume: RootVolume | None) -> Offer | None:
        """The offer that a node asked for before, None when none did."""
        return self._by_volume.get(_key(volume))

    def of(self, volume: RootVolume | None) -> Offer:
        key = _key(volume)
        offer = self._by_volume.get(key)
        if offer is None:
            root = root_of_volume(self._settings, volume)
            if root is None and volume is not None:
                self.findings.append(_no_section(volume))
            around = self._of_root(root) if root is not None else None
            offer = self._by_volume[key] = Offer(volume, root, around)
        return offer

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
