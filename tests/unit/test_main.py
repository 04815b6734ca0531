# SPDX-License-Identifier: GPL-3.0-or-later
"""The program from outside: exit statuses, messages, signals, what the service manager hears (osrd(8))."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from osrd import __version__
from tests.conftest import REPOSITORY
from tests.eventually import eventually
from tests.unit.boothost import BootHost, node_text


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootHost]:
    with BootHost(tmp_path) as made:
        yield made


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1", **more}


def osrd(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "osrd", *arguments],
        capture_output=True,
        text=True,
        env=environment(**more),
        timeout=60,
        check=False,
    )


def once(host: BootHost) -> "subprocess.CompletedProcess[str]":
    return osrd("--config", str(host.osrd_conf), "--once")


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    """The only line of a refusal."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("osrd: ")
    return line


@pytest.mark.parametrize("option", ["--build", "--copy"])
def test_only_systemd_starts_what_works_apart_from_osrd(option: str) -> None:
    assert "osrd-build@.service" in one_line(osrd(option))


class Daemon:
    """A running osrd and a service manager that listens to it."""

    def __init__(self, host: BootHost, *arguments: str, program: Sequence[str] = ("-m", "osrd"), **more: str) -> None:
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(host.directory / "notify"))
        self._socket.setblocking(False)
        self.log = host.directory / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "--config", str(host.osrd_conf), *(arguments or ("--no-bus",))],
                stdin=subprocess.DEVNULL,
                stderr=log,
                env=environment(NOTIFY_SOCKET=str(host.directory / "notify"), **more),
            )

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def heard(self, text: str) -> int:
        """How many messages so far hold ``text``."""
        with suppress(BlockingIOError):
            while True:
                self.said.append(self._socket.recv(65536).decode())
        return sum(text in message for message in self.said)

    def hears(self, text: str, times: int = 1) -> None:
        eventually(
            lambda: self.heard(text) >= times or self.process.poll() is not None,
            f"{text} from osrd ({self.said}, {self.log.read_text()})",
        )
        assert self.heard(text) >= times, self.log.read_text()

    def ends(self, by: signal.Signals | None = None) -> int:
        if by is not None:
            self.process.send_signal(by)
        return self.process.wait(30)


# exit statuses of --once


def test_once_makes_everything_true_and_says_so(host: BootHost) -> None:
    done = once(host)
    assert done.returncode == 0, done.stderr
    assert "generation 1" in done.stderr
    assert host.entry(1).exists()
    assert once(host).returncode == 0


def test_once_without_cluster_conf_on_a_new_host_is_well_and_says_what_to_do(host: BootHost) -> None:
    host.cluster_conf.unlink()
    done = once(host)
    assert done.returncode == 0
    assert "create it" in done.stderr


def test_once_with_a_bad_node_left_something_undone(host: BootHost) -> None:
    host.write(node_text(1, mac="nonsense"), 2)
    done = once(host)
    assert done.returncode == 1
    assert f"{host.cluster_conf}:" in done.stderr
    assert host.entry(2).exists()


def test_once_with_a_broken_file_left_everything_undone(host: BootHost) -> None:
    host.cluster_conf.write_bytes(b"<cluster")
    done = once(host)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_once_held_by_a_rollback_but_not_in_sync_is_undone(host: BootHost) -> None:
    host.run()
    host.pipeline.pin(1)
    host.close()
    assert once(host).returncode == 0
    host.entry(1).unlink()
    host.entry(1).mkdir()
    assert once(host).returncode == 1


def test_once_interrupted_at_the_keyboard_has_no_traceback(host: BootHost) -> None:
    program = """
import os, signal, sys, osrd.main, osrd.__main__
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
osrd.main.Pipeline.run = lambda *arguments: os.kill(os.getpid(), signal.SIGINT)
sys.exit(osrd.__main__.main())
"""
    argv = [sys.executable, "-c", program, "--config", str(host.osrd_conf), "--once"]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert done.returncode == 130
    assert done.stderr.splitlines() == ["osrd: interrupted; what was begun is completed by the next run"]


# what cannot be started


