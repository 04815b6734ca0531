# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl check --schema``: the RELAX NG schema's opinion of a cluster.conf, for editors that use the schema too."""

from lxml import etree

from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding, Place, Severity
from osrd.observe.data import data_file
from osrd.parse.elements import read_document


def schema_findings(data: bytes, file: str) -> tuple[Finding, ...]:
    """What in ``data``, which parse_cluster() has accepted, is not as data/schema/cluster.rng says.

    Raises InvalidConfigError when libxml2's limits are exceeded, FailedError when the schema is not installed.
    """
    document = read_document(data, file)
    try:
        root = etree.fromstring(document.body, _parser())
    except etree.XMLSyntaxError as error:
        raise InvalidConfigError(f"{file}:{error.lineno or 1}: {error.msg}") from error
    schema = etree.RelaxNG(file=data_file("schema", "cluster.rng"))
    schema.validate(root)
    above = document.lead.count(b"\n")
    return tuple(
        Finding(
            "schema",
            Severity.ERROR,
            message,
            "write it as cluster.rng has it, or check without --schema",
            Place(file, line + above if line else 0),
        )
        for line, message in _telling(schema)
    )


def _telling(schema: etree.RelaxNG) -> list[tuple[int, str]]:
    """Lines and texts of the complaints that say what is wrong.

    One bad nodeid makes libxml2 complain of its node, of all nodes and of the cluster as well. An attribute that is
    named is the mistake itself; failing that, what is deepest in the file is next to it.
    """
    complaints = [(entry.line, entry.message, entry.type_name) for entry in schema.error_log]
    named = [entry for entry in complaints if entry[2] == "RELAXNG_ERR_INVALIDATTR"]
    deepest = max((line for line, _, _ in complaints), default=0)
    chosen = named or [entry for entry in complaints if entry[0] == deepest]
    return list(dict.fromkeys((line, message) for line, message, _ in chosen))


def _parser() -> etree.XMLParser:
    """One that reads nothing but the bytes it is given; the body is UTF-8 whatever its declaration says."""
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
    )
