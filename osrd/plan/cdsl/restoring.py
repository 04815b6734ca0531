# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting back what a node's tree lacks of the registered CDSLs: copies from the template, and links.

What is there is never overwritten. A real object where a link should be is kept as a backup.
"""

from collections.abc import Iterable

from osrd.model.cdsl import Cdsl, FileKind
from osrd.plan.cdsl.builder import Builder, Of
from osrd.plan.cdsl.index import components, prefixes
from osrd.plan.cdsl.judging import Verdict, has_old_link, judge
from osrd.plan.cdsl.links import link_text
from osrd.plan.cdsl.words import printable, shown


def outermost_first(cdsls: Iterable[Cdsl]) -> list[Cdsl]:
    return sorted(cdsls, key=lambda cdsl: (components(cdsl.src), cdsl.src))


def complete(builder: Builder, cdsl: Cdsl, nodes: Iterable[str]) -> list[str]:
    """Copies of a CDSL for those of ``nodes`` that lack it; the lines that tell of it.

    The content is the template's; else that of the first node which has one; else that of a real object where a link
    should be. When there is none, or a file is where a directory is needed, nothing is done: check tells of it.
    """
    index = builder.index
    wanted = {node: path for node, path in index.copies(cdsl).items() if not node or node in nodes}
    missing = {node: path for node, path in wanted.items() if builder.then(path) is None and is_free(builder, path)}
    source = _donor(builder, cdsl) if missing else ""
    if not source:
        return []
    lines = []
    for node, path in missing.items():
        builder.copy(path, source, Of(cdsl.src, node))
        whose = f"the copy of {printable(node)}" if node else "the shared data"
        lines.append(f"made {whose} of {shown(cdsl.src)} from {shown(source)}")
    return lines


def _donor(builder: Builder, cdsl: Cdsl) -> str:
    index = builder.index
    *others, template = index.copies(cdsl).values()
    for path in (template, *others):
        if builder.now(path) is not None:
            return path
    for place in index.places(cdsl.src).values():
        seen = builder.now(place)
        if seen is not None and seen.kind is not FileKind.LINK:
            return place
    return ""


def relink(builder: Builder, cdsl: Cdsl, nodes: Iterable[str]) -> list[str]:
    """The links of a CDSL, where they are missing or lead elsewhere, for ``nodes``; the lines that tell of it."""
    index = builder.index
    target = index.target(cdsl)
    old_link = has_old_link(index, builder.now)
    if not any(builder.then(path) is not None for path in index.copies(cdsl).values()):
        return []  # a link to nothing helps nobody, and what is there instead may be all that is left
    lines = []
    for node, place in index.places(cdsl.src).items():
        parent = index.parent(cdsl.src)
        if (node and node not in nodes) or not is_free(builder, place):
            continue
        if parent and builder.then(index.data(parent, node)) is None:
            continue
        seen = builder.then(place)
        keep = ""
        if seen is not None and seen.kind is FileKind.LINK:
            if judge(index, place, seen.text, target, old_link=old_link) is not Verdict.WRONG:
                continue
        elif seen is not None:
            keep = builder.backup(cdsl.src, node or "link")
            lines.append(f"kept what was in place of the link {shown(place)} as {shown(keep)}")
        builder.link(place, link_text(place, target), Of(cdsl.src, node), keep)
        lines.append(f"made the link {shown(place)}")
    return lines


def is_free(builder: Builder, path: str) -> bool:
    """Whether directories lead to ``path``, or can be made."""
    for ancestor in prefixes(path):
        if (seen := builder.then(ancestor)) is not None:
            return seen.kind is FileKind.DIRECTORY
    return True
