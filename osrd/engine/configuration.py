# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd.conf in force: read at the start, read again when asked, and kept when the new one has errors."""

from dataclasses import replace

from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding, Place, Severity
from osrd.observe.configuration import read_settings


class Configuration:
    """``settings`` are in force; ``findings`` are about the file as it was read last. They are not ``usable`` when
    osrd.conf had errors from the start: what the administrator meant is not known then, and nothing is published."""

    def __init__(self, file: str, *, required: bool) -> None:
        """Raises InvalidConfigError when the file is not there although it was named (``required``)."""
        self._file = file
        self._required = required
        self.settings, self.findings = read_settings(file, required=required)
        self.usable = not self.rejected

    @property
    def rejected(self) -> tuple[Finding, ...]:
        """Why the file as it is on the disk is not in force; empty when it is."""
        return self.findings if any(finding.severity is Severity.ERROR for finding in self.findings) else ()

    def reload(self) -> bool:
        """Read the file again; whether it is in force now.

        The state database and the lock stay where they are: a change of those directories needs a restart.
        """
        try:
            settings, findings = read_settings(self._file, required=self._required)
        except InvalidConfigError as error:
            # A file that was named and is gone means a mistake, not the defaults: those are other directories.
            settings, findings = self.settings, (_gone(self._file, error),)
        fixed = replace(settings.paths, state=self.settings.paths.state, runtime=self.settings.paths.runtime)
        if settings.paths != fixed:
            findings = (*findings, _moved(self._file, harmless=self.usable))
        self.findings = findings
        if self.rejected:
            return False
        self.settings, self.usable = replace(settings, paths=fixed), True
        return True

    def check_usable(self) -> None:
        """Raises InvalidConfigError, with the first mistake, when the settings are not usable."""
        if self.usable:
            return
        wrong = next((finding for finding in self.rejected if finding.severity is Severity.ERROR), None)
        where = f" ({wrong.place}: {wrong.message})" if wrong else ""
        raise InvalidConfigError(f"{self._file} cannot be used{where}; nothing was changed", "correct it and reload")


def _moved(file: str, *, harmless: bool) -> Finding:
    """``harmless``: osrd runs well with the former directories; otherwise it never could use this file."""
    return Finding(
        "paths-need-restart",
        Severity.WARNING if harmless else Severity.ERROR,
        "state or runtime in [paths] changed while osrd runs; the former directories stay in use"
        if harmless
        else "osrd was started with other directories for its state and cannot change them while it runs",
        "restart osrd",
        Place(file),
    )


def _gone(file: str, error: InvalidConfigError) -> Finding:
    return Finding("no-osrd-conf", Severity.ERROR, error.message.removeprefix(f"{file}: "), error.fix, Place(file))
