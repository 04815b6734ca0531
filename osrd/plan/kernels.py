# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel and initrd the nodes of a root are offered, and under which content-addressed names.

A name is the digest of the content, so publishing a new kernel never touches the file that a machine is just
fetching; the line in the menu is the switch. The pair before stays as ``previous``.
"""

from dataclasses import dataclass, field

from osrd.model.finding import Finding, Severity
from osrd.model.netboot import HostFacts, StoredPair
from osrd.model.output import Content, CopyOf, Kind, Output, Stage, StaysAs
from osrd.model.settings import RootSettings, Settings


@dataclass(frozen=True, slots=True)
class BootPair:
    """The names, inside the owned directory, of the files that the two menu entries load; "" initrd when none."""

    kernel: str
    initrd: str
    previous_kernel: str
    previous_initrd: str


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """For one ``[root]`` section: ``pair`` is None when its nodes cannot be given a menu; then the findings say why.
    ``stored`` is what becomes the newest stored pair once this is published."""

    pair: BootPair | None = None
    stored: StoredPair | None = None
    outputs: tuple[Output, ...] = ()
    contents: dict[str, Content] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _File:
    """A kernel or an initrd with known content. ``source`` is "" when it is only known as published."""

    kind: Kind
    digest: str
    source: str = ""
    size: int = 0
    setting: str = ""

    @property
    def name(self) -> str:
        return published_name(self.kind, self.digest)


def published_name(kind: Kind, digest: str) -> str:
    """The name inside the owned directory of the kernel or initrd with this sha256."""
    return f"kernels/vmlinuz-{digest[:16]}" if kind is Kind.KERNEL else f"kernels/initrd-{digest[:16]}.img"


def choose_kernels(root: RootSettings, settings: Settings, facts: HostFacts) -> KernelChoice:
    """The current and the previous pair of ``root``. A missing file is an error finding, no kernel a warning."""
    where = f"[root {root.name}]"
    if not root.kernel:
        return KernelChoice(findings=(_not_configured(where),))
    findings: list[Finding] = []
    current = _pair((root.kernel, root.initrd), ("kernel", "initrd"), where, facts, findings)
    if current is None:
        return KernelChoice(findings=tuple(findings))
    previous = _previous(root, current, where, facts, findings)
    stored = StoredPair(current[0].digest, current[1].digest if current[1] else "")
    files = [file for file in (*current, *previous) if file is not None]
    outputs = {file.name: _output(file, settings) for file in reversed(files)}
    contents: dict[str, Content] = {
        f"sha256:{file.digest}": CopyOf(file.source, file.digest, file.size) if file.source else StaysAs(file.digest)
        for file in sorted(files, key=lambda file: bool(file.source))
    }
    names = [file.name if file else "" for file in (*current, *previous)]
    return KernelChoice(BootPair(*names), stored, tuple(outputs.values()), contents, tuple(findings))


_Pair = tuple[_File, _File | None]


def _pair(
    paths: tuple[str, str], keys: tuple[str, str], where: str, facts: HostFacts, findings: list[Finding]
) -> _Pair | None:
    """The two files as facts know them, or None after a finding for every one that is missing."""
    found: list[_File | None] = []
    for kind, path, key in zip((Kind.KERNEL, Kind.INITRD), paths, keys, strict=True):
        state = facts.files.get(path) if path else None
        if state is None and path:
            findings.append(_missing(where, key, path))
        source = facts.sources.get(path, path)
        found.append(_File(kind, state.digest, source, state.size, f"{where} {key}") if state else None)
    if found[0] is None or (paths[1] and found[1] is None):
        return None
    return found[0], found[1]


def _previous(root: RootSettings, current: _Pair, where: str, facts: HostFacts, findings: list[Finding]) -> _Pair:
    """The configured pair, else the newest stored one that differs from the current, else the current one again, so
    that the entry is in every menu from the first day."""
    if root.previous_kernel:
        keys = ("previous-kernel", "previous-initrd")
        configured = _pair((root.previous_kernel, root.previous_initrd), keys, where, facts, findings)
        if configured is not None:
            return configured
    now = (current[0].digest, current[1].digest if current[1] else "")
    for pair in facts.pairs.get(root.name, ()):
        if (pair.kernel, pair.initrd) != now:
            initrd = _File(Kind.INITRD, pair.initrd) if pair.initrd else None
            return _File(Kind.KERNEL, pair.kernel), initrd
    return current


def _output(file: _File, settings: Settings) -> Output:
    path = f"{settings.tftp.directory}/{file.name}"
    origin = file.source or "a pair that was current before"
    return Output(path, file.kind, Stage.KERNEL, f"sha256:{file.digest}", made_from=(origin,))


def _not_configured(where: str) -> Finding:
    return Finding(
        "no-kernel",
        Severity.WARNING,
        f"{where} names no kernel, so nodes with this root get no boot entries",
        f"set kernel (and initrd) in {where} of osrd.conf",
        attribute="kernel",
    )


def _missing(where: str, key: str, path: str) -> Finding:
    previous = key.startswith("previous")
    effect = "an earlier pair is offered instead" if previous else "the nodes with this root keep the menus they have"
    return Finding(
        f"{key}-missing",
        Severity.WARNING if previous else Severity.ERROR,
        f"{key} of {where} is {path}, which is no readable regular file (inside its root); {effect}",
        f"install the file, or correct {key} in {where} of osrd.conf",
        attribute=key,
        value=path,
    )
