# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of the files of a root that initrds are made from. A file whose inode did not change since it was hashed is
not read again, and each directory is opened once: a look at thousands of files costs a stat(2) for each and no more.
"""

import os
import stat
import time
from collections.abc import Iterable
from hashlib import sha256
from typing import BinaryIO

from osrd.model.errors import ConflictError, FailedError, NotFoundError
from osrd.observe.inside import open_regular
from osrd.observe.nodeview import NodeView

#: What is not there, and cannot be told from it.
ABSENT = ""
#: The digest of a symlink begins so; the text of the link follows, and the digest of the file that it leads to.
LINK = "-> "
#: The digest of a regular file is sha256 in hex, a blank, and its permission bits in octal: images have both.
#: What is neither file nor link, or cannot be read.
OTHER = "not a file"

#: A file that changed this recently (seconds) may change again without its times moving (the clocks of other hosts
#: differ), so its digest is not kept.
_UNSETTLED = 2.0
#: Larger files go into no initrd; a node could make one of many TiB that takes no space.
_LARGEST = 1 << 30
_PART = 1 << 20

#: signature, digest, and of a link the path of the regular file that it leads to
_Entry = tuple[int, str, str]


class Known:
    """What is kept of one root between looks: directory -> name -> entry."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, _Entry]] = {}
        self.hashed = 0


