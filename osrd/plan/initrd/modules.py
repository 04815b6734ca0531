# SPDX-License-Identifier: GPL-3.0-or-later
"""Under which names dracut wants osrd's modules.

The numbers order them. dracut-ng renumbered its own ones in 108 and keeps 50 to 59 for others; before, anything below
the 99 of the base will do. ``osr-network`` must come before dracut's own module ``network`` (40), whose choice of a
provider it takes; newer versions choose well.
"""

from collections.abc import Mapping

from osrd.model.image import Dracut

#: the first dracut-ng with the new numbers
_RENUMBERED = 108
#: modules that are no good from there on, with their numbers before
_ONLY_OLD = {"osr-network": "34"}
_OLD, _NEW = "95", "55"


def module_files(sources: Mapping[str, bytes], dracut: Dracut) -> Mapping[str, bytes]:
    """The files of the modules by their path below usr/lib/dracut, for this dracut. ``sources`` are named
    ``MODULE/FILE``."""
    files = {}
    for path, data in sorted(sources.items()):
        name, _, rest = path.partition("/")
        if number := module_number(name, dracut):
            files[f"modules.d/{number}{name}/{rest}"] = data
    return files


def module_number(name: str, dracut: Dracut) -> str:
    """The number of a module of osrd's, "" when this dracut is not to have it."""
    if dracut.version >= _RENUMBERED:
        return "" if name in _ONLY_OLD else _NEW
    return _ONLY_OLD.get(name, _OLD)


def module_mode(data: bytes) -> int:
    """The permission bits of a file of a module: dracut copies them into the image with it."""
    return 0o755 if data.startswith(b"#!") else 0o644
