# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays behind when a system is copied, and how rsync is told and understood."""

import pytest

from osrd.plan.rootcare.copying import Excluded, below, exclusions, is_only_labels, rsync_argv, rsync_bytes


def test_what_stays_behind() -> None:
    excluded = exclusions(["swap/file"], "srv/new", ["/home/*", "var/cache/apt", "/"])

    def stays(path: str) -> bool:
        return any(each.matches(path) for each in excluded)

    for path in ("proc/1", "swap/file", "srv/new", "srv/new/etc", "home/me", "var/cache/apt/x", "boot/grub/grub.cfg"):
        assert stays(path), path
    for path in ("proc", "home", "srv", "srv/newer", "var/cache/apt2", "boot/vmlinuz-6.1", "etc/fstab", "swap"):
        assert not stays(path), path


def test_a_part_that_is_copied_by_itself() -> None:
    assert set(below(exclusions(), "boot")) >= {Excluded("grub", contents=True), Excluded("lost+found")}
    assert below((Excluded("bootx/grub"), Excluded("boot")), "boot") == ()


def test_rsync_is_told_literally() -> None:
    excluded = (Excluded("a[b]*c"), Excluded("proc", True), Excluded("back\\slash"), Excluded("q?", True))
    argv = rsync_argv("/", "/mnt/new root", excluded)
    assert argv[0] == "rsync"
    assert [word for word in argv if word.startswith("--exclude")] == [
        r"--exclude=/a\[b]\*c",
        "--exclude=/proc/*",
        r"--exclude=/back\slash",
        r"--exclude=/q\?/*",
    ]
    assert argv[-3:] == ["--", "/", "/mnt/new root/"]


@pytest.mark.parametrize(
    ("line", "copied"),
    [
        ("     32,768   0%    0.00kB/s    0:00:00  ", 32768),
        ("  123456789  42%   12.34MB/s    0:01:02 (xfr#12, to-chk=3/40)", 123456789),
        ("sending incremental file list", None),
        ("", None),
        ("12 files", None),
    ],
)
def test_progress(line: str, copied: int | None) -> None:
    assert rsync_bytes(line) == copied


LABEL = 'rsync: [receiver] rsync_xal_set: lsetxattr("/m/x","security.capability") failed: Operation not supported (95)'
ACL = "rsync: [generator] set_acl: sys_acl_set_file(m, ACL_TYPE_ACCESS): Operation not supported (95)"
END = (
    "rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1338) [sender=3.2.7]"
)


@pytest.mark.parametrize(
    ("complaints", "harmless"),
    [
        (f"{LABEL}\n{ACL}\n{END}\n", True),
        (f"{LABEL}\nrsync: [sender] read errors mapping: Input/output error (5)\n{END}\n", False),
        (f"{END}\n", False),
        ("", False),
    ],
)
def test_labels_that_nfs_cannot_keep_are_no_failure(complaints: str, harmless: bool) -> None:
    assert is_only_labels(complaints) is harmless
