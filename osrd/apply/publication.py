# SPDX-License-Identifier: GPL-3.0-or-later
"""What the publisher tells the state database before and after a run, as values."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from osrd.model.netboot import StoredPair
from osrd.model.output import Published, Service


@dataclass(frozen=True, slots=True)
class Note:
    """What is recorded with a publication. ``good_nodes`` maps node names to the source of their ``<clusternode>``;
    ``pairs`` maps roots to the pair that is current now (roots that are absent keep what they have); ``pin`` is the
    generation that was rolled back to, 0 for none, held while the digest of the inputs is ``pin_inputs``. ``retry``:
    somebody asked, so files that a server refused before are tried again."""

    reason: str
    config_version: int
    good_nodes: Mapping[str, bytes]
    pairs: Mapping[str, StoredPair]
    pin: int = 0
    pin_inputs: str = ""
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """What a run is about to do. ``rows`` are the new manifest rows (their generation is ``Store.next``), none for a
    run that only repairs; ``contents`` are texts by digest; ``repairs`` are paths written again as they are recorded;
    ``directories`` do not exist yet; ``owed`` are the servers that will have to be told."""

    rows: Collection[Published] = ()
    contents: Mapping[str, bytes] = field(default_factory=dict)
    repairs: Collection[str] = ()
    directories: Collection[str] = ()
    owed: frozenset[Service] = frozenset()
    is_generation: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """What a run did. ``placed`` rows are on the disk; ``gone`` paths are osrd's no more; ``kept`` paths left the
    generation but not the disk; ``directories`` were removed; ``owed`` is exactly what is owed now."""

    placed: Collection[Published]
    gone: Collection[str]
    kept: Collection[str]
    directories: Collection[str]
    owed: frozenset[Service]
    written: int
    removed: int


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a killed run left: see ``osrd.observe.manifest.unfinished``."""

    number: int
    rows: Mapping[str, Published]
    repairs: Mapping[str, int]

    def __bool__(self) -> bool:
        return bool(self.number or self.repairs)
