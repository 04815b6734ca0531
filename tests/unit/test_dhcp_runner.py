# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner: argv, environment, input, limits, and what happens to programs that do not end."""

import gc
import os
import sys
import time
from pathlib import Path

from osrd.apply.runner import NOT_EXECUTABLE, NOT_FOUND, TIMED_OUT, SubprocessRunner
from tests.eventually import eventually

RUN = SubprocessRunner().run


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-c", code]


def test_arguments_are_passed_as_they_are() -> None:
    words = ["a b", 'q"$(id)', "new\nline", "*", ""]
    done = RUN(python("import sys; print(ascii(sys.argv[1:]))") + words)
    assert done.ok
    assert done.stdout == ascii(words) + "\n"


def test_the_environment_is_empty_but_for_path_and_locale() -> None:
    os.environ["OSRD_TEST_SECRET"] = "x"
    try:
        names = {line.partition("=")[0] for line in RUN(["env"]).stdout.splitlines()}
    finally:
        del os.environ["OSRD_TEST_SECRET"]
    assert names == {"PATH", "LC_ALL"}


def test_input_is_delivered_and_otherwise_empty() -> None:
    assert RUN(["cat"], input=b"x" * 300_000).stdout == "x" * 300_000
    assert RUN(["cat"], timeout=5).stdout == ""
    assert RUN(["true"], input=b"x" * 300_000).ok


def test_both_streams_and_the_status_come_back() -> None:
    done = RUN(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert (done.returncode, done.stdout, done.stderr, done.ok) == (3, "out\n", "err\n", False)


def test_a_signal_is_a_negative_status() -> None:
    assert RUN(python("import os; os.kill(os.getpid(), 9)")).returncode == -9


def test_endless_output_is_read_and_capped() -> None:
    done = SubprocessRunner(limit=1000).run(python("print('y' * 5_000_000)"))
    assert done.ok
    assert done.stdout == "y" * 1000
    short = RUN(python("import sys; [print('z' * 999) for _ in range(1000)]; print('end', file=sys.stderr)"))
    assert len(short.stdout) == 1_000_000
    assert short.stderr == "end\n"


def test_missing_and_unusable_programs_are_statuses() -> None:
    assert RUN(["osrd-no-such-program"]).returncode == NOT_FOUND
    assert "osrd-no-such-program is not installed" in RUN(["osrd-no-such-program"]).stderr
    assert RUN(["/etc/passwd"]).returncode == NOT_EXECUTABLE


def test_a_deadline_kills_the_program_and_its_children(tmp_path: Path) -> None:
    note = tmp_path / "child"
    code = f"""
import os, subprocess
child = subprocess.Popen(["sleep", "60"])
open({str(note)!r} + ".new", "w").write(str(child.pid)); os.rename({str(note)!r} + ".new", {str(note)!r})
child.wait()
"""
    start = time.monotonic()
    done = RUN(python(code), timeout=2)
    assert time.monotonic() - start < 10
    assert done.returncode == TIMED_OUT
    assert "had not ended after 2 s" in done.stderr
    child = int(note.read_text())
    eventually(lambda: _gone(child), "the child being gone")


def test_a_daemon_that_keeps_the_pipes_open_does_not_keep_us() -> None:
    start = time.monotonic()
    done = RUN(python("import subprocess; subprocess.Popen(['sleep', '8']); print('started')"))
    assert time.monotonic() - start < 6
    assert (done.ok, done.stdout) == (True, "started\n")


def test_no_descriptor_is_left_behind() -> None:
    gc.collect()  # what other tests left would be closed meanwhile
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        RUN(["true"])
        RUN(["osrd-no-such-program"])
        RUN(["sleep", "9"], timeout=0.05)
    assert len(os.listdir("/proc/self/fd")) == before


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")
    except FileNotFoundError:
        return True
