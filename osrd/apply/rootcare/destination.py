# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory that a new root is made in."""

import os
from contextlib import suppress

from osrd.model.errors import FailedError


def make_destination(path: str) -> None:
    """Make it if it is missing; the directory above must be there. Raises FailedError."""
    try:
        with suppress(FileExistsError):
            os.mkdir(path, 0o755)
        os.listdir(path)
    except OSError as error:
        raise FailedError(f"{path}: {error.strerror}", "name a directory, in one that exists") from error
