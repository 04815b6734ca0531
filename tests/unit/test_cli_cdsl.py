# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl cdsl: what it asks the daemon or the root itself for, and what it makes of the answers."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from osrd.bus.names import ROOT, root_path
from osrd.cli import root_change
from osrd.cli.exits import Exit, UnreachableError
from osrd.cli.main import osrctl
from osrd.cli.root_change import Call
from osrd.cli.session import Bus, Session
from osrd.cli.shared_root import Work
from osrd.model.cdsl import Changed, Layout, Place, Removal
from osrd.model.errors import ConflictError, FailedError, NotAuthorizedError
from osrd.model.finding import Finding, Severity
from tests.conftest import REPOSITORY
from tests.scripted_bus import JOB_PATH, ScriptedBus
from tests.unit.fake_root import FakeRoot

Osrctl = Callable[..., Result]


class World:
    """A scratch root with the seed's two nodes, an osrd.conf that names it, and a daemon or none."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "web"
        (self.root / "etc/cluster").mkdir(parents=True)
        self.clusterconf = self.root / "etc/cluster/cluster.conf"
        self.clusterconf.write_bytes((REPOSITORY / "tests/fixtures/seed.conf").read_bytes())
        self.configuration = directory / "osrd.conf"
        self.configuration.write_text(f"[root web]\npath = {self.root}\n[root pathless]\nvolume = 10.0.0.9:/x\n")
        self.fake = FakeRoot()
        self.bus: ScriptedBus | None = None

    def daemon(self, path: str | None = None, **job: object) -> ScriptedBus:
        """Let osrd run and have this root (or another one) as ``web``."""
        row = ["web", "10.0.0.1:/web", "nfs4", str(self.root) if path is None else path, 2]
        members = ("CreateInfrastructure", "MakeHostDependent", "MakeShared", "RemoveCdsl", "RepairCdsls")
        more = ("ConvertLayout", "Undo", "AdoptTree", "ArchiveTree", "DropBackup", "BindLink")
        self.bus = ScriptedBus({"ListRoots": [[row]], "GetRoot": [root_path("web")]}, job=dict(job))
        self.bus.replies |= {member: [JOB_PATH] for member in (*members, *more)}
        return self.bus

    @property
    def asked(self) -> list[tuple[object, ...]]:
        """The calls of the root's own object."""
        assert self.bus is not None
        return [call for call in self.bus.calls if call[0] not in ("ListRoots", "GetRoot")]

    def __call__(self, *words: str, text: str | None = None) -> Result:
        async def connect(address: str | None) -> Bus:
            if self.bus is None:
                raise UnreachableError("osrd is not running")
            return await self.bus.connect(address)

        session = Session(connect=connect, open_root=self.fake.open, configuration=str(self.configuration))
        result = CliRunner(env={"TERM": "xterm", "NO_COLOR": None}).invoke(
            osrctl, list(words), obj=session, input=text, prog_name="osrctl"
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_without_the_daemon_the_root_itself_is_changed(world: World) -> None:
    result = world("cdsl", "make", str(world.root), "/var", "etc/motd")
    assert result.exit_code == 0, result.output
    assert world.fake.calls == [("make", "/var", ()), ("make", "/etc/motd", ())]
    assert world.fake.opened == [str(world.root)]
    assert world.fake.members.ids == ("1", "2")
    assert world.fake.closed
    assert result.stdout.splitlines() == ["made /var host-dependent"] * 2


def test_the_daemon_does_it_when_it_knows_the_root(world: World) -> None:
    world.daemon(Result={"changed": True, "lines": ["shared /var/lib"], "backups": [".osrd/backup/x"]})
    result = world("--json", "cdsl", "share", "web", "/var/lib", "--from", "node2")
    assert result.exit_code == 0, result.output
    assert world.fake.calls == []
    assert world.asked == [("MakeShared", "aysa{sv}", b"/var/lib", "2", {})]
    assert json.loads(result.stdout) == {
        "root": str(world.root),
        "changed": True,
        "lines": ["shared /var/lib"],
        "backups": [".osrd/backup/x"],
        "jobs": [JOB_PATH],
    }


@pytest.mark.parametrize("words", [["--offline"], ["-c", "CONF"]])
def test_the_daemon_is_left_out(world: World, words: list[str]) -> None:
    """Not asked for, or not with its nodes."""
    scripted = world.daemon()
    world("cdsl", "make", "web", "/var", *[word.replace("CONF", str(world.clusterconf)) for word in words])
    assert scripted.calls == []
    assert world.fake.calls == [("make", "/var", ())]


def test_a_daemon_that_has_another_root_is_left_out(world: World, tmp_path: Path) -> None:
    for path in (str(tmp_path), "/nonexistent", ""):
        world.daemon(path)
        world.fake.calls.clear()
        world("cdsl", "undo", str(world.root))
        assert world.fake.calls == [("undo",)]
        assert world.asked == []


def test_in_a_chroot_the_daemon_means_other_paths(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.daemon()
    monkeypatch.setattr(root_change, "_same_world", lambda: False)
    world("cdsl", "undo", str(world.root))
    assert (world.fake.calls, world.asked) == ([("undo",)], [])


def test_the_daemon_s_error_is_the_command_s(world: World) -> None:
    world.daemon(State="failed", Kind="cdsl-share", Error="Conflict", Message="the copies of 1 and 2 differ")
    result = world("cdsl", "share", "web", "/var/lib")
    assert result.exit_code == Exit.CONFLICT
    assert "the copies of 1 and 2 differ" in result.stderr
    assert world.fake.calls == []


def test_a_refusal_of_polkit_names_the_action(world: World) -> None:
    replies = world.daemon().replies
    replies |= {member: NotAuthorizedError("not authorized") for member in ("Undo", "RemoveCdsl", "DropBackup")}
    for words, action in (
        (["undo", "web"], "manage-cdsl"),
        (["remove", "web", "/v"], "manage-cdsl"),
        (["remove", "web", "/v", "--discard", "-y"], "discard-data"),
        (["backups", "drop", "web", "b", "-y"], "discard-data"),
    ):
        result = world("cdsl", *words)
        assert result.exit_code == Exit.NOT_AUTHORIZED
        assert f"org.opensharedroot.osrd.{action} " in result.stderr
    replies["ListRoots"] = NotAuthorizedError("not authorized")
    assert "org.opensharedroot.osrd.read " in world("cdsl", "undo", "web").stderr


CALLS: dict[str, tuple[list[str], tuple[object, ...], tuple[object, ...]]] = {
    "init": (
        ["init", "web"],
        ("init", Layout(), 0, True),
        (
            "CreateInfrastructure",
            "a{sv}",
            {"tree": "cluster/cdsl", "shared": "cluster/shared", "link": "cdsl.local", "use_nodeids": True}
            | {"prefix": ""},
        ),
    ),
    "init-options": (
        [*("init", "web", "--maxnodeidnum", "3", "--tree", "/.t", "--shared", ".s/", "--link", ".l", "--prefix", "n")],
        ("init", Layout(".t", ".s", ".l", prefix="n"), 3, True),
        (
            "CreateInfrastructure",
            "a{sv}",
            {"tree": ".t", "shared": ".s", "link": ".l", "prefix": "n", "use_nodeids": True, "maxnodeidnum": 3},
        ),
    ),
    "make": (
        ["make", "web", "/var", "--node", "1", "--node", "node2"],
        ("make", "/var", ("1", "2")),
        ("MakeHostDependent", "ayasa{sv}", b"/var", ["1", "2"], {}),
    ),
    "share": (["share", "web", "/v"], ("share", "/v", ""), ("MakeShared", "aysa{sv}", b"/v", "", {})),
    "remove": (
        ["remove", "web", "/var", "--from", "1", "--recursive", "--beside"],
        ("remove", "/var", Removal("1", True, False, Place.BESIDE)),
        ("RemoveCdsl", "aya{sv}", b"/var", {"from": "1", "recursive": True, "others": "beside"}),
    ),
    "discard": (
        ["remove", "web", "/var", "--discard", "--yes"],
        ("remove", "/var", Removal(discard=True)),
        ("RemoveCdsl", "aya{sv}", b"/var", {"from": "", "recursive": False, "others": "backup", "discard": True}),
    ),
    "repair": (["repair", "web"], ("repair",), ("RepairCdsls", "a{sv}", {})),
    "rebuild": (["rebuild", "web"], ("rebuild",), ("RepairCdsls", "a{sv}", {"rebuild": True})),
    "convert": (["convert", "web"], ("convert",), ("ConvertLayout", "a{sv}", {})),
    "undo": (["undo", "web"], ("undo",), ("Undo", "a{sv}", {})),
    "bind": (["bind", "web", "node2"], ("bind", "2"), ("BindLink", "sa{sv}", "2", {})),
    "bind-none": (["bind", "web", "none"], ("bind", "none"), ("BindLink", "sa{sv}", "none", {})),
    "bind-usual": (["bind", "web"], ("bind", ""), ("BindLink", "sa{sv}", "", {})),
    "adopt": (["adopt", "web", "9", "node1"], ("adopt", "9", "1"), ("AdoptTree", "ssa{sv}", "9", "1", {})),
    "archive": (["archive", "web", "9"], ("archive", "9"), ("ArchiveTree", "sa{sv}", "9", {})),
    "drop": (
        ["backups", "drop", "web", "b1", "-y"],
        ("drop_backup", "b1"),
        ("DropBackup", "sa{sv}", "b1", {}),
    ),
}


@pytest.mark.parametrize(("words", "direct", "call"), CALLS.values(), ids=CALLS)
def test_both_ways_say_the_same(
    world: World, words: list[str], direct: tuple[object, ...], call: tuple[object, ...]
) -> None:
    assert world("cdsl", *words).exit_code == 0
    assert world.fake.calls == [direct]
    world.fake.calls.clear()
    world.daemon()
    assert world("cdsl", *words).exit_code == 0
    assert world.fake.calls == []
    assert world.asked == [call]


def test_the_signatures_are_those_of_the_contract() -> None:
    """The bus interface is what the daemon serves: a method or option that it lacks would fail there only."""
    xml = (REPOSITORY / "data/dbus/org.opensharedroot.Osrd1.SharedRoot.xml").read_text()
    for _, _, (member, signature, *arguments) in CALLS.values():
        method = re.search(rf'<!-- {member}:(.*?)<method name="{member}">(.*?)</method>', xml, re.S)
        assert method, member
        assert "".join(re.findall(r'type="([^"]+)" direction="in"', method[2])) == signature, member
        options = arguments[-1]
        assert isinstance(options, dict)
        for option in options:
            assert f"`{option}`" in method[1], f"{member} {option}"


def test_the_polkit_actions_are_those_of_the_contract() -> None:
    xml = (REPOSITORY / "data/dbus/org.opensharedroot.Osrd1.SharedRoot.xml").read_text()
    text = (REPOSITORY / "man/osrctl.8").read_text().replace("\\-", "-").replace('"', "")
    for words, _, (member, _, *arguments) in CALLS.values():
        options = arguments[-1]
        assert isinstance(options, dict)
        method = re.search(rf'<method name="{member}">(.*?)</method>', xml, re.S)
        assert method
        name = "PolkitAction.discard" if options.get("discard") else "PolkitAction"
        annotation = re.search(rf'opensharedroot.{name}" value="([^"]+)"', method[1])
        assert annotation, member
        assert Call(str(member), options=options).action == annotation[1]
        entry = re.search(rf"^\.B {annotation[1]}\n(.*)$", text, re.M)
        assert entry, annotation[1]
        command = "backups drop" if words[0] == "backups" else words[0]
        assert f"cdsl {command}" in entry[1]


def test_what_has_no_method_is_always_direct(world: World) -> None:
    world.daemon()
    world("cdsl", "recover", "web")
    world("cdsl", "set", "web", "maxnodeidnum", "3")
    assert (world.fake.calls, world.asked) == ([("recover",), ("set", "maxnodeidnum", "3")], [])


def test_every_command_that_a_message_promises_is_there() -> None:
    group = osrctl.commands["cdsl"]
    assert isinstance(group, click.Group)
    promised = set()
    for path in (REPOSITORY / "osrd").rglob("*.py"):
        promised |= set(re.findall(r'osrctl cdsl ([a-z][a-z-]*)|\bcommand\("([a-z-]+)"', path.read_text()))
    words = {one or other for one, other in promised}
    assert {"set", "bind", "init", "repair"} <= words
    # A click command's own name within a group is no promise of this group's.
    assert words - {*group.commands, "drop"} == set()


def test_what_is_done_before_a_failure_is_told(world: World) -> None:
    world.fake.fails = {"make /b": ConflictError("/b is host-dependent already")}
    result = world("cdsl", "make", "web", "/a", "/b", "/c")
    assert result.exit_code == Exit.CONFLICT
    assert world.fake.calls == [("make", "/a", ()), ("make", "/b", ())]
    assert result.stdout.splitlines() == ["made /var host-dependent"]
    assert "already" in result.stderr
    result = world("cdsl", "make", "web", "/a", "/b", "--json")
    assert json.loads(result.stdout)["changed"] is True
    assert json.loads(result.stderr)["error"]["exit"] == Exit.CONFLICT


def test_nothing_to_do_is_said(world: World) -> None:
    world.fake.changed = Changed()
    assert world("cdsl", "repair", "web").stdout == "nothing to do\n"
    answer = json.loads(world("cdsl", "repair", "web", "--json").stdout)
    assert answer == {"root": str(world.root), "changed": False, "lines": [], "backups": [], "jobs": []}


def test_backups_are_told(world: World) -> None:
    world.fake.changed = Changed(("shared /v",), (".osrd/backup/v/2",))
    assert "kept: .osrd/backup/v/2" in world("cdsl", "share", "web", "/v").stdout


def test_foreign_names_cannot_write_on_the_terminal(world: World) -> None:
    world.fake.changed = Changed(("made /\x1b[2J",))
    assert "\x1b" not in world("cdsl", "make", "web", "/x").stdout


@pytest.mark.parametrize("words", [["remove", "web", "/var", "--discard"], ["backups", "drop", "web", "b"]])
def test_what_deletes_data_asks(world: World, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert world("cdsl", *words).exit_code == Exit.USAGE
    assert world("cdsl", *words, "--json").exit_code == Exit.USAGE
    for module in ("commands_cdsl_change",):
        monkeypatch.setattr(f"osrd.cli.{module}.can_ask", lambda: True)
    assert world("cdsl", *words, text="n\n").exit_code == Exit.NEGATIVE
    assert world.fake.calls == []
    assert world("cdsl", *words, text="y\n").exit_code == Exit.OK
    assert len(world.fake.calls) == 1


def test_discarding_leaves_nobody_s_content(world: World) -> None:
    assert world("cdsl", "remove", "web", "/v", "--discard", "-y", "--from", "1").exit_code == Exit.USAGE


@pytest.mark.parametrize("words", [["make", "web", "/v", "--node", "7"], ["share", "web", "/v", "--from", "nod2"]])
def test_a_node_must_be_one(world: World, words: list[str]) -> None:
    result = world("cdsl", *words)
    assert result.exit_code == Exit.NOT_FOUND
    assert "1, 2" in result.stderr
    assert world.fake.calls == []


def test_a_root_is_a_directory_or_a_name(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("web", "./web", str(world.root), f"{world.root}/../web"):
        world.fake.opened.clear()
        assert world("cdsl", "undo", word).exit_code == 0
        assert world.fake.opened == [str(world.root)]
    result = world("cdsl", "undo", "webb")
    assert result.exit_code == Exit.NOT_FOUND
    assert "web, pathless" in result.stderr
    assert "path =" in world("cdsl", "undo", "pathless").stderr


def test_a_path_may_have_the_root_before_it_or_be_relative(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.root / "etc/sysconfig").mkdir(parents=True)
    world("cdsl", "make", "web", f"{world.root}/var")
    world("cdsl", "make", "web", "var")
    monkeypatch.chdir(world.root / "etc")
    world("cdsl", "make", "web", "sysconfig", "../var", "/var")
    assert [call[1] for call in world.fake.calls] == [
        *("/var", "/var"),
        *("/etc/sysconfig", "/etc/../var", "/var"),
    ]


def test_any_bytes_are_a_path(world: World) -> None:
    name = os.fsdecode(b"/caf\xe9")
    world("cdsl", "make", "web", name)
    assert world.fake.calls == [("make", name, ())]
    world.daemon()
    world("cdsl", "make", "web", name)
    assert world.asked == [("MakeHostDependent", "ayasa{sv}", b"/caf\xe9", [], {})]


def test_nodes_that_are_left_out_are_told(world: World) -> None:
    world.clusterconf.write_bytes(world.clusterconf.read_bytes().replace(b'nodeid="2"', b'nodeid="1"'))
    result = world("cdsl", "make", "web", "/v")
    assert "shares the nodeid 1" in result.stderr
    assert result.exit_code == 0
    assert world.fake.members.ids == ()


def test_a_cluster_conf_that_was_named_must_be_one(world: World) -> None:
    assert world("cdsl", "make", "web", "/v", "-c", "/nonexistent").exit_code == Exit.NOT_FOUND
    assert world("cdsl", "make", "web", "/v", "-c", str(world.configuration)).exit_code == Exit.UNREADABLE
    assert world.fake.calls == []


def test_ctrl_c_takes_the_work_back(world: World) -> None:
    asked = []

    def during(work: Work) -> None:
        asked.append(work.cancelled())
        signal.raise_signal(signal.SIGINT)
        asked.append(work.cancelled())
        raise FailedError("cancelled")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        world.fake.during = during
        result = world("cdsl", "make", "web", "/v")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert asked == [False, True]
    assert result.exit_code == Exit.INTERRUPTED
    assert "taking it back" in result.stderr


def test_progress_goes_to_standard_error(world: World) -> None:
    world.fake.during = lambda work: work.progress(0.5, "copying to 1")
    result = world("cdsl", "make", "web", "/v")
    assert "50% copying to 1" in result.stderr
    assert "copying" not in result.stdout
    assert world("cdsl", "make", "web", "/v", "--json").stderr == ""


def test_list(world: World) -> None:
    world.daemon()  # not even asked: whoever may read the disk may look
    result = world("cdsl", "list", "web")
    assert world.bus is not None
    assert world.bus.calls == []
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["PATH", "TYPE", "NODES"],
        ["/var", "hostdependent", "1", "2"],
        ["/var/lib", "shared", "1", "2"],
    ]
    assert json.loads(world("cdsl", "list", "web", "--json").stdout) == {
        "root": str(world.root),
        "cdsls": [
            {"path": "var", "type": "hostdependent", "nodes": ["1", "2"], "timestamp": "1795341958.99"},
            {"path": "var/lib", "type": "shared", "nodes": ["1", "2"], "timestamp": "1795341960.66"},
        ],
    }


def test_without_infrastructure_the_way_out_is_told(world: World) -> None:
    world.fake.known = None
    for words in (["list", "web"], ["show", "web"], ["make", "web", "/v", "--node", "1"]):
        result = world("cdsl", *words)
        assert result.exit_code == Exit.NOT_FOUND
        assert "osrctl cdsl init" in result.stderr


@pytest.mark.parametrize(
    ("severity", "code"), [(None, 0), (Severity.INFO, 0), (Severity.WARNING, 1), (Severity.ERROR, 1)]
)
def test_check(world: World, severity: Severity | None, code: int) -> None:
    if severity:
        fix = "osrctl cdsl repair"
        world.fake.findings = (Finding("cdsl-link", severity, "the link is gone", fix, node="2", value="var"),)
    result = world("cdsl", "check", "web")
    assert result.exit_code == code
    assert ("the link is gone" in result.stdout) == bool(severity)
    answer = world("cdsl", "check", "web", "--json")
    assert answer.exit_code == code
    assert len(json.loads(answer.stdout)["findings"]) == bool(severity)


def test_show_the_root(world: World) -> None:
    world.fake.bound = "2"
    text = world("cdsl", "show", "web").stdout
    for word in (str(world.root), "(web)", "cluster/cdsl", "cluster/shared", "cdsl.local, mounted: 2", "1 2"):
        assert word in text
    answer = json.loads(world("cdsl", "show", "web", "--json").stdout)
    assert (answer["name"], answer["nodes"], answer["bound"], answer["cdsls"]) == ("web", ["1", "2"], "2", 2)


def test_backups_list(world: World) -> None:
    world.fake.kept = ("a", "b")
    assert world("cdsl", "backups", "list", "web").stdout == "a\nb\n"
    assert json.loads(world("cdsl", "backups", "list", "web", "--json").stdout)["backups"] == ["a", "b"]


def completed(world: World, *words: str) -> list[str]:
    from click.shell_completion import ShellComplete

    session = Session(open_root=world.fake.open, configuration=str(world.configuration))
    complete = ShellComplete(osrctl, {"obj": session}, "osrctl", "_OSRCTL_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1]) if item.type == "plain"]


def test_completion(world: World) -> None:
    assert completed(world, "cdsl", "make", "w") == ["web"]
    assert completed(world, "cdsl", "make", "") == ["web"]  # pathless is on no disk here
    assert completed(world, "cdsl", "share", "web", "/v", "--from", "") == ["1", "2"]
    assert completed(world, "cdsl", "remove", "web", "/var/") == ["/var/lib"]
    assert completed(world, "shell", "web", "--node", "") == ["1", "2"]
    world.fake.kept = ("abc", "x")
    assert completed(world, "cdsl", "backups", "drop", "web", "a") == ["abc"]
    assert completed(world, "cdsl", "remove", "nowhere", "/") == []


def test_completion_reads_the_configuration_that_was_typed(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other.conf"
    other.write_text(f"[root mail]\npath = {world.root}\n")
    for words in (("cdsl", "make"), ("initrd", "build"), ("initrd", "list")):
        assert completed(world, "--config", str(other), *words, "") == ["mail"]
    assert completed(world, "--config", str(other), "cdsl", "remove", "mail", "/var/") == ["/var/lib"]
    assert completed(world, "--config", str(tmp_path / "gone"), "cdsl", "make", "") == ["web"]


def test_the_object_is_asked_for_by_name(world: World) -> None:
    world.daemon()
    world("cdsl", "undo", str(world.root))
    assert world.bus is not None
    assert ("GetRoot", "sa{sv}", "web", {}) in world.bus.calls
    assert root_path("web") == f"{ROOT}/roots/web"