class Digests:
    """One look at a root: what was seen once is taken as seen for the rest of it."""

    def __init__(self, view: NodeView, known: Known) -> None:
        self.view = view
        self._known = known
        self._seen: dict[str, dict[str, str]] = {}
        self._used: dict[str, dict[str, _Entry]] = {}
        self._moved: set[str] = set()

    def moved(self, directory: str) -> bool:
        """Whether something in ``directory`` was read in this look, came or went, or must be read again next time."""
        return directory in self._moved

    def keep(self, directories: Iterable[str]) -> None:
        """Remember what is known of ``directories``, though this look did not ask for it."""
        known = self._known.entries
        self._used.update({directory: known[directory] for directory in directories if directory in known})

    def done(self, *, forget: bool) -> None:
        """Keep what was seen; ``forget`` what was not asked for in this look."""
        if forget:
            self._known.entries = self._used
        else:
            for directory, entries in self._used.items():
                self._known.entries.setdefault(directory, {}).update(entries)

    def of(self, path: str) -> str:
        """The digest of a single file."""
        directory, _, name = path.rpartition("/")
        return self.within(directory, (name,))[name]

    def within(self, directory: str, names: Iterable[str]) -> dict[str, str]:
        """The digests of (at least) ``names`` in ``directory``; the dict is this look's own and not to be changed."""
        seen = self._seen.get(directory)
        if seen is None:
            seen = self._seen[directory] = {}
            wanted = names
        else:
            wanted = [name for name in names if name not in seen]
        if wanted:
            self._look(directory, wanted, seen)
        return seen

    def unchanged(self, directory: str, names: Iterable[str]) -> bool:
        """Whether all of ``names`` are what they were when they were last read, without saying what that is. A
        symlink, whose target would have to be looked at, counts as changed."""
        fd = self.view.open_directory(directory)
        if fd < 0:
            return False
        stat_at, known = os.stat, self._known.entries.get(directory, {}).get
        try:
            for name in names:
                entry = known(name)
                try:
                    status = stat_at(name, dir_fd=fd, follow_symlinks=False)
                except (OSError, ValueError):
                    if entry is None:
                        continue
                    return False
                if entry is None or entry[2]:
                    return False
                if entry[0] != hash(
                    (status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)
                ):
                    return False
        finally:
            os.close(fd)
        return True

    def _look(self, directory: str, names: Iterable[str], seen: dict[str, str]) -> None:
        fd = self.view.open_directory(directory)
        if fd < 0:
            seen.update(dict.fromkeys(names, ABSENT))
            if directory in self._known.entries:
                self._moved.add(directory)
            return
        before = self._known.entries.get(directory, {})
        used = self._used.setdefault(directory, {})
        stat_at, known = os.stat, before.get
        links = []
        try:
            for name in names:
                try:
                    status = stat_at(name, dir_fd=fd, follow_symlinks=False)
                except (OSError, ValueError):
                    seen[name] = ABSENT
                    if known(name) is not None:
                        self._moved.add(directory)
                    continue
                entry = known(name)
                if (
                    entry is None
                    or entry[0]
                    != hash((status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev))
                    or (entry[2] and self._led_elsewhere(directory, name, entry))
                ):
                    entry = self._entry(directory, fd, name, status)
                    self._moved.add(directory)
                if entry[0]:
                    used[name] = entry
                seen[name] = entry[1]
                if entry[2]:
                    links.append((name, entry))
        finally:
            os.close(fd)
        for name, entry in links:
            seen[name] = f"{entry[1]}\0{self.of(entry[2])}"

    def _entry(self, directory: str, fd: int, name: str, status: os.stat_result) -> _Entry:
        """What is there, read; the signature is 0 when it must be read again the next time."""
        try:
            if stat.S_ISLNK(status.st_mode):
                return self._link(directory, fd, name, status)
            if not stat.S_ISREG(status.st_mode):
                return 0, OTHER, ""
            if status.st_size > _LARGEST:
                return 0, f"{status.st_size} bytes", ""
            with open(open_regular(fd, name), "rb") as file:
                opened = os.fstat(file.fileno())
                digest = _digest(file)
                after = os.fstat(file.fileno())
        except OSError:
            return 0, OTHER, ""
        self._known.hashed += 1
        settled = _signature(opened) == _signature(after) and _settled(after)
        return _signature(after) if settled else 0, f"{digest} {stat.S_IMODE(after.st_mode):o}", ""

    def _link(self, directory: str, fd: int, name: str, status: os.stat_result) -> _Entry:
        text = os.readlink(name, dir_fd=fd)
        target = self.view.physical(f"{directory}/{name}" if directory else name)
        leads = target if target and self._is_regular(target) else ""
        # One that leads nowhere may lead somewhere the next time without having changed itself.
        return _signature(status) if leads and _settled(status) else 0, LINK + text, leads

    def _led_elsewhere(self, directory: str, name: str, entry: _Entry) -> bool:
        """Whether a link that did not change leads to another file, since one on its way did. One to its own
        directory has no way."""
        if "/" not in entry[1].removeprefix(LINK):
            return False
        return self.view.physical(f"{directory}/{name}" if directory else name) != entry[2]

    def _is_regular(self, place: str) -> bool:
        try:
            status = self.view.inside.status(place)
        except (NotFoundError, ConflictError, FailedError):
            return False
        return status is not None and stat.S_ISREG(status.st_mode)

    def tree(self, top: str, limit: int) -> dict[str, str]:
        """The digest of each file below ``top`` by path, at most ``limit`` of them; no symlink to a directory is
        entered. Cut short it says so by an entry for ``top`` itself."""
        found: dict[str, str] = {}
        waiting = [top]
        while waiting:
            directory = waiting.pop()
            fd = self.view.open_directory(directory)
            if fd < 0:
                continue
            names = []
            try:
                with os.scandir(fd) as listing:
                    for entry in listing:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(f"{directory}/{entry.name}")
                        else:
                            names.append(entry.name)
                        if len(found) + len(names) + len(waiting) > limit:
                            found[top] = f"more than {limit} files"
                            return found
            except OSError:
                found[directory] = OTHER
            finally:
                os.close(fd)
            seen = self.within(directory, names)
            found |= {f"{directory}/{name}": seen[name] for name in names if seen[name] != ABSENT}
        return found

    def together(self, top: str, limit: int) -> str:
        """One digest over all files below ``top``, ABSENT when there are none."""
        found = self.tree(top, limit)
        rows = "".join(f"{path}\0{found[path]}\0" for path in sorted(found))
        return sha256(rows.encode("utf-8", "surrogateescape")).hexdigest() if found else ABSENT


def _digest(file: BinaryIO) -> str:
    digest = sha256()
    left = _LARGEST
    while left > 0 and (part := file.read(_PART)):
        digest.update(part)
        left -= len(part)  # it may grow while it is read, without end
    return digest.hexdigest()


def _signature(status: os.stat_result) -> int:
    """64 bits of what cannot stay the same when the content of a file changes; never 0 but by an odd chance, which
    costs reading the file again."""
    return hash((status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev))


def _settled(status: os.stat_result) -> bool:
    return time.time() - max(status.st_mtime, status.st_ctime) > _UNSETTLED
