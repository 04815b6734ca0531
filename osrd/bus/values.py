# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bus shows of the model: property tables per interface and the rows of the listings.

Values are as the marshaller takes them: plain for the type the XML names, lists for structs, wrapped in ``a{sv}``.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import osrd
from osrd.bus.names import image_path, job_path
from osrd.bus.wire import Variant, wrapped
from osrd.engine.api import ImageChange
from osrd.model.cdsl import Cdsl
from osrd.model.cluster import Nic
from osrd.model.finding import Finding
from osrd.model.job import Job
from osrd.model.view import (
    Generation,
    ImageView,
    KernelView,
    NodeView,
    PlannedAction,
    RootView,
    SharedRootView,
    Snapshot,
)

#: The most findings that one property or signal carries.
FINDINGS_LIMIT = 1000

Dictionary = dict[str, Any]


def text(value: str) -> str:
    """``value`` as a D-Bus string: no NUL, and bytes that were no UTF-8 (surrogates) as ``\\udc..`` escapes."""
    if value.isascii() and "\0" not in value:
        return value
    return value.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _uint64(value: int) -> int:
    """``value`` as a D-Bus ``t``: cluster.conf may hold a config_version of any length and sign."""
    return min(max(value, 0), 0xFFFFFFFFFFFFFFFF)


def finding_row(finding: Finding) -> Dictionary:
    place, other = finding.place, finding.other_place
    row = {
        "code": finding.code,
        "severity": str(finding.severity),
        "message": finding.message,
        "fix": finding.fix,
        "node": finding.node,
        "attribute": finding.attribute,
        "value": finding.value,
        "file": place.file if place else "",
        "other": finding.other,
        "other_file": other.file if other else "",
    }
    wrapped_row = {key: wrapped(text(value)) for key, value in row.items()}
    wrapped_row["line"] = Variant("u", place.line if place else 0)
    wrapped_row["other_line"] = Variant("u", other.line if other else 0)
    return wrapped_row


def finding_rows(findings: tuple[Finding, ...]) -> list[Dictionary]:
    return [finding_row(finding) for finding in findings[:FINDINGS_LIMIT]]


def _nic(nic: Nic, boots: bool) -> Dictionary:
    strings = {
        "name": nic.name,
        "mac": nic.mac,
        "ip": nic.ip,
        "mask": nic.mask,
        "gateway": nic.gateway,
        "master": nic.master,
        "bridge": nic.bridge,
    }
    return {key: text(value) for key, value in strings.items()} | {"slave": nic.slave, "boots": boots}


def _nics(view: NodeView) -> list[Dictionary]:
    boots = view.node.boot_nics
    return [_nic(nic, nic in boots) for nic in view.node.nics]


def _root(view: NodeView) -> Dictionary:
    volume = view.node.root
    strings = {"section": view.root}
    if volume is not None:
        strings |= {
            "name": volume.name,
            "fstype": volume.fstype,
            "server": volume.server,
            "path": volume.path,
            "mountopts": volume.mountopts,
        }
    return {key: text(value) for key, value in strings.items()}


def _votes(view: NodeView) -> int:
    """What is no number of at most five digits counts as 1 (invalid-votes)."""
    votes = view.node.votes
    return int(votes) if votes.isascii() and votes.isdigit() and len(votes) < 6 else 1


def _id(view: NodeView) -> str:
    node = view.node
    return text(node.nodeid_text or ("" if node.nodeid is None else str(node.nodeid)))


MANAGER_PROPERTIES: Mapping[str, Callable[[Snapshot], Any]] = {
    "State": lambda snapshot: str(snapshot.state),
    "InSync": lambda snapshot: snapshot.in_sync,
    "Generation": lambda snapshot: snapshot.generation,
    "ConfigVersion": lambda snapshot: _uint64(snapshot.config_version),
    "ClusterName": lambda snapshot: text(snapshot.cluster_name),
    "Findings": lambda snapshot: finding_rows(snapshot.findings),
    "FindingsTotal": lambda snapshot: len(snapshot.findings),
    "NodeCount": lambda snapshot: len(snapshot.nodes),
    "DhcpState": lambda snapshot: str(snapshot.dhcp),
    "NfsState": lambda snapshot: str(snapshot.nfs),
    "WatchMode": lambda snapshot: snapshot.watch_mode,
    "Version": lambda _: osrd.__version__,
}

NODE_PROPERTIES: Mapping[str, Callable[[NodeView], Any]] = {
    "Id": _id,
    "Name": lambda view: text(view.node.name),
    "Votes": _votes,
    "Nics": _nics,
    "Root": _root,
    "BootState": lambda view: str(view.boot.state),
    "BootStateSince": lambda view: int(view.boot.since),
    "BootMode": lambda view: str(view.way),
    "Quarantined": lambda view: view.quarantined,
    "Findings": lambda view: finding_rows(view.findings),
}

