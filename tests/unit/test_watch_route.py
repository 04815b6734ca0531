# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file systems are blind spots, and where to stand to see a directory."""

import os
from pathlib import Path

import pytest

from osrd.watch.filesystems import Filesystems, Sight, mounted_filesystems, parse_mountinfo
from osrd.watch.route import Route, find_route

MOUNTINFO = rb"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
30 22 0:40 /srv /srv/a\040b rw shared:5 master:2 - nfs4 10.0.0.1:/srv rw,vers=4.2
31 22 8:2 / /srv/gfs rw - gfs2 /dev/vg/lv rw
32 22 0:41 / /boot rw - autofs systemd-1 rw
33 32 8:3 / /boot rw - ext4 /dev/sda3 rw
34 22 0:42 / /home/x rw - fuse.sshfs x: rw
garbage
"""


@pytest.mark.parametrize(
    ("path", "sight"),
    [
        ("/", Sight.ALL),
        ("/etc/cluster", Sight.ALL),
        ("/srv/a b", Sight.NONE),
        ("/srv/a b/c/d", Sight.NONE),
        ("/srv/a bc", Sight.ALL),
        ("/srv/gfs/root", Sight.THIS_HOST),
        ("/boot/efi", Sight.ALL),
        ("/home/x/y", Sight.NONE),
    ],
)
def test_the_mount_table_tells_the_blind_spots(path: str, sight: Sight) -> None:
    assert Filesystems(parse_mountinfo(MOUNTINFO)).sight(path) is sight


def test_this_hosts_own_table_is_readable() -> None:
    assert mounted_filesystems().sight("/proc") is Sight.ALL
    with open("/proc/self/mountinfo", "rb") as stream:
        assert parse_mountinfo(stream.read())["/proc"] == "proc"


LOCAL = Filesystems({})


def test_a_plain_directory_is_its_own_place(tmp_path: Path) -> None:
    assert find_route(str(tmp_path), LOCAL) == Route(str(tmp_path))
    assert find_route(f"{tmp_path}//./x/..", LOCAL).end == ""
    assert find_route("/", LOCAL) == Route("/")


def test_a_missing_directory_is_awaited_at_its_nearest_parent(tmp_path: Path) -> None:
    assert find_route(f"{tmp_path}/a/b", LOCAL) == Route("", ((str(tmp_path), "a"),))
    (tmp_path / "a").mkdir()
    assert find_route(f"{tmp_path}/a/b", LOCAL) == Route("", ((f"{tmp_path}/a", "b"),))
    (tmp_path / "a" / "b").write_text("a file in the way")
    assert find_route(f"{tmp_path}/a/b", LOCAL) == Route("", ((f"{tmp_path}/a", "b"),))


def test_symlinks_on_the_way_are_steps(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "relative").symlink_to("real/../real")
    (tmp_path / "absolute").symlink_to(tmp_path / "relative")
    top = str(tmp_path)
    assert find_route(f"{top}/absolute/sub", LOCAL) == Route(f"{top}/real/sub", ((top, "absolute"), (top, "relative")))
    (tmp_path / "dangling").symlink_to("nowhere/deep")
    assert find_route(f"{top}/dangling", LOCAL) == Route("", ((top, "dangling"), (top, "nowhere")))
    (tmp_path / "loop").symlink_to("loop")
    assert find_route(f"{top}/loop", LOCAL).end == ""


def test_network_file_systems_are_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnt" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("mnt/sub")
    touched: list[str] = []
    lstat = os.lstat

    def recording(path: str) -> os.stat_result:
        touched.append(path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", recording)
    filesystems = Filesystems({f"{tmp_path}/mnt": "nfs4"})
    route = find_route(f"{tmp_path}/link/deeper", filesystems)
    assert route == Route("", ((str(tmp_path), "link"),), blind=True)
    assert touched
    assert not any(path.startswith(f"{tmp_path}/mnt") for path in touched)


def test_cluster_file_systems_are_watched_and_blind(tmp_path: Path) -> None:
    assert find_route(str(tmp_path), Filesystems({str(tmp_path): "ocfs2"})) == Route(str(tmp_path), blind=True)
