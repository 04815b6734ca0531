# SPDX-License-Identifier: GPL-3.0-or-later
"""Another file system mounted below a root has CDSLs of its own (spec/cdsl.md 1.6), and bugs 22 to 24 are not ours."""

import subprocess
from pathlib import Path

import pytest

from tests.cdsl.commands import Commands, make_system
from tests.mounts.namespace import private_mounts

pytestmark = [pytest.mark.root, pytest.mark.needs("mount")]


@private_mounts
def test_paths_on_another_file_system_are_its_own_business(tmp_path: Path) -> None:
    run = Commands(make_system(tmp_path))
    data = run.root / "mnt/data"
    data.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "data", str(data)], check=True)
    (data / "app/lib").mkdir(parents=True)
    (data / "app/own").write_text("own")
    (data / "app/lib/all").write_text("all")
    run.on_root("com-mkcdslinfrastructure", "--maxnodeidnum", "2")
    run.on_root("com-cdslinvadm", "-m", "/mnt/data", "--maxnodeidnum=2", "create")
    run.on_root("com-mkcdsl", "-a", "/mnt/data/app", "-s", "/mnt/data/app/lib")
    assert run.on_root("com-cdslinvadm", "listcdsls").splitlines()[1:] == ["/:", "/mnt/data:", "\tapp", "\tapp/lib"]
    subprocess.run(["mount", "--bind", f"{data}/cluster/cdsl/2", f"{data}/cdsl.local"], check=True)
    (data / "app/own").write_text("of node 2")
    assert (data / "cluster/cdsl/1/app/own").read_text() == "own"
    assert (data / "cluster/cdsl/2/app/own").read_text() == "of node 2"
    assert (data / "app/lib/all").read_text() == "all"
    run.on_root("com-cdslinvadm", "-m", "mnt/data", "addnode", "3")
    assert (data / "cluster/cdsl/3/app/own").read_text() == "own"
    refused = run("osrctl", "cdsl", "make", str(run.root), "/mnt/data/other")
    assert refused.returncode != 0
    assert "mnt/data" in refused.stderr
    run.on_root("com-rmcdsl", "/mnt/data/app/lib")
    assert not (data / "cluster/cdsl/3/app/lib").is_symlink()
