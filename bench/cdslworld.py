# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared roots made only for measuring: a /var of many files, and one with many CDSLs on many nodes."""

import os
from pathlib import Path

from osrd.engine.sharedroot import SharedRoot
from osrd.model.cdsl import INVENTORY, Cdsl, CdslType, Inventory, Layout, Members
from osrd.parse.inventory import render_inventory
from osrd.plan.cdsl.links import link_text

#: what is host-dependent of 200 CDSLs; the rest is shared below those
_HOST_DEPENDENT = 160
_IN_ONE_DIRECTORY = 200
_WORDS = b"Nov 27 12:00:00 node sshd[123]: Accepted publickey for root from 10.0.0.1 port 22 ssh2\n" * 100


def members(count: int) -> Members:
    numbers = [str(number) for number in range(1, count + 1)]
    return Members(tuple(numbers), tuple(f"node{number}" for number in numbers))


def make_var(root: Path, files: int) -> None:
    """A root with a ``/var`` of this many files of up to 8 KiB, as logs, spools and databases of packages are;
    nearly all of them in ``/var/lib``."""
    (root / "var/log").mkdir(parents=True)
    (root / "var/run").symlink_to("../run")
    for number in range(files):
        directory = root / f"var/lib/{number // _IN_ONE_DIRECTORY:04}"
        if number % _IN_ONE_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"file-{number}").write_bytes(_WORDS[: number * 7919 % 8192 + 1])


def make_cdsls(root: Path, cdsls: int, nodes: int) -> Members:
    """A root with this many CDSLs on this many nodes. The host-dependent ones are written as ``make`` leaves them
    (a process per copy would take minutes); sharing below them is the engine's."""
    known = members(nodes)
    root.mkdir()
    with SharedRoot(str(root), known) as shared:
        shared.init()
        layout = shared.inventory.layout
    count = min(cdsls, _HOST_DEPENDENT)
    entries = tuple(Cdsl(_name(n), CdslType.HOSTDEPENDENT, known.ids, "1.00") for n in range(count))
    for entry in entries:
        _write(root, layout, entry)
    (root / INVENTORY).write_bytes(render_inventory(Inventory(layout, entries)))
    with SharedRoot(str(root), known) as shared:
        for number in range(cdsls - count):
            shared.share(f"/{_name(number)}/data")
    return known


def _name(number: int) -> str:
    return f"srv/area{number % 10}/service{number}"


def _write(root: Path, layout: Layout, entry: Cdsl) -> None:
    for node in (*entry.nodes, layout.default):
        (root / layout.node_tree(node) / entry.src / "data").mkdir(parents=True)
    link = root / entry.src
    link.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(link_text(entry.src, f"{layout.link}/{entry.src}"), link)
