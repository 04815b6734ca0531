# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling servers: pid files, units, commands and sockets, and every way in which it can go wrong."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from osrd.apply.dhcp import DhcpServer, dhcp_server
from osrd.apply.kea_socket import KeaRefusedError, kea_command
from osrd.apply.nfs import NfsServer, nfs_server
from osrd.apply.process import Process, read_pid
from osrd.apply.runner import Completed, SubprocessRunner
from osrd.apply.units import Units
from osrd.model.errors import FailedError, NotFoundError
from osrd.model.finding import Severity
from osrd.model.settings import DhcpBackend, DhcpSettings, NfsSettings, Reload, ReloadMethod, Settings
from osrd.model.view import ServiceState
from tests.eventually import eventually

CONFIG, HOSTS = "/etc/dnsmasq.d/osrd.conf", "/var/lib/osrd/dnsmasq.hosts"
ONLY_HOSTS = frozenset({HOSTS})


class Systemctl:
    """systemd is not the init system where tests run: this answers for it, and remembers what it was asked."""

    def __init__(self, active: Callable[[], bool], pid: int = 0, restarts: bool = True) -> None:
        self.calls: list[tuple[str, ...]] = []
        self._active, self._pid, self._restarts = active, pid, restarts

    def run(self, argv: Sequence[str], *, timeout: float = 60, input: bytes = b"") -> Completed:  # noqa: A002
        assert argv[:2] == ["systemctl", "--no-ask-password"]
        verb = argv[2]
        self.calls.append(tuple(argv[2:]))
        if verb == "is-active":
            return Completed(tuple(argv), 0 if self._active() else 3, "", "")
        if verb == "show":
            return Completed(tuple(argv), 0, f"{self._pid}\n", "")
        if verb == "restart" and not self._restarts:
            return Completed(tuple(argv), 1, "", "Job for dnsmasq.service failed.\n")
        return Completed(tuple(argv), 0, "", "")

    @property
    def verbs(self) -> list[str]:
        return [call[0] for call in self.calls]


@contextmanager
def stand_in(
    name: str, directory: Path, on_hang_up: str = "print('hup', flush=True)"
) -> Iterator[subprocess.Popen[bytes]]:
    """A process called ``name`` that reports each SIGHUP in ``directory``/log."""
    program = directory / name
    if not program.exists():
        program.symlink_to(sys.executable)
    code = f"""
import ctypes, signal
ctypes.CDLL(None).prctl(15, {name!r}.encode())
def hup(*_):
    {on_hang_up}
signal.signal(signal.SIGHUP, hup)
print("ready", flush=True)
while True: signal.pause()
"""
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=output, stderr=output)
    try:
        eventually(lambda: log.read_text().startswith("ready"), "the stand-in being ready")
        yield process
    finally:
        process.kill()
        process.wait()


def server(backend: DhcpBackend, method: ReloadMethod | None, *argument: str) -> DhcpServer:
    reload = Reload(method, argument) if method else None
    made = dhcp_server(Settings(dhcp=DhcpSettings(backend=backend, reload=reload)), SubprocessRunner(), "/nonexistent")
    assert isinstance(made, DhcpServer)
    return made


def pid_file(directory: Path, text: str) -> str:
    path = directory / "pid"
    path.write_text(text)
    return str(path)


def test_without_a_back_end_nobody_is_managed() -> None:
    none = dhcp_server(Settings(dhcp=DhcpSettings(backend=DhcpBackend.NONE)), SubprocessRunner(), "/x")
    assert none.check({"/x": "/y"}) == ()
    assert none.reload(frozenset()).state is ServiceState.UNMANAGED
    assert server(DhcpBackend.KEA, ReloadMethod.NONE).reload(frozenset()).state is ServiceState.UNMANAGED


def test_a_hang_up_reaches_the_process_of_the_pid_file(tmp_path: Path) -> None:
    with stand_in("dnsmasq", tmp_path) as process:
        told = server(DhcpBackend.DNSMASQ, ReloadMethod.PIDFILE, pid_file(tmp_path, f"{process.pid}\n"))
        reloaded = told.reload(ONLY_HOSTS)
        assert (reloaded.state, reloaded.ok, reloaded.findings) == (ServiceState.RUNNING, True, ())
        eventually(lambda: "hup" in (tmp_path / "log").read_text(), "the SIGHUP")


def test_a_recycled_pid_is_never_signalled(tmp_path: Path) -> None:
    with stand_in("innocent", tmp_path) as process:
        told = server(DhcpBackend.DNSMASQ, ReloadMethod.PIDFILE, pid_file(tmp_path, str(process.pid)))
        reloaded = told.reload(ONLY_HOSTS)
        assert (reloaded.state, reloaded.ok) == (ServiceState.ABSENT, True)
        assert [finding.code for finding in reloaded.findings] == ["dhcp-stale-pid"]
        assert "innocent" in reloaded.findings[0].message
        assert (tmp_path / "log").read_text() == "ready\n"


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1", "99999999", "4194305\n"])
def test_a_pid_file_without_a_process_is_no_server(tmp_path: Path, text: str) -> None:
    told = server(DhcpBackend.DNSMASQ, ReloadMethod.PIDFILE, pid_file(tmp_path, text))
    assert told.reload(ONLY_HOSTS).state is ServiceState.ABSENT
    assert told.reload(ONLY_HOSTS).ok


