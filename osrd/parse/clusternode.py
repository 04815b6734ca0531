# SPDX-License-Identifier: GPL-3.0-or-later
"""One ``<clusternode>`` element -> Node. A pure function of the element's text, so that its result can be kept."""

import re
from difflib import get_close_matches
from functools import lru_cache
from sys import intern
from typing import cast

from lxml import etree

from osrd.model.address import normalised_mac
from osrd.model.cluster import (
    Attributes,
    ChrootEnv,
    FenceDevice,
    FenceMethod,
    Filesystem,
    Nic,
    Node,
    Oddity,
    OddityKind,
    RootVolume,
    Scsi,
    Syslog,
)
from osrd.parse.elements import start_lines

Element = etree._Element

#: attributes that mean something, to osrd or to another program that reads cluster.conf
_NODE = frozenset(("name", "nodeid", "votes", "weight", "tcp_port"))
_NIC = frozenset(
    ("name", "mac", "ip", "mask", "gateway", "master", "slave", "bridge", "driver", "type", "onboot"),
)
_PLAIN = {
    "rootvolume": frozenset(("name", "fstype", "mountopts")),
    "syslog": frozenset(("name", "level", "subsys", "type", "filter")),
    "scsi": frozenset(("failover", "name", "driver")),
    "rootsource": frozenset(("name",)),
    "chrootenv": frozenset(("mountpoint", "fstype", "device", "chrootdir", "mountopts")),
    "filesystems": frozenset[str](),
}
_FILESYSTEM = frozenset(("dest", "source", "fstype", "mountopts", "mountwait", "mounttimes"))
_UNUSED_IN_NODE = ("altname", "multicast", "unfence")
_UNUSED_IN_COM_INFO = ("fenceackserver", "fenceacksv", "hostname")

_NODEID = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
#: a line that begins with neither markup nor white space only: maybe the rest of a tag
_SPREAD_TAG = re.compile(rb"\n\s*[^<\s]")
_TYPED_VOLUME = re.compile(r"(nfs[34]?):(?=\[|[^/:]+:)(.*)", re.DOTALL)
_SERVER_VOLUME = re.compile(r"(\[[^\]/]*\]|[^/:\[\]=]+):(.*)", re.DOTALL)
_TRUE = ("yes", "true", "on", "1")


def safe_parser() -> etree.XMLParser:
    """A parser of UTF-8 in which every option that could make libxml2 read anything but the given bytes is off."""
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


#: making a parser costs more than parsing one node with it; lxml locks it against other threads
_PARSER = safe_parser()


def parse_node(source: bytes) -> Node:
    """The Node of the well-formed text of one element. Raises etree.XMLSyntaxError for what libxml2 refuses."""
    root = etree.fromstring(source, _PARSER)
    if _SPREAD_TAG.search(source):
        for element, line in zip(root.iter("*"), start_lines(source), strict=True):
            element.sourceline = line + 1
    return _Reader().node(root, source)


def parse_root_volume(name: str, fstype: str, mountopts: str = "", line: int = 0) -> RootVolume:
    """Take ``host:/export``, ``nfs4:host:/export:opts``, ``[v6]:/export``, ``/dev/x`` and ``LABEL=x`` apart.

    Without a type, a volume with a server is nfs and a device ext3, as in the original's initrd; anything else (a
    label, say) is gfs2, the successor of the type that its query library assumed.
    """
    fstype = fstype.strip().lower()
    rest = name
    if typed := _TYPED_VOLUME.fullmatch(name):
        rest = typed[2]
        fstype = typed[1] if fstype in ("", "nfs") else fstype
    server, path = "", rest
    if remote := _SERVER_VOLUME.fullmatch(rest):
        server, path = remote[1], remote[2]
        if typed and ":" in path:
            path, _, options = path.partition(":")
            mountopts = ",".join(filter(None, (mountopts, options)))
    if not fstype:
        fstype = "nfs" if server else "ext3" if name.startswith("/") else "gfs2"
    return RootVolume(name, fstype, server, path, mountopts, line)


#: nodes of a cluster share a few volumes: shared values cost neither time nor memory
_shared_root_volume = lru_cache(maxsize=512)(parse_root_volume)


def device(element: Element, line: int) -> FenceDevice:
    """A ``<fencedevice>`` or ``<device>`` with all its attributes."""
    attributes = tuple((str(key), str(value)) for key, value in element.attrib.items())
    return FenceDevice(element.get("name", ""), attributes, line)


def oddity(element: Element, line: int, known: frozenset[str] | tuple[str, ...], attribute: str = "") -> Oddity:
    """The Oddity of an unknown element, or of an unknown attribute of it."""
    kind = OddityKind.ATTRIBUTE if attribute else OddityKind.ELEMENT
    tag = str(element.tag)
    near = get_close_matches((attribute or tag)[:40], sorted(known), 1)
    return Oddity(kind, tag, attribute, near[0] if near else "", line)


def properties_below(element: Element) -> Attributes:
    """What the ``<properties>`` of an element say, in any of their spellings."""
    return _Reader().properties(element)


