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
        self._postponed: dict[str, tuple[str, float]] = {}  # the fingerprint, and until when

    def disturbed(self, version: str) -> None:
        """It does not rest, although what is wanted is the same: its time begins anew."""
        self._since.pop(version, None)

    def postpone(self, version: str, print_: str, until: float) -> None:
        """The image with this fingerprint is not to be built before ``until``, as long as it is wanted."""
        self._postponed[version] = print_, until

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
        self._postponed = {version: kept for version, kept in self._postponed.items() if version in self._since}
        left = {
            version: max(since + quiet, self._until(version, seen)) - now
            for version, (seen, since) in self._since.items()
        }
        ready = next((version for version in sight.wanted if left[version] <= 0), None)
        return ready, None if ready else max(min(left.values()), 0.01)

    def _until(self, version: str, seen: _Seen) -> float:
        print_, until = self._postponed.get(version, ("", 0.0))
        return until if print_ == seen[0] else 0.0
