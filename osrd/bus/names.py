# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, object paths and error names of org.opensharedroot.Osrd1 (DESIGN 7), for both sides of the bus."""

import re

from osrd.model import errors
from osrd.model.errors import OsrdError

BUS_NAME = "org.opensharedroot.Osrd1"
ROOT = "/org/opensharedroot/Osrd1"
NODES = ROOT + "/nodes"
ROOTS = ROOT + "/roots"
IMAGES = ROOT + "/images"
JOBS = ROOT + "/jobs"
MANAGER = BUS_NAME + ".Manager"
NODE = BUS_NAME + ".Node"
SHARED_ROOT = BUS_NAME + ".SharedRoot"
IMAGE = BUS_NAME + ".Image"
JOB = BUS_NAME + ".Job"
PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
LOG_CONTROL = "/org/freedesktop/LogControl1"
BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
READ_ACTION = "org.opensharedroot.osrd.read"

_OURS = BUS_NAME + ".Error."
_STANDARD = "org.freedesktop.DBus.Error."
INVALID_ARGS = _STANDARD + "InvalidArgs"
LIMITS_EXCEEDED = _STANDARD + "LimitsExceeded"
UNKNOWN_OBJECT = _STANDARD + "UnknownObject"
UNKNOWN_INTERFACE = _STANDARD + "UnknownInterface"
UNKNOWN_METHOD = _STANDARD + "UnknownMethod"
UNKNOWN_PROPERTY = _STANDARD + "UnknownProperty"
PROPERTY_READ_ONLY = _STANDARD + "PropertyReadOnly"
FAILED = _OURS + "Failed"

_NAME_OF: dict[type[OsrdError], str] = {
    errors.InvalidConfigError: _OURS + "InvalidConfig",
    errors.NotFoundError: _OURS + "NotFound",
    errors.ConflictError: _OURS + "Conflict",
    errors.NotAuthorizedError: _OURS + "NotAuthorized",
    errors.BusyError: _OURS + "Busy",
    errors.UnsupportedError: _OURS + "Unsupported",
    errors.FailedError: FAILED,
    errors.InvalidArgsError: INVALID_ARGS,
}
_CLASS_OF: dict[str, type[OsrdError]] = {name: kind for kind, name in _NAME_OF.items()} | {
    UNKNOWN_OBJECT: errors.NotFoundError,
    UNKNOWN_METHOD: errors.UnsupportedError,
    UNKNOWN_INTERFACE: errors.UnsupportedError,
    UNKNOWN_PROPERTY: errors.UnsupportedError,
    LIMITS_EXCEEDED: errors.BusyError,
    _STANDARD + "AccessDenied": errors.NotAuthorizedError,
    _STANDARD + "ServiceUnknown": errors.NotFoundError,
    _STANDARD + "NameHasNoOwner": errors.NotFoundError,
}

_UNSAFE = re.compile(rb"[^A-Za-z0-9]")
_ESCAPED = re.compile(rb"_([0-9a-f]{2})")


def error_name(error: OsrdError) -> str:
    """The D-Bus error name of an osrd error: that of its nearest class in the table."""
    return next((_NAME_OF[kind] for kind in type(error).__mro__ if kind in _NAME_OF), FAILED)


def error_from_name(name: str, text: str) -> OsrdError:
    """The osrd error for an error reply; unknown names become FailedError."""
    return _CLASS_OF.get(name, errors.FailedError)(text or name)


def escaped(key: str) -> str:
    """``key`` as one element of an object path: every byte outside [A-Za-z0-9] as ``_xx``, nothing as ``_``.

    Plain node ids stay readable (``nodes/17``); ``name:web-1`` is ``name_3aweb_2d1`` (sd_bus_path_encode(3)).
    """
    return _UNSAFE.sub(lambda byte: b"_%02x" % byte[0][0], key.encode()).decode() or "_"


def unescaped(element: str) -> str | None:
    """The key that ``escaped`` turned into ``element``, None when it did not make this one."""
    if not element.isascii():
        return None
    raw = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), element.encode()) if element != "_" else b""
    try:
        key = raw.decode()
    except UnicodeDecodeError:
        return None
    return key if escaped(key) == element else None


def node_path(key: str) -> str:
    return f"{NODES}/{escaped(key)}"


def root_path(name: str) -> str:
    return f"{ROOTS}/{escaped(name)}"


def image_path(identity: str) -> str:
    return f"{IMAGES}/{escaped(identity)}"


def job_path(number: int) -> str:
    return f"{JOBS}/{number}"
