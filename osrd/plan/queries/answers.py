# SPDX-License-Identifier: GPL-3.0-or-later
"""A question about a cluster.conf -> its answer. One place decides what a name means: a query of its own, XPath, a key
of the query map, a key of the original's query map, in this order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from osrd.model.cluster import Cluster
from osrd.model.errors import InvalidArgsError, NotFoundError
from osrd.parse.clusterconf import parse_cluster
from osrd.parse.clusternode import Element, properties_below
from osrd.parse.clustertree import parse_tree
from osrd.plan.queries import keys
from osrd.plan.queries.named import QUERIES
from osrd.plan.queries.questions import Question
from osrd.plan.queries.xpath import Variables, bound, evaluate, substituted, text_of, xml_of

#: name of a query: whether its answer is XML
_XPATH = {"query_value": False, "query_xml": True}
#: before the template of a key that answers with XML
_XML = "xml:"


@dataclass(frozen=True, slots=True)
class Answer:
    """``separator`` is what stands between the values unless somebody wants another."""

    values: tuple[str, ...]
    separator: str = " "

    def text(self, separator: str | None = None) -> str:
        return (self.separator if separator is None else separator).join(self.values)


class Source:
    """A cluster.conf, read when it is first needed: the values, the tree, or both."""

    def __init__(self, data: bytes, file: str) -> None:
        self._data = data
        self._file = file

    @cached_property
    def cluster(self) -> Cluster:
        return parse_cluster(self._data, self._file)

    @cached_property
    def tree(self) -> Element:
        return parse_tree(self._data, self._file)


@dataclass(frozen=True, slots=True)
class Asker:
    """How to answer. ``template`` finds the template of a key in the user's query map, None when it has none; it may
    raise. ``properties``: elements answer with their ``<properties>``. ``literal``: placeholders in XPaths
    of the user and in answers stay as they are."""

    source: Source
    template: Callable[[str], str | None] = lambda _: None
    properties: bool = False
    literal: bool = False

    def answer(self, question: Question) -> Answer:
        """The values; none when it is known and unset.

        Raises NotFoundError for what is unknown (query, node, device, domain), ConflictError for what is not unique,
        InvalidArgsError for a wrong number of arguments or a wrong XPath, InvalidConfigError for the file.
        """
        name, arguments = question.name, question.arguments
        if name in QUERIES:
            return self._named(name, arguments)
        if name in _XPATH:
            if not arguments:
                raise InvalidArgsError(f"{name} needs an XPath", f"write {name} /cluster/@name")
            expression, *rest = arguments
            # Without arguments there is nothing to put in: an XPath may look for the placeholders themselves.
            asked = bound(expression, rest) if rest and not self.literal else (expression, {})
            return self._xpath(*asked, rest, _XPATH[name])
        key = name.lower()
        template = self.template(key)
        if template is not None:
            asked = bound(template.removeprefix(_XML), arguments)
            return self._xpath(*asked, arguments, template.startswith(_XML))
        if key in keys.CLUSTER_KEYS:
            _check(name, arguments, ())
            return self._xpath(keys.CLUSTER_KEYS[key], {}, (), False)
        if key in keys.NODE_KEYS:
            _check(name, arguments, keys.NODE_KEYS[key].arguments)
            node, values = keys.node_key(self.source.cluster, keys.NODE_KEYS[key], arguments)
            here = (node.nodeid_text or node.name, *arguments[1:])
            return Answer(tuple(self._substituted(value, here) for value in values))
        if key == keys.PROPERTIES:
            _check(name, arguments, ("NODE", "DEV"))
            return Answer(keys.properties(self.source.cluster, arguments)[1])
        known = (*QUERIES, *_XPATH, *keys.NAMES)
        near = get_close_matches(name[:40], known, 1)
        fix = f"did you mean {near[0]}?" if near else "--help lists the queries"
        raise NotFoundError(f"there is no query {name!r}", fix)

    def _named(self, name: str, arguments: Sequence[str]) -> Answer:
        query = QUERIES[name]
        separator = query.separator
        if query.last_is_separator and len(arguments) == len(query.arguments) + 1:
            *arguments, separator = arguments
        _check(name, arguments, query.arguments)
        cluster = self.source.cluster
        values = query.run(cluster, arguments)
        if self.properties and query.properties:
            values = (*values, *query.properties(cluster, arguments))
        return Answer(values, separator)

    def _xpath(self, expression: str, variables: Variables, arguments: Sequence[str], xml: bool) -> Answer:
        shown = xml_of if xml else text_of
        lines = xml
        values: list[str] = []
        for value in evaluate(self.source.tree, expression, variables):
            if isinstance(value, str):
                values.append(self._substituted(value, arguments))
            elif self.properties:
                lines = True
                values += [f"{name}={text}" for name, text in properties_below(value)]
            else:
                values.append(shown(value))
        return Answer(tuple(values), "\n" if lines else " ")

    def _substituted(self, value: str, arguments: Sequence[str]) -> str:
        return value if self.literal else substituted(value, arguments)


def _check(name: str, arguments: Sequence[str], wanted: Sequence[str]) -> None:
    if len(arguments) != len(wanted):
        number = f"{len(wanted)} argument{'' if len(wanted) == 1 else 's'}"
        raise InvalidArgsError(f"{name} takes {number}, not {len(arguments)}", " ".join(("write", name, *wanted)))
