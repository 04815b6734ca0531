# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel and initrd the nodes of a root are offered, and under which content-addressed names.

A name is the digest of the content, so publishing a new kernel never touches the file that a machine is just
fetching; the line in the menu is the switch. The pair before stays as ``previous``. The pair is what ``kernel`` and
``initrd`` in osrd.conf say, and else the image that is chosen in osrd's store.
"""

from dataclasses import dataclass, field

from osrd.model.finding import Finding, Severity
from osrd.model.netboot import HostFacts, StoredPair
from osrd.model.output import Content, Kind, Output, Stage
from osrd.model.settings import BootWay, RootSettings, Settings
from osrd.plan.bootfiles import BootFile, Pair, as_stored, contents_of, from_stored
from osrd.plan.imagepairs import ImagePairs, image_pairs


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
    ``stored`` is what becomes the newest stored pair once this is published; ``way`` is how it boots when that is not
    what the settings say. ``contents`` may have more than the outputs need: what a rollback can ask for."""

    pair: BootPair | None = None
    stored: StoredPair | None = None
    way: BootWay | None = None
    outputs: tuple[Output, ...] = ()
    contents: dict[str, Content] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def choose_kernels(root: RootSettings, settings: Settings, facts: HostFacts) -> KernelChoice:
    """The current and the previous pair of ``root``. A missing file is an error finding, no kernel a warning."""
    where = f"[root {root.name}]"
    findings: list[Finding] = []
    images = ImagePairs()
    if root.kernel:
        current = _pair((root.kernel, root.initrd), ("kernel", "initrd"), where, facts, findings)
    elif root.takes_images:
        images = image_pairs(root, settings, facts)
        current = images.current
        findings += images.findings
    else:
        return KernelChoice(findings=(_not_configured(where),))
    if current is None:
        return KernelChoice(contents=contents_of(images.spare), findings=tuple(findings))
    previous = _configured_previous(root, where, facts, findings)
    if previous is None:
        previous = images.previous or _stored_previous(current, images, facts.pairs.get(root.name, ()))
    files = [file for file in (*current, *previous) if file is not None]
    outputs = {file.name: _output(file, settings) for file in reversed(files)}
    names = [file.name if file else "" for file in (*current, *previous)]
    return KernelChoice(
        BootPair(*names),
        as_stored(current),
        images.way,
        tuple(outputs.values()),
        contents_of((*images.spare, *files)),
        tuple(findings),
    )


def _pair(
    paths: tuple[str, str], keys: tuple[str, str], where: str, facts: HostFacts, findings: list[Finding]
) -> Pair | None:
    """The two files as facts know them, or None after a finding for every one that is missing."""
    found: list[BootFile | None] = []
    for kind, path, key in zip((Kind.KERNEL, Kind.INITRD), paths, keys, strict=True):
        state = facts.files.get(path) if path else None
        if state is None and path:
            findings.append(_missing(where, key, path))
        source = facts.sources.get(path, path)
        shared = path in facts.sources
        found.append(BootFile(kind, state.digest, source, state.size, shared) if state else None)
    if found[0] is None or (paths[1] and found[1] is None):
        return None
    return found[0], found[1]


def _configured_previous(root: RootSettings, where: str, facts: HostFacts, findings: list[Finding]) -> Pair | None:
    """The pair that ``previous-kernel`` says; a finding when it does and the files are missing."""
    if not root.previous_kernel:
        return None
    keys = ("previous-kernel", "previous-initrd")
    return _pair((root.previous_kernel, root.previous_initrd), keys, where, facts, findings)


def _stored_previous(current: Pair, images: ImagePairs, stored: tuple[StoredPair, ...]) -> Pair:
    """The newest stored pair that differs from the current and was not rolled back from, else the current one again,
    so that the entry is in every menu from the first day."""
    for pair in stored:
        if pair != as_stored(current) and pair not in images.rejected:
            return from_stored(pair)
    return current


def _output(file: BootFile, settings: Settings) -> Output:
    path = f"{settings.tftp.directory}/{file.name}"
    origin = file.source or "a pair that was current before"
    return Output(path, file.kind, Stage.KERNEL, file.digest, made_from=(origin,))


def _not_configured(where: str) -> Finding:
    return Finding(
        "no-kernel",
        Severity.WARNING,
        f"{where} names no kernel, so nodes with this root get no boot entries",
        f"set kernel (and initrd) in {where} of osrd.conf, or path, so that osrd builds initrds for the kernels there",
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
