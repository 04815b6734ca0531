# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names a layout of CDSLs may have: the machinery must not lie inside itself, nor in osrd's own directory.

Each function returns what is wrong as the end of a sentence, "" when nothing is.
"""

from itertools import permutations

from osrd.model.cdsl import INVENTORY, MOUNT_POINT, WORK, Layout


def within(path: str, directory: str) -> bool:
    """Whether ``path`` is ``directory`` or below it; everything is below "", the root."""
    return not directory or path == directory or path.startswith(f"{directory}/")


def path_mistake(path: str) -> str:
    """What keeps ``path`` from being a path below the root: it must be relative and made of real components."""
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute"
    if "\0" in path:
        return "holds a NUL byte"
    odd = next((part for part in path.split("/") if part in ("", ".", "..")), None)
    return "" if odd is None else f'has the component "{odd}"' if odd else "has an empty component"


def node_mistake(node: str, layout: Layout) -> str:
    """What keeps ``node`` from being the name of a node's tree."""
    if "/" in node:
        return "holds a slash"
    if mistake := path_mistake(node):
        return mistake
    if node == MOUNT_POINT:
        return "is the name of the mount point"
    return "is the name of the template" if node == layout.default else ""


def machinery(layout: Layout) -> dict[str, str]:
    """The paths that are not the user's, and what they are."""
    return {
        layout.link: "the link to the running node's tree",
        layout.tree: "where the node trees are",
        layout.shared: "the shared tree",
        WORK: "osrd's own directory",
        INVENTORY: "the inventory",
    }


def machinery_mistake(path: str, layout: Layout) -> str:
    """What keeps ``path`` from being the user's: it is part of the machinery, or the machinery is part of it."""
    for place, what in machinery(layout).items():
        if path == place:
            return f"is {what}"
        if within(path, place) or within(place, path):
            return f"{'is inside' if within(path, place) else 'holds'} /{place}, {what}"
    return ""


def layout_mistake(layout: Layout) -> str:
    """What is wrong with the names of the machinery."""
    places = {"tree": layout.tree, "shared tree": layout.shared, "link": layout.link}
    for what, path in places.items():
        if mistake := path_mistake(path):
            return f'the {what} "{path}" {mistake}'
    every = {**places, "directory of osrd": WORK, "inventory": INVENTORY}
    for (one, inner), (other, outer) in permutations(every.items(), 2):
        if within(inner, outer):
            return (
                f'the {one} "{inner}" is inside the {other} "{outer}"'
                if inner != outer
                else (f'the {one} and the {other} are the same path "{inner}"')
            )
    if "/" in layout.default or path_mistake(layout.default) or layout.default == MOUNT_POINT:
        return f'"{layout.default}" cannot be the name of the template'
    if "/" in layout.prefix or "\0" in layout.prefix:
        return f'"{layout.prefix}" cannot be a prefix of node names'
    if not layout.marker or "/" in layout.marker or "\0" in layout.marker:
        return f'"{layout.marker}" cannot be the marker of nested names'
    return ""
