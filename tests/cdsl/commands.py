# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands as an administrator runs them: on a scratch root of the seed's kind, from outside and in a chroot."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY

MODULES = {
    "com-mkcdsl": "osrd.cli.com.mkcdsl",
    "com-rmcdsl": "osrd.cli.com.rmcdsl",
    "com-cdslinvadm": "osrd.cli.com.cdslinvadm",
    "com-cdslinvchk": "osrd.cli.com.cdslinvchk",
    "com-searchcdsls": "osrd.cli.com.searchcdsls",
    "com-mkcdslinfrastructure": "osrd.cli.com.mkcdslinfrastructure",
    "osrctl": "osrd.cli.main",
}
FILES = {
    "etc/sysconfig/network": "HOSTNAME=node1\n",
    "var/lib/dhclient/leases": "lease\n",
    "var/lib/rpm/Packages": "packages\n",
    "var/log/messages": "messages\n",
}


@dataclass(frozen=True)
class Commands:
    """Runs programs on ``root``. ``inside``: in a chroot of it, where the root is / (see ``furnish``)."""

    root: Path
    inside: bool = False

    def __call__(self, program: str, *words: str, cwd: str = "/") -> "subprocess.CompletedProcess[str]":
        code = f"import sys; sys.argv[0] = {program!r}; from {MODULES[program]} import main; main()"
        where = ["chroot", str(self.root)] if self.inside else []
        return subprocess.run(
            [*where, sys.executable, "-c", code, *words],
            cwd=cwd,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(REPOSITORY),
                "HOME": "/nonexistent",
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=120,
            check=False,
        )

    def do(self, program: str, *words: str) -> str:
        """Run it, expecting success; its output."""
        done = self(program, *words)
        assert done.returncode == 0, (program, words, done.stdout, done.stderr)
        return done.stdout

    def on_root(self, program: str, *words: str) -> str:
        """The same with ``-r ROOT``, where that is needed."""
        return self.do(program, *([] if self.inside else ["-r", str(self.root)]), *words)


def make_system(base: Path) -> Path:
    """An ordinary root before anything is done to it, with the seed's cluster.conf in it."""
    root = base / "newroot"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "var/run").mkdir()
    (root / "etc/cluster").mkdir()
    (root / "etc/cluster/cluster.conf").write_bytes((REPOSITORY / "tests/fixtures/seed.conf").read_bytes())
    return root


def furnish(root: Path) -> None:
    """Make the root one that programs run in: this host's system and this checkout, mounted. Only in a mount namespace
    of the test's own."""
    for name in ("bin", "sbin", "lib", "lib64", "lib32"):
        source = Path("/") / name
        if source.is_symlink():
            (root / name).symlink_to(os.readlink(source))
        elif source.is_dir():
            bind(source, root / name)
    bound: list[Path] = []
    for directory in (Path("/usr"), REPOSITORY, Path(sys.base_prefix), Path(sys.prefix), Path(sys.prefix).resolve()):
        if not any(directory.is_relative_to(other) for other in bound):
            bind(directory, root / directory.relative_to("/"))
            bound.append(directory)
    for name in ("proc", "sys", "dev"):
        bind(Path("/") / name, root / name)


def bind(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--rbind", str(source), str(target)], check=True)


def tree(root: Path, top: str = "") -> dict[str, str]:
    """Every file and link below ``top``: its content, or ``-> TEXT``. osrd's own directory and what ``furnish`` and
    ``make_system`` brought beside the seed's files are left out."""
    found = {}
    for directory, names, files in os.walk(root / top):
        names[:] = [name for name in names if os.path.join(directory, name) not in _foreign(root)]
        for name in [*names, *files]:
            path = Path(directory, name)
            relative = str(path.relative_to(root))
            if path.is_symlink():
                found[relative] = f"-> {os.readlink(path)}"
            elif path.is_file() and not relative.startswith("."):
                found[relative] = path.read_text()
    return {path: text for path, text in found.items() if path.partition("/")[0] not in _LINKS}


_LINKS = ("bin", "sbin", "lib", "lib64", "lib32")


def _foreign(root: Path) -> set[str]:
    tops = (REPOSITORY, Path(sys.base_prefix), Path(sys.prefix), Path(sys.prefix).resolve())
    firsts = {path.relative_to("/").parts[0] for path in tops}
    return {str(root / name) for name in (*_LINKS, *firsts, "usr", "proc", "sys", "dev", ".osrd", "etc/cluster")}
