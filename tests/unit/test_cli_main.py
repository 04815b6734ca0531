# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl as a program: start-up, the man page, completion, signals."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from osrd import __version__
from osrd.bus.names import ROOT
from osrd.cli.exits import Exit
from osrd.cli.main import osrctl
from osrd.model.errors import NotFoundError
from tests.conftest import REPOSITORY
from tests.scripted_bus import ScriptedBus, run

MAN = REPOSITORY / "man/osrctl.8"
COMPLETIONS = REPOSITORY / "data/completions"


def program(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "osrd.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        else:
            yield above + name, command


@pytest.mark.parametrize("arguments", [["--help"], ["node", "--help"], ["--version"]])
def test_help_loads_nothing_that_it_does_not_need(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom osrd.cli.main import osrctl\n"
        f"osrctl({arguments!r}, standalone_mode=False)\n"
        "print('LOADED', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=60
    )
    loaded = {name.split(".")[0] for name in done.stdout.split("LOADED ")[1].split()}
    assert not loaded & {"lxml", "rich", "asyncio", "dbus_next", "dbus_fast", "jinja2", "pyinotify", "systemd"}
    assert "osrd.bus.client" not in done.stdout


def test_check_and_json_do_without_rich_and_the_bus(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom osrd.cli.main import osrctl\n"
        f"osrctl(['check', '--json', {str(tmp_path)!r}], standalone_mode=False)\n"
        "print('LOADED', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=60
    )
    loaded = {name.split(".")[0] for name in done.stdout.split("LOADED ")[1].split()}
    assert not loaded & {"rich", "asyncio", "dbus_next", "dbus_fast"}


def test_version() -> None:
    assert program("--version").stdout == f"osrctl, version {__version__}\n"


def test_usage_errors_exit_with_2() -> None:
    for arguments in (["nonsense"], ["show"], ["nodes", "--nonsense"]):
        done = program(*arguments)
        assert done.returncode == Exit.USAGE
        assert "Traceback" not in done.stderr


def test_another_osrd_conf_has_other_roots(tmp_path: Path) -> None:
    configuration = tmp_path / "osrd.conf"
    configuration.write_text(f"[root elsewhere]\npath = {tmp_path}\n")
    done = program("--config", str(configuration), "cdsl", "list", "elsewhere")
    assert f"{tmp_path} has no CDSL infrastructure" in done.stderr
    assert "no such directory" in program("cdsl", "list", "elsewhere").stderr
    missing = program("--config", str(tmp_path / "missing"), "cdsl", "list", "elsewhere")
    assert missing.returncode == 2
    assert "missing" in missing.stderr


def test_no_bus_is_said_plainly() -> None:
    done = program("--bus", "unix:path=/nonexistent/bus", "status")
    assert done.returncode == Exit.UNREACHABLE
    assert "systemctl start osrd" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error_message() -> None:
    code = (
        "from tests.scripted_bus import ScriptedBus\nfrom osrd.cli.main import osrctl\n"
        "from osrd.cli.session import Session\n"
        "rows = [['/x', str(i), 'node' * 9, 'unknown', False] for i in range(10000)]\n"
        "osrctl(['nodes'], obj=Session(connect=ScriptedBus({'ListNodes': [rows]}).connect))\n"
    )
    # Unbuffered, Python takes a write that the pipe took in part for a whole one.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=REPOSITORY,
        env=environment,
    )
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (Exit.BROKEN_PIPE, b"")


