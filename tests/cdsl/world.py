# SPDX-License-Identifier: GPL-3.0-or-later
"""A small shared root, transactions of the shapes that planners make, and a digest of everything in a tree."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from osrd.apply.cdsl.lock import locked
from osrd.apply.cdsl.transaction import Transactions
from osrd.model.cdsl import INVENTORY, WORK, Changed
from osrd.model.transaction import CopyTree, Exchange, MakeDirectory, MakeLink, Replaces, Transaction
from osrd.observe.inside import Inside

TREE, SHARED, LINK = "cluster/cdsl", "cluster/shared", "cdsl.local"
NODES = ("1", "2", "default")

#: path: kind and mode, owner, group, device, link text or content, extended attributes, names of the same file
CONTENT = 4
Digest = dict[str, tuple[object, ...]]


def make_root(base: Path) -> Path:
    """An ordinary root with the infrastructure of two nodes."""
    root = base / "root"
    for path in (
        f"{TREE}/1",
        f"{TREE}/2",
        f"{TREE}/default",
        f"{TREE}/local",
        SHARED,
        "var/lib/rpm",
        "var/log",
        "etc",
    ):
        (root / path).mkdir(parents=True)
    (root / LINK).symlink_to(f"{TREE}/local")
    (root / "var/lib/rpm/Packages").write_bytes(os.urandom(3000))
    (root / "var/log/messages").write_text("one\ntwo\n")
    (root / "var/log/odd\nname $(touch x) \udce9").write_text("odd")
    (root / "var/run").symlink_to("../run")
    (root / "etc/passwd").write_text("root")
    (root / INVENTORY).write_bytes(b"<cdsls/>")
    os.link(root / "var/log/messages", root / "var/lib/messages")
    os.chmod(root / "var/lib", 0o2750)
    return root


def make_var() -> Transaction:
    """``/var`` host-dependent."""
    exchanges = [
        Exchange(f"{TREE}/{node}/var", (CopyTree("var", "", f"{TREE}/{node}/var"),), Replaces.NOTHING)
        for node in NODES
    ]
    text = f"{LINK}/var"
    exchanges.append(Exchange("var", (MakeLink("", text),), Replaces.SOMETHING, new_link=text))
    return Transaction(
        "make /var host-dependent", tuple(exchanges), ("var",), b"<cdsls><var/></cdsls>", ("made /var",)
    )


def share_lib() -> Transaction:
    """``/var/lib`` shared again, node 1's; the others are kept."""
    text = f"../../../../{SHARED}/var/lib"
    first = (MakeDirectory("", "cluster/cdsl/1/var"), CopyTree(f"{TREE}/1/var/lib", "lib", f"{SHARED}/var/lib"))
    exchanges = [Exchange(f"{SHARED}/var", first)]
    for node in NODES:
        at, keep = f"{TREE}/{node}/var/lib", "" if node == "1" else f"{WORK}/backup/lib-7/{node}"
        exchanges.append(Exchange(at, (MakeLink("", text),), Replaces.SOMETHING, new_link=text, keep=keep))
    watched = tuple(f"{TREE}/{node}/var/lib" for node in NODES)
    return Transaction(
        "share /var/lib", tuple(exchanges), watched, b"<cdsls><var/><lib/></cdsls>", ("shared",), ("b",)
    )


def remove_var() -> Transaction:
    """``/var`` an ordinary directory again, node 2's; the others' go away."""
    old = f"{LINK}/var"
    exchanges = [Exchange("var", (CopyTree(f"{TREE}/2/var", "", "var"),), Replaces.SOMETHING, old_link=old)]
    exchanges += [
        Exchange(f"{TREE}/{node}/var", replaces=Replaces.SOMETHING, keep=f"var.{node}" if node == "1" else "")
        for node in NODES
    ]
    return Transaction("remove /var", tuple(exchanges), (f"{TREE}/2/var",), b"<cdsls></cdsls>", ("removed",))


SHAPES: tuple[Callable[[], Transaction], ...] = (make_var, share_lib, remove_var)


def rebase(text: str, old_place: str, new_place: str, copied_from: str) -> str | None:
    """What planners do: a link out of the copied tree means the same from its new place."""
    target = os.path.normpath(os.path.join(os.path.dirname(old_place), text))
    return "../" * (len(new_place.split("/")) - 1) + target


def run(root: Path, transaction: Transaction) -> Changed:
    with Inside.open(str(root)) as inside, locked(inside):
        return Transactions(inside).run(transaction, rebase)


def undo(root: Path) -> Changed:
    with Inside.open(str(root)) as inside, locked(inside):
        return Transactions(inside).undo()


def recover(root: Path) -> Changed:
    with Inside.open(str(root)) as inside, locked(inside):
        return Transactions(inside).recover()


def last(root: Path) -> str:
    with Inside.open(str(root)) as inside:
        return Transactions(inside).last()


def digest(root: Path, *, skip: str = WORK) -> Digest:
    """Everything there is to know about a tree, osrd's own directory (``skip``) left out, its backups not. Times
    and inode numbers are left out, which names are the same file is not."""
    result: Digest = {}
    names_of: dict[int, list[str]] = {}
    for directory, names, files in os.walk(root):
        if directory == str(root / skip):
            names[:], files[:] = [name for name in names if name == "backup"], []
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, root)
            if relative != skip:
                result[relative] = _describe(path)
                names_of.setdefault(os.lstat(path).st_ino, []).append(relative)
    for same in names_of.values():
        for name in same:
            result[name] += (tuple(sorted(same)),)
    return result


def _describe(path: str) -> tuple[object, ...]:
    found = os.lstat(path)
    content: str | bytes = b""
    if stat.S_ISLNK(found.st_mode):
        content = os.readlink(path)
    elif stat.S_ISREG(found.st_mode):
        content = Path(path).read_bytes()
    names = os.listxattr(path, follow_symlinks=False)
    attributes = tuple(sorted((name, os.getxattr(path, name, follow_symlinks=False)) for name in names))
    return (found.st_mode, found.st_uid, found.st_gid, found.st_rdev, content, attributes)


def next_tick(root: Path) -> None:
    """Until the clock of the file system has moved on since the last record; it ticks every few milliseconds."""
    recorded = max(path.stat().st_ctime_ns for path in (root / WORK / "tx").glob("*/journal"))
    while (root / "etc/passwd").stat().st_ctime_ns <= recorded:
        os.utime(root / "etc/passwd")


def leftovers(root: Path) -> list[str]:
    """What lies in osrd's own directory that must not survive a run: anything but the last transaction."""
    work = root / WORK
    found = [path.name for path in work.iterdir() if path.name not in ("lock", "tx", "backup")]
    transactions = list((work / "tx").iterdir()) if (work / "tx").exists() else []
    found += [str(path) for each in transactions for path in (each / "new").glob("*")]
    return found + [str(each) for each in sorted(transactions)[:-1]]
