# SPDX-License-Identifier: GPL-3.0-or-later
"""Linters and the type checker are tests: one command is the gate."""

import importlib.util
import shutil
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY, refuse


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("ruff", ["check", "."]),
        ("ruff", ["format", "--check", "."]),
        ("mypy", ["--cache-dir", ".mypy_cache"]),
    ],
    ids=["lint", "format", "types"],
)
def test_python(module: str, arguments: list[str]) -> None:
    if importlib.util.find_spec(module) is None:
        refuse(f"not installed: {module}")
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("sh")
@pytest.mark.parametrize("script", sorted(path.name for path in (REPOSITORY / "packaging").glob("*.sh")))
def test_shell(script: str) -> None:
    shell = shutil.which("dash") or "sh"
    done = subprocess.run([shell, "-n", f"packaging/{script}"], cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.needs("man")
@pytest.mark.parametrize("page", sorted(path.name for path in (REPOSITORY / "man").glob("*.[0-9]")))
def test_manual_pages_render_without_warnings(page: str) -> None:
    done = subprocess.run(
        ["man", "--warnings=w", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(REPOSITORY / "man" / page)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "100"},
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""


def test_every_source_says_its_licence() -> None:
    sources = [
        path
        for pattern in ("osrd/**/*.py", "tests/**/*.py", "bench/*.py", "packaging/*")
        for path in REPOSITORY.glob(pattern)
        if path.is_file() and path.stat().st_size and "__pycache__" not in path.parts
    ]
    assert len(sources) > 50
    silent = [
        str(path) for path in sources if "SPDX-License-Identifier: GPL-3.0-or-later" not in path.read_text()[:200]
    ]
    assert silent == []
