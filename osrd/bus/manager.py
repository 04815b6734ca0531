# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods of org.opensharedroot.Osrd1.Manager."""

import asyncio
from collections.abc import Mapping

from osrd.bus.invocation import Implementation, Invocation
from osrd.bus.names import job_path, root_path
from osrd.bus.values import action_row, generation_row, image_row, job_row, root_row
from osrd.bus.wire import Packed, packed
from osrd.engine import api
from osrd.model.errors import InvalidArgsError, NotFoundError
from osrd.model.view import PlanView


def _submitted(call: Invocation, request: api.Request) -> Packed:
    return packed("o", [job_path(call.engine.submit(request, call.uid).number)])


async def _reconcile(call: Invocation) -> Packed:
    return _submitted(call, api.Reconcile())


async def _apply(call: Invocation) -> Packed:
    return _submitted(call, api.Apply(call.arguments[0]))


async def _verify(call: Invocation) -> Packed:
    return _submitted(call, api.Verify())


async def _rollback(call: Invocation) -> Packed:
    return _submitted(call, api.Rollback(call.arguments[0]))


async def _reload(call: Invocation) -> Packed:
    return _submitted(call, api.Reload())


async def _add_node(call: Invocation) -> Packed:
    name, attributes = call.arguments
    return _submitted(call, api.AddNode(name, _strings(attributes), call.options.get("expected_version", 0)))


async def _set_node(call: Invocation) -> Packed:
    node, attributes = call.arguments
    return _submitted(call, api.SetNode(node, _strings(attributes), call.options.get("expected_version", 0)))


async def _remove_node(call: Invocation) -> Packed:
    return _submitted(call, api.RemoveNode(call.arguments[0], call.options.get("expected_version", 0)))


async def _plan(call: Invocation) -> Packed:
    view = await call.engine.plan(diff=call.options.get("diff", False))
    # 10,000 new nodes are 30,000 actions: a second of marshalling, which a thread does without holding up the loop.
    return await asyncio.to_thread(_packed_plan, view)


def _packed_plan(view: PlanView) -> Packed:
    return packed("saa{sv}", [view.digest, [action_row(action) for action in view.actions]])


async def _list_nodes(call: Invocation) -> Packed:
    return await call.objects.node_list()


async def _get_node(call: Invocation) -> Packed:
    return packed("o", [call.objects.node_by_id_or_name(call.arguments[0])])


async def _get_node_by_mac(call: Invocation) -> Packed:
    return packed("o", [call.objects.node_by_mac(call.arguments[0])])


async def _list_roots(call: Invocation) -> Packed:
    return packed("a(ssssu)", [[root_row(root) for root in call.engine.snapshot.roots]])


async def _get_root(call: Invocation) -> Packed:
    name = call.arguments[0]
    if name not in call.engine.snapshot.shared_roots:
        raise NotFoundError(f"there is no shared root {name!r}", "osrd.conf names them: [root NAME]")
    return packed("o", [root_path(name)])


async def _list_images(call: Invocation) -> Packed:
    return packed("aa{sv}", [[image_row(view) for view in call.engine.snapshot.images.values()]])


async def _list_jobs(call: Invocation) -> Packed:
    return packed("a(ossds)", [[job_row(job) for job in call.engine.jobs]])


async def _list_generations(call: Invocation) -> Packed:
    return packed("aa{sv}", [[generation_row(generation) for generation in await call.engine.generations()]])


def _strings(attributes: dict[str, object]) -> dict[str, str]:
    checked = {}
    for key, value in attributes.items():
        if not isinstance(value, str):
            raise InvalidArgsError(f"attribute {key!r} is not a string", "give every attribute as a string (s)")
        checked[key] = value
    return checked


_VERSION = (("expected_version", int),)

METHODS: Mapping[str, Implementation] = {
    "Reconcile": Implementation(_reconcile),
    "Plan": Implementation(_plan, (("diff", bool),), costly=True),
    "Apply": Implementation(_apply),
    "Verify": Implementation(_verify),
    "Rollback": Implementation(_rollback),
    "Reload": Implementation(_reload),
    "ListNodes": Implementation(_list_nodes, costly=True),
    "GetNode": Implementation(_get_node),
    "GetNodeByMac": Implementation(_get_node_by_mac),
    "AddNode": Implementation(_add_node, _VERSION),
    "SetNode": Implementation(_set_node, _VERSION),
    "RemoveNode": Implementation(_remove_node, _VERSION),
    "ListRoots": Implementation(_list_roots),
    "GetRoot": Implementation(_get_root),
    "ListImages": Implementation(_list_images, charged=True),
    "ListJobs": Implementation(_list_jobs),
    "ListGenerations": Implementation(_list_generations, costly=True),
}
