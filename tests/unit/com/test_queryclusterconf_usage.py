# SPDX-License-Identifier: GPL-3.0-or-later
"""com-queryclusterconf: options, several queries in one run, query maps, where the files come from, exit statuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from osrd.cli.com import queryclusterconf as command
from osrd.cli.com import queryinput
from osrd.model.errors import InvalidArgsError
from osrd.plan.queries.questions import Question, from_text, from_words
from tests.unit.com.asking import FIXTURES, ask, isolate, plain

FULL = FIXTURES / "full.conf"


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)
    monkeypatch.setattr(command, "CLUSTERCONF", str(tmp_path / "cluster.conf"))
    monkeypatch.setattr(queryinput, "QUERYMAP", str(tmp_path / "querymap.cfg"))


@pytest.mark.parametrize(
    ("words", "questions"),
    [
        (["nodeids"], ["nodeids"]),
        (["query=nodeids"], ["nodeids"]),
        (["ip", "1", "eth0", "query=nodeids", "query=mask", "1", "e"], ["ip 1 eth0", "nodeids", "mask 1 e"]),
        (["query=ip 1 eth0", "query=nodeids"], ["ip 1 eth0", "nodeids"]),
        (["ip 1 eth0"], ["ip 1 eth0"]),
        ([], []),
    ],
)
def test_questions_of_a_command_line(words: list[str], questions: list[str]) -> None:
    assert [str(question) for question in from_words(words)] == questions


@pytest.mark.parametrize(
    ("words", "question"),
    [
        (["ip", "1", "bond 0"], Question("ip", ("1", "bond 0"))),
        (["query=ip 1 'bond 0'"], Question("ip", ("1", "bond 0"))),
        (['query_value /a[@b="c d"]/@e'], Question("query_value", ('/a[@b="c d"]/@e',))),
        (['query_value /a[. = "it\'s"]'], Question("query_value", ("/a[.", "=", '"it\'s"]'))),
    ],
)
def test_quotes_keep_blanks(words: list[str], question: Question) -> None:
    assert from_words(words) == (question,)


@pytest.mark.parametrize("words", [["query="], ["nodeids", "query=", "ip"]])
def test_a_question_without_a_name(words: list[str]) -> None:
    with pytest.raises(InvalidArgsError):
        from_words(words)
    assert ask(*words).exit_code == 2


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ("", []),
        ("# nothing\n\n", []),
        ("nodeids\nip 1 bond0 # mine\n", ["nodeids", "ip 1 bond0"]),
        (" query=nodeids\n query=ip 1\nbond0", ["nodeids", "ip 1 bond0"]),
        ("ip 1 eth0 query=nodeids", ["ip 1 eth0", "nodeids"]),
    ],
)
def test_questions_of_a_file(text: str, questions: list[str]) -> None:
    assert [str(question) for question in from_text(text)] == questions


def test_each_answer_has_its_own_separator_and_its_own_line() -> None:
    result = ask("query=hosts", "query=nodeids", "query=ip", "1", "bond0", file="seed-fixed.conf")
    assert result.stdout == "192.168.122.171 \tnode1\n192.168.122.172 \tnode2\n1 2\n"
    result = ask("query=nodeids", "query=ip", "1", "bond0")
    assert (result.stdout, result.exit_code) == ("1 2 7 8 9 99\n10.0.0.11", 0)


def test_empty_and_failed_answers_keep_their_lines_and_are_counted() -> None:
    result = ask("query=gateway 2 eth0", "query=nodeids", "query=nothing", "query=nodes")
    assert (result.stdout, result.exit_code) == ("\n1 2 7 8 9 99\n\n6", 2)
    assert result.stderr.count("error") == 1


def test_prefix_and_suffix_replace_the_lines() -> None:
    result = ask("-P", "<", "-S", ">", "query=nodes", "query=gateway 2 eth0", "query=nodes")
    assert (result.stdout, result.exit_code) == ("<6><6>", 1)
    assert ask("-P", "IP=", "ip", "1", "bond0").stdout == "IP=10.0.0.11"
    assert ask("-S", "\n", "ip", "1", "bond0").stdout == "10.0.0.11\n"


def test_the_count_of_failures_never_looks_like_success() -> None:
    assert ask(*["query=nothing"] * 256).exit_code == 125


def test_queries_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "queries"
    file.write_text("nodes\nip 1 bond0\n")
    assert ask("-Q", str(file)).stdout == "6\n10.0.0.11"
    assert ask("-Q", "-", text="query=nodes\nquery=ip 1 bond0").stdout == "6\n10.0.0.11"
    assert ask("-Q", str(tmp_path / "gone")).exit_code == 2
    assert ask("-Q", str(file), "nodes").exit_code == 2
    assert ask("-Q", "-", text="").exit_code == 2
    file.write_bytes(b"\xff")
    result = ask("-Q", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"com-queryclusterconf: error: {file}: is not UTF-8\n"


@pytest.mark.parametrize("words", [[], ["--nothing"], ["-f"], ["-s"]])
def test_a_wrong_command_line_is_status_2(words: list[str]) -> None:
    result = plain(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


@pytest.mark.parametrize("name", ["gone", "", "."])
def test_a_missing_file_is_status_2(tmp_path: Path, name: str) -> None:
    result = ask("nodeids", file=tmp_path / name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"com-queryclusterconf: error: {tmp_path / name}: cannot be read: ")
    assert result.stderr.count("\n") == 1


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The option, then the files of defaults, then $CLUSTERCONF, then the usual place."""
    content = '<cluster name="{}"><clusternodes/></cluster>'
    for name in ("cluster.conf", "variable", "defaults", "option"):
        (tmp_path / name).write_text(content.format(name))
    assert plain("clustername").stdout == "cluster.conf"
    monkeypatch.setenv("CLUSTERCONF", str(tmp_path / "variable"))
    assert plain("clustername").stdout == "variable"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/cluster.cfg").write_text(f"[com-queryclusterconf]\nclusterconf = {tmp_path / 'defaults'}\n")
    assert plain("clustername").stdout == "defaults"
    for option in ("-f", "-c", "--filename", "--clusterconf"):
        assert plain(option, str(tmp_path / "option"), "clustername").stdout == "option"


