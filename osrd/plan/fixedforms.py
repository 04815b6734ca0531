# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates that only put values between fixed text: rendered once, then filled in for each node.

Jinja takes ten times as long to render a menu as Python takes to format a string. Every template goes through Jinja;
one that cannot be told apart from a fixed text with gaps goes through it once. What may be in such a template is
listed here, and it is little: values that differ from node to node are only ever put out as they are, conditions and
arithmetic only know what all nodes share, and nothing is called, looped over, filtered, set, included or inherited.
All other templates, an administrator's too, are rendered for each node.
"""

from collections.abc import Collection, Mapping

from jinja2 import nodes

#: Nodes of a template's syntax tree whose meaning is that of their parts and of nothing else.
_PLAIN = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Const,
    nodes.Name,
    nodes.If,
    nodes.Not,
    nodes.And,
    nodes.Or,
    nodes.Compare,
    nodes.Operand,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
)

#: Stands around a gap's name in the text that is rendered once.
_MARK = "\0"


def only_filled_in(tree: nodes.Template, varying: Collection[str], constant: Collection[str]) -> bool:
    """Whether the template uses no names but these, those of ``varying`` only as ``{{ name }}``."""
    todo: list[nodes.Node] = [tree]
    while todo:
        node = todo.pop()
        # The very types: a subclass may mean something else.
        if type(node) not in _PLAIN:
            return False
        if isinstance(node, nodes.Name) and (node.ctx != "load" or node.name not in constant):
            return False
        shown = isinstance(node, nodes.Output)
        todo += [
            child
            for child in node.iter_child_nodes()
            if not (shown and isinstance(child, nodes.Name) and child.ctx == "load" and child.name in varying)
        ]
    return True


def gaps(varying: Collection[str]) -> Mapping[str, str]:
    """Values that leave gaps where they are put out."""
    return {name: f"{_MARK}{name}{_MARK}" for name in varying}


def form(rendered: str, blank: str) -> str | None:
    """The format string (``%``, with names) of a text that was rendered with ``gaps``; None when the text itself has
    characters that look like them, which shows in ``blank``: the same with nothing in the gaps."""
    if _MARK in blank:
        return None
    parts = [part.replace("%", "%%") for part in rendered.split(_MARK)]
    return "".join(f"%({part})s" if index % 2 else part for index, part in enumerate(parts))
