# SPDX-License-Identifier: GPL-3.0-or-later
"""Test bodies that mount for real, in a mount namespace that ends with them: nothing leaks, whatever fails."""

import functools
import os
import traceback
from collections.abc import Callable
from typing import ParamSpec

import pytest

from osrd.apply.syscalls import AT_FDCWD, CLONE_NEWNS, MS_PRIVATE, mount_setattr, unshare

P = ParamSpec("P")


def private_mounts(test: Callable[P, None]) -> Callable[P, None]:
    """The test runs in a child process with a private mount namespace; its failure is this one's, with its text."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if report := in_child(lambda: test(*args, **kwargs)):
            pytest.fail(report, pytrace=False)

    return run


def in_child(body: Callable[[], None]) -> str:
    """Run ``body`` in a child with a mount namespace of its own; "" or the traceback of what it raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(body, writer)
    os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as stream:
        report = stream.read()
    _, status = os.waitpid(child, 0)
    return report or ("" if status == 0 else f"the child ended with wait status {status}")


def _child(body: Callable[[], None], writer: int) -> None:
    status = 1
    try:
        unshare(CLONE_NEWNS)
        mount_setattr(AT_FDCWD, "/", propagation=MS_PRIVATE, recursive=True)
        body()
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, it is the test's result
        os.write(writer, traceback.format_exc().encode("utf-8", "replace"))
    finally:
        os._exit(status)
