# SPDX-License-Identifier: GPL-3.0-or-later
"""How paths, lists and commands appear in messages. File names may hold anything; a message must not."""

import shlex
from collections.abc import Iterable

#: names in a list before "and N more"
_MOST = 5


def printable(text: str) -> str:
    """``text`` with control characters and undecodable bytes written as escapes."""
    if text.isprintable():
        return text
    data = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in data)


def shown(path: str) -> str:
    """A path of the shared root as its nodes see it."""
    return f"/{printable(path)}"


def listed(items: Iterable[str]) -> str:
    """``a, b and c``; long lists are cut."""
    words = list(items)
    if len(words) > _MOST:
        words = [*words[: _MOST - 1], f"{len(words) - _MOST + 1} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def command(*words: str) -> str:
    """A command of osrctl's for the shared root, which the user knows under a name that is not known here: ROOT."""
    verb, *rest = words
    return " ".join(["osrctl cdsl", verb, "ROOT", *(shlex.quote(printable(word)) for word in rest)])
