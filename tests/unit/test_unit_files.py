# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units: osrd.service lets bind mounts reach the host, and all are otherwise as tight as that allows."""

import re
import subprocess
from pathlib import Path

import pytest

from osrd.apply.apart import Kind
from osrd.apply.cdsl.confined import LAUNCHERS
from osrd.apply.initrd import restrict
from osrd.apply.initrd.sandbox import GUARDS
from osrd.bus.names import BUS_NAME
from tests.conftest import REPOSITORY

SYSTEMD = REPOSITORY / "data/systemd"
UNIT = SYSTEMD / "osrd.service"

#: options that give a service its own mount namespace with slave propagation (systemd.exec(5)): a bind mount that osrd
#: makes for a shared root would then not exist on the host
_FORBIDDEN = """
PrivateTmp PrivateDevices ProtectSystem ProtectHome ProtectKernelTunables ProtectKernelModules ProtectKernelLogs
ProtectControlGroups ProtectProc ProcSubset ReadOnlyPaths ReadWritePaths InaccessiblePaths ExecPaths NoExecPaths
BindPaths BindReadOnlyPaths TemporaryFileSystem MountImages ExtensionImages ExtensionDirectories RootDirectory
RootImage MountAPIVFS PrivateIPC PrivateUsers LogNamespace DynamicUser MountFlags NetworkNamespacePath
PrivateNetwork IPCNamespacePath PrivateMounts PrivatePIDs
"""


BUILD, COPY = SYSTEMD / "osrd-build@.service", SYSTEMD / "osrd-copy@.service"
KINDS = (GUARDS, LAUNCHERS)
EXPOSURE = dict(
    line.split() for line in (REPOSITORY / "tests/fixtures/exposure.txt").read_text().splitlines() if line[0] != "#"
)
SERVICES = sorted(path.name for path in SYSTEMD.glob("*.service"))
UNITS = sorted(path.name for path in SYSTEMD.iterdir() if path.suffix in (".service", ".socket"))


def assignments(unit: Path = UNIT) -> list[tuple[str, str]]:
    lines = (line.strip() for line in unit.read_text().splitlines())
    return [(key, value) for key, equals, value in (line.partition("=") for line in lines if line[:1] not in "#[")]


def values(key: str, unit: Path = UNIT) -> list[str]:
    return [value for name, value in assignments(unit) if name == key]


def test_nothing_takes_the_daemon_out_of_the_hosts_mount_namespace() -> None:
    assert {key for key, _ in assignments()} & set(_FORBIDDEN.split()) == set()


def test_it_is_supervised_as_the_daemon_expects() -> None:
    assert values("Type") == ["notify"]  # notify-reload is unknown to Debian 12's systemd
    assert values("ExecReload") == ["kill -HUP $MAINPID"]
    assert values("WatchdogSec") == ["60"]
    assert values("Restart") == ["on-failure"]
    assert values("BusName") == [BUS_NAME]


def test_the_alias_is_what_the_bus_activates() -> None:
    activation = (REPOSITORY / "data/dbus/org.opensharedroot.Osrd1.service").read_text()
    assert f"SystemdService={values('Alias')[0]}" in activation
    assert f"Name={BUS_NAME}" in activation


def test_no_device_capability_under_a_closed_device_policy() -> None:
    assert values("DevicePolicy") == ["closed"]
    assert "CAP_MKNOD" not in " ".join(values("CapabilityBoundingSet"))


def test_the_exposure_of_every_service_is_written_down() -> None:
    assert sorted(EXPOSURE) == SERVICES


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("name", SERVICES)
def test_the_exposure_only_gets_better(name: str) -> None:
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(SYSTEMD / name)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Unknown" not in result.stderr, result.stderr
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert level
    assert float(level[1]) <= float(EXPOSURE[name])


