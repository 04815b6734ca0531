# SPDX-License-Identifier: GPL-3.0-or-later
"""org.freedesktop.LogControl1(5): ``systemctl service-log-level osrd debug``, until osrd is told otherwise."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from osrd.bus import names, standard
from osrd.bus.contract import parsed
from osrd.bus.invocation import Refusal
from osrd.bus.polkit import Authority
from osrd.bus.wire import Incoming, Packed, packed, variant
from osrd.engine.journal import IDENTIFIER, log_level, log_target, set_log_level, set_log_target
from osrd.model.errors import InvalidArgsError

ACTION = "org.opensharedroot.osrd.set-logging"
INTERFACE = parsed(
    b"""<node><interface name="org.freedesktop.LogControl1">
  <property name="LogLevel" type="s" access="readwrite">
    <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="false"/>
  </property>
  <property name="LogTarget" type="s" access="readwrite">
    <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="false"/>
  </property>
  <property name="SyslogIdentifier" type="s" access="read">
    <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="const"/>
  </property>
</interface></node>""",
    "org.freedesktop.LogControl1",
    actions=False,
)
_READ: Mapping[str, Callable[[], str]] = {
    "LogLevel": log_level,
    "LogTarget": log_target,
    "SyslogIdentifier": lambda: IDENTIFIER,
}
_WRITE: Mapping[str, Callable[[str], None]] = {"LogLevel": set_log_level, "LogTarget": set_log_target}

log = logging.getLogger(__name__)


class LogControl:
    """Everybody may read; to change something is an action of its own."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    async def answer(self, call: Incoming, member: str, arguments: list[Any]) -> Packed:
        """The reply to Get, GetAll or Set. Raises Refusal and OsrdError."""
        interface = arguments[0]
        if interface not in ("", INTERFACE.name):
            if interface not in {each.name for each in standard.EVERYWHERE}:
                raise Refusal(names.UNKNOWN_INTERFACE, f"{call.path} has no interface {interface}")
            if member == "GetAll":
                return packed("a{sv}", [{}])
        if member == "GetAll":
            return packed("a{sv}", [{name: variant("s", read()) for name, read in _READ.items()}])
        name = arguments[1]
        if name not in _READ or interface not in ("", INTERFACE.name):
            raise Refusal(names.UNKNOWN_PROPERTY, f"{call.path} has no property {name}")
        if member == "Get":
            return packed("v", [variant("s", _READ[name]())])
        await self._set(call, name, arguments[2])
        return packed("", [])

    async def _set(self, call: Incoming, name: str, value: Any) -> None:
        if name not in _WRITE:
            raise Refusal(names.PROPERTY_READ_ONLY, f"{name} cannot be set")
        if not isinstance(value, str):
            raise InvalidArgsError(f"{name} is a string")
        uid = await self._authority.uid(call)
        await self._authority.require(call, uid, ACTION, {})
        _WRITE[name](value)
        log.info("%s is %s now, set by uid %d", name, _READ[name](), uid)
