# SPDX-License-Identifier: GPL-3.0-or-later
"""The report that a node leaves in its own tree (osr.dracut(7), NODE REPORT): lines of ``key=value``.

Any node's root can write there whatever it likes, so nothing is believed that does not have exactly the right form,
and no value is longer than it can be.
"""

import re
from collections.abc import Mapping

from osrd.model.errors import InvalidConfigError
from osrd.model.image import NodeReport

#: Bytes of a report: what a node writes has some 200.
LIMIT = 4096

_STEPS = ("root", "up")
#: The form of reports; the first ones had no number and this form.
_VERSION = "1"
_FORMS: Mapping[str, re.Pattern[str]] = {
    "version": re.compile(r"[0-9]{1,7}", re.ASCII),
    "step": re.compile("|".join(_STEPS)),
    "time": re.compile(r"[0-9]{1,12}", re.ASCII),
    "kernel": re.compile(r"[A-Za-z0-9._+~-]{0,128}", re.ASCII),
    "build": re.compile(r"[0-9a-f]{0,64}", re.ASCII),
    "boot_id": re.compile(r"[0-9a-f-]{0,36}", re.ASCII),
    "attempts": re.compile(r"[0-9]{1,7}", re.ASCII),
}


def parse_report(data: bytes, node: str) -> NodeReport:
    """What ``node`` says. Unknown keys are left to newer modules, and so is a report of another version. Raises
    InvalidConfigError, which says what is wrong without repeating it."""
    if len(data) > LIMIT:
        raise InvalidConfigError(f"has more than {LIMIT} bytes")
    values: dict[str, str] = {}
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise InvalidConfigError("is no ASCII text") from None
    for number, line in enumerate(lines, 1):
        key, equals, value = line.partition("=")
        if not line:
            continue
        if not equals:
            raise InvalidConfigError(f"has no KEY=VALUE in line {number}")
        form = _FORMS.get(key)
        if form is None:
            continue
        if key in values:
            raise InvalidConfigError(f"has {key} twice (line {number})")
        if form.fullmatch(value) is None:
            raise InvalidConfigError(f"has a wrong {key} (line {number})")
        values[key] = value
    if values.get("version", _VERSION) != _VERSION:
        raise InvalidConfigError(f"has version {values['version']}, and this osrd knows {_VERSION}")
    if missing := [key for key in ("step", "time") if key not in values]:
        raise InvalidConfigError(f"has no {missing[0]}")
    return NodeReport(
        node,
        values["step"],
        float(values["time"]),
        values.get("kernel", ""),
        values.get("build", ""),
        values.get("boot_id", ""),
        int(values.get("attempts", "0")),
    )
