# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan turned into work: for each file its manifest row, its content, and where the content comes from."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from osrd.apply.files import temp_name
from osrd.apply.store import Store
from osrd.model.finding import Finding, Place, Severity
from osrd.model.output import BuiltBy, CopyOf, Desired, Output, Published, Service, StaysAs
from osrd.model.plan import Adopt, Forget, Plan, Reason, ReloadService, Remove, Write
from osrd.plan.difference import SERVICE_OF, as_output, known_digest

ContentOf = Callable[[str], bytes | None]


@dataclass(slots=True)
class Item:
    """One file to write. ``row`` is what the manifest says once it is in place; for a ``repair`` it says so already.
    ``fresh``: nothing is at the path now."""

    row: Published
    content: bytes | CopyOf | BuiltBy
    parent: str
    name: str
    temp: str
    fresh: bool
    repair: bool

    @property
    def service(self) -> Service | None:
        return SERVICE_OF.get(self.row.kind)


@dataclass(slots=True)
class Batch:
    """All work of a run, in the plan's order. ``failed`` are paths that will not be put in place, ``broken`` those of
    them where nothing is: what names them must wait. ``adopted`` has texts of adopted files by digest."""

    number: int
    items: list[Item] = field(default_factory=list)
    adopts: list[Published] = field(default_factory=list)
    removes: list[Published] = field(default_factory=list)
    forgets: list[Published] = field(default_factory=list)
    reloads: list[ReloadService] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    adopted: dict[str, bytes] = field(default_factory=dict)
    is_generation: bool = False

    @property
    def alive(self) -> list[Item]:
        """The items that can still be put in place."""
        return [item for item in self.items if item.row.path not in self.failed] if self.failed else self.items

    def fail(self, items: Iterable[Item], finding: Finding) -> None:
        """These are not put in place, for one reason."""
        for item in items:
            self.failed.add(item.row.path)
            if item.fresh:
                self.broken.add(item.row.path)
        self.findings.append(finding)


def resolve(
    plan: Plan,
    desired: Desired,
    store: Store,
    content_of: ContentOf,
    skip: Callable[[list[Write]], "tuple[set[str], list[Finding]]"],
) -> Batch:
    """Find the content of everything ``plan`` writes. What has none is a finding; the others go on.

    ``skip`` names files that are not to be tried at all (a server refused exactly them before).
    """
    writes = [action for action in plan.actions if isinstance(action, Write)]
    skipped, findings = skip(writes)
    batch = Batch(store.next, findings=findings, failed=set(skipped))
    for action in plan.actions:
        match action:
            case Write():
                if action.output.path not in skipped:
                    _resolve_write(batch, action, desired, store, content_of)
            case Adopt(output):
                row = _adopted(output, store)
                content = desired.contents.get(output.recipe)
                if isinstance(content, bytes):
                    batch.adopted[row.digest] = content
                batch.adopts.append(row)
            case Remove(published):
                batch.removes.append(published)
            case Forget(published):
                batch.forgets.append(published)
            case ReloadService():
                batch.reloads.append(action)
    dropped = [row for row in (*batch.removes, *batch.forgets) if row.path not in store.kept]
    batch.is_generation = bool(batch.adopts or dropped) or any(not item.repair for item in batch.items)
    if batch.is_generation:
        _take_back(batch, desired, store)
    else:
        batch.number = store.generation
        for item in batch.items:
            item.temp = temp_name(item.name, batch.number)
    return batch


def _take_back(batch: Batch, desired: Desired, store: Store) -> None:
    """Files kept for a rollback that are wanted again become part of the generation, so that it retains them too: the
    kernel of yesterday that an edit of today brings back must not go when yesterday is pruned."""
    if not store.kept:
        return
    own = {item.row.path for item in batch.items} | {row.path for row in batch.adopts}
    for path in sorted(store.kept - own):
        output, have = desired.outputs.get(path), store.manifest[path]
        if output is not None and output.recipe == have.recipe:
            batch.adopts.append(_adopted(output, store))


def _resolve_write(batch: Batch, action: Write, desired: Desired, store: Store, content_of: ContentOf) -> None:
    output = action.output
    content = desired.contents.get(output.recipe)
    have = store.manifest.get(output.path)
    digest, size = known_digest(output.recipe), 0
    if isinstance(content, CopyOf):
        digest, size = content.digest, content.size
    elif not isinstance(content, BuiltBy):
        if not isinstance(content, bytes):
            content = _stored(output, content, have, store, content_of)
        if content is None:
            batch.failed.add(output.path)
            if not action.before:
                batch.broken.add(output.path)
            batch.findings.append(_unavailable(output))
            return
        digest, size = digest or sha256(content).hexdigest(), len(content)
    repair = action.reason is Reason.DRIFT and have is not None and have.digest == digest and output == as_output(have)
    row = have if repair and have is not None else _row(output, digest, size, batch.number)
    parent, _, name = output.path.rpartition("/")
    batch.items.append(
        Item(row, content, parent, name, temp_name(name, batch.number), action.before == "", repair)
    )  # fmt: skip


def _row(output: Output, digest: str, size: int, number: int) -> Published:
    return Published(
        output.path,
        output.kind,
        output.stage,
        output.recipe,
        digest,
        size,
        output.mode,
        output.node,
        number,
        output.made_from,
    )


def _adopted(output: Output, store: Store) -> Published:
    """The row of a file that holds the right content already; its size is looked up when it is put on record."""
    have = store.manifest.get(output.path)
    digest = known_digest(output.recipe) or (have.digest if have else "")
    return _row(output, digest, have.size if have and have.digest == digest else 0, store.next)


def _stored(
    output: Output, content: StaysAs | None, have: Published | None, store: Store, content_of: ContentOf
) -> bytes | None:
    """Content that is not in the desired state itself: published before, or rendered on demand."""
    digest = content.digest if content else known_digest(output.recipe)
    if not digest and have is not None and have.recipe == output.recipe:
        digest = have.digest
    stored = store.content(digest) if digest else None
    if stored is None:
        stored = content_of(output.path)
        if stored is not None and digest and sha256(stored).hexdigest() != digest:
            return None
    return stored


def _unavailable(output: Output) -> Finding:
    origin = f" (made from {', '.join(output.made_from)})" if output.made_from else ""
    return Finding(
        code="content-unavailable",
        severity=Severity.ERROR,
        message=f"{output.path} should be written, but its content{origin} is not stored and its source is gone",
        fix="put the source back, or point osrd.conf at another one",
        place=Place(output.path),
        node=output.node,
        value=output.path,
    )


def services_of(rows: Iterable[Published]) -> frozenset[Service]:
    """The servers that read any of these files."""
    return frozenset(SERVICE_OF[kind] for kind in {row.kind for row in rows} if kind in SERVICE_OF)


def by_parent(items: Iterable[Item]) -> Mapping[str, list[Item]]:
    """The items of each directory, in order."""
    grouped: dict[str, list[Item]] = {}
    for item in items:
        grouped.setdefault(item.parent, []).append(item)
    return grouped
