# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms of osrd and the one direction imports point (DESIGN 4), read from the source itself."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "osrd"

#: room: the rooms it may import from, beside itself. Files of the package itself (the composition root) may all.
ALLOWED = {
    "model": set(),
    "parse": {"model"},
    "plan": {"model", "parse"},
    "observe": {"model", "parse", "plan"},
    "apply": {"model", "parse", "plan", "observe"},
    "watch": {"model"},
    "engine": {"model", "parse", "plan", "observe", "apply"},
    "bus": {"model", "parse", "plan", "observe", "apply", "engine"},
    "cli": {"model", "parse", "plan", "observe", "apply", "engine", "bus"},
}
#: the functional core: no I/O, no clock, no chance
PURE = ("model", "parse", "plan")
IMPURE_MODULES = {"os", "subprocess", "asyncio", "logging", "time", "random", "socket", "pathlib"}
#: each in one module, so that it can be exchanged there
LIBRARIES = {frozenset({"dbus_next", "dbus_fast"}): "bus", frozenset({"pyinotify"}): "watch"}
#: functions of os and shutil that change the disk
WRITERS = {
    *("rename", "replace", "renames", "unlink", "remove", "rmdir", "removedirs", "mkdir", "makedirs", "symlink"),
    *("link", "truncate", "ftruncate", "chmod", "fchmod", "chown", "fchown", "lchown", "utime", "mkfifo", "mknod"),
    *("setxattr", "removexattr", "write", "pwrite", "copyfile", "copy", "copy2", "copytree", "move", "rmtree"),
}
#: methods that change the disk whatever object they belong to (pathlib)
WRITING_METHODS = {"write_text", "write_bytes", "touch", "symlink_to", "hardlink_to"}
RUNNERS = {"subprocess", "pty", "multiprocessing"}
RUNNING = {
    *("system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "execv", "execve", "execvp", "execvpe"),
    *("create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"),
}
ROOMS_THAT_WRITE = {"apply"}

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def room(module: Path) -> str:
    return module.parts[0] if len(module.parts) > 1 else ""


@cache
def nodes(module: Path) -> tuple[ast.AST, ...]:
    """Of the kinds that are looked at."""
    tree = ast.parse((PACKAGE / module).read_text(), str(module))
    kinds = (ast.Import, ast.ImportFrom, ast.Call, ast.Constant)
    return tuple(node for node in ast.walk(tree) if isinstance(node, kinds))


def imported(module: Path) -> Iterator[tuple[str, int]]:
    """Every module that ``module`` imports, wherever in it, with the line."""
    for node in nodes(module):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            yield node.module or "", node.lineno
            # "from osrd import bus" and "from os import path" import submodules
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def in_rooms(*rooms: str) -> list[Path]:
    return [module for module in MODULES if room(module) in rooms]


def test_every_room_is_known() -> None:
    assert {room(module) for module in MODULES} - {""} == set(ALLOWED)


@pytest.mark.parametrize("name", ALLOWED)
def test_imports_point_one_way(name: str) -> None:
    wrong = []
    for module in in_rooms(name):
        for target, line in imported(module):
            parts = target.split(".")
            if (
                parts[0] == "osrd"
                and len(parts) > 1
                and parts[1] in ALLOWED
                and parts[1] not in {*ALLOWED[name], name}
            ):
                wrong.append(f"osrd/{module}:{line} imports {target}")
            if parts[:2] == ["osrd", "main"]:
                wrong.append(f"osrd/{module}:{line} imports the composition root")
    assert wrong == []


def test_the_core_is_pure() -> None:
    wrong = [
        f"osrd/{module}:{line} imports {target}"
        for module in in_rooms(*PURE)
        for target, line in imported(module)
        if target.split(".", maxsplit=1)[0] in IMPURE_MODULES
    ]
    for module in in_rooms(*PURE):
        for node in nodes(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "input"):
                wrong.append(f"osrd/{module}:{node.lineno} calls {node.func.id}")
    assert wrong == []


@pytest.mark.parametrize(("libraries", "home"), LIBRARIES.items())
def test_a_library_has_one_door(libraries: frozenset[str], home: str) -> None:
    """Imported by a statement, or by a name handed to importlib, which any text equal to the name may become."""
    users = set()
    for module in MODULES:
        names = {target.split(".", maxsplit=1)[0] for target, _ in imported(module)}
        names |= {str(node.value) for node in nodes(module) if isinstance(node, ast.Constant)}
        if names & libraries:
            users.add(module)
    assert len(users) == 1, users
    assert {room(module) for module in users} == {home}


def called(node: ast.Call) -> tuple[str, str]:
    """The module (or "") and the name of what is called: ("os", "rename") for os.rename()."""
    if isinstance(node.func, ast.Attribute):
        owner = node.func.value
        return owner.id if isinstance(owner, ast.Name) else "?", node.func.attr
    return "", node.func.id if isinstance(node.func, ast.Name) else ""


def writes(node: ast.Call) -> str:
    """What ``node`` does to the disk, "" when nothing."""
    owner, name = called(node)
    if owner in ("os", "shutil", "tempfile") and (name in WRITERS or owner == "tempfile"):
        return f"{owner}.{name}()"
    if owner and name in WRITING_METHODS:
        return f".{name}()"
    if (owner, name) == ("os", "open") and ast.unparse(node.args[0]) != "os.devnull":
        flags = {
            each.attr for argument in node.args[1:] for each in ast.walk(argument) if isinstance(each, ast.Attribute)
        }
        if flags & {"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"}:
            return "os.open() for writing"
    if name == "open" and owner != "os":
        # open(FILE, MODE), but PATH.open(MODE)
        modes = [*node.args[(0 if owner else 1) :][:1], *(key.value for key in node.keywords if key.arg == "mode")]
        for mode in modes:
            if isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+"):
                return "open() for writing"
    return ""


def test_only_the_apply_room_writes() -> None:
    wrong = []
    for module in MODULES:
        if room(module) in ROOMS_THAT_WRITE:
            continue
        for node in nodes(module):
            if isinstance(node, ast.Call) and (what := writes(node)):
                wrong.append(f"osrd/{module}:{node.lineno} {what}")
    assert wrong == []


def test_only_the_apply_room_runs_programs() -> None:
    wrong = []
    for module in MODULES:
        if room(module) in ROOMS_THAT_WRITE:
            continue
        wrong += [
            f"osrd/{module}:{line} imports {target}"
            for target, line in imported(module)
            if target.split(".", maxsplit=1)[0] in RUNNERS
        ]
        for node in nodes(module):
            if isinstance(node, ast.Call) and called(node)[0] and called(node)[1] in RUNNING:
                wrong.append(f"osrd/{module}:{node.lineno} calls {called(node)[1]}()")
    assert wrong == []


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("os.rename(a, b)", "os.rename()"),
        ("os.open(p, os.O_RDONLY | os.O_CLOEXEC)", ""),
        ("os.open(p, os.O_WRONLY | os.O_CLOEXEC)", "os.open() for writing"),
        ("os.open(os.devnull, os.O_WRONLY)", ""),
        ("open(p)", ""),
        ("open(p, 'rb')", ""),
        ("open(p, 'w')", "open() for writing"),
        ("open(p, mode='r+b')", "open() for writing"),
        ("Path(p).open('a')", "open() for writing"),
        ("Path(p).write_text(t)", ".write_text()"),
        ("shutil.rmtree(p)", "shutil.rmtree()"),
        ("stream.write(t)", ""),
        ("text.replace(a, b)", ""),
    ],
)
def test_the_rule_sees_writers(code: str, what: str) -> None:
    """The rule itself must be able to fail."""
    statement = ast.parse(code).body[0]
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    assert writes(statement.value) == what


def test_a_host_without_shared_roots_does_not_load_what_works_in_them() -> None:
    program = "import sys, osrd.main, osrd.bus.service; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    assert {"osrd.main", "osrd.engine.whenneeded"} <= loaded
    assert not loaded & {"osrd.engine.sharedroot", "osrd.engine.initrds", "osrd.plan.rootcare.cdsls", "click", "rich"}