def test_programs_of_shared_roots_run_in_units_of_their_own() -> None:
    """osrd.service may not make the namespaces that they are locked up in: without the sockets nothing is done."""
    assert values("RestrictNamespaces") == ["yes"]
    assert "CAP_SYS_CHROOT" not in " ".join(values("CapabilityBoundingSet"))
    told = [f"{kind.variable}={values('ListenStream', SYSTEMD / kind.unit)[0]}" for kind in KINDS]
    assert values("Environment") == told
    for key in ("Wants", "After", "Also"):
        assert {kind.unit for kind in KINDS} <= set(" ".join(values(key)).split()), key


@pytest.mark.parametrize("kind", KINDS)
def test_a_socket_is_roots_and_outlives_a_restart_of_osrd(kind: Kind) -> None:
    socket = SYSTEMD / kind.unit
    assert values("SocketMode", socket) == ["0600"]
    assert values("Accept", socket) == ["yes"]
    (directory,) = values("RuntimeDirectory")
    assert not values("ListenStream", socket)[0].startswith(f"/run/{directory}/")


@pytest.mark.parametrize("unit", [BUILD, COPY])
def test_they_see_no_more_of_the_host_than_they_must_and_end_with_their_connection(unit: Path) -> None:
    assert values("StandardInput", unit) == ["socket"]
    assert values("KillMode", unit) == ["control-group"]
    assert values("Before", unit) == ["osrd.service"]
    for option in ("PrivateTmp", "PrivateNetwork", "PrivateIPC", "ProtectHome", "NoNewPrivileges"):
        assert values(option, unit) == ["yes"], option
    assert values("ProtectSystem", unit) == ["strict"]


def test_copies_make_device_nodes_and_open_none() -> None:
    assert values("DevicePolicy", COPY) == ["closed"]
    assert values("DeviceAllow", COPY) == ["char-* m", "block-* m"]
    assert "CAP_MKNOD" in " ".join(values("CapabilityBoundingSet", COPY)).split()


def test_a_build_has_what_it_needs_and_limits() -> None:
    """User namespaces would give whoever is locked up in the others all rights over new ones."""
    assert values("RestrictNamespaces", BUILD) == ["mnt pid net ipc uts"]
    (capabilities,) = values("CapabilityBoundingSet", BUILD)
    assert len(capabilities.split()) == 1 + len(restrict.KEPT)
    assert "CAP_SYS_ADMIN" in capabilities.split()
    assert values("PrivateDevices", BUILD) == ["yes"]
    for limit in ("MemoryMax", "TasksMax", "RuntimeMaxSec", "TimeoutStopSec"):
        assert len(values(limit, BUILD)) == 1, limit


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_every_line(name: str) -> None:
    unit = SYSTEMD / name
    result = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    complaints = [
        line
        for line in result.stderr.splitlines()
        if "osrd" in line and "not executable" not in line and "Command 'man" not in line
    ]
    assert complaints == []


@pytest.mark.needs("systemd-tmpfiles")
@pytest.mark.root
def test_the_directories_are_made(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run(
            ["systemd-tmpfiles", f"--root={tmp_path}", "--create", str(SYSTEMD / "osrd.tmpfiles")], check=True
        )
    assert (tmp_path / "srv/tftp/osr").is_dir()
    assert (tmp_path / "etc/osrd/templates").is_dir()


@pytest.mark.needs("journalctl")
def test_journalctl_takes_the_catalog(tmp_path: Path) -> None:
    place = tmp_path / "usr/lib/systemd/catalog"
    place.mkdir(parents=True)
    (place / "osrd.catalog").write_bytes((SYSTEMD / "osrd.catalog").read_bytes())
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    subprocess.run(["journalctl", f"--root={tmp_path}", "--update-catalog"], check=True)
    result = subprocess.run(
        ["journalctl", f"--root={tmp_path}", "--list-catalog"], check=True, capture_output=True, text=True
    )
    assert result.stdout.count(" osrd: ") == CATALOG_ENTRIES


CATALOG_ENTRIES = (SYSTEMD / "osrd.catalog").read_text().count("\n-- ")
