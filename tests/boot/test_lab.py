# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab and its machines, without a machine: what is told when something fails, and that nothing is left."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boot import lab as labs
from tests.boot import workshop
from tests.boot.cluster import configuration, switched_on
from tests.boot.lab import PLACE, Lab
from tests.boot.machine import Machine
from tests.end_to_end.serving import MAC1, corrected

pytestmark = [pytest.mark.root, pytest.mark.needs("nsenter", "unshare", "ip")]

#: says what the test wants on its console, and goes on until it is killed
_QEMU = """#!/bin/sh
for word; do
    case $word in file,id=console,path=*) console=${word#*path=} ;; esac
done
cat "$0.says" >>"${console%,append=on}"
exec sleep infinity
"""


@pytest.fixture
def bin_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs in it come before those of the system."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return tmp_path / "bin"


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(corrected(), configuration()) as made:
        yield made


def test_a_boot_that_has_failed_is_not_waited_for(lab: Lab, bin_directory: Path) -> None:
    program(bin_directory / "qemu-system-x86_64", _QEMU)
    says = bin_directory / "qemu-system-x86_64.says"
    for words in (
        "mount.nfs4: no\nosr-param list shows what is known\n",
        "VFS\nKernel panic - not syncing: no init\n",
    ):
        says.write_text(words)
        with (
            switched_on(Machine(lab, "node1", MAC1)) as machine,
            pytest.raises(AssertionError, match=r"node1: .* says '(osr-param|Kernel panic)(?s:.*)(mount\.nfs4|VFS)"),
        ):
            machine.wait_until_up(600)


def test_what_qemu_complains_of_is_told(bin_directory: Path, logs: Path) -> None:
    program(bin_directory / "qemu-system-x86_64", "#!/bin/sh\necho no such option ROM >&2\nexit 1\n")
    with (
        Lab(corrected(), configuration()) as lab,
        switched_on(Machine(lab, "node1", MAC1)) as machine,
        pytest.raises(AssertionError, match=r"is off(?s:.*)QEMU says: no such option ROM"),
    ):
        machine.wait_until_up(600)
    assert "no such option ROM" in (logs / "qemu-node1.log").read_text()


def test_a_workshop_that_hangs_says_where(bin_directory: Path, tmp_path: Path) -> None:
    program(bin_directory / "qemu-system-x86_64", "#!/bin/sh\necho mkfs.gfs2: device is busy\nexec sleep infinity\n")
    log = tmp_path / "log"
    workshop._boot(tmp_path / "kernel", tmp_path / "initrd", (), log, 1)
    assert log.read_text() == "mkfs.gfs2: device is busy\n"


def test_a_lab_that_cannot_be_made_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(labs, "_HOLD", "echo bridges are not supported >&2; exec sleep infinity >/dev/null 2>&1\n")
    spawned, spawn = [], Lab.spawn

    def spawning(*arguments: Any, **more: Any) -> "subprocess.Popen[bytes]":
        spawned.append(spawn(*arguments, **more))
        return spawned[-1]

    monkeypatch.setattr(Lab, "spawn", spawning)
    with pytest.raises(AssertionError, match="bridges are not supported"):
        Lab(corrected(), configuration())
    assert [path.name for path in tmp_path.iterdir()] == []
    assert [process.poll() is not None for process in spawned] == [True]


def test_without_a_place_for_logs_everything_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(Lab, "logs", tmp_path / "file/logs")
    lab = Lab(corrected(), configuration())
    with pytest.raises(NotADirectoryError):
        lab.close()
    assert not lab.directory.exists()
    assert all(process.poll() is not None for process in lab._processes)


def test_a_root_that_somebody_looks_at_is_unmounted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.inside("mount", "-t", "tmpfs", "none", PLACE)
    looking = lab.spawn(
        [*lab.wrapper, "sh", "-c", f"cd {PLACE} && echo there && exec sleep infinity"], stdout=subprocess.PIPE
    )
    assert looking.stdout is not None
    assert looking.stdout.readline() == b"there\n"
    tried, run = [], lab.inside

    def inside(*argv: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        tried.append(run(*argv, check=check))
        looking.kill()
        looking.wait()
        return tried[-1]

    monkeypatch.setattr(lab, "inside", inside)
    lab.unmount(PLACE)
    assert [done.returncode != 0 for done in tried] == [True, False]


@pytest.mark.needs("rpcbind", "rpcinfo", "ganesha.nfsd")
def test_the_nfs_server_is_started_when_it_can_register(lab: Lab, bin_directory: Path) -> None:
    """rpcbind is slow here, as it is on a busy machine."""
    real = subprocess.run(["which", "rpcbind"], check=True, capture_output=True, text=True).stdout.strip()
    program(bin_directory / "rpcbind", f'#!/bin/sh\nsleep 2\nexec {real} "$@"\n')
    clients = "192.168.122.171(rw,sync,no_root_squash)"
    (lab.directory / "exports.d/osrd.exports").write_text(f"{PLACE} {clients}\n")
    lab.start_nfs()
    assert "nfs" in lab.inside("rpcinfo", "-p").stdout
