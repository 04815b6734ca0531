# SPDX-License-Identifier: GPL-3.0-or-later
"""The DHCP server as the publisher sees it: check candidates, tell the server, find out whether it took them."""

from collections.abc import Mapping

from osrd.apply.dhcp_check import CHECKERS, CandidateChecker, telling
from osrd.apply.kea_socket import KeaRefusedError, kea_command
from osrd.apply.process import Process, read_pid
from osrd.apply.runner import Runner
from osrd.apply.server import Reloaded, Server
from osrd.apply.units import Units
from osrd.model.errors import NotFoundError, OsrdError
from osrd.model.finding import Finding, Place, Severity
from osrd.model.settings import DhcpBackend, Reload, ReloadMethod, Settings
from osrd.model.view import ServiceState
from osrd.parse.dhcp_kea import read, reservations
from osrd.plan.dhcp import config_place

_UNITS = {
    DhcpBackend.DNSMASQ: ("dnsmasq.service",),
    DhcpBackend.ISC: ("isc-dhcp-server.service", "dhcpd.service"),
    DhcpBackend.KEA: ("kea-dhcp4-server.service", "kea-dhcp4.service"),
}
#: how long a server is watched after it was told, in seconds: one that cannot live with its files dies at once
_WATCHED = 0.25
_ABSENT = Reloaded(ServiceState.ABSENT)
_RUNNING = Reloaded(ServiceState.RUNNING)


def dhcp_server(settings: Settings, runner: Runner, directory: str) -> Server:
    """The server of the configured back end. ``directory`` is the publisher's place for candidates; nothing more than
    what it passes to ``check`` is put there."""
    if settings.dhcp.backend is DhcpBackend.NONE:
        return NoServer()
    return DhcpServer(settings, runner, Units(runner))


class NoServer:
    """Nothing to check and nobody to tell."""

    def check(self, candidates: Mapping[str, str]) -> tuple[Finding, ...]:
        return ()

    def reload(self, changed: frozenset[str]) -> Reloaded:
        return Reloaded(ServiceState.UNMANAGED)


