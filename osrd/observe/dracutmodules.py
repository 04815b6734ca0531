# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd's dracut modules as they are installed with it (or in its source tree)."""

import os
from collections.abc import Mapping

from osrd.model.errors import FailedError
from osrd.observe.data import data_file


def module_sources() -> Mapping[str, bytes]:
    """Their files by ``MODULE/FILE``. Raises FailedError when osrd is not completely installed."""
    return files_below(data_file("dracut"))


def files_below(directory: str) -> Mapping[str, bytes]:
    """The regular files below a directory of osrd's own data by relative path, sorted; editors' leftovers are none of
    them. Raises FailedError."""
    found = {}
    try:
        for place, directories, names in os.walk(directory, onerror=_raise):
            directories.sort()
            for name in sorted(names):
                path = os.path.join(place, name)
                if not name.startswith(".") and not name.endswith("~") and os.path.isfile(path):
                    with open(path, "rb") as file:
                        found[os.path.relpath(path, directory)] = file.read()
    except OSError as error:
        raise FailedError(f"{error.filename or directory}: {error.strerror}", "install osrd again") from error
    return found


def _raise(error: OSError) -> None:
    raise error
