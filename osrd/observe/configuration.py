# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd.conf and its drop-ins from the disk."""

import errno
import os
import stat

from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding, Place, Severity
from osrd.model.settings import Settings
from osrd.parse.ini import LARGEST
from osrd.parse.osrdconf import parse_settings


def read_settings(path: str, required: bool = False) -> tuple[Settings, tuple[Finding, ...]]:
    """The settings of ``path`` and of ``path.d/*.conf`` in the order of their names; see parse_settings().

    A missing file means the defaults, unless the caller was given its name (``required``): InvalidConfigError.
    Whatever else cannot be read is an error finding.
    """
    findings: list[Finding] = []
    contents: list[tuple[str, bytes]] = []
    for file in (path, *_drop_ins(path + ".d", findings)):
        try:
            contents.append((file, _content(file)))
        except FileNotFoundError:
            if required and file == path:
                raise InvalidConfigError(
                    f"{path}: no such file", "create it, or give the path of your osrd.conf"
                ) from None
        except OSError as error:
            findings.append(_unreadable(file, error))
    settings, wrong = parse_settings(contents)
    return settings, (*findings, *wrong)


def _drop_ins(directory: str, findings: list[Finding]) -> list[str]:
    """``*.conf`` in ``directory``, sorted; names that begin with a dot are editors' and no drop-ins."""
    try:
        names = sorted(os.listdir(os.fsencode(directory)))
    except FileNotFoundError:
        return []
    except OSError as error:
        findings.append(_unreadable(directory, error))
        return []
    files = []
    for name in names:
        if name.startswith(b".") or not name.endswith(b".conf"):
            continue
        try:
            files.append(f"{directory}/{name.decode()}")
        except UnicodeDecodeError:
            shown = f"{directory}/{name.decode(errors='backslashreplace')}"
            message = "the name of this drop-in is not UTF-8, it is not read"
            findings.append(Finding("conf-encoding", Severity.ERROR, message, "rename the file", Place(shown)))
    return files


def _content(file: str) -> bytes:
    """At most one byte more than a configuration file may have. O_NONBLOCK: a pipe must not hang the daemon."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", file)
        return stream.read(LARGEST + 1)


def _unreadable(file: str, error: OSError) -> Finding:
    message = f"cannot be read ({error.strerror}), so its settings are missing"
    fix = "make it a regular file that root can read, or remove it"
    return Finding("conf-unreadable", Severity.ERROR, message, fix, Place(file))
