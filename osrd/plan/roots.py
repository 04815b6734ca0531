# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ``[root NAME]`` section of osrd.conf speaks about which root volume of cluster.conf."""

from osrd.model.cluster import RootVolume
from osrd.model.settings import BootWay, RootSettings, Settings


def volume_names(volume: RootVolume) -> tuple[str, ...]:
    """The spellings by which a ``volume =`` key may name this root volume: as written, and ``server:/path``."""
    plain = f"{volume.server}:{volume.path}" if volume.server else volume.path
    return (volume.name,) if plain == volume.name else (volume.name, plain)


def root_of_volume(settings: Settings, volume: RootVolume | None) -> RootSettings | None:
    """The section that names ``volume`` exactly, else the one without ``volume``, else None. The first of several
    wins, in the order of osrd.conf."""
    names = volume_names(volume) if volume else ()
    fallback = None
    for root in settings.roots:
        if root.volume and root.volume in names:
            return root
        if not root.volume and fallback is None:
            fallback = root
    return fallback


def boot_way(settings: Settings, root: RootSettings | None) -> BootWay:
    """The section's own boot way, else the general one."""
    return root.way if root and root.way else settings.boot.way
