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
    # One mistake makes libxml2 complain of every element around it as well: equal complaints are said once.
    return tuple(
        Finding(
            "schema",
            Severity.ERROR,
            message,
            "write it as cluster.rng has it, or check without --schema",
            Place(file, line + above),
        )
        for line, message in dict.fromkeys((entry.line, entry.message) for entry in schema.error_log)
    )


def _parser() -> etree.XMLParser:
    """One that reads nothing but the bytes it is given; the body is UTF-8 whatever its declaration says."""
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
    )
