# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired minus observed: the plan. Pure, total, and quick enough to run over 30,000 files at every full pass.

Who owns what decides everything here (DESIGN law 3): a path in the manifest is osrd's to write; any other file is
not, whatever its name. A file that osrd wrote and somebody edited is repaired while it is wanted, and left alone
(and forgotten) once it is not.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import compress, filterfalse
from operator import attrgetter, is_not

from osrd.model.finding import Finding, Place, Severity
from osrd.model.output import Desired, FileState, Found, Kind, NotAFile, Output, Published, Service
from osrd.model.plan import Action, Adopt, Forget, Plan, Reason, ReloadService, Remove, Write

#: Which server reads the files of a kind.
SERVICE_OF: Mapping[Kind, Service] = {Kind.DHCP: Service.DHCP, Kind.EXPORTS: Service.NFS}

#: Files that are not stored in the database: they stay on the disk as long as a generation may be rolled back to.
HEAVY_KINDS = frozenset({Kind.LOADER, Kind.KERNEL, Kind.INITRD})


def known_digest(recipe: str) -> str:
    """The sha256 (hex) that content of this recipe has, "" when only the finished build knows."""
    return "" if ":" in recipe else recipe


def as_output(published: Published) -> Output:
    """The output that a manifest row was made for."""
    return Output(
        published.path,
        published.kind,
        published.stage,
        published.recipe,
        published.node,
        published.made_from,
        published.mode,
    )


def questionable(
    desired: Desired, manifest: Mapping[str, Published], agreed: Mapping[str, Output] | None = None
) -> set[str]:
    """The paths whose output is not what the manifest says: another recipe, mode or record, or in one of both only.

    After an edit nothing else can need an action, except for drift, which the full pass looks for. ``agreed`` are
    outputs that the manifest is known to agree with: an output that is the very same object there is not looked at,
    which after an edit spares 30,000 comparisons. Where ``desired`` says what changed since then, that is believed.
    """
    outputs = desired.outputs
    candidates: AbstractSet[str]
    if agreed is None:
        candidates = outputs.keys() | manifest.keys()
    elif desired.changed is not None and desired.changed[0] is agreed:
        candidates = desired.changed[1]
    else:
        candidates = set(compress(outputs, map(is_not, outputs.values(), map(agreed.get, outputs))))
        candidates |= set(filterfalse(outputs.__contains__, agreed))
    return {path for path in candidates if _disagree(outputs.get(path), manifest.get(path))}


def _disagree(want: Output | None, have: Published | None) -> bool:
    if want is None or have is None:
        return want is not None or have is not None
    return have.recipe != want.recipe or have.mode != want.mode or _record_differs(want, have)


def difference(
    desired: Desired,
    manifest: Mapping[str, Published],
    found: Mapping[str, Found],
    owed: frozenset[Service] = frozenset(),
    retained: frozenset[str] = frozenset(),
) -> Plan:
    """What to do so that the disk holds what ``desired`` says, for the paths in ``found`` only.

    ``found`` has all paths of both mappings in a full pass, ``questionable`` ones in a quick pass. ``retained`` are
    paths of loaders, kernels and initrds that a stored generation refers to: they are kept (``Plan.kept``) until
    that generation is pruned, so that a rollback finds them. ``owed`` services are reloaded in any case.

    Order: writes by stage and path; removals in reverse stage order, so that DHCP stops announcing before menus
    vanish and menus before kernels; then Forget and Adopt, then reloads.
    """
    sorter = _Sorter(desired, retained)
    outputs = desired.outputs
    for path, state in found.items():
        have, want = manifest.get(path), outputs.get(path)
        # The way of nearly all files of nearly all runs: as wanted, as recorded, as found.
        if (
            have is not None
            and want is not None
            and state.__class__ is FileState
            and state.digest == have.digest
            and state.mode == have.mode == want.mode
            and have.recipe == want.recipe
            and have.node == want.node
            and have.kind is want.kind
            and have.stage is want.stage
            and (have.made_from is want.made_from or have.made_from == want.made_from)
        ):
            continue
        sorter.judge(path, want, have, state)
    return sorter.plan(owed)


def _record_differs(want: Output, have: Published) -> bool:
    """Whether the manifest's record of the file (not its content) is out of date (DESIGN law 8)."""
    return (
        have.node != want.node
        or have.kind is not want.kind
        or have.stage is not want.stage
        or (have.made_from is not want.made_from and have.made_from != want.made_from)
    )


