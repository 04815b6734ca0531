# SPDX-License-Identifier: GPL-3.0-or-later
"""Fedora's packages beside Debian's: the same files and dependencies in packages of the same names."""

import configparser
import os
import re
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.needs("dpkg-buildpackage", "dh", "dh_python3", "rpmbuild", "rpm", "rpmlint")

#: by Debian's names; libraries of Python have the same, apart from what setup.cfg calls others
FEDORA = {
    "dbus-system-bus": "dbus",
    "grub-common": "grub2-tools",
    "grub-efi-amd64-bin": "grub2-efi-x64-modules",
    "nfs-kernel-server": "nfs-utils",
    "polkitd": "polkit",
    "pxelinux": "syslinux-nonlinux",
    "syslinux-common": "syslinux-nonlinux",
    "dracut-core": "dracut",
    "default-dbus-system-bus": "dbus",
}
#: what only one of them has: their own records, byte code, and hooks for Debian's kernel packages
_DEBIAN_ONLY = r"/usr/share/(lintian|python3)/|/usr/share/doc/[^/]+/(changelog.gz|copyright)$|/etc/kernel/"
_FEDORA_ONLY = r"/usr/share/licenses/|.*\.pyc$"

Files = Mapping[str, int]


def queried(*words: str | Path) -> list[str]:
    """Lines that a package manager prints of a package."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()


def deb_files(deb: Path) -> Files:
    """Names and permissions, with Debian's places as Fedora has them."""
    found = {}
    for line in queried("dpkg-deb", "-c", deb):
        permissions, _, _, _, _, path = line.split(None, 5)
        path = re.sub(r"^/lib/systemd/", "/usr/lib/systemd/", path.removeprefix("."))
        path = path.replace("/zsh/vendor-completions/", "/zsh/site-functions/")
        if not path.endswith("/") and not re.match(_DEBIAN_ONLY, path):
            found[path.removesuffix(".gz")] = permissions
    return {path: _mode(permissions) for path, permissions in found.items()}


def rpm_files(rpm: Path, version: str) -> Files:
    """Names and permissions."""
    found = {}
    for line in queried("rpm", "-qp", "--qf", "[%{FILEMODES:octal} %{FILENAMES}\n]", rpm):
        mode, path = line.split(" ", 1)
        path = path.replace(f"/usr/share/doc/osrd-{version}/", "/usr/share/doc/osrd/")
        if stat.S_ISREG(int(mode, 8)) and not re.match(_FEDORA_ONLY, path):
            found[path.removesuffix(".gz")] = stat.S_IMODE(int(mode, 8))
    return found


def _mode(text: str) -> int:
    return sum(1 << (8 - place) for place, letter in enumerate(text[1:]) if letter != "-")


def deb_relations(deb: Path, field: str) -> dict[str, str]:
    """Package to bound, the first of alternatives, by Fedora's names."""
    relations = {}
    for item in ",".join(queried("dpkg-deb", "-f", deb, field)).split(","):
        if match := re.match(r"([a-z0-9-]+)(?::any)?(?: \((?:>=|<<|=) ([^)~]*)~?\))?", item.strip()):
            name, bound = match.groups()
            relations[FEDORA.get(name, name)] = bound or ""
    return relations


def rpm_relations(rpm: Path, kind: str) -> dict[str, str]:
    """The same; what rpm adds by itself left out."""
    relations = {}
    for line in queried("rpm", "-qp", f"--{kind}", rpm):
        name, _, bound = (*line.split(" "), "", "")[:3]
        if not name.startswith(("rpmlib(", "config(", "/", "(")):
            library = re.fullmatch(r"python3dist\((.*)\)", name)
            name = f"python3-{library[1]}" if library else name
            relations[name.replace("python3-systemd-python", "python3-systemd")] = bound.removesuffix("-1")
    return relations


@pytest.fixture(scope="session")
def version() -> str:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    return setup["metadata"]["version"]


def test_the_same_packages(built_debs: Mapping[str, Path], built_rpms: Mapping[str, Path]) -> None:
    assert built_rpms.keys() == built_debs.keys()


@pytest.mark.parametrize("package", ["osrd", "osr-cdsl-tools", "osr-dracut-module", "osr-dracut-module-cluster"])
def test_the_same_files_and_relations(
    built_debs: Mapping[str, Path], built_rpms: Mapping[str, Path], package: str, version: str
) -> None:
    deb, rpm = built_debs[package], built_rpms[package]
    assert deb_files(deb) == rpm_files(rpm, version)
    assert (configured := set(queried("rpm", "-qp", "--configfiles", rpm))) <= {"/etc/osrd/osrd.conf"}
    conffiles = subprocess.run(["dpkg-deb", "--info", deb, "conffiles"], check=False, capture_output=True, text=True)
    assert {path for path in conffiles.stdout.split() if not path.startswith("/etc/kernel/")} == configured
    assert deb_relations(deb, "Depends") == rpm_relations(rpm, "requires")
    assert deb_relations(deb, "Recommends") == rpm_relations(rpm, "recommends")
    assert deb_relations(deb, "Suggests").keys() - {"ipxe"} == rpm_relations(rpm, "suggests").keys()
    provided = rpm_relations(rpm, "provides")
    del provided[package]
    assert deb_relations(deb, "Provides").keys() == provided.keys()


def test_the_libraries_are_those_of_the_source(built_debs: Mapping[str, Path]) -> None:
    """With the versions that setup.cfg asks for."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    lines = setup["options"]["install_requires"].strip().splitlines()
    bounds = (re.match(r"([\w-]+) *>=([\d.]+)", line) for line in lines)
    wanted = {bound[1]: bound[2] for bound in bounds if bound}
    del wanted["dbus-fast"]  # of a Python that no release has
    named = {f"python3-{name.lower()}": bound for name, bound in wanted.items()}
    named["python3-systemd"] = named.pop("python3-systemd-python")
    found = deb_relations(built_debs["osrd"], "Depends")
    assert {name: bound for name, bound in found.items() if name.startswith("python3-")} == named


def test_versions_agree(built_debs: Mapping[str, Path], built_rpms: Mapping[str, Path], version: str) -> None:
    assert queried("dpkg-deb", "-f", built_debs["osrd"], "Version") == [version]
    assert queried("rpm", "-qp", "--qf", "%{VERSION}\n", built_rpms["osrd"]) == [version]
    assert f'__version__ = "{version}"' in (REPOSITORY / "osrd/__init__.py").read_text()


def test_rpmlint_has_nothing_to_say(built_rpms: Mapping[str, Path]) -> None:
    spec = REPOSITORY / "packaging/osrd.spec"
    done = subprocess.run(
        ["rpmlint", "-c", REPOSITORY / "packaging/rpmlint.toml", *built_rpms.values(), spec],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    )
    assert re.findall(r"(?m)^.*: [EW]: .*$", done.stdout) == []
    assert done.returncode == 0, done.stdout + done.stderr