class _Reader:
    """Reads one node; collects what it does not know on the way."""

    def __init__(self) -> None:
        self._odd: list[Oddity] = []

    def node(self, root: Element, source: bytes) -> Node:
        com_info: Element | None = None
        fence: tuple[FenceMethod, ...] = ()
        for child in root:
            if child.tag == "com_info" and com_info is None:
                com_info = child
            elif child.tag == "fence" and not fence:
                fence = self._fence(child)
            elif child.tag in ("com_info", "fence"):
                self._repeated(child)
            elif child.tag not in _UNUSED_IN_NODE:
                self._unknown(child, ("com_info", "fence", *_UNUSED_IN_NODE))
        nics = []
        others: dict[str, Element] = {}
        for child in com_info if com_info is not None else ():
            tag = str(child.tag)
            if tag == "eth":
                nics.append(self._nic(child))
            elif tag in others:
                self._repeated(child)
            elif tag in _PLAIN:
                others[tag] = child
                self._extra(child, _PLAIN[tag])
            elif tag not in _UNUSED_IN_COM_INFO:
                self._unknown(child, ("eth", *_PLAIN, *_UNUSED_IN_COM_INFO))
        text = root.get("nodeid", "")
        return Node(
            name=root.get("name", ""),
            nodeid=int(text) if _NODEID.fullmatch(text) else None,
            nodeid_text=text,
            votes=root.get("votes", "1"),
            root=_volume(others.get("rootvolume")),
            nics=tuple(nics),
            syslog=_syslog(others.get("syslog")),
            scsi=_scsi(others.get("scsi")),
            rootsource=others["rootsource"].get("name", "") if "rootsource" in others else "",
            chrootenv=_chrootenv(others.get("chrootenv")),
            filesystems=self._filesystems(others.get("filesystems")),
            fence=fence,
            extra=self._extra(root, _NODE),
            source=source,
            com_info=com_info is not None,
            oddities=tuple(self._odd),
        )

    def _nic(self, element: Element) -> Nic:
        get = element.attrib.get
        mac_text = get("mac", "")
        return Nic(
            name=intern(get("name", "")),
            mac=normalised_mac(mac_text) or "",
            mac_text=mac_text,
            ip=get("ip", ""),
            mask=intern(get("mask", "")),
            gateway=intern(get("gateway", "")),
            master=get("master", ""),
            slave=get("slave", "").strip().lower() in _TRUE,
            bridge=get("bridge", ""),
            driver=get("driver", ""),
            type=get("type", ""),
            onboot=get("onboot", ""),
            properties=self.properties(element) if len(element) else (),
            extra=self._extra(element, _NIC),
            line=_line(element),
        )

    def properties(self, eth: Element) -> Attributes:
        """``<properties>`` in its three spellings: text ``KEY=value``, a name with the value as text, and a name with
        a ``value`` attribute. A name whose text repeats it (``MTU``: ``MTU=9000``) is the first spelling too."""
        found = []
        for properties in eth:
            if properties.tag != "properties":
                self._unknown(properties, ("properties",))
                continue
            for item in properties:
                if item.tag != "property":
                    self._unknown(item, ("property",))
                    continue
                key = item.get("name", "").strip()
                text = (item.text or "").strip()
                name, equals, rest = text.partition("=")
                if equals and name.strip() and (not key or name.strip() == key):
                    key, text = name.strip(), rest.strip()
                if key:
                    found.append((key, item.get("value", text)))
                else:
                    self._unknown(item, ())
        return tuple(found)

    def _filesystems(self, element: Element | None) -> tuple[Filesystem, ...]:
        found = []
        for child in element if element is not None else ():
            if child.tag != "filesystem":
                self._unknown(child, ("filesystem",))
                continue
            self._extra(child, _FILESYSTEM)
            get = child.get
            opts, wait, times = get("mountopts", ""), get("mountwait", ""), get("mounttimes", "")
            where = (get("dest", ""), get("source", ""), get("fstype", ""))
            found.append(Filesystem(*where, opts, wait, times, _line(child)))
        return tuple(found)

    def _fence(self, element: Element) -> tuple[FenceMethod, ...]:
        methods = []
        for method in element:
            if method.tag != "method":
                self._unknown(method, ("method",))
                continue
            devices = tuple(device(child, _line(child)) for child in method if child.tag == "device")
            methods.append(FenceMethod(method.get("name", ""), devices, _line(method)))
        return tuple(methods)

    def _extra(self, element: Element, known: frozenset[str]) -> Attributes:
        """The attributes that are not ``known``, noted as odd as well."""
        if known.issuperset(element.keys()):
            return ()
        extra = tuple((str(key), str(value)) for key, value in element.items() if key not in known)
        self._odd += [oddity(element, _line(element), known, key) for key, _ in extra]
        return extra

    def _unknown(self, element: Element, known: tuple[str, ...]) -> None:
        self._odd.append(oddity(element, _line(element), known))

    def _repeated(self, element: Element) -> None:
        self._odd.append(Oddity(OddityKind.REPEATED, str(element.tag), line=_line(element)))


def _line(element: Element) -> int:
    """The line of the element relative to the first line of the node."""
    return (cast("int | None", element.sourceline) or 1) - 1


def _volume(element: Element | None) -> RootVolume | None:
    if element is None:
        return None
    get = element.get
    return _shared_root_volume(get("name", ""), get("fstype", ""), get("mountopts", ""), _line(element))


def _syslog(element: Element | None) -> Syslog | None:
    if element is None:
        return None
    return Syslog(*(element.get(key, "") for key in ("name", "level", "subsys", "type", "filter")))


def _scsi(element: Element | None) -> Scsi | None:
    return None if element is None else Scsi(*(element.get(key, "") for key in ("failover", "name", "driver")))


def _chrootenv(element: Element | None) -> ChrootEnv | None:
    if element is None:
        return None
    return ChrootEnv(
        *(element.get(key, "") for key in ("mountpoint", "fstype", "device", "chrootdir", "mountopts")),
    )
