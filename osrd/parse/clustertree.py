# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of cluster.conf -> one tree of elements, for whoever brings his own XPath."""

from lxml import etree

from osrd.parse.clusternode import Element, safe_parser
from osrd.parse.elements import read_document, refuse, scan


def parse_tree(data: bytes, file: str) -> Element:
    """The root element of the bytes of ``file`` (its name is used in messages only), without comments and processing
    instructions. Raises InvalidConfigError where ``parse_cluster`` does: for what is no XML, has a document type
    (so there are no entities), or exceeds a limit.
    """
    document = read_document(data, file)
    scan(document)
    try:
        return etree.fromstring(document.body, safe_parser())
    except etree.XMLSyntaxError as error:
        message = str(error.msg).splitlines()[0] if error.msg else "not well-formed"
        refuse(file, error.lineno or 1, f"libxml2 refuses this: {message}", "repair the markup")
