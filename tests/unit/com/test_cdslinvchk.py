# SPDX-License-Identifier: GPL-3.0-or-later
"""com-cdslinvchk and com-searchcdsls: what is told and counted, and what -U does (spec/cdsl.md 3.2, 3.3)."""

from dataclasses import replace

import pytest

from osrd.model.cdsl import Cdsl, CdslType
from osrd.model.errors import NotFoundError
from osrd.model.finding import Finding, Severity
from tests.unit.com.world import Com, com
from tests.unit.fake_root import INVENTORY, VAR

__all__ = ["com"]


def finding(path: str, severity: Severity = Severity.ERROR, node: str = "2") -> Finding:
    return Finding("cdsl-copy-missing", severity, f"/{path} has no copy", "osrctl cdsl repair", node=node, value=path)


def test_a_consistent_root(com: Com) -> None:
    ended = com.on_root("com-cdslinvchk")
    assert (ended.status, ended.out) == (0, "")


def test_findings_are_counted(com: Com) -> None:
    com.fake.findings = (finding("var"), finding("var/lib"), finding("x", Severity.INFO))
    ended = com.on_root("com-cdslinvchk")
    assert ended.status == 2
    assert ended.out.splitlines()[0] == "error: /var has no copy (node 2); osrctl cdsl repair"
    assert com.fake.calls == []
    assert com.on_root("com-cdslinvchk", "-q").out == ""


def test_many_findings_are_no_error_of_the_program(com: Com) -> None:
    com.fake.findings = (finding("var"),) * 512
    assert com.on_root("com-cdslinvchk").status == 250


def test_update_repairs_and_never_forgets(com: Com) -> None:
    """Spec/cdsl.md 6.1 no. 27, 28."""
    com.fake.findings = (finding("var"),)
    assert com.on_root("com-cdslinvchk", "-U").status == 0
    assert com.fake.calls == [("repair",)]
    com.fake.calls.clear()
    com.fake.findings = ()
    assert com.on_root("com-cdslinvchk", "-U").status == 0
    assert com.fake.calls == []


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (["-C", "/var/lib"], {"var/lib"}),
        (["-C", "/var"], {"var", "var/lib"}),
        (["-p", "/var"], {"var", "var/lib", "var/log/deep"}),
        (["-p", "var"], {"var", "var/lib", "var/log/deep"}),
        (["-p", "/var", "-R"], {"var", "var/lib"}),
        (["-p", "/", "-R"], {"var"}),
        (["-p", "/etc"], set()),
    ],
)
def test_only_what_was_asked_for(com: Com, words: list[str], paths: set[str]) -> None:
    every = ("var", "var/lib", "var/log/deep")
    com.fake.findings = tuple(map(finding, every))
    ended = com.on_root("com-cdslinvchk", *words)
    told = {path for path in every if f": /{path} has" in ended.out}
    assert told == (paths if "-C" not in words else paths | ({"var/log/deep"} if words[1] == "/var" else set()))
    assert ended.status == len(told)


def test_the_disk_against_the_inventory(com: Com) -> None:
    com.fake.disk = replace(INVENTORY, cdsls=(VAR, Cdsl("etc/motd", CdslType.HOSTDEPENDENT, ("1",))))
    ended = com.on_root("com-cdslinvchk", "-f")
    assert ended.status == 2
    assert ended.out.splitlines() == [
        "Removed cdsl var/lib type shared",
        "Added cdsl etc/motd type hostdependent",
    ]
    assert com.fake.calls == []
    ended = com.on_root("com-cdslinvchk", "-f", "-U")
    assert ended.status == 0
    assert com.fake.calls == [("rebuild",)]


def test_searching_is_the_same_as_updating_from_the_disk(com: Com) -> None:
    com.fake.disk = replace(INVENTORY, cdsls=(VAR,))
    ended = com.on_root("com-searchcdsls", "-l", "/var/lib/cdsl/cdsl_inventory.xml", "-V")
    assert (ended.status, ended.out) == (0, "Removed cdsl var/lib type shared\n")
    assert com.fake.calls == [("rebuild",)]


def test_an_error_is_not_success(com: Com) -> None:
    com.fake.known = None
    assert com.on_root("com-cdslinvchk", "-f").status == 255
    assert com.on_root("com-searchcdsls").status == 1
    com.fake.known = INVENTORY
    assert com.on_root("com-cdslinvchk", "-C", "/gone").status == 255
    com.fake.fails["repair"] = NotFoundError("gone")
    com.fake.findings = (finding("var"),)
    assert com.on_root("com-cdslinvchk", "-U").status == 255


def test_words_are_no_paths(com: Com) -> None:
    assert com.on_root("com-cdslinvchk", "/var").status == 2
    assert com.on_root("com-searchcdsls", "/var").status == 2
