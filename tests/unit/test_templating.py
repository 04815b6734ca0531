# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates: sandboxed, strict, and every failure is a finding with file and line."""

import pytest

from osrd.model.finding import Place, Severity
from osrd.model.netboot import TemplateSource
from osrd.model.output import Kind
from osrd.plan.templating import TemplateFailedError, Templates, unknown_overrides

FILE = "/etc/osrd/templates/grub.j2"


def render(text: str, **others: TemplateSource) -> str:
    templates = Templates({"grub.j2": TemplateSource(text, FILE), **others})
    return templates.renderer("grub.j2")({**templates.globals, "node": "n1", "timeout": 5}).decode()


def failure(text: str) -> TemplateFailedError:
    with pytest.raises(TemplateFailedError) as caught:
        render(text)
    return caught.value


def test_variables_and_globals() -> None:
    assert render("{{ node }}{% for i in range(timeout) %}.{% endfor %}\n") == "n1....."


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n{% if %}\n", 2),
        ("a\nb\n{{ nod }}\n", 3),
        ("{{ ''.__class__.__mro__ }}", 1),
        ("\n{{ 1 // 0 }}", 2),
        ("\n{{ [][3] + 1 }}", 2),
        ("{{ 'a' + 1 }}", 1),
        ("\n\n{% for i in range(10 ** 9) %}{% endfor %}", 3),
        ("{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}\n{{ m(0) }}", 1),
        ("\n{% include 'nowhere.j2' %}", 2),
        ("\n{{ node | nofilter }}", 2),
        ("\n{{ node.append(1) }}", 2),
        ("\n{{ '%d' % node }}", 2),
        ("\n{{ '\\ud800' }}", 1),
    ],
)
def test_every_failure_is_a_finding_with_its_line(text: str, line: int) -> None:
    error = failure(text)
    assert error.kind is Kind.GRUB
    assert (error.finding.code, error.finding.severity) == ("template-broken", Severity.ERROR)
    assert error.finding.place is not None
    assert error.finding.place.file == FILE
    assert error.finding.place.line in (line, 0)
    assert "\n" not in error.finding.message


def test_the_line_is_that_of_the_included_template() -> None:
    broken = TemplateSource("\n\n{{ nope }}", "/etc/osrd/templates/part.j2")
    with pytest.raises(TemplateFailedError) as caught:
        render("{% include 'part.j2' %}", **{"part.j2": broken})
    assert caught.value.finding.place == Place("/etc/osrd/templates/part.j2", 3)


def test_a_syntax_error_in_an_included_template_names_that_file() -> None:
    broken = TemplateSource("\n{% if %}", "/etc/osrd/templates/part.j2")
    with pytest.raises(TemplateFailedError) as caught:
        render("{% include 'part.j2' %}", **{"part.j2": broken})
    assert caught.value.finding.place == Place("/etc/osrd/templates/part.j2", 2)


def test_an_unreadable_template_says_why() -> None:
    templates = Templates({"grub.j2": TemplateSource("", FILE, "is not UTF-8 (byte 3)")})
    with pytest.raises(TemplateFailedError, match="not UTF-8") as caught:
        templates.renderer("grub.j2")
    assert caught.value.finding.place == Place(FILE)


def test_an_override_can_extend_what_it_replaces() -> None:
    builtin = TemplateSource("{{ node }} {% block more %}{% endblock %}", "/usr/share/grub.j2")
    text = "{% extends 'builtin/grub.j2' %}{% block more %}x{% endblock %}"
    assert render(text, **{"builtin/grub.j2": builtin}) == "n1 x"


def test_templates_cannot_change_what_the_next_file_sees() -> None:
    templates = Templates({"grub.j2": TemplateSource("{% set node = 'other' %}{{ node }}", FILE)})
    values = {**templates.globals, "node": "n1"}
    assert templates.renderer("grub.j2")(values) == b"other"
    assert values["node"] == "n1"


def test_a_misspelt_override_gets_a_suggestion() -> None:
    sources = {name: TemplateSource("", f"/t/{name}") for name in ("grubb.j2", "grub.j2", "builtin/grub.j2", "x.j2")}
    grubb, other = unknown_overrides(sources)
    assert (grubb.severity, grubb.other, grubb.place) == (Severity.WARNING, "grub.j2", Place("/t/grubb.j2"))
    assert "rename it to grub.j2" in grubb.fix
    assert "pxelinux.j2" in other.fix


def test_the_digest_covers_every_text() -> None:
    one = Templates({"grub.j2": TemplateSource("a", FILE), "x.j2": TemplateSource("b", "/x")})
    two = Templates({"grub.j2": TemplateSource("a", FILE), "x.j2": TemplateSource("c", "/x")})
    assert one.digest != two.digest
