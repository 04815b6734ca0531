# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd.conf(5) and its drop-ins: bytes to Settings, with every mistake at its file and line."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from ipaddress import IPv4Network
from typing import Any

from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding, Place, Severity
from osrd.model.settings import (
    Architecture,
    BiosLoader,
    BootWay,
    BuildUse,
    DhcpBackend,
    InotifyUse,
    KernelUse,
    RootSettings,
    Settings,
    SubnetSettings,
    UefiLoader,
)
from osrd.parse import values
from osrd.parse.ini import MOST_FINDINGS, Entry, Section, read_ini
from osrd.parse.osrdconf_rules import Origin, Places, contradictions

#: of one section; the fullest has a dozen keys, so more are mistakes that were reported before
_MOST_ENTRIES = 1000
_ROOT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a section: the field of the settings it fills, and how its text is read.

    An empty value brings back the default, except where ``may_be_nothing``: there it means "none of it".
    """

    field: str
    convert: Callable[[str], Any]
    may_be_nothing: bool = False


_LEVELS = ("debug", "info", "warning", "error")


def _level(text: str) -> str:
    if text.lower() in _LEVELS:
        return text.lower()
    raise InvalidConfigError(f"is not one of {', '.join(_LEVELS)}", f"write one of {', '.join(_LEVELS)}")


def _key(name: str, convert: Callable[[str], Any], *, may_be_nothing: bool = False) -> tuple[str, Key]:
    """A key whose field has its name with underscores."""
    return name, Key(name.replace("-", "_"), convert, may_be_nothing)


def _nothing_or(name: str, convert: Callable[[str], str]) -> tuple[str, Key]:
    """A key that takes ``none`` or an empty value for "none of it"."""
    return _key(name, values.or_none(convert), may_be_nothing=True)


_file = values.file_path

#: Every section and key of osrd.conf. [root NAME] and [subnet NETWORK] may occur several times.
SECTIONS: Mapping[str, Mapping[str, Key]] = {
    "cluster": {"config": Key("cluster_conf", _file)},
    "paths": dict(_key(name, _file) for name in ("state", "runtime", "cache", "templates")),
    "tftp": dict([_key("root", _file), _nothing_or("prefix", values.prefix)]),
    "boot": dict(
        [
            _key("server", values.address),
            _key("architectures", values.choices(Architecture)),
            _key("bios-loader", values.choice(BiosLoader)),
            _key("uefi-loader", values.choice(UefiLoader)),
            _key("secure-boot", values.boolean),
            _key("way", values.choice(BootWay)),
            _key("timeout", values.whole_seconds(0, 3600)),
            _key("append", values.text_line),
            _nothing_or("http", values.base_url),
            _key("loader-directories", values.items(_file)),
            _key("keep-generations", values.integer(1, 1000)),
        ]
    ),
    "root": dict(
        [
            _key("volume", values.volume),
            _key("path", values.path),
            _key("kernel", _file),
            _key("initrd", _file),
            _key("previous-kernel", _file),
            _key("previous-initrd", _file),
            _key("way", values.choice(BootWay)),
            _key("append", values.text_line),
            _key("export-options", values.or_none(values.export_options)),
            _key("link", values.tree),
            _key("kernels", values.choice(KernelUse)),
            _key("previous-after", values.integer(0, 1000)),
        ]
    ),
    "dhcp": dict(
        [
            _key("backend", values.choice(DhcpBackend)),
            _key("config", _file),
            _key("hosts", _file),
            _key("reload", values.reload_method),
            _key("check", values.boolean),
            _key("program", _file),
            _key("interfaces", values.items(values.interface)),
            _key("lease-time", values.whole_seconds(120, 365 * 86400)),
            _key("serve-tftp", values.boolean),
        ]
    ),
    "subnet": dict(
        [
            _key("range", values.address_range),
            _key("router", values.address),
            _key("dns", values.items(values.address)),
            _key("domain", values.domain),
            _key("next-server", values.address),
            _key("interface", values.interface),
        ]
    ),
    "nfs": dict(
        [
            _nothing_or("exports", _file),
            _key("options", values.export_options),
            _key("reload", values.reload_method),
        ]
    ),
    "hosts": dict([_nothing_or("file", _file)]),
    "watch": dict(
        [
            _key("inotify", values.choice(InotifyUse)),
            _key("rescan", values.duration(1, 86400)),
            _key("poll", values.duration(1, 86400)),
            _key("quiet", values.duration(0, 60)),
            _key("limit", values.duration(0, 600)),
            _nothing_or("server-log", values.journal_or_file),
            _key("boot-limit", values.duration(10, 86400)),
        ]
    ),
    "build": dict(
        [
            _key("enabled", values.choice(BuildUse)),
            _key("quiet", values.duration(0, 3600)),
            _key("poll", values.duration(1, 86400)),
            _key("timeout", values.duration(10, 86400)),
            _key("memory", values.integer(128, 1 << 20)),
            _key("nice", values.integer(0, 19)),
            _key("keep", values.integer(2, 1000)),
            _key("size", values.integer(1, 4096)),
        ]
    ),
    "log": {"level": Key("log_level", _level)},
}
#: sections that carry a name, and what the name is
NAMED = {"root": "NAME", "subnet": "NETWORK"}


@dataclass(slots=True)
class _Reading:
    """What was read so far: fields and places by section (its kind and name), the latest value winning."""

    findings: list[Finding] = field(default_factory=list)
    fields: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    places: Places = field(default_factory=dict)

    def complain(self, code: str, place: Place, message: str, *, fix: str, about: tuple[str, str]) -> None:
        """Report an error; ``about`` is the attribute (a key or "") and its value."""
        finding = Finding(code, Severity.ERROR, message, fix, place, attribute=about[0], value=about[1][:200])
        self.findings.append(finding)


def parse_settings(files: Sequence[tuple[str, bytes]]) -> tuple[Settings, tuple[Finding, ...]]:
    """The settings of ``files`` (name and content; the main file first, then the drop-ins), and all that is wrong.

    A later file wins key by key, as in systemd; inside one file a key may be given once. What is wrong is left
    out of the settings, so the default or an earlier file's value stands there: use them only when no finding is
    an error.
    """
    reading = _Reading()
    for file, content in files:
        sections, findings = read_ini(file, content)
        reading.findings += findings
        seen: dict[Origin, Place] = {}
        most = len(reading.findings) + MOST_FINDINGS
        for section in sections:
            if len(reading.findings) > most:
                message = "the rest of the file is not judged, there are too many mistakes before"
                fix = "correct those first"
                reading.complain("conf-syntax", section.place, message, fix=fix, about=("", ""))
                break
            _read_section(section, seen, reading)
    settings = _settings(reading.fields, tuple(file for file, _ in files))
    return settings, (*reading.findings, *contradictions(settings, reading.places))


def _read_section(section: Section, seen: dict[Origin, Place], reading: _Reading) -> None:
    kind, _, rest = section.title.partition(" ")
    if not kind:
        return  # a broken header: reported already, and what follows belongs nowhere
    if kind not in SECTIONS:
        close = get_close_matches(kind.lower(), SECTIONS, n=1)
        fix = f"did you mean [{close[0]}]?" if close else f"use one of {', '.join(f'[{known}]' for known in SECTIONS)}"
        message = f"there is no section [{section.title}]"
        reading.complain("unknown-section", section.place, message, fix=fix, about=("", section.title))
        return
    name = _section_name(section, kind, rest.strip(), reading)
    # Under a wrong name the keys are still judged, so that one look shows all there is to correct.
    fields = reading.fields.setdefault((kind, name), {}) if name is not None else {}
    reading.places.setdefault((kind, name or "", ""), section.place)
    for entry in section.entries[:_MOST_ENTRIES]:
        key = SECTIONS[kind].get(entry.key)
        about = (entry.key, entry.value)
        if key is None:
            message = f"[{kind}] has no key {entry.key!r}"
            reading.complain("unknown-key", entry.place, message, fix=_meant(entry.key, kind), about=about)
            continue
        origin = (kind, section.title if name is None else name, entry.key)
        if first := seen.get(origin):
            message = f"{entry.key!r} of [{section.title}] is given twice, first in line {first.line}"
            reading.complain("duplicate-key", entry.place, message, fix="remove one of them", about=about)
            reading.findings[-1] = replace(reading.findings[-1], other_place=first)
        seen[origin] = reading.places[origin] = entry.place
        _read_value(key, entry, fields, reading)


def _read_value(key: Key, entry: Entry, fields: dict[str, Any], reading: _Reading) -> None:
    if not entry.value:
        fields.pop(key.field, None)
        if key.may_be_nothing:
            fields[key.field] = ""
        return
    try:
        fields[key.field] = key.convert(entry.value)
    except InvalidConfigError as error:
        message = f"{entry.key} = {entry.value[:200]!r} {error.message}"
        reading.complain(_code(error), entry.place, message, fix=error.fix, about=(entry.key, entry.value))


def _section_name(section: Section, kind: str, name: str, reading: _Reading) -> str | None:
    """The name in the header, "" for sections without one, None (and a finding) when it is wrong."""
    if (kind in NAMED) is not bool(name):
        header = f"[{kind} {NAMED[kind]}]" if kind in NAMED else f"[{kind}]"
        message = f"[{section.title}] is no section"
        reading.complain("bad-section", section.place, message, fix=f"write {header}", about=("", section.title))
        return None
    convert = _NAMES.get(kind, str)
    try:
        return convert(name)
    except InvalidConfigError as error:
        message = f"[{section.title}]: {name!r} {error.message}"
        reading.complain(_code(error), section.place, message, fix=error.fix, about=("", name))
        return None


def is_root_name(name: str) -> bool:
    """Whether a [root] section can have this name."""
    return _ROOT_NAME.fullmatch(name) is not None


def _root_name(name: str) -> str:
    """Names of roots become parts of file names and of object paths."""
    if is_root_name(name):
        return name
    raise InvalidConfigError(
        "is no name for a root", "use letters, digits, dots, dashes and underscores, at most 64, no dot at the start"
    )


_NAMES: Mapping[str, Callable[[str], str]] = {
    "root": _root_name,
    "subnet": lambda text: str(values.network(text)),
}


def _code(error: InvalidConfigError) -> str:
    match error:
        case values.RelativePathError():
            return "relative-path"
        case values.BadAddressError():
            return "bad-address"
    return "bad-value"


def _meant(key: str, kind: str) -> str:
    """What to write instead of the unknown ``key``: the same key of another section, or a similar one of this."""
    wanted = key.lower().replace("_", "-")
    close = get_close_matches(wanted, SECTIONS[kind], n=1)
    homes = [other for other, keys in SECTIONS.items() if wanted in keys and other != kind]
    if close and not (homes and close[0] != wanted):
        return f"did you mean {close[0]!r}?"
    if homes:
        return f"move {wanted!r} to [{homes[0]}{' ' + NAMED[homes[0]] if homes[0] in NAMED else ''}]"
    return f"use one of {', '.join(SECTIONS[kind])}"


def _settings(fields: Mapping[tuple[str, str], Mapping[str, Any]], files: tuple[str, ...]) -> Settings:
    def of(kind: str) -> Mapping[str, Any]:
        return fields.get((kind, ""), {})

    default = Settings()
    named = [(kind, name, given) for (kind, name), given in fields.items() if kind in NAMED]
    return replace(
        default,
        **of("cluster"),
        **of("log"),
        **{
            kind: replace(getattr(default, kind), **of(kind))
            for kind in ("paths", "tftp", "boot", "dhcp", "nfs", "hosts", "watch", "build")
        },
        roots=tuple(RootSettings(name, **given) for kind, name, given in named if kind == "root"),
        subnets=tuple(SubnetSettings(IPv4Network(name), **given) for kind, name, given in named if kind == "subnet"),
        files=files,
    )
