# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals of the bus told as lines for people. Pure; everything foreign is made safe here."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from osrd.bus.names import IMAGE, JOB, MANAGER, NODE, OBJECT_MANAGER, PROPERTIES, SHARED_ROOT
from osrd.cli import findings
from osrd.cli.output import paint
from osrd.cli.text import safe, shown

if TYPE_CHECKING:
    from osrd.bus.client import Signal

#: Paths of one DriftDetected that get a line each.
DRIFT_LINES = 20

Teller = Callable[[str, list[Any]], Iterator[str]]


def lines(signal: "Signal") -> Iterator[str]:
    """The lines that tell ``signal``; none for what another signal tells better."""
    teller = _TELLERS.get((signal.interface, signal.member))
    if teller is None:
        # A newer osrd may say things that this osrctl does not know; hiding them would be worse than raw values.
        return iter([f"{safe(signal.member)} {shown(signal.arguments)}".rstrip()])
    return teller(signal.path, signal.arguments)


def findings_change(signal: "Signal") -> bool:
    """Whether the Manager's findings are others now (the property is too long to travel with the signal)."""
    if (signal.interface, signal.member) != (PROPERTIES, "PropertiesChanged"):
        return False
    arguments: list[Any] = signal.arguments
    return arguments[0] == MANAGER and ("Findings" in arguments[1] or "Findings" in arguments[2])


def findings_told(before: list[Mapping[str, Any]], after: list[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong since ``before``, and what no longer is."""
    yield from findings.lines(finding for finding in after if finding not in before)
    for finding in before:
        if finding not in after:
            where = f"{finding['file']}:{finding['line']}: " if finding.get("file") else ""
            yield f"resolved: {safe(where + finding['message'])} [{safe(finding['code'])}]"


def _reconciled(_path: str, arguments: list[Any]) -> Iterator[str]:
    generation, written, removed, found = arguments
    yield f"published generation {generation}: {written} written, {removed} removed, {found} findings"


def _drift(_path: str, arguments: list[Any]) -> Iterator[str]:
    paths = arguments[0]
    for path in paths[:DRIFT_LINES]:
        yield f"drift: {shown(path)} changed by somebody"
    if len(paths) > DRIFT_LINES:
        yield f"drift: and {len(paths) - DRIFT_LINES} more files"


def _rejected(_path: str, arguments: list[Any]) -> Iterator[str]:
    yield "configuration rejected, the last good state is still served"
    yield from findings.lines(arguments[0])


def _chosen(path: str, arguments: list[Any]) -> Iterator[str]:
    image, kernel, _previous = arguments
    yield f"root {_last(path)}: nodes boot {safe(kernel)} (image {_last(image)}) from now on"


def _job_new(_path: str, arguments: list[Any]) -> Iterator[str]:
    job, kind = arguments
    yield f"job {_last(job)}: {safe(kind)}"


def _job_removed(_path: str, _arguments: list[Any]) -> Iterator[str]:
    """Comes a minute after Completed, which said it all."""
    return iter(())


def _completed(path: str, arguments: list[Any]) -> Iterator[str]:
    state, message = arguments
    yield f"job {_last(path)}: {paint(state)}{', ' if message else ''}{safe(message)}"


def _added(_path: str, arguments: list[Any]) -> Iterator[str]:
    path, interfaces = arguments
    if NODE in interfaces:
        name = interfaces[NODE].get("Name", "")
        held = ", quarantined" if interfaces[NODE].get("Quarantined") else ""
        yield f"node {_last(path)} ({safe(name)}) added{held}"
    if SHARED_ROOT in interfaces:
        yield f"root {safe(interfaces[SHARED_ROOT].get('Name', ''))} added"
    if IMAGE in interfaces:
        root, kernel = (safe(interfaces[IMAGE].get(name, "")) for name in ("Root", "Kernel"))
        yield f"image {_last(path)} of {root} for {kernel} added"


def _removed(_path: str, arguments: list[Any]) -> Iterator[str]:
    path, interfaces = arguments
    if NODE in interfaces:
        yield f"node {_last(path)} removed"
    if SHARED_ROOT in interfaces:
        yield f"root {_last(path)} removed"
    if IMAGE in interfaces:
        yield f"image {_last(path)} removed"


def _changed(path: str, arguments: list[Any]) -> Iterator[str]:
    interface, values, _invalidated = arguments
    if interface == MANAGER:
        facts = [f"{_MANAGER_WORDS[key]} {shown(value)}" for key, value in values.items() if key in _MANAGER_WORDS]
        if facts:
            yield ", ".join(facts)
    elif interface == NODE:
        facts = [_node_fact(key, value) for key, value in values.items() if key not in _UNTOLD]
        if facts:
            yield f"node {_last(path)}: {', '.join(facts)}"
    elif interface == SHARED_ROOT:
        facts = [_root_fact(key, value) for key, value in values.items() if key in _ROOT_WORDS]
        if facts:
            yield f"root {_last(path)}: {', '.join(facts)}"
    elif interface == IMAGE and "State" in values:
        yield f"image {_last(path)}: {shown(values['State'])}"
    elif interface == JOB and values.get("Message") and values.get("State", "running") == "running":
        progress = f"{values['Progress']:.0%} " if "Progress" in values else ""
        yield f"job {_last(path)}: {progress}{safe(values['Message'])}"


def _node_fact(key: str, value: Any) -> str:
    match key:
        case "Quarantined":
            return "quarantined" if value else "no longer quarantined"
        case "BootState" | "BootMode" | "Name" | "Id" | "Votes":
            return f"{_NODE_WORDS[key]} {shown(value)}"
        case _:
            return f"{safe(key).lower()} changed"


def _root_fact(key: str, value: Any) -> str:
    match key:
        case "LinkNode":
            return f"the link is for node {shown(value)}" if value else "the link is for nobody"
        case "LinkMounted":
            return "mounted at the link" if value else "not mounted at the link"
        case _:
            return f"{_ROOT_WORDS[key]} {shown(value)}"


def _last(path: str) -> str:
    return safe(path.rpartition("/")[2])


_UNTOLD = ("Findings", "BootStateSince")
_NODE_WORDS = {"BootState": "boot state", "BootMode": "boot mode", "Name": "name", "Id": "id", "Votes": "votes"}
_ROOT_WORDS = {
    "State": "state",
    "NodeCount": "nodes:",
    "CdslCount": "CDSLs:",
    "LinkNode": "",
    "LinkMounted": "",
    "FindingsTotal": "findings:",
}
_MANAGER_WORDS = {
    "State": "state",
    "InSync": "in sync:",
    "ConfigVersion": "config_version",
    "ClusterName": "cluster",
    "NodeCount": "nodes:",
    "FindingsTotal": "findings:",
    "DhcpState": "DHCP",
    "NfsState": "NFS",
    "WatchMode": "watching by",
}
_TELLERS: dict[tuple[str, str], Teller] = {
    (MANAGER, "Reconciled"): _reconciled,
    (MANAGER, "DriftDetected"): _drift,
    (MANAGER, "ConfigRejected"): _rejected,
    (MANAGER, "JobNew"): _job_new,
    (MANAGER, "JobRemoved"): _job_removed,
    (SHARED_ROOT, "ImageChosen"): _chosen,
    (JOB, "Completed"): _completed,
    (PROPERTIES, "PropertiesChanged"): _changed,
    (OBJECT_MANAGER, "InterfacesAdded"): _added,
    (OBJECT_MANAGER, "InterfacesRemoved"): _removed,
}
