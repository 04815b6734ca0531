# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces as data/dbus/*.xml describe them: types, annotations and polkit actions come from there alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from lxml import etree

from osrd.bus.names import BUS_NAME
from osrd.model.errors import InvalidConfigError
from osrd.observe.data import data_file

#: The files in data/dbus, one interface each.
FILES = tuple(f"{BUS_NAME}.{noun}.xml" for noun in ("Manager", "Node", "SharedRoot", "Image", "Job"))

_ACTION = "org.opensharedroot.PolkitAction"
_EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"
_DOCTYPE = (
    '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
    '"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n'
)


class Emits(StrEnum):
    """What PropertiesChanged tells about a property (D-Bus specification, Introspection Data Format)."""

    VALUE = "true"
    INVALIDATES = "invalidates"
    CONST = "const"
    NOTHING = "false"


@dataclass(frozen=True, slots=True)
class Argument:
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Method:
    """``action`` is the polkit action, "" only for the standard interfaces, which everybody may call. ``stricter``
    has the action that is asked about instead when the boolean option of that name is set."""

    name: str
    takes: tuple[Argument, ...]
    gives: tuple[Argument, ...]
    action: str
    stricter: Mapping[str, str] = field(default_factory=dict)

    @property
    def takes_signature(self) -> str:
        return "".join(argument.type for argument in self.takes)

    @property
    def gives_signature(self) -> str:
        return "".join(argument.type for argument in self.gives)


@dataclass(frozen=True, slots=True)
class Property:
    name: str
    type: str
    emits: Emits


@dataclass(frozen=True, slots=True)
class Interface:
    """``signals`` maps names to signatures; ``xml`` is the ``<interface>`` element without comments."""

    name: str
    methods: dict[str, Method]
    properties: dict[str, Property]
    signals: dict[str, str]
    xml: str = field(repr=False)


def load() -> dict[str, Interface]:
    """Our interfaces by name, from the installed XML files. Raises InvalidConfigError when a file is not usable."""
    interfaces = (parsed(Path(data_file("dbus", name)).read_bytes(), name) for name in FILES)
    return {interface.name: interface for interface in interfaces}


def parsed(text: bytes, origin: str, *, actions: bool = True) -> Interface:
    """The interface in ``text``. With ``actions``, a method without a polkit action is an error: a forgotten
    annotation must not become a method that everybody may call."""
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True)
    try:
        element = etree.fromstring(text, parser).find("interface")
    except etree.XMLSyntaxError as error:
        raise InvalidConfigError(f"{origin}: {error}", "reinstall osrd") from error
    if element is None:
        raise InvalidConfigError(f"{origin}: no <interface> in it", "reinstall osrd")
    methods = {}
    for found in element.iterfind("method"):
        method = _method(found)
        if actions and not method.action:
            where = f"{origin}:{found.sourceline}"
            raise InvalidConfigError(
                f"{where}: method {method.name} has no polkit action", f"annotate it with {_ACTION}"
            )
        methods[method.name] = method
    return Interface(
        name=element.get("name", ""),
        methods=methods,
        properties={found.get("name", ""): _property(found) for found in element.iterfind("property")},
        signals={
            found.get("name", ""): "".join(argument.get("type", "") for argument in found.iterfind("arg"))
            for found in element.iterfind("signal")
        },
        xml=_serialised(element),
    )


def introspection(interfaces: list[Interface], children: list[str]) -> str:
    """The document that Introspect() returns for an object; ``children`` are path elements."""
    parts = [_DOCTYPE, "<node>\n"]
    parts += [interface.xml for interface in interfaces]
    parts += [f'  <node name="{child}"/>\n' for child in children]
    return "".join([*parts, "</node>\n"])


def _method(element: etree._Element) -> Method:
    arguments = {"in": [], "out": []}  # type: dict[str, list[Argument]]
    for argument in element.iterfind("arg"):
        arguments[argument.get("direction", "in")].append(Argument(argument.get("name", ""), argument.get("type", "")))
    name = element.get("name", "")
    stricter = {
        item.get("name", "").removeprefix(_ACTION + "."): item.get("value", "")
        for item in element.iterfind("annotation")
        if item.get("name", "").startswith(_ACTION + ".")
    }
    return Method(name, tuple(arguments["in"]), tuple(arguments["out"]), _annotation(element, _ACTION), stricter)


def _property(element: etree._Element) -> Property:
    emits = _annotation(element, _EMITS) or Emits.VALUE
    return Property(element.get("name", ""), element.get("type", ""), Emits(emits))


def _annotation(element: etree._Element, name: str) -> str:
    found = (item.get("value", "") for item in element.iterfind("annotation") if item.get("name") == name)
    return next(found, "")


def _serialised(element: etree._Element) -> str:
    element.tail = None
    etree.indent(element, "  ", level=1)
    return "  " + etree.tostring(element, encoding="unicode") + "\n"
