# SPDX-License-Identifier: GPL-3.0-or-later
"""Query maps: INI files that give names to XPath templates (spec/cdsl.md 5.3).

``[redhatcluster]`` holds them, in other sections than that the original looks never. ``%(param0)s`` and ``%(nodeid)s``
stand for arguments of the query and stay; any other ``%(key)s`` stands for the value of a key of the same section or
of [DEFAULT] and is resolved here.
"""

import re
from collections.abc import Mapping

from osrd.model.errors import InvalidConfigError
from osrd.parse.classicini import read_classic_ini

SECTION = "redhatcluster"
#: an argument of the query; the group is its number, unset for %(nodeid)s, which is the first
PARAMETER = re.compile(r"%\((?:param([0-9]{1,2})|nodeid)\)s")
_REFERENCE = re.compile(r"%\(([^()]*)\)s")
#: characters of a template; 20 keys that repeat each other twice would have a million times the text
_LONGEST = 65536
_DEPTH = 10


def parse_query_map(data: bytes, file: str) -> Mapping[str, str]:
    """Key (in lower case) -> template of the bytes of ``file``, references to other keys not resolved yet.

    Raises InvalidConfigError, one line that begins with ``file:line: ``, when it is no INI file or has no
    ``[redhatcluster]``.
    """
    sections = read_classic_ini(data, file)
    if SECTION not in sections:
        raise InvalidConfigError(f"{file}:1: there is no section [{SECTION}]", f"write [{SECTION}] above the keys")
    return sections[SECTION]


def resolved(keys: Mapping[str, str], key: str, file: str) -> str:
    """The template of ``key`` with references to other keys resolved. Raises InvalidConfigError when one does not
    exist or when they go round in circles."""
    text = keys[key]
    for _ in range(_DEPTH):
        references = {match[1] for match in _REFERENCE.finditer(text) if not PARAMETER.fullmatch(match[0])}
        if not references:
            return text
        for name in sorted(references):
            value = keys.get(name.lower())
            if value is None:
                fix = f"define {name} in [{SECTION}], or write %(param0)s, %(param1)s... for arguments"
                raise InvalidConfigError(f"{file}: {key}: there is no key {name!r}", fix)
            text = text.replace(f"%({name})s", value)
        if len(text) > _LONGEST:
            raise InvalidConfigError(f"{file}: {key}: longer than {_LONGEST} characters", "write a shorter XPath")
    raise InvalidConfigError(f"{file}: {key}: its references never end", "let no key refer to itself")
