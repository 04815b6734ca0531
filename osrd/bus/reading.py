# SPDX-License-Identifier: GPL-3.0-or-later
"""org.freedesktop.DBus.Properties: everything is readable by everybody, nothing can be set."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from osrd.bus import names, standard
from osrd.bus.contract import Interface
from osrd.bus.invocation import Refusal
from osrd.bus.objects import Exported, Objects
from osrd.bus.wire import Packed, packed
from osrd.model.job import Job
from osrd.model.view import ImageView, SharedRootView, Snapshot

#: Findings are a dozen values each; more than this many are marshalled in a thread, beside the loop.
_MANY_FINDINGS = 50


class Reading:
    def __init__(self, objects: Objects, interfaces: Mapping[str, Interface]) -> None:
        self._objects = objects
        self._interfaces = interfaces
        self._making = asyncio.Lock()
        self._made: tuple[Snapshot | SharedRootView, dict[str, Packed]] | None = None

    async def answer(self, path: str, member: str, arguments: list[Any]) -> Packed:
        """The reply to Get, GetAll or Set at ``path``, where an object is. Raises Refusal."""
        exported = self._at(path)
        interface = self._interface(path, exported, arguments[0])
        if member == "GetAll":
            if interface is None:
                return packed("a{sv}", [{}])
            return await self._settled(path, "*", lambda now: packed("a{sv}", [self._objects.properties(now)]))
        name = arguments[1]
        if interface is None or name not in interface.properties:
            raise Refusal(names.UNKNOWN_PROPERTY, f"{path} has no property {name}")
        if member == "Set":
            raise Refusal(names.PROPERTY_READ_ONLY, f"{name} cannot be set; methods of {interface.name} change things")
        return await self._settled(path, name, lambda now: packed("v", [self._objects.property(now, name)]))

    def _at(self, path: str) -> Exported:
        exported = self._objects.at(path)
        if exported is None:
            raise Refusal(names.UNKNOWN_OBJECT, f"there is no object {path}")
        return exported

    def _interface(self, path: str, exported: Exported, name: str) -> Interface | None:
        """The interface meant by ``name`` ("" is ours, the only one with properties), None for a standard one."""
        if name in ("", exported.interface):
            return self._interfaces[exported.interface]
        everywhere = {standard.PEER.name, standard.INTROSPECTABLE.name, standard.PROPERTIES.name}
        if name in everywhere or (path == names.ROOT and name == standard.OBJECT_MANAGER.name):
            return None
        raise Refusal(names.UNKNOWN_INTERFACE, f"{path} has no interface {name}")

    async def _settled(self, path: str, what: str, make: Callable[[Exported], Packed]) -> Packed:
        """What ``make`` makes of the object, true at the moment of the return.

        With many findings that takes long, so it happens in a thread, once per snapshot, and again if the object
        changed meanwhile: a reply must not be older than a signal that was sent before it.
        """
        exported = self._at(path)
        if isinstance(exported.source, Job | ImageView) or len(exported.source.findings) <= _MANY_FINDINGS:
            return make(exported)
        async with self._making:
            while True:
                exported = self._at(path)
                if not isinstance(exported.source, Snapshot | SharedRootView):
                    return make(exported)
                if self._made is None or self._made[0] is not exported.source:
                    self._made = exported.source, {}
                made = self._made[1]
                if what not in made:
                    made[what] = await asyncio.to_thread(make, exported)
                if self._at(path).source is exported.source:
                    return made[what]
