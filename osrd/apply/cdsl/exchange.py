# SPDX-License-Identifier: GPL-3.0-or-later
"""One name changes hands, forwards or backwards, from whatever point a killed run got to.

The same function does it for the first time, after a crash and for an undo (with the roles swapped): it looks where
the coming and the leaving object are now and goes on from there. They are known again by their inode numbers, which
a rename keeps. Nothing is ever replaced that is neither of the two.
"""

import errno
import os
import stat
from dataclasses import dataclass

from osrd.apply import syscalls
from osrd.apply.cdsl.journal import Thing
from osrd.model.errors import ConflictError, FailedError, NotFoundError
from osrd.observe.inside import Inside

#: what file systems say that cannot swap two names, or rename without replacing (NFS, OCFS2)
_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def thing_at(inside: Inside, path: str) -> Thing | None:
    """What is at ``path``, None when nothing is. Raises ConflictError, FailedError."""
    found = inside.status(path)
    if found is None:
        return None
    return Thing(found.st_ino, inside.link(path) if stat.S_ISLNK(found.st_mode) else None)


@dataclass(frozen=True, slots=True)
class Turn:
    """``coming`` is to be at ``at`` and comes from ``source``; ``leaving`` goes from there to ``sink``."""

    at: str
    coming: Thing | None
    source: str
    leaving: Thing | None
    sink: str

    def back(self) -> "Turn":
        """The same undone."""
        return Turn(self.at, self.leaving, self.sink, self.coming, self.source)


def settle(inside: Inside, turn: Turn) -> None:
    """Make it so. Repeating it is harmless.

    Raises FailedError when something else is in the way or one of the two is gone; everything is then where it was
    or one step further, and settling again goes on once that is mended.
    """
    here = thing_at(inside, turn.at)
    if here is not None and here == turn.coming:
        _clear_source(inside, turn)
    elif here is not None and here == turn.leaving:
        _swap(inside, turn)
    elif here is None and turn.coming is not None:
        if turn.leaving is not None and thing_at(inside, turn.sink) != turn.leaving:
            raise _gone(inside, turn.at, turn.sink)
        _need_source(inside, turn)
        _move(inside, turn.source, turn.at)
    elif turn.coming is not None:
        raise _in_the_way(inside, turn.at, turn.source)
    # else: what is to go is gone; what came instead is not ours


def _clear_source(inside: Inside, turn: Turn) -> None:
    """The second half of a swap, or of a move by hard link."""
    there = thing_at(inside, turn.source)
    if turn.leaving is not None and there == turn.leaving:
        _move(inside, turn.source, turn.sink)
    elif there == turn.coming:
        _unlink(inside, turn.source)


def _swap(inside: Inside, turn: Turn) -> None:
    """``leaving`` is still at ``at``."""
    if turn.coming is None:
        _move(inside, turn.at, turn.sink)
        return
    if thing_at(inside, turn.source) is None and thing_at(inside, turn.sink) == turn.coming:
        # Half of the same swap in the other direction, which failed between its two steps.
        _move(inside, turn.sink, turn.source)
    _need_source(inside, turn)
    if _exchange(inside, turn.source, turn.at):
        _move(inside, turn.source, turn.sink)  # the name changed hands in one step; this only tidies up
    elif not _replace(inside, turn):
        _move(inside, turn.at, turn.sink)
        _move(inside, turn.source, turn.at)


def _need_source(inside: Inside, turn: Turn) -> None:
    if thing_at(inside, turn.source) != turn.coming:
        raise _gone(inside, turn.at, turn.source)


def _exchange(inside: Inside, one: str, other: str) -> bool:
    """Swap two names; False when the file system cannot."""
    try:
        with inside.holding(one) as (first, name), inside.holding(other) as (second, other_name):
            syscalls.renameat2(first, name, second, other_name, syscalls.RENAME_EXCHANGE)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise _failed(inside, other, error) from error
    return True


def _replace(inside: Inside, turn: Turn) -> bool:
    """Without a swap: keep the leaving file by a second name, then rename over it, so that ``at`` is never missing.
    False for directories, which have no second names, and where hard links are not to be had."""
    if _is_directory(inside, turn.source) or _is_directory(inside, turn.at):
        return False
    try:
        with inside.holding(turn.source) as (there, name), inside.holding(turn.at) as (here, old):
            if thing_at(inside, turn.sink) != turn.leaving:
                with inside.holding(turn.sink) as (kept, keep):
                    os.link(old, keep, src_dir_fd=here, dst_dir_fd=kept, follow_symlinks=False)
            os.rename(name, old, src_dir_fd=there, dst_dir_fd=here)
    except FileExistsError as error:
        raise _in_the_way(inside, turn.sink, turn.at) from error
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EMLINK, *_CANNOT):
            return False
        raise _failed(inside, turn.at, error) from error
    return True


def _move(inside: Inside, source: str, sink: str) -> None:
    """Rename, replacing nothing."""
    try:
        with inside.holding(source) as (there, name), inside.holding(sink) as (here, new):
            try:
                syscalls.renameat2(there, name, here, new, syscalls.RENAME_NOREPLACE)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                _move_without_help(inside, source, (there, name), (here, new))
    except FileExistsError as error:
        if thing_at(inside, source) == thing_at(inside, sink):
            _unlink(inside, source)  # the second name of a file that is there already
            return
        raise _in_the_way(inside, sink, source) from error
    except OSError as error:
        raise _failed(inside, sink, error) from error
    except NotFoundError as error:
        raise FailedError(f"{error.message}: {inside.name(source)} belongs below it", "make that directory") from error


def _move_without_help(inside: Inside, source: str, old: tuple[int, str], new: tuple[int, str]) -> None:
    """A hard link refuses to replace as well; a directory replaces an empty directory at worst."""
    if not _is_directory(inside, source):
        try:
            os.link(old[1], new[1], src_dir_fd=old[0], dst_dir_fd=new[0], follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EMLINK, *_CANNOT):
                raise
        else:
            os.unlink(old[1], dir_fd=old[0])
            return
    try:
        os.stat(new[1], dir_fd=new[0], follow_symlinks=False)
    except FileNotFoundError:
        os.rename(old[1], new[1], src_dir_fd=old[0], dst_dir_fd=new[0])
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new[1])


def _unlink(inside: Inside, path: str) -> None:
    try:
        with inside.holding(path) as (fd, name):
            os.unlink(name, dir_fd=fd)
    except OSError as error:
        raise _failed(inside, path, error) from error


def _is_directory(inside: Inside, path: str) -> bool:
    found = inside.status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def _failed(inside: Inside, path: str, error: OSError) -> ConflictError | FailedError:
    refusal = inside.refusal(path, error)
    return refusal if isinstance(refusal, ConflictError) else FailedError(f"{inside.name(path)}: {error.strerror}")


def _in_the_way(inside: Inside, at: str, source: str) -> FailedError:
    return FailedError(
        f"{inside.name(at)} is in the way: somebody put it there while {inside.name(source)} was to come there",
        f"move {inside.name(at)} to another name",
    )


def _gone(inside: Inside, at: str, source: str) -> FailedError:
    return FailedError(
        f"{inside.name(source)} is not what osrd put there: it belongs to {inside.name(at)}",
        f"look who moved it, and move it back to {inside.name(source)}",
    )
