# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd unit lets bind mounts reach the host and is otherwise as tight as that allows."""

import re
import subprocess
from pathlib import Path

import pytest

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


def assignments() -> list[tuple[str, str]]:
    lines = (line.strip() for line in UNIT.read_text().splitlines())
    return [(key, value) for key, equals, value in (line.partition("=") for line in lines if line[:1] not in "#[")]


def values(key: str) -> list[str]:
    return [value for name, value in assignments() if name == key]


def test_nothing_takes_the_daemon_out_of_the_hosts_mount_namespace() -> None:
    assert {key for key, _ in assignments()} & set(_FORBIDDEN.split()) == set()


def test_it_is_supervised_as_the_daemon_expects() -> None:
    assert values("Type") == ["notify"]  # notify-reload is unknown to Debian 12's systemd
    assert values("ExecReload") == ["kill -HUP $MAINPID"]
    assert values("WatchdogSec") == ["60"]
    assert values("Restart") == ["on-failure"]


def test_the_alias_is_what_the_bus_activates() -> None:
    activation = (REPOSITORY / "data/dbus/org.opensharedroot.Osrd1.service").read_text()
    assert f"SystemdService={values('Alias')[0]}" in activation


def test_no_device_capability_under_a_closed_device_policy() -> None:
    assert values("DevicePolicy") == ["closed"]
    assert "CAP_MKNOD" not in " ".join(values("CapabilityBoundingSet"))


@pytest.mark.needs("systemd-analyze")
def test_the_exposure_only_gets_better() -> None:
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(UNIT)], capture_output=True, text=True, check=True
    )
    assert "Unknown" not in result.stderr, result.stderr
    level = re.search(r"Overall exposure level for osrd.service: ([0-9.]+)", result.stdout)
    assert level
    # 0.3 of it are the namespaces that programs of a shared root are locked up in
    assert float(level[1]) <= 5.1


def test_no_user_namespaces() -> None:
    """They would give whoever is locked up in the others all rights over new ones."""
    assert values("RestrictNamespaces") == ["mnt pid net ipc uts"]


@pytest.mark.needs("systemd-analyze")
def test_systemd_understands_every_line() -> None:
    result = subprocess.run(["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, check=False)
    complaints = [
        line
        for line in result.stderr.splitlines()
        if "osrd.service" in line and "not executable" not in line and "Command 'man" not in line
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
