# SPDX-License-Identifier: GPL-3.0-or-later
"""The version of a record that osrd keeps in a root, a member ``version`` of its JSON object."""

from osrd.model.errors import UnsupportedError

VERSION = 1


def check_version(record: object, name: str) -> None:
    """Raises UnsupportedError when a newer osrd wrote the record, whose place is ``name``; ValueError when it is none.
    The first records had no number and the form of today."""
    if not isinstance(record, dict):
        raise ValueError("no object")
    version = record.get("version", 1)
    if type(version) is not int or version < 1:
        raise ValueError("no version")
    if version > VERSION:
        raise UnsupportedError(
            f"{name} was written by a newer osrd (version {version}, this one knows {VERSION})",
            "use that osrd on this root, or install it here",
        )
