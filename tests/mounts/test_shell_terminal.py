# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl shell on a terminal: keys reach the command, jobs stop and go on, the terminal comes back."""

import os
import pty
import re
import select
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.mounts.namespace import private_mounts
from tests.mounts.test_shell import bootable, command

pytestmark = pytest.mark.root


class Screen:
    """A program on a terminal of its own."""

    def __init__(self, *argv: str) -> None:
        self.text = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PS1": "outer> ", "TERM": "dumb", "ENV": ""}
            os.execvpe(argv[0], argv, variables)

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def see(self, pattern: str, seconds: float = 20.0) -> str:
        """Read until ``pattern`` is there; what was up to it is forgotten, so that nothing is seen twice."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"not on the terminal: {pattern!r}; but: {self.text!r}")
            try:
                self.text += os.read(self._fd, 4096).decode(errors="replace")
            except OSError:  # EIO: the program ended
                raise AssertionError(f"ended without {pattern!r}: {self.text!r}") from None
        self.text = self.text[found.end() :]
        return found[0]

    def end(self) -> int:
        """The exit status; what it still says is read, so that it does not wait for a reader."""
        with pytest.raises(AssertionError, match=r"^ended without"):
            self.see("$never^")
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@private_mounts
def test_an_interactive_shell(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    screen = Screen(*command(root, "2", "sh"))
    screen.see(r"\[2@root /\]# ")
    screen.type("tty; cat /cdsl.local/who; echo; exit 4\n")
    screen.see("/dev/console\r\n2\r\n")
    assert screen.end() == 4
    assert "cannot set" not in screen.text.lower()


@private_mounts
def test_ctrl_c_is_the_commands(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    screen = Screen(*command(root, "2", "sh", "-c", "trap 'echo caught; exit 5' INT; echo go; sleep 60 & wait"))
    screen.see("go\r\n")
    screen.type("\x03")
    screen.see("caught")
    assert screen.end() == 5
    screen = Screen(*command(root, "2", "sh", "-c", "echo go; exec sleep 60"))
    screen.see("go\r\n")
    screen.type("\x03")
    assert screen.end() == 130


@private_mounts
def test_a_shell_inside_stays_when_its_job_is_interrupted(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    screen = Screen(*command(root, "1", "bash", "--norc"))
    screen.see(r"\]# ")
    # Keys that come before the job has the terminal are the shell's: the job says when it has.
    screen.type("sh -c 'echo up; exec sleep 60'\n")
    screen.see("\nup\r\n")
    screen.type("\x03")
    screen.see(r"\]# ")
    screen.type("sh -c 'echo up; read x; echo got $x'\n")
    screen.see("\nup\r\n")
    screen.type("\x1a")
    screen.see("Stopped")
    screen.see(r"\]# ")
    screen.type("fg\n")
    screen.see(r"\nsh -c ")
    screen.type("word\n")
    screen.see("\ngot word")
    screen.type("exit 6\n")
    assert screen.end() == 6


@private_mounts
def test_a_suspended_command_gives_the_terminal_back(tmp_path: Path) -> None:
    """Ctrl-Z in the outer shell's job, then fg: the command goes on where it was."""
    root = bootable(tmp_path / "root")
    script = tmp_path / "osrctl"
    words = " ".join(f"'{word}'" for word in command(root, "2", "sh", "-c", "echo go; read x; echo got $x")[3:])
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path}/driver.py {words}\n")
    (tmp_path / "driver.py").write_text(command(root, "2")[2])
    script.chmod(0o755)
    screen = Screen("bash", "--norc", "-i")
    screen.see("outer> ")
    screen.type(f"{script}\n")
    screen.see("go\r\n")
    screen.type("\x1a")
    screen.see("Stopped")
    screen.see("outer> ")
    screen.type("echo here; fg\n")
    screen.see("\nhere\r\n")
    screen.see("osrctl")
    screen.type("word\n")
    screen.see("got word")
    screen.see("outer> ")
    screen.type("exit 0\n")
    assert screen.end() == 0


@private_mounts
def test_the_terminal_comes_back_to_a_script(tmp_path: Path) -> None:
    """A script has no job control: nobody but osrctl gives the terminal back to it."""
    root = bootable(tmp_path / "root")
    (tmp_path / "driver.py").write_text(command(root, "2")[2])
    inner = f"{sys.executable} {tmp_path}/driver.py {root} 2 bash --norc"
    screen = Screen("sh", "-c", f"{inner}; echo after; read line; echo read $line")
    screen.see(r"\]# ")
    screen.type("exit\n")
    screen.see("after\r\n")
    screen.type("word\n")
    screen.see("read word")
    assert screen.end() == 0
