# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine in a container: its own systemd, bus, polkit and journal, and no network but its own."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.eventually import eventually

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
#: what systemd-nspawn ends with when the container wants to be started again, and another unit would do that
_REBOOT = 133


class Container:
    """Boots the directory ``root``, to which it writes. PID 1 of the tests' machine need not be systemd."""

    def __init__(self, root: Path, console: Path) -> None:
        self._root = root
        self._console = console
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._spawned: list[subprocess.Popen[bytes]] = []
        self.pid = 0  # of its PID 1

    def start(self) -> None:
        """Switch it on, and wait until it has booted."""
        argv = ["systemd-nspawn", "--quiet", "--boot", f"--directory={self._root}", "--machine=boothost"]
        argv += ["--register=no", "--keep-unit", "--settings=no", "--private-network", "--console=pipe"]
        argv += ["--link-journal=no", "--resolv-conf=off", "--timezone=off"]
        self.pid = 0  # after a reboot the old one may be anybody's
        with self._console.open("ab") as console:
            self._nspawn = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            self.pid = eventually(self._first_process, "the container has a systemd", 60)
            eventually(self._booted, "the container has booted", 120)
        except AssertionError as error:
            raise AssertionError(f"{error}; its console ends:\n{self._said()[-4000:]}") from None

    def stop(self) -> None:
        """Pull the plug."""
        for process in self._spawned:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        if self._nspawn is not None and self._nspawn.poll() is None:
            os.kill(self.pid or self._nspawn.pid, signal.SIGKILL)
            self._nspawn.wait(30)

    def reboot(self, meanwhile: Callable[[Path], object] = lambda _: None) -> None:
        """As its administrator does it; ``meanwhile`` gets its disk when it is off."""
        assert self._nspawn is not None
        self.run("systemctl", "reboot", check=False)  # the bus may be gone before it answers
        assert self._nspawn.wait(120) == _REBOOT
        meanwhile(self._root)
        self.start()

    def run(
        self, *argv: str | Path, user: str = "", check: bool = True, timeout: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        """A command of root, or of ``user``, in it."""
        done = subprocess.run(
            [*self._enter(user), *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            env=_ENVIRONMENT,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def says(self, *argv: str | Path, user: str = "") -> str:
        """What the command prints, without the end of the last line."""
        return self.run(*argv, user=user).stdout.rstrip("\n")

    def typed(self, command: str, words: str) -> str:
        """What a terminal shows of root's command, to which ``words`` are typed."""
        argv = [*self._enter(""), "script", "--quiet", "--return", "--command", command, "/dev/null"]
        done = subprocess.run(
            argv, input=words, capture_output=True, text=True, env=_ENVIRONMENT, timeout=300, check=False
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.replace("\r\n", "\n")

    def spawn(self, *argv: str | Path, user: str = "", output: Path) -> "subprocess.Popen[bytes]":
        """A command that goes on; all it says is in ``output``."""
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*self._enter(user), *argv], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=_ENVIRONMENT
            )
        self._spawned.append(process)
        return process

    def path(self, name: str) -> Path:
        """A file as the container's own processes see it, mounts and all; ``name`` begins with a slash."""
        return Path(f"/proc/{self.pid}/root{name}")

    def _enter(self, user: str) -> list[str]:
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        enter += ["--root", "--wd"]
        if not user:
            return enter
        group = "nogroup" if user == "nobody" else user
        return [*enter, "setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups", "--"]

    def _first_process(self) -> int:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, "systemd-nspawn has ended"
        return next((child for child in _children(self._nspawn.pid) if _is_first(child)), 0)

    def _said(self) -> str:
        return self._console.read_text(errors="replace")

    def _booted(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, "systemd-nspawn has ended"
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_first(pid: int) -> bool:
    """Whether this is PID 1 of a namespace of its own, and systemd already."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return fields["Name"].strip() == "systemd" and fields["NSpid"].split()[1:] == ["1"]