def test_a_missing_pid_file_is_no_server(tmp_path: Path) -> None:
    assert (
        server(DhcpBackend.KEA, ReloadMethod.PIDFILE, f"{tmp_path}/no").reload(frozenset()).state
        is ServiceState.ABSENT
    )


@pytest.mark.parametrize("changed", [frozenset({CONFIG}), frozenset({CONFIG, HOSTS}), frozenset[str]()])
def test_a_changed_configuration_needs_a_restart_that_a_pid_file_cannot_give(
    tmp_path: Path, changed: frozenset[str]
) -> None:
    with stand_in("dnsmasq", tmp_path) as process:
        told = server(DhcpBackend.DNSMASQ, ReloadMethod.PIDFILE, pid_file(tmp_path, str(process.pid)))
        reloaded = told.reload(changed)
        assert (reloaded.state, reloaded.ok) == (ServiceState.RUNNING, True)
        assert [(f.code, f.severity) for f in reloaded.findings] == [("dhcp-restart-needed", Severity.WARNING)]


def test_dhcpd_is_never_hung_up(tmp_path: Path) -> None:
    """It has no handler: SIGHUP would end it."""
    with stand_in("dhcpd", tmp_path) as process:
        told = server(DhcpBackend.ISC, ReloadMethod.PIDFILE, pid_file(tmp_path, str(process.pid)))
        assert [finding.code for finding in told.reload(frozenset()).findings] == ["dhcp-restart-needed"]
        assert (tmp_path / "log").read_text() == "ready\n"


def test_a_server_that_dies_of_its_files_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osrd.apply.dhcp._WATCHED", 30.0)  # on a busy machine it takes its time to die
    with stand_in("dnsmasq", tmp_path, "raise SystemExit(1)") as process:
        told = server(DhcpBackend.DNSMASQ, ReloadMethod.PIDFILE, pid_file(tmp_path, str(process.pid)))
        reloaded = told.reload(ONLY_HOSTS)
        assert (reloaded.state, reloaded.ok) == (ServiceState.FAILED, False)
        assert "ended when it was told" in reloaded.findings[0].message


def test_process_knows_life_and_death(tmp_path: Path) -> None:
    with stand_in("kea-dhcp4-with-a-long-name", tmp_path) as child, Process(child.pid) as process:
        assert process.runs("/usr/sbin/kea-dhcp4-with-a-long-name")
        assert process.stays(0.01)
        child.kill()
        child.wait()
        assert not process.stays(5)
        assert not process.runs("kea-dhcp4-with-a-long-name")
        with pytest.raises(ProcessLookupError):
            process.hang_up()
    assert read_pid("/nonexistent") is None


def by_systemd(backend: DhcpBackend, systemctl: Systemctl, booted: Path, *units: str) -> DhcpServer:
    reload = Reload(ReloadMethod.SYSTEMD, units) if units else None
    settings = Settings(dhcp=DhcpSettings(backend=backend, reload=reload))
    return DhcpServer(settings, systemctl, Units(systemctl, str(booted)))


def test_without_systemd_there_is_no_unit_to_ask(tmp_path: Path) -> None:
    systemctl = Systemctl(lambda: True)
    assert by_systemd(DhcpBackend.KEA, systemctl, tmp_path / "no").reload(frozenset()).state is ServiceState.ABSENT
    assert systemctl.calls == []


def test_an_inactive_unit_is_absent_and_stays_so(tmp_path: Path) -> None:
    systemctl = Systemctl(lambda: False)
    assert by_systemd(DhcpBackend.ISC, systemctl, tmp_path).reload(frozenset()).state is ServiceState.ABSENT
    assert systemctl.calls == [
        ("is-active", "--quiet", "isc-dhcp-server.service"),
        ("is-active", "--quiet", "dhcpd.service"),
    ]


def test_a_unit_whose_hosts_changed_is_hung_up_and_not_restarted(tmp_path: Path) -> None:
    with stand_in("dnsmasq", tmp_path) as process:
        systemctl = Systemctl(lambda: True, process.pid)
        reloaded = by_systemd(DhcpBackend.DNSMASQ, systemctl, tmp_path, "lan.service").reload(ONLY_HOSTS)
        assert (reloaded.state, reloaded.findings) == (ServiceState.RUNNING, ())
        eventually(lambda: "hup" in (tmp_path / "log").read_text(), "the SIGHUP")
        assert systemctl.verbs == ["is-active", "show"]


def test_a_unit_whose_configuration_changed_is_restarted_below_the_start_limit(tmp_path: Path) -> None:
    with stand_in("dnsmasq", tmp_path) as process:
        systemctl = Systemctl(lambda: True, process.pid)
        told = by_systemd(DhcpBackend.DNSMASQ, systemctl, tmp_path)
        assert told.reload(frozenset({CONFIG})).state is ServiceState.RUNNING
        assert systemctl.verbs == ["is-active", "reset-failed", "restart", "show", "is-active"]


