#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make install`, `make install-modules` and `make uninstall` do: files to their places, and back.

osrd's modules are in a directory of their own, PREFIX/share/osrd/python, not in one of Python's: they are programs'
insides and nobody else's library, the place is the same on every distribution, and a new Python of the distribution
finds them. The programs are run by the distribution's Python with its libraries, alone (-I): no variable and nothing
in a home directory changes what root runs.

The list, PREFIX/share/osrd/installed (of the modules: installed-modules), has a line for each file and directory that
was made, so that an installation over an older one leaves nothing of that, and `uninstall` takes back that and nothing
else. Configuration is installed only where there is none, and taken back only as it was installed.
"""

import argparse
import configparser
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
DATA = SOURCE / "data"
sys.path.insert(0, str(SOURCE))
sys.dont_write_bytecode = True

from osrd.model.image import Dracut  # noqa: E402
from osrd.plan.initrd.modules import module_files, module_mode  # noqa: E402

_UNITS = (".service", ".socket", ".timer", ".target", ".path", ".slice", ".mount")
_DAEMON = "osrd"
_PROGRAM = """#!{python} -IB
import sys

sys.path.insert(0, {library!r})
from {module} import {function}  # noqa: E402

sys.exit({function}())
"""


@dataclass(frozen=True)
class Places:
    """Where things go on the system; ``destdir`` is put before all of them."""

    destdir: str
    prefix: str
    sbindir: str
    sysconfdir: str
    unitdir: str
    #: of D-Bus and polkit, which look nowhere else for policies
    policydir: str
    zshdir: str
    python: str
    #: whether byte code is made for ``python``
    compile: bool
    #: the version of dracut that the modules are for
    dracut: int

    @property
    def share(self) -> str:
        return f"{self.prefix}/share/osrd"

    @property
    def code(self) -> str:
        return f"{self.share}/python"

    @property
    def documents(self) -> str:
        return f"{self.prefix}/share/doc/osrd"

    def real(self, path: str) -> Path:
        return Path(self.destdir + path)


@dataclass(frozen=True)
class Item:
    """A file to be: ``config`` is the administrator's as soon as it is there."""

    path: str
    data: bytes
    mode: int = 0o644
    config: bool = False


def main() -> None:
    places, verb = _arguments()
    if verb == "uninstall":
        uninstall(places, [f"{places.share}/{name}" for name in ("installed", "installed-modules")])
    elif verb == "modules":
        install(places, f"{places.share}/installed-modules", list(modules(places)))
    else:
        install(places, f"{places.share}/installed", list(everything(places)))


def _arguments() -> tuple[Places, str]:
    parser = argparse.ArgumentParser(description="Install osrd. Called by make.")
    parser.add_argument("verb", choices=("install", "modules", "uninstall"))
    paths = ("prefix", "sbindir", "sysconfdir", "unitdir", "policydir", "zshdir", "python")
    for name in ("destdir", *paths):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--compile", choices=("yes", "no"), required=True)
    parser.add_argument("--dracut", default="")
    given = vars(parser.parse_args())
    for name in paths:
        # A line of the list, a line of a program and of a unit each name them.
        if not re.fullmatch(r"/[A-Za-z0-9_.+@/-]*", given[name]):
            parser.error(f"{name.upper()}={given[name]} is no absolute path of plain characters")
    verb = given.pop("verb")
    given["destdir"] = os.path.abspath(given["destdir"]) if given["destdir"] else ""
    given["compile"] = given["compile"] == "yes"
    given["dracut"] = int(given["dracut"] or _dracut_here())
    return Places(
        **{name: value.rstrip("/") if isinstance(value, str) else value for name, value in given.items()}
    ), verb


