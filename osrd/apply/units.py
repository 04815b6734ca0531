# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd's services, through systemctl(1)."""

import os
from collections.abc import Sequence

from osrd.apply.runner import Completed, Runner

_BOOTED = "/run/systemd/system"  # sd_booted(3)


class Units:
    """``booted`` is the directory that exists exactly while systemd is the init system."""

    def __init__(self, runner: Runner, booted: str = _BOOTED) -> None:
        self._runner = runner
        self._booted = booted

    def first_active(self, units: Sequence[str]) -> str:
        """The first of ``units`` that is active, "" when none is or systemd is not there."""
        if not os.path.isdir(self._booted):
            return ""
        return next((unit for unit in units if self.is_active(unit)), "")

    def is_active(self, unit: str) -> bool:
        return self._systemctl("is-active", "--quiet", unit).ok

    def main_pid(self, unit: str) -> int | None:
        """The process id of the service's main process, None when it has none."""
        shown = self._systemctl("show", "--property=MainPID", "--value", unit).stdout.strip()
        return int(shown) if shown.isdigit() and int(shown) > 1 else None

    def reload(self, unit: str) -> Completed:
        return self._systemctl("reload", unit)

    def restart(self, unit: str) -> Completed:
        """Restart ``unit``. Its start counter is cleared first: several edits within ten seconds would otherwise hit
        StartLimitBurst (systemd.unit(5)) and leave the service down, without anything being wrong with it."""
        self._systemctl("reset-failed", unit)
        return self._systemctl("restart", unit)

    def _systemctl(self, *arguments: str) -> Completed:
        return self._runner.run(["systemctl", "--no-ask-password", *arguments], timeout=90)