def test_defaults_of_the_other_options(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc/cluster.cfg"
    file.write_text(f"[com-queryclusterconf]\nclusterconf={FULL}\nseperator=,\nprefix=<\nevalparams=False\n")
    assert plain("nodeids").stdout == "<1,2,7,8,9,99"
    assert plain("filesystem_dest_source", "1", "/var/data").stdout == "<10.0.0.1:/srv/var/%(nodeid)s"
    assert plain("-s", " ", "nodeids").stdout == "<1 2 7 8 9 99"
    file.write_text("[com-queryclusterconf]\nevalparams = perhaps\n")
    assert plain("nodeids").exit_code == 2
    file.write_text("nothing\n")
    result = plain("nodeids")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{file}:1: this stands before the first section" in result.stderr


def test_options_without_effect_are_taken() -> None:
    assert ask("-q", "-Y", "--query", "--pretty", "nodes").stdout == "6"


def test_verbose_tells_about_empty_answers() -> None:
    result = ask("-v", "gateway", "2", "eth0")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "gateway 2 eth0: the answer is empty" in result.stderr


def test_validation() -> None:
    result = ask("-V", "nodes", file="seed.conf")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "[duplicate-mac]" in result.stderr
    result = ask("-V", "nodes")
    assert (result.exit_code, result.stdout) == (0, "6")
    assert "warning" in result.stderr
    assert ask("-V", "-W", "nodes").stderr == ""


MAP = """\
[DEFAULT]
node = /cluster/clusternodes/clusternode

[redhatcluster]
# numbers without quotes, names with: as the original's map has it
name_of = %(node)s[@nodeid=%(param0)s]/@name
also_name_of = %(node)s[@nodeid="%(nodeid)s"]/@name
device = %(node)s[@nodeid=%(param0)s]/com_info/eth[@name="%(param1)s"]/@ip
nth = %(node)s[@nodeid=%(param0)s]/com_info/eth[%(param1)s]/@name
any = //eth[@name=concat("bo", "%(param0)s")]/@ip
half: //eth[@name="bo%(param0)s"]/@ip
attribute = /cluster/@%(param0)s
source = //filesystem/@source
nics = xml:%(node)s[@nodeid=%(param0)s]/com_info/eth
eth_name = /cluster/@config_version
ip = /cluster/@name
lost = %(nothing)s
round = %(circle)s
circle = %(round)s
"""


@pytest.fixture
def query_map(tmp_path: Path) -> str:
    file = tmp_path / "map"
    file.write_text(MAP)
    return str(file)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["name_of", "2"], "axqa2"),
        (["NAME_OF", "2"], "axqa2"),
        (["also_name_of", "2"], "axqa2"),
        (["device", "1", "bond0"], "10.0.0.11"),
        (["device", "1", "bond0", "more"], "10.0.0.11"),
        (["nth", "1", "3"], "bond0"),
        (["any", "nd0"], "10.0.0.11"),
        (["half", "nd0"], "10.0.0.11"),
        (["attribute", "name"], "full"),
        (["source", "17"], "bind 10.0.0.1:/srv/var/17"),
        (["source"], "bind 10.0.0.1:/srv/var/%(nodeid)s"),
        (["nics", "2"], '<eth name="eth0" mac="00:16:3E:00:02:00" ip="dhcp"/>'),
        (["eth_name"], "42"),
        (["eth_name_mac", "2", "eth0"], "00:16:3E:00:02:00"),
        (["ip", "1", "bond0"], "10.0.0.11"),
    ],
)
def test_a_query_map(query_map: str, words: list[str], answer: str) -> None:
    result = ask("-m", query_map, *words)
    assert (result.stdout, result.stderr) == (answer, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["name_of"], "the query has %(param0)s, but no argument for it"),
        (["device", "1"], "the query has %(param1)s, but no argument for it"),
        (["lost"], "lost: there is no key 'nothing'"),
        (["round"], "round: its references never end"),
    ],
)
def test_what_a_query_map_cannot_do(query_map: str, words: list[str], message: str) -> None:
    result = ask("-m", query_map, *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_where_the_query_map_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, query_map: str) -> None:
    assert ask("attribute", "name").exit_code == 1
    (tmp_path / "querymap.cfg").write_text(MAP)
    assert ask("attribute", "name").stdout == "full"
    (tmp_path / "querymap.cfg").unlink()
    monkeypatch.setenv("QUERYMAPFILE", query_map)
    assert ask("attribute", "name").stdout == "full"


