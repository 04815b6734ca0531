# SPDX-License-Identifier: GPL-3.0-or-later
"""Defaults of the options of the com-* commands, from the INI files of the original tools (spec/cdsl.md 1.5).

The result fits click's ``default_map``: its keys are the names of options (``inventoryfile``), and click converts the
values ("yes", "True" and "1" turn a flag on).
"""

import os
from collections.abc import Iterator
from typing import Literal

from osrd.model.errors import InvalidConfigError
from osrd.parse.classicini import LARGEST, read_classic_ini

Family = Literal["cdsl", "cluster"]

_VARIABLES: dict[Family, str] = {"cdsl": "COMOONICS_CDSL_CFG", "cluster": "COMOONICS_CLUSTER_CFG"}
#: where the administrator's file is; a seam for tests
SYSTEM = "/etc/comoonics"


def defaults(program: str, family: Family) -> dict[str, str]:
    """What the files say for ``program`` (``com-mkcdsl``), whose name is the section to look in: option -> text.

    Later files win: /etc/comoonics/FAMILY.cfg, ~/.comoonics/FAMILY.cfg, the file named by $COMOONICS_CDSL_CFG or
    $COMOONICS_CLUSTER_CFG. The first two need not exist; a file that was named must, since to go on with other
    defaults (another root, say) than the ones asked for can do harm. Raises InvalidConfigError for one that cannot be
    read or is no INI file.
    """
    found: dict[str, str] = {}
    for path, data in _files(family):
        section = read_classic_ini(data, path).get(program, {})
        found |= {key.replace("-", "_"): value for key, value in section.items()}
    return found


def _files(family: Family) -> Iterator[tuple[str, bytes]]:
    name = f"{family}.cfg"
    for path in (os.path.join(SYSTEM, name), os.path.join(os.path.expanduser("~"), ".comoonics", name)):
        try:
            yield path, _read(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise InvalidConfigError(f"{path}: cannot be read: {error.strerror}") from error
    variable = _VARIABLES[family]
    if named := os.environ.get(variable):
        try:
            yield named, _read(named)
        except OSError as error:
            raise InvalidConfigError(
                f"{named}, named by ${variable}: cannot be read: {error.strerror}", f"unset {variable}, or name a file"
            ) from error


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(LARGEST + 1)
