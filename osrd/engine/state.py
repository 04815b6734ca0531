# SPDX-License-Identifier: GPL-3.0-or-later
"""The state database, or why there is none: a daemon that says so on the bus helps more than one that does not start.

Until it can be used, nothing is published, built or mounted, since nobody knows what is osrd's. It is tried again at
every run, so that whoever mends it has nothing else to do.
"""

from osrd.apply.store import Store
from osrd.model.errors import OsrdError
from osrd.model.finding import Finding, Place, Severity
from osrd.observe.manifest import file_name


class StateDirectory:
    """``store`` is that of the state directory, or, while ``refused`` says why not, an empty one in memory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.refused: OsrdError | None = None
        try:
            self.store = Store.open(directory)
        except OsrdError as error:
            self.refused = error
            self.store = Store.nowhere()

    def again(self) -> bool:
        """Whether it can be used now and could not before."""
        if self.refused is None:
            return False
        try:
            store = Store.open(self._directory)
        except OsrdError as error:
            self.refused = error
            return False
        self.store.close()
        self.store, self.refused = store, None
        return True

    def check(self) -> None:
        """Raises what ``refused`` is."""
        if self.refused is not None:
            raise self.refused

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Why nothing happens, none when all is well."""
        if self.refused is None:
            return ()
        fix = self.refused.fix or "mend it; osrd tries again by itself"
        text = f"{self.refused.message}; what is published stays as it is until it can be used"
        return (Finding("state-unusable", Severity.ERROR, text, fix, Place(file_name(self._directory))),)
