# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a shared root's CDSLs, all three generations of it (spec/cdsl.md 1.2-1.4).

The file lies where every node's root can write, so nothing in it is believed before it was looked at: its size and
its markup are bounded, a document type is refused, and so are paths that lead elsewhere. InvalidConfigError says
``file:line`` and what is wrong. What is written is generation 3's shape; see ``render_inventory``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn
from xml.parsers import expat

from osrd.model.cdsl import INVENTORY, Cdsl, CdslType, ChildRepository, Extra, Inventory, Layout, MarkerStyle
from osrd.model.errors import InvalidConfigError, UnsupportedError
from osrd.model.layout import layout_mistake, machinery_mistake, node_mistake, path_mistake
from osrd.parse.inventory_file import render_inventory
from osrd.parse.inventory_names import ESCAPED, BadNameError, directory_name, unescaped

__all__ = ["MAX_SIZE", "parse_inventory", "render_inventory"]

#: bytes; 100 CDSLs on 5,000 nodes need 15 MB
MAX_SIZE = 64 * 1024 * 1024
#: bytes between two "<": bounds what one tag with a million attributes can take before expat reports it
MAX_GAP = 64 * 1024
MAX_NODES = 100_000

_REBUILD = "repair the file, or write a new one with osrctl cdsl rebuild ROOT"
#: the elements, each with those it may be in
_PARENTS = {
    "cdsls": {""},
    "repositories": {"cdsls"},
    "repository": {"repositories"},
    "cdsl": {"cdsls"},
    "nodes": {"cdsl"},
    "noderef": {"nodes"},
    "defaults": {"cdsls"},
    "nodesdefault": {"defaults"},
    "nodedefault": {"nodesdefault"},
}
#: generations 1 and 2: settings are attributes of <defaults>, under other names
_OLD_NAMES = {"cdsltree": "tree", "cdsltree_shared": "sharedtree", "cdsl_link": "link"}
_OLD_DEFAULTS = {"tree": "cluster/cdsl", "sharedtree": "cluster/shared", "link": "cdsl.local"}
_DEFAULTS = {"tree": ".cluster/cdsl", "sharedtree": ".cluster/shared", "link": ".cdsl.local"}


@dataclass(slots=True)
class _Entry:
    """A <cdsl> as written, with its line."""

    line: int
    attributes: dict[str, str]
    refs: list[tuple[int, dict[str, str]]] = field(default_factory=list)


@dataclass(slots=True)
class _Document:
    """The elements of a file, as written."""

    root: dict[str, str] = field(default_factory=dict)
    root_line: int = 1
    defaults: dict[str, str] | None = None
    defaults_line: int = 1
    entries: list[_Entry] = field(default_factory=list)
    repositories: list[tuple[int, dict[str, str]]] = field(default_factory=list)


def parse_inventory(data: bytes, file: str) -> Inventory:
    """The inventory in ``data``; ``file`` is its name for messages and ``Inventory.file``. Raises
    InvalidConfigError, UnsupportedError for one of a newer osrd."""
    return _Reader(_read(data, file), file).inventory()


def _refuse(file: str, line: int, message: str, fix: str = _REBUILD) -> NoReturn:
    raise InvalidConfigError(f"{file}:{line}: {message}", fix)


def _read(data: bytes, file: str) -> _Document:
    if len(data) > MAX_SIZE:
        _refuse(file, 1, f"the file has {len(data)} bytes, more than {MAX_SIZE}")
    if not data.strip():
        _refuse(file, 1, "the file is empty")
    if (nul := data.find(b"\0")) >= 0:
        _refuse(file, 1 + data.count(b"\n", 0, nul), "a NUL byte: this is no text file")
    for start in range(0, len(data), MAX_GAP):
        if len(data) - start > MAX_GAP and data.find(b"<", start, start + MAX_GAP) < 0:
            _refuse(file, 1 + data.count(b"\n", 0, start), f"more than {MAX_GAP} bytes without a tag")
    scanner = _Scanner(file)
    try:
        scanner.parser.Parse(data, True)
    except expat.ExpatError as error:
        _refuse(file, error.lineno, f"not well-formed XML: {expat.errors.messages[error.code]}")
    except (ValueError, LookupError):
        _refuse(file, 1, "the file is in an unknown encoding", "convert it to UTF-8")
    return scanner.document


