# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's packages: installed, upgraded, removed and purged in a Debian that has what they depend on and no more."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.debian import BOOKWORM, copy, entered, install, kept, overlaid

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.needs("dpkg-buildpackage", "dh", "dh_python3", "debootstrap", "lintian", "unshare"),
]
#: nothing but the packages that are offered, nothing asked
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "--no-install-recommends")
CONF = "[dhcp]\nbackend = none\n"
PUBLISHED = ("srv/tftp/osr/pxelinux.cfg/default", "etc/exports.d/osrd.exports")


def field(deb: Path, name: str) -> list[str]:
    """The packages that a field names, the first of alternatives, without versions."""
    text = subprocess.run(["dpkg-deb", "-f", deb, name], check=True, capture_output=True, text=True).stdout
    return [re.split(r"[ :|]", item.strip())[0] for item in text.split(",") if item.strip()]


@pytest.fixture(scope="session")
def dependencies(
    built_debs: Mapping[str, Path], debian_minbase: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A Debian with what osrd's packages depend on: not to be written in."""
    packages = {name for deb in built_debs.values() for name in field(deb, "Depends")} - set(built_debs)

    def make(root: Path) -> None:
        copy(debian_minbase, root)
        install(root, sorted(packages))

    return kept("dependencies", [BOOKWORM, *sorted(packages)], make, tmp_path_factory.mktemp("dependencies"))


@pytest.fixture
def root(dependencies: Path, tmp_path: Path) -> Iterator[Path]:
    with overlaid(dependencies, tmp_path / "overlay") as root:
        yield root


def files(root: Path) -> set[str]:
    """Everything there is, apart from what dpkg and systemd note down for themselves."""
    noise = ("var/lib/apt/", "var/lib/dpkg/", "var/log/", "var/cache/", "var/lib/systemd/", "tmp/")
    paths = (str(path.relative_to(root)) for path in root.rglob("*"))
    return {path for path in paths if not path.startswith(noise)}


def dpkg(root: Path, *words: str, debs: Sequence[Path] = ()) -> str:
    for deb in debs:
        shutil.copy(deb, root / "tmp")
    done = entered(root, "dpkg", *words, *(f"/tmp/{deb.name}" for deb in debs))
    assert "warning" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def test_lintian_has_nothing_to_say(built_debs: Mapping[str, Path]) -> None:
    (changes,) = next(iter(built_debs.values())).parent.glob("*.changes")
    done = subprocess.run(
        [
            "lintian",
            "--allow-root",
            "--info",
            "--display-info",
            "--pedantic",
            "--fail-on",
            "pedantic,info,warning,error",
            changes,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_story_of_a_boot_host(root: Path, built_debs: Mapping[str, Path], tmp_path: Path) -> None:
    """Installed, configured, at work, upgraded, removed, purged: nothing but what others own is left."""
    before = files(root)
    previous = older(built_debs["osrd"], tmp_path)
    dpkg(root, "--install", debs=[previous])
    assert (root / "etc/systemd/system/multi-user.target.wants/osrd.service").is_symlink()
    assert (root / "etc/systemd/system/dbus-org.opensharedroot.Osrd1.service").is_symlink()
    assert "osr-admins" in (root / "etc/group").read_text()
    assert entered(root, "osrd", "--once").returncode == 0  # without a cluster.conf

    (root / "etc/osrd/osrd.conf").write_text(CONF)
    (root / "etc/cluster").mkdir()
    shutil.copy(REPOSITORY / "tests/fixtures/seed-fixed.conf", root / "etc/cluster/cluster.conf")
    entered(root, "osrd", "--once", check=False)  # there are no boot loaders
    assert all((root / path).is_file() for path in PUBLISHED)
    (root / "srv/tftp/osr/mine").write_text("")

    dpkg(root, "--install", debs=[built_debs["osrd"]])
    assert (root / "etc/osrd/osrd.conf").read_text() == CONF
    assert not entered(root, "dpkg-query", "-W", "osrd").stdout.strip().endswith("previous")
    state = (root / "var/lib/osrd/state.db").read_bytes()
    entered(root, "osrd", "--once", check=False)  # there are no boot loaders
    assert (root / "var/lib/osrd/state.db").read_bytes() == state, "the new version found nothing to do"

    dpkg(root, "--remove", "osrd")
    assert all((root / path).is_file() for path in PUBLISHED), "nodes go on booting"
    assert (root / "etc/osrd/osrd.conf").read_text() == CONF

    dpkg(root, "--purge", "osrd")
    assert files(root) - before == {
        *("etc/cluster", "etc/cluster/cluster.conf"),
        *("etc/exports.d", "srv/tftp", "srv/tftp/osr", "srv/tftp/osr/mine"),
    }


def test_the_words_of_the_wiki_page_in_a_shared_root(root: Path, built_debs: Mapping[str, Path]) -> None:
    """By the names of 2011: modules that dracut finds, tools that need no library of the daemon's."""
    before = files(root)
    offer(root, built_debs.values())
    packages = ("osr-dracut-module", "comoonics-cdsl-py", "osr-dracut-module-cluster")
    entered(root, *APT, "install", *packages)
    listed = entered(root, "dracut", "--list-modules", "--no-kernel").stdout.split()
    assert {"osr", "osr-cluster", "osr-network"} <= set(listed)
    assert (root / "etc/kernel/postinst.d/00osr").stat().st_mode & 0o111
    libraries, hidden = root / "usr/lib/python3/dist-packages", root / "root"
    for library in ("pyinotify.py", "pyudev", "systemd"):
        shutil.move(libraries / library, hidden)
    shutil.copy(REPOSITORY / "tests/fixtures/seed-fixed.conf", root / "tmp/cluster.conf")
    entered(root, "osrctl", "check", "/tmp/cluster.conf")
    asked = entered(root, "com-queryclusterconf", "-f", "/tmp/cluster.conf", "nodeids")
    assert asked.stdout.split() == ["1", "2"]
    for name in ("cdslinvadm", "cdslinvchk", "mkcdsl", "mkcdslinfrastructure", "rmcdsl", "searchcdsls"):
        entered(root, f"com-{name}", "--version")
    for library in ("pyinotify.py", "pyudev", "systemd"):
        shutil.move(hidden / library, libraries)

    # The daemon's package has the tools as well, and takes their place.
    entered(root, *APT, "install", "osrd")
    assert installed(root) == {"osrd", "osr-dracut-module", "osr-dracut-module-cluster"}
    entered(root, "com-mkcdsl", "--version")
    entered(root, *APT, "install", "osr-cdsl-tools")
    assert installed(root) == {"osr-cdsl-tools", "osr-dracut-module", "osr-dracut-module-cluster"}
    entered(root, "com-mkcdsl", "--version")

    entered(root, *APT, "purge", "osr*")
    assert files(root) - before == {"etc/exports.d", "srv/tftp", "srv/tftp/osr"}


def older(deb: Path, directory: Path) -> Path:
    """The same package as the previous version."""
    unpacked, previous = directory / "unpacked", directory / "previous.deb"
    subprocess.run(["dpkg-deb", "-R", deb, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: (.*)", r"Version: \1~previous", control.read_text()))
    subprocess.run(["dpkg-deb", "-b", unpacked, previous], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(unpacked)
    return previous


def offer(root: Path, debs: Iterable[Path]) -> None:
    """The packages are what apt knows, beside what is installed."""
    repository = root / "tmp/repository"
    repository.mkdir()
    for deb in debs:
        shutil.copy(deb, repository)
    index = subprocess.run(["dpkg-scanpackages", "."], cwd=repository, check=True, capture_output=True).stdout
    (repository / "Packages").write_bytes(index)
    (root / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/tmp/repository ./\n")
    entered(root, *APT, "update")


def installed(root: Path) -> set[str]:
    """Of our packages."""
    listed = entered(root, "dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\\n").stdout.splitlines()
    return {line[4:] for line in listed if line.startswith("ii ") and line[4:].startswith("osr")}