SHARED_ROOT_PROPERTIES: Mapping[str, Callable[[SharedRootView], Any]] = {
    "Name": lambda root: text(root.name),
    "State": lambda root: str(root.state),
    "Path": lambda root: text(root.path),
    "Source": lambda root: text(root.source),
    "FsType": lambda root: text(root.fstype),
    "NodeCount": lambda root: root.nodes,
    "CdslCount": lambda root: root.cdsls,
    "Link": lambda root: os.fsencode(root.link),
    "LinkNode": lambda root: text(root.link_node),
    "LinkMounted": lambda root: root.link_mounted,
    "Kernels": lambda root: [kernel_row(kernel) for kernel in root.kernels],
    "Findings": lambda root: finding_rows(root.findings),
    "FindingsTotal": lambda root: len(root.findings),
}

IMAGE_PROPERTIES: Mapping[str, Callable[[ImageView], Any]] = {
    "Id": lambda view: view.image.id,
    "Root": lambda view: text(view.image.root),
    "Kernel": lambda view: text(view.image.kernel),
    "Way": lambda view: str(view.image.way),
    "Fingerprint": lambda view: view.image.fingerprint,
    "Built": lambda view: float(view.image.built),
    "Seconds": lambda view: float(view.image.seconds),
    "Size": lambda view: view.image.initrd_size,
    "KernelSize": lambda view: view.image.kernel_size,
    "State": lambda view: str(view.state),
    "UsedBy": lambda view: [text(node) for node in view.used_by],
}

JOB_PROPERTIES: Mapping[str, Callable[[Job], Any]] = {
    "Kind": lambda job: str(job.kind),
    "State": lambda job: str(job.state),
    "Progress": lambda job: float(job.progress),
    "Message": lambda job: text(job.message),
    "Target": lambda job: text(job.target),
    "Owner": lambda job: job.owner,
    "Error": lambda job: job.error,
    "Result": lambda job: {key: _result(value) for key, value in job.result.items()},
}


def _result(value: str | int | bool | tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return wrapped(text(value))
    if isinstance(value, tuple):
        return wrapped([text(item) for item in value])
    return wrapped(value)


#: What tells cheaply whether a property changed, where making its value is work for nothing.
COMPARED_BY: Mapping[str, Callable[[Any], Any]] = {
    "Findings": lambda source: source.findings,
    "Kernels": lambda source: source.kernels,
}


def node_row(path: str, view: NodeView) -> list[Any]:
    """A row of ListNodes()."""
    return [path, _id(view), text(view.node.name), str(view.boot.state), view.quarantined]


def job_row(job: Job) -> list[Any]:
    """A row of ListJobs()."""
    return [job_path(job.number), str(job.kind), str(job.state), float(job.progress), text(job.message)]


def root_row(root: RootView) -> list[Any]:
    """A row of ListRoots()."""
    return [text(root.name), text(root.volume), text(root.fstype), text(root.path), root.nodes]


def kernel_row(kernel: KernelView) -> Dictionary:
    """One of a shared root's Kernels."""
    return {
        "version": text(kernel.version),
        "file": text(kernel.file),
        "state": str(kernel.state),
        "image": kernel.image,
    }


def image_row(view: ImageView) -> Dictionary:
    """A row of ListImages()."""
    image = view.image
    return {
        "path": Variant("o", image_path(image.id)),
        "id": wrapped(image.id),
        "root": wrapped(text(image.root)),
        "kernel": wrapped(text(image.kernel)),
        "way": wrapped(str(image.way)),
        "fingerprint": wrapped(image.fingerprint),
        "built": wrapped(float(image.built)),
        "seconds": wrapped(float(image.seconds)),
        "size": wrapped(image.initrd_size),
        "kernel_size": wrapped(image.kernel_size),
        "state": wrapped(str(view.state)),
        "used_by": wrapped([text(node) for node in view.used_by]),
    }


def image_change_row(change: ImageChange) -> Dictionary:
    """A row of Compare()."""
    return {
        "path": Variant("ay", os.fsencode(change.path)),
        "change": wrapped(change.change),
        "before": wrapped(change.before),
        "after": wrapped(change.after),
    }


def cdsl_row(cdsl: Cdsl) -> Dictionary:
    """A row of ListCdsls()."""
    return {
        "path": Variant("ay", os.fsencode(cdsl.src)),
        "type": wrapped(str(cdsl.type)),
        "nodes": wrapped([text(node) for node in cdsl.nodes]),
        "timestamp": wrapped(text(cdsl.timestamp)),
    }


def backup_row(name: str) -> Dictionary:
    """A row of ListBackups()."""
    return {"name": wrapped(text(name))}


def action_row(action: PlannedAction) -> Dictionary:
    """A row of Plan()."""
    row = {
        "action": action.action,
        "target": action.target,
        "reason": action.reason,
        "node": action.node,
        "diff": action.diff,
    }
    return {key: wrapped(text(value)) for key, value in row.items()}


def generation_row(generation: Generation) -> Dictionary:
    """A row of ListGenerations()."""
    return {
        "number": wrapped(generation.number),
        "when": wrapped(generation.when),
        "reason": wrapped(text(generation.reason)),
        "config_version": wrapped(_uint64(generation.config_version)),
        "written": Variant("u", generation.written),
        "removed": Variant("u", generation.removed),
        "current": wrapped(generation.current),
        "pinned": wrapped(generation.pinned),
    }
