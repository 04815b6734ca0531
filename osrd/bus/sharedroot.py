# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods of org.opensharedroot.Osrd1.SharedRoot."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from osrd.bus.image import packed_log
from osrd.bus.invocation import Implementation, Invocation
from osrd.bus.names import job_path
from osrd.bus.values import FINDINGS_LIMIT, backup_row, cdsl_row, finding_rows
from osrd.bus.wire import Packed, packed
from osrd.engine import api
from osrd.model.cdsl import Layout, Place, Removal
from osrd.model.errors import InvalidArgsError
from osrd.model.view import SharedRootView

_LAYOUT = tuple((name, str) for name in ("tree", "shared", "link", "default", "prefix"))


async def _create_infrastructure(call: Invocation) -> Packed:
    given = dict(call.options)
    layout = Layout(**{field.name: given.pop(field.name) for field in fields(Layout) if field.name in given})
    return _submitted(call, api.CreateInfrastructure(_name(call), layout, **given))


async def _make_host_dependent(call: Invocation) -> Packed:
    path, nodes = call.arguments
    return _submitted(call, api.MakeHostDependent(_name(call), path_inside(path), tuple(nodes)))


async def _make_shared(call: Invocation) -> Packed:
    path, winner = call.arguments
    return _submitted(call, api.MakeShared(_name(call), path_inside(path), winner))


async def _remove_cdsl(call: Invocation) -> Packed:
    options = call.options
    try:
        others = Place(options.get("others", Place.BACKUP))
    except ValueError:
        raise InvalidArgsError(
            f"others is {options['others']!r}", f"use one of {', '.join(place.value for place in Place)}"
        ) from None
    removal = Removal(options.get("from", ""), options.get("recursive", False), options.get("discard", False), others)
    return _submitted(call, api.RemoveCdsl(_name(call), path_inside(call.arguments[0]), removal))


async def _repair_cdsls(call: Invocation) -> Packed:
    return _submitted(call, api.RepairCdsls(_name(call), call.options.get("rebuild", False)))


async def _convert_layout(call: Invocation) -> Packed:
    return _submitted(call, api.ConvertLayout(_name(call)))


async def _undo(call: Invocation) -> Packed:
    return _submitted(call, api.UndoCdsl(_name(call)))


async def _adopt_tree(call: Invocation) -> Packed:
    tree, node = call.arguments
    return _submitted(call, api.AdoptTree(_name(call), tree, node))


async def _archive_tree(call: Invocation) -> Packed:
    return _submitted(call, api.ArchiveTree(_name(call), call.arguments[0]))


async def _drop_backup(call: Invocation) -> Packed:
    return _submitted(call, api.DropBackup(_name(call), call.arguments[0]))


async def _bind_link(call: Invocation) -> Packed:
    return _submitted(call, api.BindLink(_name(call), call.arguments[0]))


async def _list_cdsls(call: Invocation) -> Packed:
    cdsls = await call.engine.cdsls(_name(call))
    # In threads: thousands of rows are more marshalling than the loop has time for.
    return await asyncio.to_thread(lambda: packed("aa{sv}", [[cdsl_row(cdsl) for cdsl in cdsls]]))


async def _check_cdsls(call: Invocation) -> Packed:
    findings = await call.engine.check_cdsls(_name(call))
    shown = findings[:FINDINGS_LIMIT]
    return await asyncio.to_thread(lambda: packed("aa{sv}u", [finding_rows(shown), len(findings)]))


async def _list_backups(call: Invocation) -> Packed:
    backups = await call.engine.backups(_name(call))
    return await asyncio.to_thread(lambda: packed("aa{sv}", [[backup_row(name) for name in backups]]))


async def _build_initrd(call: Invocation) -> Packed:
    return _submitted(
        call, api.BuildInitrd(_name(call), call.options.get("kernel", ""), call.options.get("force", False))
    )


async def _rollback_initrd(call: Invocation) -> Packed:
    return _submitted(call, api.RollbackInitrd(_name(call), call.options.get("image", "")))


async def _get_build_log(call: Invocation) -> Packed:
    return packed_log(await call.engine.build_log(_name(call)))


def path_inside(given: Any) -> str:
    """A path of a caller. Without the NUL that C programs (and gdbus, for b'...') put at the end. Raises
    InvalidArgsError when it is none."""
    raw = bytes(given).removesuffix(b"\0")
    if not raw or b"\0" in raw:
        raise InvalidArgsError(f"{raw!r} is no path", "give the path as bytes, without NUL")
    return os.fsdecode(raw)


def _name(call: Invocation) -> str:
    assert isinstance(call.source, SharedRootView)
    return call.source.name


def _submitted(call: Invocation, request: api.Request) -> Packed:
    return packed("o", [job_path(call.engine.submit(request, call.uid).number)])


METHODS: Mapping[str, Implementation] = {
    "CreateInfrastructure": Implementation(
        _create_infrastructure, (("maxnodeidnum", int), ("use_nodeids", bool), *_LAYOUT)
    ),
    "MakeHostDependent": Implementation(_make_host_dependent),
    "MakeShared": Implementation(_make_shared),
    "RemoveCdsl": Implementation(
        _remove_cdsl, (("from", str), ("recursive", bool), ("others", str), ("discard", bool))
    ),
    "ListCdsls": Implementation(_list_cdsls, charged=True),
    "CheckCdsls": Implementation(_check_cdsls, charged=True),
    "RepairCdsls": Implementation(_repair_cdsls, (("rebuild", bool),)),
    "ConvertLayout": Implementation(_convert_layout),
    "Undo": Implementation(_undo),
    "AdoptTree": Implementation(_adopt_tree),
    "ArchiveTree": Implementation(_archive_tree),
    "ListBackups": Implementation(_list_backups, charged=True),
    "DropBackup": Implementation(_drop_backup),
    "BindLink": Implementation(_bind_link),
    "BuildInitrd": Implementation(_build_initrd, (("kernel", str), ("force", bool))),
    "RollbackInitrd": Implementation(_rollback_initrd, (("image", str),)),
    "GetBuildLog": Implementation(_get_build_log, charged=True),
}
