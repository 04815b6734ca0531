# SPDX-License-Identifier: GPL-3.0-or-later
"""CDSLs as com-cdslinvadm listcdsls prints them."""

from collections.abc import Iterator, Sequence
from enum import Enum
from xml.sax.saxutils import quoteattr

from osrd.model.cdsl import Cdsl


class Listing(Enum):
    PLAIN = 1
    DETAILED = 2
    XML = 3


def listing(mountpoint: str, cdsls: Sequence[Cdsl], kind: Listing) -> Iterator[str]:
    """The CDSLs of one file system, in the order of its inventory."""
    if kind is Listing.XML:
        for cdsl in cdsls:
            yield from _element(cdsl)
        return
    yield f"{mountpoint}:"
    for cdsl in cdsls:
        nodes = ",".join(cdsl.nodes)
        yield f"\t{cdsl.src}" + (f"\t{nodes}\t{cdsl.timestamp}" if kind is Listing.DETAILED else "")


def _element(cdsl: Cdsl) -> Iterator[str]:
    """As in the inventory."""
    yield f"<cdsl src={quoteattr(cdsl.src)} timestamp={quoteattr(cdsl.timestamp)} type={quoteattr(cdsl.type.value)}>"
    yield "\t<nodes>"
    yield from (f"\t\t<noderef ref={quoteattr(node)}/>" for node in cdsl.nodes)
    yield "\t</nodes>"
    yield "</cdsl>"
