# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that works for long and says how far it is."""

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence

from osrd.apply.runner import NOT_EXECUTABLE, NOT_FOUND, Completed

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_CHUNK = 65536
_LAST = 65536  # bytes of complaints that are kept
_ENDS = re.compile(rb"[\r\n]")
_GRACE = 10.0  # seconds to clean up in


def run_telling(argv: Sequence[str], tell: Callable[[str], None]) -> Completed:
    """Run ``argv`` to its end; ``tell`` hears each line of its output, and each that a carriage return ends. Whatever
    ``tell`` raises, or Ctrl-C, ends the program, and then goes on."""
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except FileNotFoundError:
            return Completed(tuple(argv), NOT_FOUND, "", f"{argv[0]} is not installed")
        except OSError as error:
            return Completed(tuple(argv), NOT_EXECUTABLE, "", f"{argv[0]} cannot be started: {error.strerror}")
        assert process.stdout is not None
        try:
            _listen(process.stdout.fileno(), tell)
            process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            process.stdout.close()
        size = complaints.seek(0, os.SEEK_END)
        complaints.seek(max(0, size - _LAST))
        return Completed(tuple(argv), process.returncode, "", complaints.read().decode(errors="replace"))


def _listen(fd: int, tell: Callable[[str], None]) -> None:
    rest = b""
    while data := os.read(fd, _CHUNK):
        *whole, rest = _ENDS.split(rest + data)
        # Only the newest counts, however many came at once.
        for line in [line for line in whole if line][-1:]:
            tell(line.decode(errors="replace"))
        rest = rest[-_CHUNK:]


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