def test_without_the_query_map_its_old_keys_are_still_known(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    result = ask("-m", gone, "query=clustertype", "query=nodes")
    assert (result.exit_code, result.stdout) == (0, "gfs\n6")
    assert result.stderr == (
        f"com-queryclusterconf: warning: {gone}: there is no such query map, only the built-in keys are known\n"
    )
    assert ask("-W", "-m", gone, "clustertype").stderr == ""
    assert ask("-m", gone, "nodeids").stderr == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[osr]\na = /b\n", "map:1: there is no section [redhatcluster]"),
        ("a = /b\n", "map:1: this stands before the first section"),
    ],
)
def test_a_wrong_query_map_breaks_only_what_needs_it(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "map"
    file.write_text(content)
    result = ask("-m", str(file), "query=clustertype", "query=nodeids")
    assert (result.exit_code, result.stdout) == (1, "\n1 2 7 8 9 99")
    assert message in result.stderr
    result = ask("-m", str(tmp_path), "nodes")
    assert result.exit_code == 1
    assert f"{tmp_path}: cannot be read: Is a directory" in result.stderr


def test_the_process_itself(tmp_path: Path) -> None:
    """Bytes of another encoding, a full disk, and a reader who left: no traceback."""
    argv = [sys.executable, "-m", "osrd.cli.com.queryclusterconf", "-f"]
    file = tmp_path / "c"
    file.write_text('<cluster name="Zürich"><clusternodes/></cluster>')
    env = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONUTF8": "0"}
    done = subprocess.run([*argv, file, "clustername"], capture_output=True, env=env, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Zürich".encode(), b"")
    done = subprocess.run([*argv, file, b"query_value", b"/\xff"], capture_output=True, env=env, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"holds characters that XML cannot hold" in done.stderr
    done = subprocess.run([*argv, b"/\xff", "nodes"], capture_output=True, env=env, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == rb"com-queryclusterconf: error: /\xff: cannot be read: No such file or directory" + b"\n"
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*argv, file, "clustername"], stdout=full, stderr=subprocess.PIPE, env=env, check=False)
    assert done.returncode == 1
    assert done.stderr == b"com-queryclusterconf: error: the answer cannot be written: No space left on device\n"