class _Scanner:
    """The expat handlers."""

    def __init__(self, file: str) -> None:
        self.document = _Document()
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype
        self._file = file
        self._open = [""]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        if self._open[-1] not in _PARENTS.get(name, ()):
            inside = f" in <{self._open[-1]}>" if self._open[-1] else ""
            _refuse(self._file, line, f"an element <{name[:40]}>{inside}, where there is none in an inventory")
        self._open.append(name)
        document = self.document
        if name == "cdsls":
            document.root, document.root_line = attributes, line
        elif name == "cdsl":
            document.entries.append(_Entry(line, attributes))
        elif name == "noderef":
            document.entries[-1].refs.append((line, attributes))
        elif name == "repository":
            document.repositories.append((line, attributes))
        elif name == "defaults":
            if document.defaults is not None:
                _refuse(self._file, line, "a second <defaults>")
            document.defaults, document.defaults_line = attributes, line

    def _end(self, _: str) -> None:
        self._open.pop()

    def _doctype(self, *_: object) -> None:
        line = self.parser.CurrentLineNumber
        _refuse(self._file, line, "a document type (DOCTYPE) is not allowed", "remove <!DOCTYPE ...>")


class _Reader:
    """The elements of a file to values."""

    def __init__(self, document: _Document, file: str) -> None:
        self._document = document
        self._file = file
        self._old = document.defaults is not None or document.root.get("config_version") == "1"
        #: each list of nodes once, and each name: a file repeats them for every CDSL
        self._nodes: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._names: dict[str, str] = {}

    def inventory(self) -> Inventory:
        version = self._document.root.get("config_version", "")
        if version.split(".")[0].isdecimal() and int(version.split(".")[0][:9]) > 2:
            raise UnsupportedError(
                f"{self._file}:{self._document.root_line}: the inventory was written by a newer osrd (config_version"
                f" {version[:40]}, this one knows 1 and 2.0)",
                "use that osrd on this root, or install it here",
            )
        if not self._old and version != "2.0":
            _refuse(
                self._file, self._document.root_line, f'unknown config_version "{version[:40]}"; 1 and 2.0 are known'
            )
        self._line = self._document.defaults_line if self._document.defaults else self._document.root_line
        settings = self._settings()
        numbered = settings.pop("maxnodeidnum", "0")
        if not numbered.isascii() or not numbered.isdecimal() or int(numbered[:9]) > MAX_NODES or len(numbered) > 9:
            self._wrong(f'maxnodeidnum="{numbered[:40]}" is no number from 0 to {MAX_NODES}')
        # Generation 1 had no expandstring and named its trees by node names; so did nobody later.
        by_id = settings.pop("use_nodeids", "False" if self._old and "expandstring" not in settings else "True")
        layout = self._layout(settings)
        mountpoint = settings.pop("mountpoint", "").strip("/")
        inventory = Inventory(
            layout=layout,
            maxnodeidnum=int(numbered),
            use_nodeids=by_id.strip().lower() in ("true", "1", "yes", "on"),
            mountpoint="" if mountpoint == "." else mountpoint,
            extra=_extra(settings),
            file=self._file,
        )
        cdsls = self._cdsls(inventory)
        _check_nesting(self._file, cdsls)
        repositories = tuple(self._repository(line, attributes) for line, attributes in self._document.repositories)
        return replace(inventory, cdsls=tuple(cdsl for _, cdsl in cdsls), repositories=repositories)

    def _wrong(self, message: str) -> NoReturn:
        _refuse(self._file, self._line, message)

    def _settings(self) -> dict[str, str]:
        settings = {name: value for name, value in self._document.root.items() if name != "config_version"}
        for name, value in (self._document.defaults or {}).items():
            settings[_OLD_NAMES.get(name, name)] = value
        return settings

    def _layout(self, settings: dict[str, str]) -> Layout:
        defaults = _OLD_DEFAULTS if self._old else _DEFAULTS
        tree, shared, link = (settings.pop(name, defaults[name]).strip("/") for name in defaults)
        style = settings.pop("markerstyle", MarkerStyle.SUFFIX if self._old else MarkerStyle.PREFIX)
        if style not in list(MarkerStyle):
            self._wrong(f'markerstyle="{style[:40]}" is neither prefix nor suffix')
        layout = Layout(
            *(tree, shared, link),
            default=settings.pop("default_dir", "default"),
            prefix=settings.pop("node_prefix", ""),
            marker=settings.pop("expandstring", ".cdsl"),
            style=MarkerStyle(style),
        )
        if mistake := layout_mistake(layout):
            self._wrong(mistake)
        return layout

    def _cdsls(self, inventory: Inventory) -> list[tuple[int, Cdsl]]:
        found: dict[str, tuple[int, Cdsl]] = {}
        for entry in self._document.entries:
            cdsl = self._cdsl(entry, inventory)
            if cdsl.src in found:
                _refuse(self._file, entry.line, f'src="{cdsl.src}" is in line {found[cdsl.src][0]} already')
            found[cdsl.src] = entry.line, cdsl
        return list(found.values())

    def _cdsl(self, entry: _Entry, inventory: Inventory) -> Cdsl:
        self._line = entry.line
        attributes = entry.attributes
        src, _ = self._name(attributes, "src")
        src = src.lstrip("/") if self._old else src
        if mistake := path_mistake(src) or machinery_mistake(src, inventory.layout):
            self._wrong(f'src="{src[:200]}" {mistake}')
        kind = attributes.pop("type", "")
        if kind not in list(CdslType):
            self._wrong(f'type="{kind[:40]}" is neither hostdependent nor shared')
        timestamp = attributes.pop("timestamp", "")
        nodes = tuple(dict.fromkeys(self._node(line, ref, inventory) for line, ref in entry.refs))
        return Cdsl(src, CdslType(kind), self._nodes.setdefault(nodes, nodes), timestamp, _extra(attributes))

    def _node(self, line: int, attributes: dict[str, str], inventory: Inventory) -> str:
        self._line = line
        ref, escaped = self._name(attributes, "ref")
        node = ref if escaped else directory_name(ref, inventory, old=self._old)
        if mistake := node_mistake(node, inventory.layout):
            self._wrong(f'ref="{ref[:200]}" {mistake}')
        return self._names.setdefault(node, node)

    def _name(self, attributes: dict[str, str], name: str) -> tuple[str, bool]:
        """The file name in an attribute, and whether it was written with escapes."""
        escape = attributes.pop(ESCAPED, "")
        value = attributes.pop(name, None)
        if value is None:
            self._wrong(f"the attribute {name} is missing")
        try:
            return unescaped(value, escape), bool(escape)
        except BadNameError as error:
            self._wrong(f'{name}="{value[:200]}" {error}')

    def _repository(self, line: int, attributes: dict[str, str]) -> ChildRepository:
        self._line = line
        resource = attributes.pop("resource", INVENTORY)
        path, _ = self._name(attributes, "path")
        path = path.strip("/")
        if mistake := path_mistake(path):
            self._wrong(f'path="{path[:200]}" {mistake}')
        return ChildRepository(path, resource, _extra(attributes))


def _extra(attributes: Mapping[str, str]) -> Extra:
    return tuple(sorted(attributes.items()))


def _check_nesting(file: str, cdsls: list[tuple[int, Cdsl]]) -> None:
    """Types must alternate, a host-dependent one first; generation 2 did not see to that, and what it then made of
    the disk was never usable (spec/cdsl.md 2.7)."""
    by_src = {cdsl.src: (line, cdsl) for line, cdsl in cdsls}
    for line, cdsl in cdsls:
        path = cdsl.src
        above = None
        while above is None and "/" in path:
            path = path.rpartition("/")[0]
            above = by_src.get(path)
        remove = "remove the entry; the data stays where it is"
        if above and above[1].type is cdsl.type:
            other = f'"{above[1].src}" in line {above[0]}'
            _refuse(file, line, f'"{cdsl.src}" is {cdsl.type} inside of {other}, which is {cdsl.type}, too', remove)
        if above is None and cdsl.type is CdslType.SHARED:
            _refuse(file, line, f'"{cdsl.src}" is shared, but not inside of anything hostdependent', remove)