def test_a_unit_that_did_not_come_up_is_started_again_with_the_last_good_files(tmp_path: Path) -> None:
    states = iter([True, False])
    broken = Systemctl(lambda: next(states), restarts=False)
    told = by_systemd(DhcpBackend.DNSMASQ, broken, tmp_path)
    reloaded = told.reload(frozenset({CONFIG}))
    assert (reloaded.state, reloaded.ok) == (ServiceState.FAILED, False)
    assert "Job for dnsmasq.service failed" in reloaded.findings[0].message
    told.reload(frozenset({CONFIG}))
    assert broken.verbs.count("restart") == 2


def test_a_unit_that_ends_after_its_start_is_a_failure(tmp_path: Path) -> None:
    states = iter([True, False])
    reloaded = by_systemd(DhcpBackend.ISC, Systemctl(lambda: next(states)), tmp_path).reload(frozenset())
    assert (reloaded.state, reloaded.ok) == (ServiceState.FAILED, False)


def test_a_command_answers_with_its_status(tmp_path: Path) -> None:
    assert server(DhcpBackend.KEA, ReloadMethod.COMMAND, "true").reload(frozenset()).state is ServiceState.RUNNING
    failed = server(DhcpBackend.KEA, ReloadMethod.COMMAND, "ls", str(tmp_path / "no")).reload(frozenset())
    assert (failed.state, failed.ok) == (ServiceState.FAILED, False)
    assert "No such file" in failed.findings[0].message


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Somebody at a control socket who says ``answer`` once, in small pieces, and hangs up."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                for start in range(0, len(answer), 7):
                    peer.sendall(answer[start : start + 7])

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(5)


def test_kea_answers_refuses_or_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        kea_command(str(tmp_path / "none"), "config-get")
    with answering(tmp_path / "a", json.dumps({"result": 0, "arguments": {"Dhcp4": {"a": {}}}}).encode()):
        assert kea_command(str(tmp_path / "a"), "config-get") == {"Dhcp4": {"a": {}}}
    with answering(tmp_path / "b", b'{"result": 1, "text": "no"}'), pytest.raises(KeaRefusedError, match="no"):
        kea_command(str(tmp_path / "b"), "config-reload")
    for number, nonsense in enumerate((b"", b"{", b"[]", b'{"result": "x"}')):
        with answering(tmp_path / f"c{number}", nonsense), pytest.raises(FailedError):
            kea_command(str(tmp_path / f"c{number}"), "config-get")
    with pytest.raises(FailedError):
        kea_command("/" + "x" * 200, "config-get")


def nfs(tmp_path: Path, script: str) -> NfsServer:
    """An NFS server whose export program is ``script``: exportfs itself needs a kernel that serves NFS."""
    exports = tmp_path / "osrd.exports"
    exports.write_text("# Made by osrd\n/srv/root 10.0.0.5(rw)\n")
    program = tmp_path / "export"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    reload = Reload(ReloadMethod.COMMAND, (str(program), "-r"))
    made = nfs_server(Settings(nfs=NfsSettings(exports=str(exports), reload=reload)), SubprocessRunner())
    assert isinstance(made, NfsServer)
    return made


def test_exports_that_are_taken(tmp_path: Path) -> None:
    reloaded = nfs(tmp_path, 'test "$1" = -r').reload(frozenset())
    assert (reloaded.ok, reloaded.findings) == (True, ())
    assert nfs(tmp_path, "true").check({"/etc/exports.d/osrd.exports": "/nonexistent"}) == ()


@pytest.mark.parametrize(
    "complaint", ["exportfs: Failed to stat /srv/root: No such file", "osrd.exports:2: bad option"]
)
def test_a_complaint_about_our_exports_is_a_failure(tmp_path: Path, complaint: str) -> None:
    text = complaint.replace("osrd.exports", f"{tmp_path}/osrd.exports")
    reloaded = nfs(tmp_path, f"echo '{text}' >&2; exit 1").reload(frozenset())
    assert (reloaded.state, reloaded.ok) == (ServiceState.FAILED, False)
    assert text in reloaded.findings[0].message


def test_a_complaint_about_somebody_elses_exports_is_a_warning(tmp_path: Path) -> None:
    reloaded = nfs(tmp_path, "echo 'exportfs: Failed to stat /old: No such file' >&2; exit 1").reload(frozenset())
    assert reloaded.ok
    assert [finding.severity for finding in reloaded.findings] == [Severity.WARNING]


def test_without_exportfs_there_is_no_nfs_server(tmp_path: Path) -> None:
    class Nothing:
        def run(self, argv: Sequence[str], *, timeout: float = 60, input: bytes = b"") -> Completed:  # noqa: A002
            return Completed(tuple(argv), 127, "", "exportfs is not installed")

    assert nfs_server(Settings(), Nothing()).reload(frozenset()).state is ServiceState.ABSENT
