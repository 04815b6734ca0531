# SPDX-License-Identifier: GPL-3.0-or-later
"""One text of a configuration file to one value. Each function raises InvalidConfigError, whose message completes
the sentence "KEY = VALUE: ..." and whose ``fix`` says what to write instead."""

import math
import re
import shlex
from collections.abc import Callable
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import TypeVar
from urllib.parse import urlsplit

from osrd.model.cdsl import MOUNT_POINT
from osrd.model.errors import InvalidConfigError
from osrd.model.settings import JOURNAL, NO_LINK, Reload, ReloadMethod

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

#: systemd.time(7), as far as a boot host needs it
_UNITS = {
    **dict.fromkeys(("ms", "msec"), 0.001),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
_DURATION_PART = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([a-z]*)", re.ASCII)
_YES = frozenset({"yes", "true", "on", "1"})
_NO = frozenset({"no", "false", "off", "0"})
_INTERFACE = re.compile(r"[^\s/:]{1,15}")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)
_UNIT_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,240}", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*", re.ASCII)
_EXPORT_OPTIONS = re.compile(r"[A-Za-z0-9_.:@/=+-]+(?:,[A-Za-z0-9_.:@/=+-]+)*", re.ASCII)


class RelativePathError(InvalidConfigError):
    """A path that does not begin with a slash: osrd has no working directory to resolve it in."""


class BadAddressError(InvalidConfigError):
    """No IPv4 address."""


def boolean(text: str) -> bool:
    """``yes``, ``no`` and the other words of systemd.syntax(7), in any case."""
    word = text.lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise InvalidConfigError("is neither yes nor no", "write yes or no")


def choice(kind: type[E]) -> Callable[[str], E]:
    """A converter to a member of ``kind``, in any case."""

    def convert(text: str) -> E:
        for member in kind:
            if member.value == text.lower():
                return member
        raise InvalidConfigError(f"is not one of {', '.join(kind)}", f"write one of {', '.join(kind)}")

    return convert


def choices(kind: type[E]) -> Callable[[str], tuple[E, ...]]:
    """A converter to one or more members of ``kind``, in the order written, each once."""
    return items(choice(kind))


def items(convert: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """A converter to a list separated by blanks or commas; repeated items count once."""

    def convert_all(text: str) -> tuple[T, ...]:
        return tuple(dict.fromkeys(convert(item) for item in re.split(r"[\s,]+", text) if item))

    return convert_all


def integer(lowest: int, highest: int) -> Callable[[str], int]:
    """A converter to a decimal number within the bounds."""

    def convert(text: str) -> int:
        if re.fullmatch(r"[+-]?[0-9]{1,12}", text, re.ASCII) and lowest <= int(text) <= highest:
            return int(text)
        raise InvalidConfigError(
            f"is not a whole number from {lowest} to {highest}", f"write a number from {lowest} to {highest}"
        )

    return convert


def seconds(text: str) -> float:
    """A duration in seconds: ``30``, ``0.05``, ``50ms``, ``30s``, ``5min``, ``12h``, ``1h 30min``."""
    total, position = 0.0, 0
    while position < len(text):
        part = _DURATION_PART.match(text, position)
        if part is None or part[2] not in _UNITS:
            break
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if not text or position < len(text):
        raise InvalidConfigError("is no duration", "write a duration such as 30, 30s, 5min or 12h")
    return total


def duration(lowest: float, highest: float) -> Callable[[str], float]:
    """A converter to seconds within the bounds."""

    def convert(text: str) -> float:
        value = seconds(text)
        if lowest <= value <= highest:
            return value
        raise InvalidConfigError(
            f"is not between {lowest:g} and {highest:g} seconds",
            f"write a duration from {lowest:g}s to {highest:g}s",
        )

    return convert


def whole_seconds(lowest: int, highest: int) -> Callable[[str], int]:
    """A converter to seconds within the bounds, without a fraction: what boot menus and DHCP leases can express."""
    bounded = duration(lowest, highest)

    def convert(text: str) -> int:
        value = bounded(text)
        if not math.isclose(value, round(value), abs_tol=1e-9):
            raise InvalidConfigError("is not a whole number of seconds", "write whole seconds, such as 5 or 12h")
        return round(value)

    return convert


def path(text: str) -> str:
    """An absolute path without ``..``, normalised: no double, trailing or ``.`` components."""
    if not text.startswith("/"):
        raise RelativePathError("is not an absolute path", "write the path from the root directory on: /...")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidConfigError('has ".." in it', 'write the path without ".."')
    if any(len(part.encode()) > 255 for part in parts) or len(text.encode()) > 4095:
        raise InvalidConfigError("is longer than a path can be", "write a shorter path")
    return "/" + "/".join(parts)


def file_path(text: str) -> str:
    """An absolute path of something below the root directory."""
    value = path(text)
    if value == "/":
        raise InvalidConfigError("is the root directory", "write the path of a file or directory below it")
    return value


def journal_or_file(text: str) -> str:
    """JOURNAL (in any case) or an absolute path."""
    return JOURNAL if text.lower() == JOURNAL else file_path(text)


def or_none(convert: Callable[[str], str]) -> Callable[[str], str]:
    """``none`` (in any case) is "", everything else what ``convert`` makes of it."""
    return lambda text: "" if text.lower() == "none" else convert(text)


def prefix(text: str) -> str:
    """A directory below the TFTP root. The name travels through firmware, DHCP and three boot loaders' languages,
    hence the few characters."""
    value = text.rstrip("/")
    if _PREFIX.fullmatch(value) and len(value) <= 100:
        return value
    raise InvalidConfigError(
        "is no directory below the TFTP root: letters, digits, dots, dashes and underscores, parts joined by slashes",
        'write a relative name such as osr, or "none" when osrd owns the whole TFTP root',
    )


def address(text: str) -> IPv4Address:
    """An IPv4 address that a host can have."""
    try:
        value = IPv4Address(text)
    except AddressValueError:
        raise BadAddressError("is no IPv4 address", "write an address such as 192.168.122.1") from None
    if value.is_unspecified or value.is_multicast or value.is_reserved:
        raise BadAddressError("is no address of a host", "write the address of one machine")
    return value


def address_range(text: str) -> tuple[IPv4Address, IPv4Address]:
    """``FIRST LAST`` or ``FIRST-LAST``, both inclusive."""
    ends = [part for part in re.split(r"[\s,-]+", text) if part]
    if len(ends) != 2:
        raise InvalidConfigError("is no range of two addresses", "write 192.168.122.100 192.168.122.199")
    first, last = address(ends[0]), address(ends[1])
    if first > last:
        raise InvalidConfigError("ends before it begins", f"write {last} {first}")
    return first, last


def network(text: str) -> IPv4Network:
    """``NETWORK/BITS`` or ``NETWORK/NETMASK`` with a clear host part."""
    if "/" not in text:
        raise BadAddressError("has no network mask", f"write {text}/24, with the mask of your network")
    try:
        value = IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError):
        raise BadAddressError("is no IPv4 network", "write a network such as 192.168.122.0/24") from None
    if str(value.network_address) != text.partition("/")[0]:
        raise BadAddressError("is an address inside a network, not the network", f"write {value}")
    if value.prefixlen > 30:
        raise BadAddressError("has no room for a node", "write a network with a mask of at most 30 bits")
    return value


