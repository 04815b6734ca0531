# SPDX-License-Identifier: GPL-3.0-or-later
"""A finding about a node before it is known which line of the file the node is on."""

from dataclasses import dataclass

from osrd.model.cluster import Cluster
from osrd.model.finding import Finding, Place, Severity


@dataclass(frozen=True, slots=True)
class Draft:
    """``line`` is relative to the node's start tag; ``{node}`` in the texts stands for the node."""

    severity: Severity
    code: str
    message: str
    fix: str
    line: int = 0
    attribute: str = ""
    value: str = ""

    def finding(self, cluster: Cluster, index: int) -> Finding:
        """The Finding for the node ``cluster.nodes[index]``."""
        name = label(cluster, index)
        called = title(cluster, index)
        return Finding(
            self.code,
            self.severity,
            self.message.replace("{node}", called),
            self.fix.replace("{node}", called),
            cluster.place(index, self.line),
            node=name,
            attribute=self.attribute,
            value=self.value,
        )


def label(cluster: Cluster, index: int) -> str:
    """The node's name, or ``line:N`` for one without."""
    return cluster.nodes[index].name or f"line:{cluster.lines[index]}"


def title(cluster: Cluster, index: int) -> str:
    """What to call the node in a message: its name if that is a plain word."""
    name = cluster.nodes[index].name
    if not name:
        return f"the node at line {cluster.lines[index]}"
    return name if len(name) <= 80 and name.isprintable() and " " not in name else shown(name)


def shown(value: str) -> str:
    """A value of the file in quotes, on one line, short, and without control characters."""
    text = value if len(value) <= 80 else value[:77] + "..."
    return '"' + "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text) + '"'


def at(cluster: Cluster, line: int) -> Place:
    """A place by its line in the file."""
    return Place(cluster.file, line)
