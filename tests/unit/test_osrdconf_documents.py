# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd.conf(5) and the example file say what the parser does."""

import re
import subprocess

import pytest

from osrd.model.finding import Severity
from osrd.model.settings import Settings
from osrd.parse.osrdconf import NAMED, SECTIONS, parse_settings
from tests.conftest import REPOSITORY

MANUAL = (REPOSITORY / "man/osrd.conf.5").read_text()
EXAMPLE = (REPOSITORY / "data/osrd.conf.example").read_text()


def titles(kind: str) -> str:
    return f"[{kind} {NAMED[kind]}]" if kind in NAMED else f"[{kind}]"


def manual_sections() -> dict[str, str]:
    """The text of each .SH that describes a section of the file."""
    parts = re.split(r"^\.SH (\[.*\])$", MANUAL, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.partition("\n.SH ")[0] for part in parts[2::2]), strict=True))


def manual_keys(section: str) -> list[tuple[str, str]]:
    """(key, text) for each .TP of a section."""
    entries = re.split(r"^\.TP\n\.BR ", section, flags=re.MULTILINE)[1:]
    return [(entry.split(" ", maxsplit=1)[0].replace("\\-", "-"), entry) for entry in entries]


def test_the_manual_has_exactly_the_sections_and_keys_of_the_parser() -> None:
    sections = manual_sections()
    assert list(sections) == [titles(kind) for kind in SECTIONS]
    for kind, keys in SECTIONS.items():
        assert [key for key, _ in manual_keys(sections[titles(kind)])] == list(keys), kind


def test_every_key_has_a_default_and_an_example_that_works() -> None:
    for kind, keys in SECTIONS.items():
        name = {"root": " sr", "subnet": " 192.168.122.0/24"}.get(kind, "")
        for key, text in manual_keys(manual_sections()[titles(kind)]):
            assert "default" in text, f"[{kind}] {key}"
            example = re.search(r"Example:\n\.B (.*)", text)
            assert example, f"[{kind}] {key}"
            line = example[1].replace("\\-", "-")
            assert line.startswith(f"{key} = ")
            companions = "[tftp]\nprefix = none\n" if key == "secure-boot" else ""
            companions += "[dhcp]\nbackend = kea\n" if "socket:" in line else ""
            _, findings = parse_settings([("example", f"[{kind}{name}]\n{line}\n{companions}".encode())])
            assert [f for f in findings if f.severity is Severity.ERROR] == [], line
        assert keys


def test_the_example_file_has_every_key_and_no_mistake() -> None:
    _, findings = parse_settings([("osrd.conf.example", EXAMPLE.encode())])
    assert findings == ()
    sections = re.split(r"^\[(\w+).*\]$", EXAMPLE, flags=re.MULTILINE)[1:]
    shown: dict[str, list[str]] = {}
    for kind, text in zip(sections[::2], sections[1::2], strict=True):
        # there are two roots: one with a kernel, one without
        keys = re.findall(r"^#?([a-z-]+) =", text, re.MULTILINE)
        shown.setdefault(kind, []).extend(key for key in keys if key not in shown.get(kind, ()))
        assert len(keys) == len(set(keys)), kind
    assert shown == {kind: list(keys) for kind, keys in SECTIONS.items()}


def test_the_ways_to_go_in_the_example_file_are_right_too() -> None:
    text = re.sub(r"^#([a-z-]+ =)", r"\1", EXAMPLE, flags=re.MULTILINE)
    assert text != EXAMPLE
    _, findings = parse_settings([("osrd.conf.example", text.encode())])
    assert findings == ()


def test_the_defaults_of_the_example_file_are_the_defaults() -> None:
    settings, _ = parse_settings([("osrd.conf.example", EXAMPLE.encode())])
    default = Settings()
    for field in ("cluster_conf", "paths", "tftp", "boot", "dhcp", "nfs", "hosts", "watch", "build", "log_level"):
        assert getattr(settings, field) == getattr(default, field), field


def test_the_defaults_of_the_manual_are_the_defaults() -> None:
    """Each plain default (one word or one text in bold) is read by the parser and compared with the model's."""
    default = Settings()
    seen = 0
    for kind in ("paths", "tftp", "boot", "dhcp", "nfs", "hosts", "watch", "build"):
        for key, text in manual_keys(manual_sections()[titles(kind)]):
            found = re.match(r'.*default " (?:"([^"]*)"|(\S+)) \)$', text.split("\n", maxsplit=1)[0])
            value = (found[1] or found[2]).replace("\\-", "-") if found else ""
            if not value or key == "reload" or SECTIONS[kind][key].field not in dir(getattr(default, kind)):
                continue
            settings, findings = parse_settings([("manual", f"[{kind}]\n{key} = {value}\n".encode())])
            assert findings == (), f"[{kind}] {key}"
            assert getattr(settings, kind) == getattr(default, kind), f"[{kind}] {key} = {value}"
            seen += 1
    assert seen >= 20


@pytest.mark.needs("groff")
def test_the_manual_is_clean_roff() -> None:
    result = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", str(REPOSITORY / "man/osrd.conf.5")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