def interface(text: str) -> str:
    """A network interface's name (the kernel's rules: at most 15 bytes, no blank, slash or colon)."""
    if _INTERFACE.fullmatch(text) and len(text.encode()) <= 15 and text not in (".", ".."):
        return text
    raise InvalidConfigError("is no name of a network interface", "write the name as `ip link` shows it")


def domain(text: str) -> str:
    """A DNS domain without the trailing dot."""
    if _DOMAIN.fullmatch(text) and len(text) <= 253:
        return text.rstrip(".")
    raise InvalidConfigError("is no DNS domain", "write a domain such as cluster.example.org")


def base_url(text: str) -> str:
    """``http://HOST[:PORT][/PATH]`` without the trailing slash. Boot loaders know neither users nor queries."""
    fix = "write a URL such as http://192.168.122.1/osr"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise InvalidConfigError("is no URL", fix) from None
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise InvalidConfigError("is no http:// or https:// URL", fix)
    if url.username is not None or url.query or url.fragment or re.search(r"[\s\"'\\{}<>]", text):
        raise InvalidConfigError("has a user, query, fragment, blank or quote in it", fix)
    return text.rstrip("/")


def export_options(text: str) -> str:
    """Options of exports(5), separated by commas; blanks and parentheses would end the entry."""
    value = re.sub(r"\s*,\s*", ",", text).strip("()")
    if _EXPORT_OPTIONS.fullmatch(value):
        return value
    raise InvalidConfigError(
        "is no list of export options", "write options of exports(5) separated by commas: rw,sync,no_root_squash"
    )


def volume(text: str) -> str:
    """A root volume's name as cluster.conf has it: ``server:/path`` or a device."""
    if re.search(r"\s", text):
        raise InvalidConfigError("has a blank in it", "write the name attribute of the <rootvolume>")
    return text


def tree(text: str) -> str:
    """The name of a node's tree in a shared root, or NO_LINK in any case."""
    if text.lower() == NO_LINK:
        return NO_LINK
    if "/" in text or text in (".", "..", MOUNT_POINT):
        raise InvalidConfigError("is no node", f"write the id or the name of a node, or {NO_LINK}")
    return text


def text_line(text: str) -> str:
    """Anything on one line."""
    return text


def reload_method(text: str) -> Reload:
    """``systemd:UNIT``, ``pidfile:PATH``, ``socket:PATH``, ``command:ARGV`` or ``none``."""
    method, _, argument = (part.strip() for part in text.partition(":"))
    match method.lower():
        case "none" if not argument:
            return Reload(ReloadMethod.NONE)
        case "systemd" if _UNIT_NAME.fullmatch(argument):
            unit = argument if argument.endswith((".service", ".target", ".socket")) else argument + ".service"
            return Reload(ReloadMethod.SYSTEMD, (unit,))
        case "pidfile":
            return Reload(ReloadMethod.PIDFILE, (file_path(argument),))
        case "socket":
            return Reload(ReloadMethod.SOCKET, (file_path(argument),))
        case "command":
            return Reload(ReloadMethod.COMMAND, _argv(argument))
    raise InvalidConfigError(
        "is no way to reload a server",
        "write systemd:UNIT, pidfile:PATH, socket:PATH, command:PROGRAM ARGUMENTS or none",
    )


def _argv(text: str) -> tuple[str, ...]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidConfigError(f"cannot be split into words ({error})", "close the quotes") from None
    if not words:
        raise InvalidConfigError("names no program", "write command:/path/of/program ARGUMENTS")
    return (file_path(words[0]), *words[1:])