def in_a_shell(words: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """``words`` is a script, in which ``"$@"`` is Python with the ``arguments``."""
    return subprocess.run(
        ["/bin/sh", "-c", words, "sh", sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


LIST = "import sys; from osrd.cli.com.cdslinvadm import main; sys.argv = ['com-cdslinvadm', '--help']; main()"


@pytest.mark.parametrize(
    ("arguments", "status"), [(("-m", "osrd.cli", "completion", "bash"), Exit.FAILED), (("-c", LIST), 1)]
)
def test_an_output_that_nobody_can_take_is_said_in_a_line(arguments: tuple[str, ...], status: int) -> None:
    done = in_a_shell('exec "$@" > /dev/full', *arguments)
    assert done.returncode == status
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("arguments", [("-m", "osrd.cli", "completion", "bash"), ("-c", LIST)])
def test_an_output_that_nobody_wants_may_be_closed(arguments: tuple[str, ...]) -> None:
    done = in_a_shell('exec "$@" >&-', *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_nor_need_there_be_an_input() -> None:
    done = in_a_shell('exec "$@" <&-', "-m", "osrd.cli", "check", "-")
    assert done.returncode == Exit.UNREADABLE
    assert "the file is empty" in done.stderr


def test_a_directory_that_is_gone_is_said_in_a_line(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    words = f'cd {here} && rmdir {here} && exec "$@"'
    done = in_a_shell(words, "-m", "osrd.cli", "cdsl", "list", "web")
    assert done.returncode == Exit.FAILED
    assert done.stderr == "osrctl: error: No such file or directory\n"


def test_ctrl_c_is_quiet() -> None:
    code = (
        # A shell starts background jobs with SIGINT ignored, and so may whatever runs the tests.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import asyncio\nfrom tests.scripted_bus import ScriptedBus\nfrom osrd.cli.main import osrctl\n"
        "from osrd.cli.session import Session\n"
        "class Endless(ScriptedBus):\n"
        "    async def signals(self):\n"
        "        print('ready', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "        yield\n"
        "osrctl(['monitor', '--json'], obj=Session(connect=Endless().connect))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (Exit.INTERRUPTED, b"", b"")


def manual() -> str:
    """The man page without its markup."""
    return re.sub(r"\\f.|\\&", "", MAN.read_text()).replace("\\-", "-").replace('"', "")


@pytest.mark.parametrize(("name", "command"), list(commands(osrctl)), ids=[name for name, _ in commands(osrctl)])
def test_the_man_page_has_every_command_and_option(name: str, command: click.Command) -> None:
    text = manual()
    entry = re.search(rf"^\.TP\n(?:\.B[RI]? )?{re.escape(name)}\b.*?(?=^\.TP|^\.S[SH])", text, re.M | re.S)
    assert entry, f"osrctl.8 has no entry for {name}"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name != "json":
            for option in parameter.opts:
                if option != "-h":
                    assert option in entry[0], f"{name} {option}"


#: Commands whose result is no JSON: they run a program of the user's, or print a script.
NO_JSON = {"shell", "completion"}


def test_the_man_page_says_what_every_command_answers_in_json() -> None:
    text = manual()
    answers = text[text.index(".SH JSON OUTPUT") : text.index(".SH EXIT STATUS")]
    entries = {
        name.strip().removeprefix("cdsl ")
        for line in re.findall(r"^\.TP\n\.BR? (.*)$", answers, re.M)
        for name in line.split(" , ")
    }
    told = {name.removeprefix("cdsl ") for name, _ in commands(osrctl)} - NO_JSON
    assert told - entries == set()


def test_the_man_page_has_the_global_options_and_every_exit_status() -> None:
    text = manual()
    options = text[text.index(".SH OPTIONS") : text.index(".SH COMMANDS")]
    for parameter in osrctl.params:
        for option in parameter.opts:
            assert option in options
    statuses = text[text.index(".SH EXIT STATUS") : text.index(".SH AUTHORIZATION")]
    assert [int(number) for number in re.findall(r"^\.B (\d+)$", statuses, re.M)] == list(Exit)
    assert f"osrd {__version__}" in text


def test_the_man_page_gives_every_command_its_polkit_action() -> None:
    """From the bus interface's own annotations, so that the page cannot lag behind."""
    text = manual()
    authorization = text[text.index(".SH AUTHORIZATION") : text.index(".SH ENVIRONMENT")]
    xml = "".join(path.read_text() for path in (REPOSITORY / "data/dbus").glob("*.xml"))
    members = {
        "Reconcile": "reconcile",
        "Plan": "plan",
        "Apply": "apply",
        "Verify": "verify",
        "Rollback": "rollback",
        "Reload": "reload",
        "ListNodes": "nodes",
        "GetNode": "show",
        "AddNode": "node add",
        "SetNode": "node set",
        "RemoveNode": "node remove",
        "ListJobs": "jobs",
        "ListGenerations": "generations",
        "Cancel": "cancel",
    }
    for member, command in members.items():
        found = re.search(rf'<method name="{member}">.*?PolkitAction" value="([^"]+)"', xml, re.S)
        assert found, member
        entry = re.search(rf"^\.B {re.escape(found[1])}\n(.*)$", authorization, re.M)
        assert entry, found[1]
        assert command in re.split(r"[ ,]+(?=[a-z])(?!add|set|remove)", entry[1].partition(" ")[2]), command


@pytest.mark.needs("man")
def test_the_man_page_is_well_formed() -> None:
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(MAN)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""},
    )
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    script = run(ScriptedBus(), "completion", shell).stdout
    assert f"_OSRCTL_COMPLETE={shell}_complete" in script
    files = {"bash": "osrctl", "zsh": "_osrctl", "fish": "osrctl.fish"}
    assert f"osrctl completion {shell}" in (COMPLETIONS / files[shell]).read_text()


@pytest.mark.needs("bash")
def test_the_bash_file_completes_commands(tmp_path: Path) -> None:
    osrctl_program = tmp_path / "osrctl"
    osrctl_program.write_text(f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m osrd.cli "$@"\n')
    osrctl_program.chmod(0o755)
    script = (
        f'. "{COMPLETIONS}/osrctl" && complete -p osrctl && COMP_WORDS=(osrctl rec) COMP_CWORD=1 && '
        '_osrctl_completion osrctl && echo "GOT ${COMPREPLY[*]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=False,
        timeout=60,
    )
    assert "GOT reconcile" in done.stdout, done.stderr


def completed(bus: ScriptedBus, *words: str) -> list[str]:
    from click.shell_completion import ShellComplete

    from osrd.cli.session import Session

    complete = ShellComplete(osrctl, {"obj": Session(connect=bus.connect)}, "osrctl", "_OSRCTL_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


def test_node_names_are_completed_from_the_bus() -> None:
    rows = [[f"{ROOT}/nodes/{n}", n, f"node{n}", "unknown", False] for n in ("1", "2")]
    bus = ScriptedBus({"ListNodes": [[*rows, ["/x", "3", "node3\x1b", "unknown", False]]]})
    assert completed(bus, "--bus", "unix:path=/x", "show", "no") == ["node1", "node2"]
    assert bus.address == "unix:path=/x"
    assert completed(bus, "node", "remove", "node2") == ["node2"]
    assert completed(ScriptedBus({"ListNodes": NotFoundError("no osrd")}), "show", "") == []
