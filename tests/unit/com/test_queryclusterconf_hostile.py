# SPDX-License-Identifier: GPL-3.0-or-later
"""com-queryclusterconf: files and arguments that somebody made to harm."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from osrd.cli.com import options
from osrd.model.errors import InvalidArgsError, InvalidConfigError
from osrd.parse.querymap import parse_query_map, resolved
from osrd.plan.queries.xpath import bound, evaluate
from tests.unit.com.asking import ask, isolate

SECRET = "s3cret"


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)
    assert options.SYSTEM.startswith(str(tmp_path))


@pytest.mark.parametrize("query", ["nodeids", "clustername", "query_value /cluster/@name", "convert ocfs2"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ":1: the file is empty"),
        (b"<cluster", ":1: not well-formed XML"),
        (b"<cluster>\n<a>\n</cluster>", ":3: not well-formed XML: mismatched tag"),
        (b"<a/>", ":1: the root element is <a>, not <cluster>"),
        (b"\x7fELF\0\0", ":1: a NUL byte"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><cluster name="c">&x;</cluster>', "DOCTYPE"),
        (b'<!DOCTYPE cluster SYSTEM "http://127.0.0.1:1/x.dtd"><cluster/>', "DOCTYPE"),
        (b'<cluster xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd"/></cluster>', "name sp"),
        (b"<cluster>" + b"<a>" * 100 + b"</a>" * 100 + b"</cluster>", "nested more than 64 deep"),
        (b'<cluster name="\xff"/>', "not valid utf-8"),
    ],
)
def test_a_file_that_is_no_cluster_conf(tmp_path: Path, query: str, content: bytes, message: str) -> None:
    file = tmp_path / "c"
    file.write_bytes(content)
    result = ask(*query.split(" "), file=file)
    assert (result.exit_code, result.stdout) == (1, "")
    first, _, rest = result.stderr.partition("\n")
    assert first.startswith(f"com-queryclusterconf: error: {file}:")
    assert message in first
    assert "Traceback" not in rest


def test_a_wrong_file_is_reported_once_however_much_is_asked(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("<cluster>")
    result = ask("query=nodeids", "query=query_value /a", "query=nodes", file=tmp_path / "c")
    assert (result.exit_code, result.stderr.count("error: ")) == (3, 1)


def test_messages_cannot_move_the_cursor(tmp_path: Path) -> None:
    result = ask("nodename\x1b[2J", "\x1b]0;x\x07")
    assert "\x1b" not in result.stderr
    assert r"\x1b[2J" in result.stderr


MAP = """\
[redhatcluster]
quoted = /cluster/fencedevices/fencedevice[@name="%(param0)s"]/@agent
single = /cluster/fencedevices/fencedevice[@name='%(param0)s']/@agent
inside = /cluster/fencedevices/fencedevice[@name="i%(param0)s"]/@agent
bare = /cluster/fencedevices/fencedevice[@name=%(param0)s]/@agent
name = /cluster/fencedevices/fencedevice[@name="ilo1"]/@%(param0)s
"""
ATTACKS = (
    '"]/@passwd|/x["',
    "']/@passwd|/x['",
    'ilo1"]/@passwd | /cluster[@name="full',
    "ilo1']/@passwd | /cluster[@name='full",
    "1 or 1=1]/@passwd|//@passwd[1",
    "1]/@passwd|//*[1",
    "passwd|//@passwd",
    "agent|//@passwd",
    "*",
    "@*",
    "concat('a', //@passwd)",
    "//@passwd",
    "$text0",
    "%(param0)s",
    "%(param1)s",
    '\\"]/@passwd',
    "&quot;]/@passwd",
)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("key", ["quoted", "single", "inside", "bare", "name"])
def test_no_argument_becomes_a_part_of_an_xpath(tmp_path: Path, key: str, attack: str) -> None:
    (tmp_path / "map").write_text(MAP)
    result = ask("-m", str(tmp_path / "map"), key, attack)
    assert (result.exit_code, result.stdout) == (1, "")


@pytest.mark.parametrize("attack", ATTACKS)
def test_nor_does_one_of_a_built_in_key_or_of_the_users_own_xpath(attack: str) -> None:
    for words in (["eth_name_ip", "1", attack], ["eth_name", attack], ["ip", attack, "eth0"], ["macs", attack]):
        result = ask(*words)
        assert (result.exit_code, result.stdout) == (1, "")
    result = ask("query_value", '//fencedevice[@name="%(param0)s"]/@passwd', attack)
    assert (result.exit_code, result.stdout) == (1, "")


def test_the_attacks_would_find_something() -> None:
    """Put in as text, they do: the tests above can fail."""
    for template in ('//fencedevice[@name="%s"]/@agent', "//fencedevice[@name='%s']/@agent"):
        assert any(SECRET in ask("query_value", template % attack).stdout for attack in ATTACKS)
    assert SECRET in ask("query_value", f"/cluster/fencedevices/fencedevice[{ATTACKS[4]}]/@agent").stdout


@given(st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), max_size=40))
def test_any_text_is_found_exactly_where_it_stands(text: str) -> None:
    tree = etree.Element("a")
    etree.SubElement(tree, "b").set("c", text.replace("\ufffe", "").replace("\uffff", ""))
    etree.SubElement(tree, "b").set("c", "other" + text.replace("\ufffe", "").replace("\uffff", ""))
    argument = tree[0].get("c", "")
    for template in ('/a/b[@c="%(param0)s"]', "/a/b[@c='%(param0)s']"):
        assert evaluate(tree, *bound(template, [argument])) == (tree[0],)
    assert evaluate(tree, *bound('/a/b[@c="other%(param0)s"]', [argument])) == (tree[1],)


@pytest.mark.parametrize(
    ("template", "arguments", "expression", "variables"),
    [
        ('a[@b="%(param0)s"]', ["1"], "a[@b=$text0]", {"text0": "1"}),
        ("a[@b=%(param0)s]", ["1"], "a[@b=$value0]", {"value0": 1.0}),
        ("a[@b=%(nodeid)s]", ["x"], "a[@b=$value0]", {"value0": "x"}),
        ("a[%(param1)s]", ["", "-1.5"], "a[$value1]", {"value1": -1.5}),
        ('"a%(param0)sb%(param1)s"', ["1", "2"], 'concat("a", $text0, "b", $text1)', {"text0": "1", "text1": "2"}),
        ("/%(param0)s/@%(param1)s", ["a", "b"], "/a/@b", {}),
        ("child::%(param0)s", ["a-b.c"], "child::a-b.c", {}),
        ('"%(other)s"', [], '"%(other)s"', {}),
    ],
)
def test_how_arguments_go_in(
    template: str, arguments: list[str], expression: str, variables: dict[str, object]
) -> None:
    assert bound(template, arguments) == (expression, variables)


@pytest.mark.parametrize("argument", ["", "1a", "a b", "a:b", "a|b", "a[1]", "*", "..", "a/b", "text()"])
def test_only_names_go_where_names_belong(argument: str) -> None:
    with pytest.raises(InvalidArgsError, match="cannot be a name"):
        bound("/%(param0)s", [argument])


@pytest.mark.parametrize(
    "xpath",
    [
        "document('/etc/passwd')",
        "unparsed-entity-uri('x')",
        "re:test('a','a')",
        "a" * 9000,
        "(" * 8000,
        "\x00",
        "\x1b",
    ],
)
def test_an_xpath_reads_nothing_but_the_file(xpath: str) -> None:
    result = ask("query_value", xpath)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr


def test_name_spaces_are_no_answer() -> None:
    assert ask("query_value", "//namespace::*").exit_code == 1


def test_a_query_map_that_grows_without_end() -> None:
    """Twenty keys that repeat each other twice are a million copies."""
    lines = [f"k{i} = %(k{i + 1})s%(k{i + 1})s%(k{i + 1})s%(k{i + 1})s" for i in range(30)]
    keys = parse_query_map("\n".join(["[redhatcluster]", *lines, f"k30 = {'x' * 100}"]).encode(), "map")
    with pytest.raises(InvalidConfigError, match="k0: longer than 65536 characters"):
        resolved(keys, "k0", "map")
