# SPDX-License-Identifier: GPL-3.0-or-later
"""From a method call that arrived to its answer: find the object, check, authorise, do, reply. One task per call."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from osrd.bus import image, job, logcontrol, manager, names, sharedroot, standard
from osrd.bus.connection import CallError, Connection
from osrd.bus.contract import Interface, Method, introspection
from osrd.bus.invocation import Implementation, Invocation, Refusal, checked_options
from osrd.bus.limits import Buckets, check_sizes
from osrd.bus.objects import Exported, Objects
from osrd.bus.polkit import Authority
from osrd.bus.reading import Reading
from osrd.bus.values import text
from osrd.bus.wire import Incoming, Packed, packed, unwrapped
from osrd.engine.api import Engine
from osrd.model.errors import FailedError, OsrdError
from osrd.model.job import Job
from osrd.model.view import SharedRootView

#: Arguments that polkit is told.
_DETAILS = ("node", "name", "path", "tree")
#: Calls that may be in the works at once, those that wait for a password included.
_CALLS_LIMIT = 1000
_METHODS: Mapping[str, Mapping[str, Implementation]] = {
    names.MANAGER: manager.METHODS,
    names.SHARED_ROOT: sharedroot.METHODS,
    names.IMAGE: image.METHODS,
    names.JOB: job.METHODS,
}

log = logging.getLogger(__name__)


def check_complete(interfaces: Mapping[str, Interface]) -> None:
    """Raise FailedError unless the code has exactly the methods of the XML files: else one of them is of another
    version, and callers would find out one by one."""
    for name, interface in interfaces.items():
        code = _METHODS.get(name, {}).keys()
        if code != interface.methods.keys():
            odd = ", ".join(sorted(code ^ interface.methods.keys()))
            raise FailedError(f"{name}: code and interface XML do not agree on {odd}", "reinstall osrd")


class Dispatcher:
    """Answers every call that arrives on the connection."""

    def __init__(
        self,
        connection: Connection,
        engine: Engine,
        objects: Objects,
        interfaces: Mapping[str, Interface],
        authority: Authority,
    ) -> None:
        self._connection = connection
        self._engine = engine
        self._objects = objects
        self._interfaces = interfaces
        self._authority = authority
        self._reading = Reading(objects, interfaces)
        self._log_control = logcontrol.LogControl(authority)
        self._buckets = Buckets(asyncio.get_running_loop().time)
        self._tasks: set[asyncio.Task[None]] = set()
        # Long replies are made one after the other: forty at once would be 300 MB of memory for 10,000 nodes.
        self._long_reply = asyncio.Lock()

    def receive(self, call: Incoming) -> None:
        """Take a call; its answer is sent when it is ready."""
        if len(self._tasks) >= _CALLS_LIMIT:
            self._connection.reply_error(
                call, names.LIMITS_EXCEEDED, "osrd is answering too many calls; try again later"
            )
            return
        task = asyncio.create_task(self._serve(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Give up on every call that is in the works."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, call: Incoming) -> None:
        try:
            await self._answer(call)
        except Refusal as error:
            self._connection.reply_error(call, error.name, str(error))
        except CallError as error:
            self._connection.reply_error(call, names.FAILED, f"{call.member}: {error}")
        except OsrdError as error:
            self._connection.reply_error(call, names.error_name(error), str(error))
        except Exception:
            # A border that catches everything, as the one of signals does (announcer.py): a bug in one method must
            # neither end the daemon nor send its traceback to the caller.
            log.exception("%s.%s on %s failed", call.interface, call.member, call.path)
            self._connection.reply_error(call, names.FAILED, "an error inside osrd; its log has the details")

    async def _answer(self, call: Incoming) -> None:
        if call.oversized:
            raise Refusal(names.LIMITS_EXCEEDED, "the message is too large for any method of osrd")
        exported = self._objects.at(call.path)
        interface, method = self._resolve(call, exported)
        if call.signature != method.takes_signature:
            takes = method.takes_signature
            raise Refusal(names.INVALID_ARGS, f"{method.name} takes ({takes}), the call has ({call.signature})")
        check_sizes(arguments := unwrapped(call.arguments))
        if interface.name not in self._interfaces:
            await self._answer_standard(call, method.name, arguments)
        elif exported is not None:
            await self._answer_ours(call, exported, method, arguments)

    def _resolve(self, call: Incoming, exported: Exported | None) -> tuple[Interface, Method]:
        """The method that is meant. Peer is everywhere, Introspectable also on the parents of objects; a call without
        an interface means the first one with such a method (D-Bus specification, Message Types)."""
        own = self._interfaces_at(call.path, exported)
        exists = bool(own) or self._objects.is_parent(call.path)
        available = [standard.PEER, *([standard.INTROSPECTABLE] if exists else ()), *own]
        candidates = [interface for interface in available if call.interface in ("", interface.name)]
        for interface in candidates:
            if call.member in interface.methods:
                return interface, interface.methods[call.member]
        if not exists:
            raise Refusal(names.UNKNOWN_OBJECT, f"there is no object {call.path}")
        if not candidates:
            raise Refusal(names.UNKNOWN_INTERFACE, f"{call.path} has no interface {call.interface}")
        raise Refusal(
            names.UNKNOWN_METHOD, f"{call.path} has no method {call.member} in {call.interface or 'any interface'}"
        )

    def _interfaces_at(self, path: str, exported: Exported | None) -> list[Interface]:
        """What an object has beside Peer and Introspectable, in the order of resolution; nothing without an object."""
        if path == names.LOG_CONTROL:
            return [standard.PROPERTIES, logcontrol.INTERFACE]
        if exported is None:
            return []
        manager_of_objects = [standard.OBJECT_MANAGER] if path == names.ROOT else []
        return [*manager_of_objects, standard.PROPERTIES, self._interfaces[exported.interface]]

    async def _answer_standard(self, call: Incoming, member: str, arguments: list[Any]) -> None:
        match member:
            case "Ping":
                answer = packed("", [])
            case "GetMachineId":
                answer = packed(
                    "s", await self._connection.call(names.BUS, names.BUS_PATH, standard.PEER.name, "GetMachineId")
                )
            case "Introspect":
                answer = packed("s", [self._introspected(call.path)])
            case "GetManagedObjects":
                await self._answer_long(call, self._objects.managed)
                return
            case "Set" if call.path == names.LOG_CONTROL:
                self._charge(call)
                answer = await self._log_control.answer(call, member, arguments)
            case _ if call.path == names.LOG_CONTROL:
                answer = await self._log_control.answer(call, member, arguments)
            case _:
                answer = await self._reading.answer(call.path, member, arguments)
        self._connection.reply(call, answer)

    def _introspected(self, path: str) -> str:
        own = self._interfaces_at(path, self._objects.at(path))
        return introspection([standard.PEER, standard.INTROSPECTABLE, *own], self._objects.children(path) or [])

    async def _answer_ours(self, call: Incoming, exported: Exported, method: Method, arguments: list[Any]) -> None:
        implementation = _METHODS[exported.interface][method.name]
        *arguments, options = arguments
        checked_options(implementation.options, options)
        uid = -1
        if method.action != names.READ_ACTION:
            self._charge(call)
            action = next((asked for option, asked in method.stricter.items() if options.get(option)), method.action)
            uid = await self._authorise(call, exported, method, action, arguments)
        elif implementation.charged:
            self._charge(call)
        invocation = Invocation(self._engine, self._objects, exported.source, uid, arguments, options)
        if implementation.costly:
            await self._answer_long(call, lambda: implementation.handler(invocation))
        else:
            self._connection.reply(call, await implementation.handler(invocation))

    async def _authorise(
        self, call: Incoming, exported: Exported, method: Method, action: str, arguments: list[Any]
    ) -> int:
        """The caller's uid, if it may call the method. Who started a job may end it."""
        uid = await self._authority.uid(call)
        if not isinstance(exported.source, Job) or exported.source.owner != uid:
            await self._authority.require(call, uid, action, _details(exported, method, arguments))
        log.info(
            "%s by uid %d",
            method.name,
            uid,
            extra={"OSR_CALLER": uid, "OSR_ACTION": action, "OSR_PATH": call.path},
        )
        return uid

    async def _answer_long(self, call: Incoming, make: Callable[[], Awaitable[Packed]]) -> None:
        self._charge(call)
        async with self._long_reply:
            self._connection.reply(call, await make())
            await self._connection.drained()

    def _charge(self, call: Incoming) -> None:
        if not self._buckets.take(call.sender):
            raise Refusal(names.LIMITS_EXCEEDED, "too many calls; 20 a second are possible")


def _details(exported: Exported, method: Method, arguments: list[Any]) -> dict[str, str]:
    """What a call is about, for rules and password dialogs."""
    details = {"root": exported.source.name} if isinstance(exported.source, SharedRootView) else {}
    for argument, value in zip(method.takes, arguments, strict=False):
        if argument.name in _DETAILS:
            details[argument.name] = value if isinstance(value, str) else text(os.fsdecode(bytes(value)))
    return details