class DhcpServer:
    """dnsmasq, dhcpd or Kea, wherever and however it runs."""

    def __init__(self, settings: Settings, runner: Runner, units: Units) -> None:
        self._settings = settings
        self._backend = settings.dhcp.backend
        self._program = settings.dhcp.program or CHECKERS[self._backend].program
        self._config = config_place(settings)
        self._runner = runner
        self._units = units
        self._checker = CandidateChecker(settings, runner)
        #: a unit that went down when we restarted it; putting the last good files back must bring it up again
        self._down = ""

    def check(self, candidates: Mapping[str, str]) -> tuple[Finding, ...]:
        """See Server.check."""
        return self._checker.check(candidates)

    def reload(self, changed: frozenset[str]) -> Reloaded:
        """See Server.reload."""
        how = self._settings.dhcp.reload or Reload(ReloadMethod.SYSTEMD, _UNITS[self._backend])
        match how.method:
            case ReloadMethod.SYSTEMD:
                return self._by_systemd(how.argument, changed)
            case ReloadMethod.PIDFILE:
                return self._by_pid_file(how.argument[0], changed)
            case ReloadMethod.SOCKET:
                return self._by_socket(how.argument[0])
            case ReloadMethod.COMMAND:
                return run_command(self._runner, how.argument)
            case ReloadMethod.NONE:
                return Reloaded(ServiceState.UNMANAGED)

    def _needs_restart(self, changed: frozenset[str]) -> bool:
        """dnsmasq reads only its hosts file again, dhcpd nothing, Kea everything. Unknown changes may be any."""
        if self._backend is DhcpBackend.DNSMASQ:
            return not changed or self._config in changed
        return self._backend is DhcpBackend.ISC

    def _by_systemd(self, units: tuple[str, ...], changed: frozenset[str]) -> Reloaded:
        unit = self._units.first_active(units)
        if not unit and not self._down:
            return _ABSENT
        if not unit or self._needs_restart(changed):
            return self._restarted(unit or self._down)
        pid = self._units.main_pid(unit)
        if pid is None:
            return _ABSENT
        return self._hung_up(pid, f"the main process of {unit}")

    def _restarted(self, unit: str) -> Reloaded:
        self._down = unit
        done = self._units.restart(unit)
        if not done.ok:
            return _refused(f"{unit} did not start again: {done.stderr.strip()}", f"look at journalctl -u {unit}")
        pid = self._units.main_pid(unit)
        try:
            if pid is not None:
                with Process(pid) as process:
                    process.stays(_WATCHED)
        except ProcessLookupError:
            pass  # already gone again: is-active says what became of it
        if not self._units.is_active(unit):
            return _refused(f"{unit} ended right after its start", f"look at journalctl -u {unit}")
        self._down = ""
        return _RUNNING

    def _by_pid_file(self, file: str, changed: frozenset[str]) -> Reloaded:
        pid = read_pid(file)
        if pid is None:
            return _ABSENT
        try:
            with Process(pid) as process:
                if not process.runs(self._program):
                    return Reloaded(ServiceState.ABSENT, findings=(self._stale_pid(file, process),))
        except ProcessLookupError:
            return _ABSENT
        if self._needs_restart(changed):
            return Reloaded(ServiceState.RUNNING, findings=(self._must_be_restarted(pid),))
        return self._hung_up(pid, f"process {pid} of {file}")

    def _hung_up(self, pid: int, who: str) -> Reloaded:
        """SIGHUP, then a look whether it survived. Checked again here: the number may belong to somebody else now."""
        try:
            with Process(pid) as process:
                if not process.runs(self._program):
                    return _refused(f"{who} is {process.name or 'gone'}, not {self._program}", "correct reload")
                process.hang_up()
                if process.stays(_WATCHED):
                    return _RUNNING
        except ProcessLookupError:
            return _ABSENT
        except PermissionError:
            return _refused(f"{who} may not be signalled", "run osrd as root, or set reload = command:...")
        return _refused(f"{who} ended when it was told to read its files again", "look at its log")

    def _by_socket(self, path: str) -> Reloaded:
        try:
            kea_command(path, "config-reload")
            answer = kea_command(path, "config-get")
        except NotFoundError:
            return _ABSENT
        except KeaRefusedError as error:
            return _refused(f"Kea refused its configuration: {error.message}", "correct what it names")
        except OsrdError as error:
            return _refused(error.message, error.fix or f"look at Kea's log and at the rights of {path}")
        used = reservations(answer.get("Dhcp4") if isinstance(answer, dict) else None)
        try:
            with open(self._config, encoding="utf-8") as file:
                hosts, _ = read(file.read(), self._config)
        except (OSError, UnicodeDecodeError) as error:
            return _refused(f"{self._config} cannot be read back: {error}", "let osrd write it again")
        wanted = frozenset(zip(hosts.macs, hosts.addresses, hosts.names, strict=True))
        if used == wanted:
            return _RUNNING
        return _refused(
            f"Kea has {len(used)} reservations in use, {len(used ^ wanted)} of them other than in {self._config}",
            f"start Kea with -c {self._config}",
        )

    def _stale_pid(self, file: str, process: Process) -> Finding:
        return Finding(
            "dhcp-stale-pid",
            Severity.WARNING,
            f"{file} names process {process.pid}, which is {process.name or 'gone'} and not {self._program}: not told",
            f"delete {file}, or correct reload in the [dhcp] section of osrd.conf",
            place=Place(file),
            value=str(process.pid),
        )

    def _must_be_restarted(self, pid: int) -> Finding:
        return Finding(
            "dhcp-restart-needed",
            Severity.WARNING,
            f"{self._config} changed, and {self._program} (process {pid}) reads it only when it starts",
            f"restart {self._program}",
            place=Place(self._config),
        )


def run_command(runner: Runner, argv: tuple[str, ...]) -> Reloaded:
    """Reload by a command of the administrator's; its exit status is the answer."""
    done = runner.run(argv, timeout=90)
    if done.ok:
        return _RUNNING
    # What a program ended for is the last thing it says: dhcpd writes two hundred words before and after it.
    words = " | ".join(telling(done.stderr or done.stdout))[-500:] or f"exit status {done.returncode}"
    return _refused(f"{argv[0]} failed: {words}", "correct what it names, or the reload setting in osrd.conf")


def _refused(message: str, fix: str) -> Reloaded:
    finding = Finding("dhcp-reload", Severity.ERROR, message, fix)
    return Reloaded(ServiceState.FAILED, ok=False, findings=(finding,))
