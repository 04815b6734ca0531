# SPDX-License-Identifier: GPL-3.0-or-later
"""The NFS server's export table as the publisher sees it: exportfs(8) and whether the kernel serves it."""

from collections.abc import Mapping

from osrd.apply.runner import NOT_EXECUTABLE, NOT_FOUND, TIMED_OUT, Completed, Runner
from osrd.apply.server import Reloaded, Server
from osrd.apply.units import Units
from osrd.model.finding import Finding, Place, Severity
from osrd.model.settings import Reload, ReloadMethod, Settings
from osrd.model.view import ServiceState

_EXPORTFS = "/usr/sbin/exportfs"
_THREADS = "/proc/fs/nfsd/threads"  # nfsd(7)


def nfs_server(settings: Settings, runner: Runner) -> Server:
    """The server that ``[nfs] reload`` names; ``exportfs -r`` by default."""
    return NfsServer(settings, runner, Units(runner))


class NfsServer:
    """exportfs has no way to test a file, and one wrong line does not keep it from exporting the others: nothing is
    checked beforehand, and what it complains about is sorted into ours and everybody else's."""

    def __init__(self, settings: Settings, runner: Runner, units: Units) -> None:
        self._settings = settings
        self._runner = runner
        self._units = units

    def check(self, candidates: Mapping[str, str]) -> tuple[Finding, ...]:
        """See Server.check."""
        return ()

    def reload(self, changed: frozenset[str]) -> Reloaded:
        """See Server.reload."""
        how = self._settings.nfs.reload or Reload(ReloadMethod.COMMAND, (_EXPORTFS, "-r"))
        match how.method:
            case ReloadMethod.SYSTEMD:
                unit = self._units.first_active(how.argument)
                return self._judged(self._units.reload(unit)) if unit else Reloaded(ServiceState.ABSENT)
            case ReloadMethod.COMMAND:
                return self._judged(self._runner.run(how.argument, timeout=90))
            case ReloadMethod.NONE | ReloadMethod.PIDFILE | ReloadMethod.SOCKET:
                # An osrd.conf with one of the last two is refused (reload-misfit): a kernel has neither.
                return Reloaded(ServiceState.UNMANAGED)

    def _judged(self, done: Completed) -> Reloaded:
        if done.ok:
            return Reloaded(_served())
        if done.returncode == NOT_FOUND and self._settings.nfs.reload is None:
            return Reloaded(ServiceState.ABSENT)
        words = done.stderr.strip()[:500] or f"exit status {done.returncode}"
        message = f"{' '.join(done.argv)} failed: {words}"
        never_ran = done.returncode < 0 or done.returncode in (TIMED_OUT, NOT_EXECUTABLE, NOT_FOUND)
        if never_ran or self._is_about_us(done.stderr):
            finding = _failed(message, "correct what it names; the exports in use stay until then")
            return Reloaded(ServiceState.FAILED, ok=False, findings=(finding,))
        # exportfs -r reads all files and fails for any line in any of them. Putting ours back would change nothing.
        finding = Finding(
            "nfs-reload", Severity.WARNING, message, "correct the exports it names, which are not osrd's"
        )
        return Reloaded(_served(), findings=(finding,))

    def _is_about_us(self, complaint: str) -> bool:
        """Whether ``complaint`` names our file or a path it exports; also when our file cannot be read back."""
        file = self._settings.nfs.exports
        if file in complaint:
            return True
        try:
            with open(file, encoding="utf-8", errors="replace") as opened:
                paths = [line.split()[0].strip('"') for line in opened if line.strip() and not line.startswith("#")]
        except OSError:
            return True
        return any(path in complaint for path in paths)


def _served() -> ServiceState:
    """Whether the kernel's NFS server runs; the export table can be kept without it."""
    try:
        with open(_THREADS, encoding="ascii") as file:
            return ServiceState.RUNNING if int(file.read()) > 0 else ServiceState.ABSENT
    except (OSError, ValueError):
        return ServiceState.ABSENT


def _failed(message: str, fix: str) -> Finding:
    return Finding("nfs-reload", Severity.ERROR, message, fix, place=Place(_EXPORTFS))
