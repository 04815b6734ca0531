# SPDX-License-Identifier: GPL-3.0-or-later
"""Where osrd's own data files are: bus XML, schemas, templates of other packages' files."""

import os
import sys
from collections.abc import Iterator

from osrd.model.errors import FailedError

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def data_file(*parts: str) -> str:
    """The absolute path of the data file or directory ``data/PARTS`` of the project.

    Raises FailedError, naming the places looked at, when the installation is incomplete.
    """
    places = tuple(dict.fromkeys(_places()))
    for place in places:
        path = os.path.join(place, *parts)
        if os.path.exists(path):
            return path
    raise FailedError(
        f"osrd's data file {os.path.join(*parts)} is in none of {', '.join(places)}",
        "install osrd again (make install)",
    )


def _places() -> Iterator[str]:
    """The checkout that this very module belongs to, or what was installed with it (another installation may be of
    another version), then the installation's own prefix, then the usual ones: a package in a virtual environment finds
    the system's files."""
    checkout = os.path.dirname(_PACKAGE)
    if os.path.isfile(os.path.join(checkout, "setup.cfg")):
        yield os.path.join(checkout, "data")
    if checkout.endswith("/share/osrd/python"):  # make install
        yield os.path.dirname(checkout)
    head, marker, _ = _PACKAGE.rpartition("/lib/python")
    if marker:
        yield os.path.join(head, "share", "osrd")
    yield os.path.join(sys.prefix, "share", "osrd")
    yield "/usr/local/share/osrd"
    yield "/usr/share/osrd"