def _dracut_here() -> int:
    """The version of this system's dracut; of those with the old numbers where there is none."""
    try:
        text = subprocess.run(["dracut", "--version"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return 0
    found = re.search(r"\d+", text)
    return int(found[0]) if found else 0


def everything(places: Places) -> Iterator[Item]:
    """All but what belongs into the nodes' root."""
    yield from _programs(places)
    yield from _tree(SOURCE / "osrd", f"{places.code}/osrd")
    # What the daemon and osrctl look for themselves (osrd/observe/data.py).
    for name in ("schema", "dracut", "dracut.conf.d", "kernel-hooks", "kernel-install"):
        yield from _tree(DATA / name, f"{places.share}/{name}")
    yield from _systemd(places)
    yield from _dbus(places)
    yield from _for_people(places)


def _programs(places: Places) -> Iterator[Item]:
    setup = configparser.ConfigParser()
    setup.read(SOURCE / "setup.cfg")
    for line in setup["options.entry_points"]["console_scripts"].strip().splitlines():
        name, module, function = re.fullmatch(r"([\w-]+) = ([\w.]+):(\w+)", line).groups()  # type: ignore[union-attr]
        text = _PROGRAM.format(python=places.python, library=places.code, module=module, function=function)
        yield Item(f"{_directory_of(places, name)}/{name}", text.encode(), 0o755)


def _directory_of(places: Places, program: str) -> str:
    return places.sbindir if program == _DAEMON else f"{places.prefix}/bin"


def _systemd(places: Places) -> Iterator[Item]:
    for path in _below(DATA / "systemd"):
        if path.suffix in _UNITS:
            yield Item(f"{places.unitdir}/{path.name}", _with_paths(path.read_text(), places).encode())
        elif path.suffix in (".tmpfiles", ".sysusers"):
            yield _copied(path, f"{places.prefix}/lib{path.suffix.replace('.', '/')}.d", f"{path.stem}.conf")
        elif path.suffix == ".catalog":
            yield _copied(path, f"{places.prefix}/lib/systemd/catalog")


def _with_paths(unit: str, places: Places) -> str:
    """A unit whose programs of osrd are those that are installed with it; systemd does not look everywhere."""

    def absolute(match: re.Match[str]) -> str:
        return f"{match[1]}{_directory_of(places, match[2])}/{match[2]}"

    return re.sub(r"(?m)^(Exec\w+=[-@:+!|]*)(osrd|osrctl)(?=\s|$)", absolute, unit)


def _dbus(places: Places) -> Iterator[Item]:
    for path in _below(DATA / "dbus"):
        if path.suffix == ".xml":
            yield _copied(path, f"{places.share}/dbus")
            yield _copied(path, f"{places.prefix}/share/dbus-1/interfaces")
        elif path.suffix == ".service":
            yield _copied(path, f"{places.prefix}/share/dbus-1/system-services")
        else:
            yield _copied(path, f"{places.policydir}/dbus-1/system.d")
    yield _copied(DATA / "polkit/org.opensharedroot.osrd.policy", f"{places.policydir}/polkit-1/actions")


def _for_people(places: Places) -> Iterator[Item]:
    for path in _below(SOURCE / "man"):
        yield Item(f"{places.prefix}/share/man/man{path.suffix[1:]}/{path.name}", _naming(path, places))
    completions = DATA / "completions"
    yield _copied(completions / "osrctl", f"{places.prefix}/share/bash-completion/completions")
    yield _copied(completions / "osrctl.fish", f"{places.prefix}/share/fish/vendor_completions.d")
    yield _copied(completions / "_osrctl", places.zshdir)
    for name in ("README.md", "NEWS.md", "LICENSE"):
        yield _copied(SOURCE / name, places.documents)
    examples = f"{places.documents}/examples"
    yield _copied(DATA / "osrd.conf.example", examples, "osrd.conf")
    yield _copied(DATA / "polkit/50-osr-admins.rules.example", examples, "50-osr-admins.rules")
    for path in _below(SOURCE / "osrd/plan/templates"):
        yield _copied(path, f"{examples}/templates")
    yield Item(f"{places.sysconfdir}/osrd/osrd.conf", _naming(DATA / "osrd.conf", places), config=True)


def _naming(path: Path, places: Places) -> bytes:
    """A file that names places of the installation."""
    text = path.read_text()
    for usual, here in (("/usr/share/doc/osrd", places.documents), ("/usr/share/osrd", places.share)):
        text = text.replace(usual, here)
    return text.encode()


def modules(places: Places) -> Iterator[Item]:
    """What `osrctl initrd install` puts into a root, for packages that are installed in there."""
    sources = {str(path.relative_to(DATA / "dracut")): path.read_bytes() for path in _below(DATA / "dracut")}
    for path, data in module_files(sources, Dracut(places.dracut, "")).items():
        yield Item(f"{places.prefix}/lib/dracut/{path}", data, module_mode(data))
    for name, place in (("dracut.conf.d", "lib/dracut/dracut.conf.d"), ("kernel-install", "lib/kernel/install.d")):
        for file in _below(DATA / name):
            yield _copied(file, f"{places.prefix}/{place}")
    for file in _below(DATA / "kernel-hooks"):
        if file.name == "kernel-hook":
            yield _copied(file, f"{places.prefix}/lib/osr")
        else:
            yield Item(f"{places.sysconfdir}/kernel/{file.name}.d/00osr", file.read_bytes(), 0o755, config=True)


def _below(directory: Path) -> list[Path]:
    """The files of a directory, without what editors and Python leave there."""
    return sorted(
        path
        for path in directory.rglob("[!.]*")
        if path.is_file() and path.parent.name != "__pycache__" and not path.name.endswith(("~", ".orig", ".rej"))
    )


def _tree(directory: Path, place: str) -> Iterator[Item]:
    for path in _below(directory):
        yield _copied(path, f"{place}/{path.relative_to(directory).parent}".removesuffix("/."))


def _copied(path: Path, directory: str, name: str = "") -> Item:
    """Executable is what the kernel can start; a template of iPXE's only looks so."""
    data = path.read_bytes()
    return Item(f"{directory}/{name or path.name}", data, 0o755 if data.startswith(b"#!/") else 0o644)


@dataclass
class Listed:
    """The list of an installation: files, configuration as it was installed (digests), directories that were made."""

    files: set[str] = field(default_factory=set)
    configs: dict[str, str] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, file: Path) -> "Listed":
        listed = cls()
        for line in file.read_text().splitlines() if file.exists() else ():
            kind, digest, path = line.split(" ", 2)
            if kind == "config":
                listed.configs[path] = digest
            else:
                (listed.files if kind == "file" else listed.directories).add(path)
        return listed

    def text(self) -> str:
        lines = [(path, "file", "-") for path in self.files]
        lines += [(path, "directory", "-") for path in self.directories]
        lines += [(path, "config", digest) for path, digest in self.configs.items()]
        return "".join(f"{kind} {digest} {path}\n" for path, kind, digest in sorted(lines))


def install(places: Places, listname: str, items: list[Item]) -> None:
    """Make it as ``items`` say. What an earlier installation made and this one does not is taken away."""
    before = Listed.read(places.real(listname))
    now = Listed({listname}, before.configs, before.directories)
    # First what may be there afterwards, so that an interrupted installation can be taken back as well.
    now.files |= before.files | {item.path for item in items if not item.config}
    _make_directories(places, listname, now)
    for item in items:
        _make_directories(places, item.path, now)
    _write(places.real(listname), now.text().encode(), 0o644)
    for item in items:
        if not item.config:
            _write(places.real(item.path), item.data, item.mode)
        elif not os.path.lexists(places.real(item.path)):
            now.configs[item.path] = _digest(item.data)
            _write(places.real(item.path), item.data, item.mode)
    now.files = {listname} | {item.path for item in items if not item.config}
    for path in sorted(before.files - now.files):
        _remove(places, path)
    _remove_empty(places, now)
    if places.compile and places.real(places.code).is_dir():
        _compile(places)
    _write(places.real(listname), now.text().encode(), 0o644)


def uninstall(places: Places, listnames: list[str]) -> None:
    """Take back what the lists say: files, configuration where nobody changed it, directories that are empty then."""
    listed = Listed()
    for part in (Listed.read(places.real(name)) for name in listnames):
        listed = Listed(
            listed.files | part.files, listed.configs | part.configs, listed.directories | part.directories
        )
    for path, digest in listed.configs.items():
        file = places.real(path)
        if file.is_file() and _digest(file.read_bytes()) == digest:
            file.unlink()
        elif os.path.lexists(file):
            print(f"{file} was changed since it was installed, and stays.")
    # Nobody but Python puts anything there, from the modules that go.
    for cache in list(places.real(places.code).rglob("__pycache__")) if listed.files else ():
        shutil.rmtree(cache)
    for path in sorted(listed.files):
        _remove(places, path)
    _remove_empty(places, listed)


def _make_directories(places: Places, path: str, listed: Listed) -> None:
    for parent in reversed(Path(path).parents):
        directory = places.real(str(parent))
        if not directory.is_dir():
            directory.mkdir(parents=True)  # DESTDIR's own
            directory.chmod(0o755)
            if str(parent) != "/":
                listed.directories.add(str(parent))


def _write(file: Path, data: bytes, mode: int) -> None:
    """A file as it is to be, unless it is so: under its name there is a whole one at any time."""
    with suppress(FileNotFoundError):
        there = file.lstat()
        if stat.S_ISREG(there.st_mode) and stat.S_IMODE(there.st_mode) == mode and file.read_bytes() == data:
            return
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(data)
    new.chmod(mode)
    new.replace(file)


def _compile(places: Places) -> None:
    """Byte code beside the modules, since osrd never writes any itself."""
    code = str(places.real(places.code))
    run = [places.python, "-I", "-m", "compileall", "-q", "-s", code, "-p", places.code, code]
    subprocess.run(run, check=True)


def _remove(places: Places, path: str) -> None:
    with suppress(FileNotFoundError):
        places.real(path).unlink()


def _remove_empty(places: Places, listed: Listed) -> None:
    """The directories that were made and hold nothing any more; what somebody else put there keeps them."""
    for path in sorted(listed.directories, reverse=True):
        with suppress(OSError):
            places.real(path).rmdir()
            listed.directories.discard(path)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main()