@dataclass(slots=True)
class _Sorter:
    """Collects the actions for single paths and puts them in order."""

    desired: Desired
    retained: frozenset[str]
    writes: list[Write] = field(default_factory=list)
    removes: list[Remove] = field(default_factory=list)
    forgets: list[Forget] = field(default_factory=list)
    adopts: list[Adopt] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def judge(self, path: str, want: Output | None, have: Published | None, state: Found) -> None:
        """Decide about one path that is not simply right."""
        if have is not None and self._is_frozen(have):
            want = as_output(have)
        if want is None:
            if have is not None:
                self._unwanted(have, state)
        elif state is NotAFile.ABSENT:
            self.writes.append(Write(want, _reason(want, have)))
        elif not isinstance(state, FileState):
            self.findings.append(_in_the_way(path, state, want.node))
        elif have is None:
            self._foreign(want, state)
        else:
            self._owned(want, have, state)

    def _is_frozen(self, have: Published) -> bool:
        return have.kind in self.desired.frozen_kinds or (have.node != "" and have.node in self.desired.frozen_nodes)

    def _unwanted(self, have: Published, state: Found) -> None:
        if state is NotAFile.ABSENT:
            self.forgets.append(Forget(have))
        elif not isinstance(state, FileState):
            self.findings.append(_in_the_way(have.path, state, have.node))
        elif have.kind in HEAVY_KINDS and have.path in self.retained:
            self.kept.append(have.path)
        elif state.digest == have.digest:
            self.removes.append(Remove(have))
        else:
            self.forgets.append(Forget(have))
            self.findings.append(left_alone(have))

    def _foreign(self, want: Output, state: FileState) -> None:
        if state.digest == known_digest(want.recipe) and state.mode == want.mode:
            self.adopts.append(Adopt(want))
        else:
            self.findings.append(occupied(want.path, state, want.node))

    def _owned(self, want: Output, have: Published, state: FileState) -> None:
        same_recipe = have.recipe == want.recipe
        digest = have.digest if same_recipe else known_digest(want.recipe)
        if state.digest != digest or state.mode != want.mode:
            self.writes.append(Write(want, _reason(want, have), state.digest))
        elif not same_recipe or have.mode != want.mode or _record_differs(want, have):
            self.adopts.append(Adopt(want))

    def plan(self, owed: frozenset[Service]) -> Plan:
        # By path, then by stage: the sort is stable, and comparing strings is what it is quick at.
        self.writes.sort(key=attrgetter("output.path"))
        self.writes.sort(key=attrgetter("output.stage"))
        self.removes.sort(key=lambda action: (-action.published.stage, action.published.path))
        self.forgets.sort(key=lambda action: action.published.path)
        self.adopts.sort(key=lambda action: (action.output.stage, action.output.path))
        kinds = {write.output.kind for write in self.writes} | {remove.published.kind for remove in self.removes}
        changed = {SERVICE_OF[kind] for kind in kinds if kind in SERVICE_OF}
        reloads = [
            ReloadService(service, Reason.CHANGED if service in changed else Reason.OWED)
            for service in Service
            if service in changed or service in owed
        ]
        actions: list[Action] = [*self.writes, *self.removes, *self.forgets, *self.adopts, *reloads]
        self.findings.sort(key=lambda finding: (finding.value, finding.code))
        return Plan(tuple(actions), tuple(self.findings), tuple(sorted(self.kept)))


def _reason(want: Output, have: Published | None) -> Reason:
    if have is None:
        return Reason.NEW
    return Reason.DRIFT if have.recipe == want.recipe and have.mode == want.mode else Reason.CHANGED


def occupied(path: str, state: FileState | None, node: str = "") -> Finding:
    """Somebody else's file is where osrd has to put one; ``state`` is None when it appeared at the last moment."""
    what = f"a file of {state.size} bytes with mode {state.mode:04o}" if state else "a file"
    return Finding(
        code="occupied",
        severity=Severity.ERROR,
        message=f"{path} holds {what} that osrd did not write; it was not overwritten",
        fix="move it away (or delete it), then run 'osrctl apply'",
        place=Place(path),
        node=node,
        value=path,
    )


def left_alone(published: Published) -> Finding:
    """A file that nothing wants any more has somebody's changes in it."""
    return Finding(
        code="left-alone",
        severity=Severity.WARNING,
        message=f"{published.path} is no longer needed, but somebody changed it since osrd wrote it; it was left",
        fix="delete it when its content is not needed",
        place=Place(published.path),
        node=published.node,
        value=published.path,
    )


def _in_the_way(path: str, state: Found, node: str) -> Finding:
    if state is NotAFile.UNREADABLE:
        return Finding(
            code="unreadable",
            severity=Severity.ERROR,
            message=f"{path} cannot be read, so osrd cannot tell whether it may be replaced; it was left alone",
            fix="check the permissions of its directory and the disk (dmesg), or move it away",
            place=Place(path),
            node=node,
            value=path,
        )
    return Finding(
        code="not-a-file",
        severity=Severity.ERROR,
        message=f"{path} is not a regular file below real directories (a symlink, directory or device is in the way); "
        "it was neither followed nor replaced",
        fix="move it away, or set the path of the real directory in osrd.conf",
        place=Place(path),
        node=node,
        value=path,
    )
