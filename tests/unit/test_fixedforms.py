# SPDX-License-Identifier: GPL-3.0-or-later
"""A template that is rendered once and filled in for each node gives the very bytes that Jinja gives."""

from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2 import Environment

from osrd.model.netboot import TemplateSource
from osrd.plan import menus
from osrd.plan.fixedforms import form, gaps, only_filled_in
from osrd.plan.templating import Renderer, TemplateFailedError, Templates
from tests.unit import planning

VARYING = menus._VARYING
#: What the nodes of a small cluster have in common, and a value that looks like a format.
SHARED = {**planning.shared_values(), "cluster_file": "/etc/cluster/100%s.conf"}

#: Templates in which a node's value decides, or something else than the values: they are rendered for each node.
NOT_FIXED = [
    "{{ node | upper }}",
    "{{ node.upper() }}",
    "{{ node[0] }}",
    "{{ node ~ '.' }}",
    "{{ node + '.' }}",
    "{{ node == 'n1' }}",
    "{{ nodeid * 2 }}",
    "{{ nodeid if timeout else 0 }}",
    "{% if nodeid %}a{% endif %}",
    "{% if timeout %}a{% elif node %}b{% endif %}",
    "{% if node is defined %}a{% endif %}",
    "{% set node = 'x' %}{{ node }}",
    "{% set other = node %}{{ other }}",
    "{% for letter in node %}{{ letter }}{% endfor %}",
    "{% for number in range(timeout) %}{{ number }}{% endfor %}",
    "{% macro m() %}{{ node }}{% endmacro %}{{ m() }}",
    "{% block b %}{{ node }}{% endblock %}",
    "{% include 'part.j2' %}",
    "{% import 'part.j2' as part with context %}{{ part }}",
    "{% extends 'part.j2' %}",
    "{% with a = node %}{{ a }}{% endwith %}",
    "{% filter upper %}{{ node }}{% endfilter %}",
    "{{ cluster | random }}",
    "{{ lipsum() }}",
    "{{ self }}",
    "{{ range }}",
    "{{ nothing }}",
]

PIECES = [
    *NOT_FIXED,
    "{{ node }}",
    "{{ nodeid }}",
    "{{ args }}{{ mac }}",
    "{{- node -}}",
    "  {{ timeout * 10 + 1 }}",
    "{{ kernel }}/{{ kernel }}",
    "{{ 'a' }}",
    "{{ '\\0node\\0' }}",
    "{{ '%s' }}",
    "{% if timeout %}\n{{ node }}\n{% else %}\nno\n{% endif %}\n",
    "{% if initrd %}{{ node }}{% elif not timeout and kernel or base == cluster %}y{% else %}{{ nic }}{% endif %}",
    "{% raw %}{{ node }}{% endraw %}",
    "{# {{ node }} #}",
    "{{ 'a' * timeout }}",
    "{{ 'a' - timeout }}",
    "%(node)s",
    "100 %",
    "\0node\0",
    "\n",
    "é",
]


def templates(text: str) -> Templates:
    part = TemplateSource("part of {{ node }}", "/t/part.j2")
    return Templates({"grub.j2": TemplateSource(text, "/t/grub.j2"), "part.j2": part})


def rendered(render: Renderer, values: Mapping[str, object]) -> bytes | str:
    try:
        return render(values)
    except TemplateFailedError as error:
        return repr(error.finding)


def is_fixed(text: str) -> bool:
    return only_filled_in(Environment().parse(text), VARYING, SHARED)


def both(made: Templates, name: str, shared: Mapping[str, object], values: Mapping[str, object]) -> None:
    """Compare for these values; a failure must be the same one, whenever it shows."""
    plainly = rendered(made.renderer(name), {**made.globals, **shared, **values})
    try:
        filled = rendered(made.filling(name, shared, VARYING), values)
    except TemplateFailedError as error:
        filled = repr(error.finding)
    assert filled == plainly


ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.fixed_dictionaries(
    dict.fromkeys(VARYING - {"nodeid"}, ANYTHING) | {"nodeid": st.integers(1, 99999)}  # type: ignore[arg-type]
)


@given(st.lists(st.sampled_from(PIECES) | ANYTHING, max_size=6).map("".join), VALUES)
@example("{{ node }}", dict.fromkeys(VARYING, "\0args\0%s%%"))
def test_every_template_gives_the_same_bytes(text: str, values: Mapping[str, object]) -> None:
    # Jinja's own chance is not to be compared, nor the text that it makes up, nor addresses in memory.
    if any(word in text for word in ("random", "lipsum", "range }}", "self")):
        return
    try:
        made = templates(text)
        made.renderer("grub.j2")
    except TemplateFailedError:
        return
    both(made, "grub.j2", SHARED, values)


@given(VALUES, st.sampled_from(["pxelinux.j2", "grub.j2", "ipxe.j2"]), st.integers(0, 3), st.booleans())
def test_the_templates_of_osrd_give_the_same_bytes(
    values: Mapping[str, object], name: str, timeout: int, initrd: bool
) -> None:
    shared = {**SHARED, "timeout": timeout, "initrd": "kernels/i" if initrd else "", "initrd_name": "i"}
    both(Templates(planning.templates()), name, shared, values)


@pytest.mark.parametrize("name", ["pxelinux.j2", "grub.j2", "ipxe.j2"])
def test_the_templates_of_osrd_are_filled_in(name: str) -> None:
    assert is_fixed(planning.templates()[name].text)


@pytest.mark.parametrize("text", NOT_FIXED)
def test_everything_else_is_rendered_for_each_node(text: str) -> None:
    assert not is_fixed(text)


def test_a_broken_template_fails_alike() -> None:
    made = templates("{{ node }}\n{{ timeout + 'a' }}")
    with pytest.raises(TemplateFailedError) as caught:
        made.filling("grub.j2", SHARED, VARYING)
    assert caught.value.finding.place is not None
    assert caught.value.finding.place.line == 2


def test_text_that_looks_like_a_gap_is_no_form() -> None:
    assert form("\0node\0 \0x\0", " \0x\0") is None
    assert form(f"50 % {gaps(['node'])['node']}", "50 % ") == "50 %% %(node)s"