def test_wrong_arguments_and_the_version() -> None:
    assert osrd("--nonsense").returncode == 2
    assert osrd("--log-level", "loud").returncode == 2
    done = osrd("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"osrd {__version__}")


def test_a_configuration_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    assert str(tmp_path / "none.conf") in one_line(osrd("--config", str(tmp_path / "none.conf"), "--once"))


@pytest.mark.parametrize("name", ["state", "run"])
def test_a_directory_that_cannot_be_used_is_named(host: BootHost, name: str) -> None:
    (host.directory / name).write_bytes(b"a file")
    assert str(host.directory / name) in one_line(once(host))


def test_a_state_database_of_a_newer_osrd_is_left_alone(host: BootHost) -> None:
    host.run()
    host.close()
    file = host.directory / "state/state.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = file.read_bytes()
    (host.directory / "state/images/web/.staged").mkdir(parents=True)
    assert "99" in one_line(once(host))
    with Daemon(host) as daemon:
        daemon.hears("READY=1")
        assert daemon.heard("degraded"), daemon.said
        assert "schema version 99" in daemon.log.read_text()
        assert daemon.ends(signal.SIGTERM) == 0
    assert file.read_bytes() == before
    assert (host.directory / "state/images/web/.staged").exists()


def test_a_damaged_state_database_says_the_way_out(host: BootHost) -> None:
    (host.directory / "state").mkdir()
    (host.directory / "state/state.db").write_bytes(b"garbage" * 999)
    assert "move it away" in one_line(once(host))


def test_a_second_osrd_is_refused_and_told_who_is_first(host: BootHost) -> None:
    with Daemon(host) as daemon:
        daemon.hears("READY=1")
        assert f"process {daemon.process.pid}" in one_line(once(host))
        assert f"process {daemon.process.pid}" in one_line(osrd("--config", str(host.osrd_conf), "--no-bus"))
        assert daemon.ends(signal.SIGTERM) == 0


def test_without_a_bus_to_serve_on(host: BootHost) -> None:
    done = osrd("--config", str(host.osrd_conf), "--bus", f"unix:path={host.directory}/no-bus")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("osrd: ")
    assert "no-bus" in done.stderr.splitlines()[-1]
    assert host.entry(1).exists(), "what can be done without a bus is done"


def test_a_bus_that_does_not_answer(host: BootHost) -> None:
    path = f"{host.directory}/silent"
    program = "import sys, osrd.__main__, osrd.bus.presence as presence\npresence._PATIENCE = 0.2\n"
    program += "sys.exit(osrd.__main__.main())"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(path)
        silent.listen()
        done = subprocess.run(
            [sys.executable, "-c", program, "--config", str(host.osrd_conf), "--bus", f"unix:path={path}"],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "does not answer within 0.2 s" in done.stderr.splitlines()[-1]


# the daemon


def test_ready_comes_after_the_first_run_and_stopping_before_the_end(host: BootHost) -> None:
    with Daemon(host) as daemon:
        daemon.hears("READY=1")
        assert host.entry(1).exists()
        assert daemon.heard("STATUS=ready: 2 nodes of test, generation 1") == 1
        assert daemon.ends(signal.SIGTERM) == 0
        assert daemon.heard("STOPPING=1") == 1


def test_an_interrupt_is_a_request_to_stop(host: BootHost) -> None:
    with Daemon(host) as daemon:
        daemon.hears("READY=1")
        assert daemon.ends(signal.SIGINT) == 0
        assert "Traceback" not in daemon.log.read_text()


def test_a_host_without_cluster_conf_is_ready_and_picks_it_up(host: BootHost) -> None:
    text = host.cluster_conf.read_bytes()
    host.cluster_conf.unlink()
    host.cluster_conf.parent.joinpath("osrd.conf").touch()
    with Daemon(host) as daemon:
        daemon.hears("READY=1")
        assert daemon.heard("STATUS=ready: no cluster yet") == 1
        assert "<3>" not in daemon.log.read_text(), "no error"
        host.cluster_conf.write_bytes(text)
        eventually(host.entry(1).exists, "node 1 is published")
        daemon.hears("STATUS=ready: 2 nodes")


def test_hanging_up_reads_everything_again_and_both_ends_are_told(host: BootHost) -> None:
    with Daemon(host) as daemon:
        daemon.hears("READY=1")
        host.configure("server = 10.0.0.254", "server = nonsense")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.hears("RELOADING=1")
        daemon.hears("READY=1", times=2)
        daemon.hears("STATUS=config-invalid")
        host.configure("server = nonsense", "server = 10.0.0.254")
        host.osrd_conf.write_text(host.osrd_conf.read_text() + "[log]\nlevel = error\n[watch]\ninotify = never\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.hears("READY=1", times=3)
        daemon.hears("STATUS=ready")
        quiet = daemon.log.read_text()
        host.write(node_text(1), 2, 3, version=2)
        daemon.process.send_signal(signal.SIGHUP)
        eventually(host.entry(3).exists, "node 3 is published")
        daemon.hears("READY=1", times=4)
        assert daemon.log.read_text() == quiet, "the new log level is in force"
        assert daemon.ends(signal.SIGTERM) == 0


def test_hanging_up_before_osrd_is_there_is_not_lost(host: BootHost) -> None:
    program = """
import os, signal, sys, osrd.main, osrd.__main__
made = osrd.main.Pipeline
def hung_up(*arguments, **options):
    os.kill(os.getpid(), signal.SIGHUP)
    return made(*arguments, **options)
osrd.main.Pipeline = hung_up
sys.exit(osrd.__main__.main())
"""
    with Daemon(host, program=("-c", program)) as daemon:
        daemon.hears("READY=1")
        daemon.hears("RELOADING=1")
        assert daemon.ends(signal.SIGTERM) == 0


def test_a_crash_of_the_engine_ends_osrd_for_the_service_manager_to_start_it_again(host: BootHost) -> None:
    program = """
import sys, osrd.main, osrd.__main__
def broken(self, run):
    raise RuntimeError("a bug")
osrd.main._Daemon._after_run = broken
sys.exit(osrd.__main__.main())
"""
    with Daemon(host, program=("-c", program)) as daemon:
        assert daemon.ends() == 70
        assert daemon.heard("STOPPING=1") == 1
        log = daemon.log.read_text()
        assert "internal error" in log
        assert "a bug" in log
        assert host.entry(1).exists()


def test_settings_wrong_from_the_start_are_no_reason_not_to_start(host: BootHost) -> None:
    host.configure("server = 10.0.0.254", "server = nonsense")
    with Daemon(host) as daemon:
        daemon.hears("READY=1")
        assert daemon.heard("STATUS=config-invalid") == 1
        assert host.published() == {}
        host.configure("server = nonsense", "server = 10.0.0.254")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.hears("STATUS=ready: 2 nodes")
        assert host.entry(1).exists()


def test_the_watchdog_is_fed(host: BootHost) -> None:
    with Daemon(host, WATCHDOG_USEC="200000") as daemon:
        daemon.hears("WATCHDOG=1", times=3)


@pytest.mark.needs("dbus-daemon")
def test_a_name_that_is_taken_and_a_bus_that_goes_away(host: BootHost, tmp_path: Path) -> None:
    configuration = tmp_path / "bus.conf"
    configuration.write_text(
        f"<busconfig><type>system</type><listen>unix:path={tmp_path}/bus</listen><auth>EXTERNAL</auth>"
        '<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>'
        '<allow eavesdrop="false"/></policy></busconfig>'
    )
    address = f"unix:path={tmp_path}/bus"
    argv = ["dbus-daemon", "--nofork", f"--config-file={configuration}"]
    bus = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        eventually((tmp_path / "bus").exists, "the bus listens")
        second = tmp_path / "second"
        second.mkdir()
        with Daemon(host, "--bus", address) as daemon, BootHost(second) as other:
            daemon.hears("READY=1")
            refused = osrd("--config", str(other.osrd_conf), "--bus", address)
            assert refused.returncode == 2
            assert "Traceback" not in refused.stderr
            assert "org.opensharedroot.Osrd1" in refused.stderr.splitlines()[-1]
            bus.terminate()
            bus.wait(10)
            daemon.hears("there is no message bus")
            bus = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
            eventually(lambda: "the message bus is back" in daemon.log.read_text(), "osrd is back on the bus")
            refused = osrd("--config", str(other.osrd_conf), "--bus", address)
            assert "org.opensharedroot.Osrd1" in refused.stderr.splitlines()[-1]
            assert "Traceback" not in daemon.log.read_text()
    finally:
        bus.kill()
        bus.wait()
