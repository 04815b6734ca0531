# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard input, output and error as callers leave them: closed, full, or read by nobody any more."""

import os
import sys


def open_standard_streams() -> None:
    """What the caller closed (``osrctl plan >&-``) is /dev/null: Python has no stream there, and the next file that
    is opened would get its number, and what is printed."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace"))


def flush_or_discard() -> None:
    """Write what is still to be written; what nobody takes goes to /dev/null, since Python would try again at its exit
    and complain (docs.python.org, signal)."""
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()


def discard_output() -> None:
    """Let Python's flush at exit meet /dev/null, not the pipe that nobody reads (docs.python.org, signal)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def reason(error: OSError) -> str:
    """What the system refused, in words: usually that a disk is full, or that the current directory is gone."""
    name = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
    return f"{name}{error.strerror or str(error) or type(error).__name__}"
