# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl shell``: a command in a shared root as one node sees it, instead of the seed's mount, chroot and umount.

Three processes beside the caller, all gone when the command is:

    caller (osrctl) -- helper: the namespaces, waits -+- number 1 of the command's process numbers: mounts /proc, reaps
                                                      +- the command

The private mount namespace ends with its last process, and killing number 1 ends every process in there: nothing is
mounted on the host at any time, and a daemon that was started in there cannot be left behind. The command cannot see
processes of this host, so a pid file of the node is never taken for one of them.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NamedTuple, NoReturn

from osrd.apply.namespaces import die_with_parent, enter_own_namespaces, leave_the_machine_alone
from osrd.apply.shellroot import ShellRoot, Tell, login_inside
from osrd.apply.terminal import Terminal, foreground_terminal
from osrd.model import errors
from osrd.model.cdsl import Layout
from osrd.model.errors import FailedError, OsrdError
from osrd.plan.shell import environment

#: of the helper when it could not start the command; the caller of run() gets an error instead
_NOT_STARTED = 125
#: said through a pipe instead of an error
_READY = b"ready"
_NOT_RUNNABLE, _NOT_FOUND = 126, 127
#: for the command; its terminal sends them to every process of the job
_COMMANDS_OWN = (signal.SIGINT, signal.SIGQUIT)
#: sent to us, meant for the command
_FORWARDED = (signal.SIGTERM, signal.SIGHUP)
_RESET = (*_COMMANDS_OWN, *_FORWARDED, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTOU, signal.SIGCHLD)


def _say(message: str) -> None:
    print(f"osrctl: {message}", file=sys.stderr, flush=True)


def run(root: str, node: str, argv: Sequence[str], layout: Layout, *, tell: Tell = _say) -> int:
    """Run ``argv`` (empty: the shell of root's user) in the shared root ``root`` as ``node`` sees it ("": the node
    whose tree is bound, else the first one), with this process's terminal and standard files.

    Returns its exit status, 128 + n when signal n ended it, 126 or 127 when it could not be executed or found.
    ``tell`` gets what is worth knowing before the command starts; it is called in another process. Call it from the
    main thread. Raises OsrdError when the root cannot be shown: nothing was started then.
    """
    terminal = foreground_terminal()
    reader, writer = os.pipe()
    caller = os.getpid()
    with _signals_for_the_command() as forward_to:
        helper = os.fork()
        if helper == 0:
            os.close(reader)
            _helper(writer, caller, _Wish(root, node, tuple(argv), layout, tell), terminal)
        forward_to.append(helper)
        os.close(writer)
        with open(reader, "rb") as stream:
            report = stream.read()
        status = _exit_status(os.waitpid(helper, 0)[1])
    if terminal is not None:
        terminal.take_back()
    if report != _READY:
        raise _told(report) if report else FailedError("the command was not started", "see the messages above")
    return status


class _Wish(NamedTuple):
    """What run() was asked for."""

    root: str
    node: str
    argv: tuple[str, ...]
    layout: Layout
    tell: Tell


def _helper(writer: int, caller: int, wish: _Wish, terminal: Terminal | None) -> NoReturn:
    status = _NOT_STARTED
    try:
        die_with_parent(caller)
        status = _shown(writer, wish, terminal)
    except OsrdError as error:
        _report(writer, error)
    except OSError as error:
        _report(writer, FailedError(f"{wish.root} cannot be shown as a node sees it: {error}"))
    finally:
        sys.stderr.flush()
        os._exit(status)


def _shown(writer: int, wish: _Wish, terminal: Terminal | None) -> int:
    own_user = enter_own_namespaces()
    root = ShellRoot(wish.root, wish.node, wish.layout, wish.tell, own_user=own_user)
    first = _number_one(root)
    root.enter()
    if not own_user:
        os.setgroups([])
        leave_the_machine_alone()
    with _signals_for_the_command() as forward_to:
        command = os.fork()
        if command == 0:
            _command(wish, root.node, terminal)
        forward_to.append(command)
        os.write(writer, _READY)
        os.close(writer)
        status = _waited(command, terminal)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    return status


def _number_one(root: ShellRoot) -> int:
    """Start process 1 of the new process numbers and wait until it has mounted /proc."""
    reader, writer = os.pipe()
    first = os.fork()
    if first == 0:
        _first(root, writer)
    os.close(writer)
    with open(reader, "rb") as stream:
        report = stream.read()
    if report != _READY:
        raise _told(report) if report else FailedError("process 1 of the shell ended at once")
    return first


def _first(root: ShellRoot, writer: int) -> NoReturn:
    try:
        # Its parent is outside of its process numbers and therefore 0 to it.
        die_with_parent(0)
        for number in (*_COMMANDS_OWN, *_FORWARDED, signal.SIGCHLD):  # SIGCHLD ignored: the kernel reaps
            signal.signal(number, signal.SIG_IGN)
        os.chdir("/")
        root.mount_proc()
        os.write(writer, _READY)
        _close_files_from(3)
        while True:
            signal.pause()
    except OSError as error:
        _report(writer, FailedError(f"/proc cannot be mounted: {error}"))
    finally:
        os._exit(1)


def _command(wish: _Wish, node: str, terminal: Terminal | None) -> NoReturn:
    try:
        if terminal is not None and terminal.whole_job:
            os.setpgid(0, 0)
            terminal.give(os.getpgrp())
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(0o022)
        user = login_inside()
        argv = wish.argv or (user.shell,)
        variables = environment(os.environ, user, node, wish.root)
        _close_files_from(3)
        try:
            os.execvpe(argv[0], argv, variables)
        except OSError as error:
            wish.tell(f"{argv[0]}: {error.strerror}")
            sys.stderr.flush()
            os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUNNABLE)
    finally:
        os._exit(_NOT_RUNNABLE)


def _close_files_from(lowest: int) -> None:
    """Nothing of the host stays reachable through an inherited descriptor."""
    os.closerange(lowest, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _waited(command: int, terminal: Terminal | None) -> int:
    """Wait for the command. When it is suspended in a process group of its own, so is this job: the shell that
    started it gets the terminal back, and fg brings both back."""
    while True:
        _, status = os.waitpid(command, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return _exit_status(status)
        with suppress(ProcessLookupError):
            group = os.getpgid(command)
            if group != os.getpgrp():
                os.killpg(0, signal.SIGSTOP)
                if terminal is not None:
                    terminal.pass_on(group)
                os.killpg(group, signal.SIGCONT)


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


@contextmanager
def _signals_for_the_command() -> Iterator[list[int]]:
    """Keys of the terminal reach the command by themselves and are ignored here; what is sent to this process alone
    is passed on to the one in the list."""
    receiver: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        for pid in receiver:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in _COMMANDS_OWN}
    handlers |= {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield receiver
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _report(writer: int, error: OsrdError) -> None:
    told = {"kind": type(error).__name__, "message": error.message, "fix": error.fix}
    os.write(writer, json.dumps(told).encode())


def _told(report: bytes) -> OsrdError:
    told = json.loads(report)
    kind = getattr(errors, told["kind"])
    error = kind(told["message"], told["fix"])
    assert isinstance(error, OsrdError)
    return error
