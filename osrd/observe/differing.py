# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes' copies of a path differ from one node's: what sharing or removing a CDSL would give up."""

import errno
import os
import stat
from collections.abc import Mapping

from osrd.model.errors import ConflictError, NotFoundError
from osrd.observe.descent import Descent, descent
from osrd.observe.inside import Inside, open_regular

_PART = 1 << 20


def differing(inside: Inside, copies: Mapping[str, str], winner: str) -> tuple[str, ...]:
    """The nodes of ``copies`` (node: physical path) whose copy is not what ``winner``'s is, in the order given.

    Compared are names, kinds, modes, owners, link texts, device numbers, contents, ACLs and other extended
    attributes. Times alone are no difference; files of equal size and equal modification time count as equal
    without being read, as for rsync. Each comparison ends at the first difference. Raises NotFoundError when the
    winner has no copy; ConflictError for mount points and when something is moved away meanwhile.
    """
    path = copies.get(winner)
    if path is None or inside.status(path) is None:
        raise NotFoundError(f"node {winner!r} has no copy of it in {inside.path}")
    others = [(node, other) for node, other in copies.items() if node != winner and other != path]
    return tuple(node for node, other in others if not _equal(inside, path, other))


def _equal(inside: Inside, one: str, other: str) -> bool:
    try:
        with inside.holding(one) as (first, name), inside.holding(other) as (second, other_name):
            if not _same(inside, (first, name), (second, other_name)):
                return False
    except NotFoundError:
        return False
    found = inside.status(one)
    if found is None or not stat.S_ISDIR(found.st_mode):
        return True
    with descent(inside, one) as mine, descent(inside, other) as theirs:
        return _equal_below(inside, mine, theirs)


def _equal_below(inside: Inside, mine: Descent, theirs: Descent) -> bool:
    """Both trees in step. ``levels`` has the subdirectories to come, per directory on the way down."""
    pending = _equal_directory(inside, mine, theirs)
    if pending is None:
        return False
    levels = [pending]
    while levels:
        if not levels[-1]:
            levels.pop()
            if levels:
                mine.up()
                theirs.up()
            continue
        name = levels[-1].pop()
        try:
            mine.down(name)
            theirs.down(name)
        except FileNotFoundError as error:
            raise ConflictError(f"{inside.name(mine.physical(name))} is being written to", "try again") from error
        below = _equal_directory(inside, mine, theirs)
        if below is None:
            return False
        levels.append(below)
    return True


def _equal_directory(inside: Inside, mine: Descent, theirs: Descent) -> list[str] | None:
    """The common subdirectories of two directories, None when anything in them differs."""
    names = set(os.listdir(mine.fd))
    if names != set(os.listdir(theirs.fd)):
        return None
    below = []
    for name in names:
        if not _same(inside, (mine.fd, name), (theirs.fd, name)):
            return None
        if stat.S_ISDIR(os.stat(name, dir_fd=mine.fd, follow_symlinks=False).st_mode):
            below.append(name)
    return below


def _same(inside: Inside, one: tuple[int, str], other: tuple[int, str]) -> bool:
    """Whether two objects (directory and name) are equal, what is in directories aside."""
    try:
        mine = os.stat(one[1], dir_fd=one[0], follow_symlinks=False)
        theirs = os.stat(other[1], dir_fd=other[0], follow_symlinks=False)
        if _facts(mine) != _facts(theirs):
            return False
        if stat.S_ISLNK(mine.st_mode):
            return os.readlink(one[1], dir_fd=one[0]) == os.readlink(other[1], dir_fd=other[0])
        if _attributes(one) != _attributes(other):
            return False
        same_file = mine.st_mtime_ns == theirs.st_mtime_ns or not stat.S_ISREG(mine.st_mode)
        return same_file or (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino) or _same_bytes(one, other)
    except (FileNotFoundError, NotADirectoryError):
        return False  # on one side only
    except OSError as error:
        raise inside.refusal(one[1], error) from error


def _facts(found: os.stat_result) -> tuple[int, ...]:
    special = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
    size = found.st_size if stat.S_ISREG(found.st_mode) else 0
    return (found.st_mode, found.st_uid, found.st_gid, size, found.st_rdev if special else 0)


def _attributes(place: tuple[int, str]) -> dict[str, bytes]:
    # A name in a directory that is open; /proc leads to just that directory.
    path = f"/proc/self/fd/{place[0]}/{place[1]}"
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EPERM, errno.ENODATA):
            return {}
        raise


def _same_bytes(one: tuple[int, str], other: tuple[int, str]) -> bool:
    with open(open_regular(*one), "rb") as mine, open(open_regular(*other), "rb") as theirs:
        while part := mine.read(_PART):
            if theirs.read(len(part)) != part:
                return False
        return not theirs.read(1)
