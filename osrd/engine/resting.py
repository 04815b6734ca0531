# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a root has rested long enough for a build: a package manager writes for minutes, and half of a kernel's
modules make an image that does not boot. Pure."""

from osrd.engine.buildwork import Sight

#: What must stay as it is: the fingerprint of the wanted image, and all kernels of the root.
_Seen = tuple[str, tuple[tuple[str, str], ...]]


class Resting:
    """Remembers since when each wanted image has been wanted exactly so."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[_Seen, float]] = {}

    def disturbed(self, version: str) -> None:
        """It does not rest, although what is wanted is the same: its time begins anew."""
        self._since.pop(version, None)

    def judge(self, sight: Sight, quiet: float, now: float) -> tuple[str | None, float | None]:
        """The first wanted kernel version for which the root has rested ``quiet`` seconds at the time ``now``; else
        None, and the seconds until the next one may have, None when nothing is wanted."""
        kernels = tuple((kernel.version, kernel.digest) for kernel in sight.kernels)
        known, self._since = self._since, {}
        for version in sight.wanted:
            seen = sight.wishes[version].fingerprint.value, kernels
            before = known.get(version)
            self._since[version] = seen, before[1] if before and before[0] == seen else now
        if not self._since:
            return None, None
        left = {version: since + quiet - now for version, (_, since) in self._since.items()}
        ready = next((version for version in sight.wanted if left[version] <= 0), None)
        return ready, None if ready else max(min(left.values()), 0.01)
