# SPDX-License-Identifier: GPL-3.0-or-later
"""A small boot host in a directory: what the publisher's tests publish, and how."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from osrd.apply.publication import Note
from osrd.apply.publish import Publisher, PublishResult
from osrd.apply.runner import SubprocessRunner
from osrd.apply.server import Reloaded, Server
from osrd.apply.store import Store
from osrd.model.finding import Finding, Severity
from osrd.model.output import Content, CopyOf, Desired, Kind, Output, Service, Stage, text_recipe
from osrd.model.plan import Plan
from osrd.model.view import ServiceState
from osrd.observe.filecache import FileCache
from osrd.plan.difference import difference, questionable

STAGES = {
    Kind.LOADER: Stage.LOADER,
    Kind.KERNEL: Stage.KERNEL,
    Kind.INITRD: Stage.KERNEL,
    Kind.DHCP: Stage.DHCP,
    Kind.EXPORTS: Stage.EXPORTS,
    Kind.HOSTS: Stage.HOSTS,
}


@dataclass
class RecordingServer:
    """A server that keeps account of what it was told. It refuses files with the word ``refuses`` when they are
    checked and with ``chokes_on`` when it reads them."""

    refuses: bytes = b"never"
    chokes_on: bytes = b"never"
    state: ServiceState = ServiceState.RUNNING
    checked: list[dict[str, bytes]] = field(default_factory=list)
    reloads: list[frozenset[str]] = field(default_factory=list)
    files: tuple[str, ...] = ()

    def check(self, candidates: Mapping[str, str]) -> tuple[Finding, ...]:
        contents = {path: Path(temp).read_bytes() for path, temp in candidates.items()}
        self.checked.append(contents)
        if any(self.refuses in content for content in contents.values()):
            return (Finding("bad-syntax", Severity.ERROR, "line 1: what?", "write something else"),)
        return ()

    def reload(self, changed: frozenset[str]) -> Reloaded:
        self.reloads.append(changed)
        if self.state is ServiceState.ABSENT:
            return Reloaded(self.state)
        if any(self.chokes_on in Path(path).read_bytes() for path in self.files if Path(path).exists()):
            return Reloaded(ServiceState.FAILED, ok=False)
        return Reloaded(self.state)


@dataclass
class World:
    """A TFTP directory, a state directory and the programs' parts that a run needs."""

    base: Path
    servers: dict[Service, Server] = field(default_factory=dict)
    keep: int = 10

    def __post_init__(self) -> None:
        self.base.mkdir(exist_ok=True, parents=True)
        self.tftp = self.base / "tftp"
        self.tftp.mkdir(exist_ok=True)
        self.state = self.base / "state"
        self.start()

    def start(self) -> None:
        """Begin like a freshly started daemon."""
        self.store = Store.open(str(self.state))
        self.cache = FileCache((str(self.tftp),))
        self.publisher = Publisher(self.store, self.cache, SubprocessRunner(), self.servers, self.keep)

    def restart(self) -> tuple[Finding, ...]:
        self.store.close()
        self.start()
        return self.publisher.recover()

    def path(self, name: str) -> str:
        return str(self.tftp / "osr" / name)

    def desired(self, outputs: Mapping[str, "bytes | Output | tuple[str, Content]"], **options: object) -> Desired:
        """``pxelinux.cfg/01-aa`` and the like to text, or to (recipe, content)."""
        wanted, contents = {}, {}
        for name, given in outputs.items():
            recipe, content = given if isinstance(given, tuple) else (text_recipe(given), given)
            output = self.output(name, recipe)
            wanted[output.path] = output
            if content is not None:
                contents[recipe] = content
        return Desired(wanted, contents, **options)

    def output(self, name: str, recipe: str) -> Output:
        kind = kind_of(name)
        last = name.rpartition("/")[2].encode("ascii", "replace").decode()
        node = last if kind in (Kind.PXELINUX, Kind.GRUB, Kind.IPXE) else ""
        return Output(self.path(name), kind, STAGES.get(kind, Stage.MENU), recipe, node, ("cluster.conf",))

    def plan(self, desired: Desired, *, quick: bool = False) -> Plan:
        manifest = self.store.manifest
        paths = questionable(desired, manifest) if quick else desired.outputs.keys() | manifest.keys()
        found = self.cache.find(paths)
        return difference(desired, manifest, found, self.store.owed, self.store.retained())

    def publish(self, desired: Desired, note: Note | None = None, *, quick: bool = False) -> PublishResult:
        plan = self.plan(desired, quick=quick)
        return self.publisher.publish(plan, desired, note or self.note(), lambda path: None)

    def note(self, reason: str = "test", **options: object) -> Note:
        return Note(reason, 1, self.store.good_nodes(), {}, **options)

    def tree(self) -> dict[str, bytes]:
        """Every file below the TFTP root, dot files too."""
        return {
            str(path.relative_to(self.tftp / "osr")): path.read_bytes()
            for path in sorted(self.tftp.rglob("*"))
            if path.is_file()
        }

    def codes(self, plan_or_result: Plan | PublishResult) -> list[str]:
        return [finding.code for finding in plan_or_result.findings]


def kind_of(name: str) -> Kind:
    head, _, tail = name.partition("/")
    if head == "kernels":
        return Kind.INITRD if tail.startswith("initrd") else Kind.KERNEL
    names = {"pxelinux.cfg": Kind.PXELINUX, "grub": Kind.GRUB, "dhcp.conf": Kind.DHCP, "exports": Kind.EXPORTS}
    return names.get(head, Kind.LOADER)


def copy_of(source: Path) -> tuple[str, CopyOf]:
    content = source.read_bytes()
    recipe = text_recipe(content)
    return recipe, CopyOf(str(source), recipe, len(content))


def quick_directory() -> "tempfile.TemporaryDirectory[str]":
    """A directory in memory where there is one: hundreds of runs with an fsync for every file."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="osrd-", dir=memory if memory.is_dir() else None)
