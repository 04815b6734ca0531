# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that fills a disk with a root. This host's kernel need not know the disk's file system: the root's own
kernel does, so a machine is booted with the root on an ordinary disk, and copies itself to the other one."""

import subprocess
from contextlib import suppress
from pathlib import Path

from tests.debian import entered, overlaid

_DISK = 2 << 30
_SCRIPT = "usr/local/sbin/workshop"

#: process 1 of the machine: /dev/vda becomes the file system, /dev/vdb is the root
_WORK = """#!/bin/sh
exec </dev/null >/dev/ttyS0 2>&1
mount -t proc proc /proc
(
    set -ex
    {make}
    cp -ax /. /mnt/
    rm /mnt/usr/local/sbin/workshop
    umount /mnt
)
[ $? != 0 ] || echo "WORKSHOP DONE"
poweroff -f
"""
_DRACUT = (
    *("dracut", "-f", "-q", "--tmpdir", "/tmp", "--no-hostonly", "--compress", "zstd -1"),
    *("--conf", "/dev/null", "--confdir", "/mnt", "-m", "base rootfs-block", "-o", "systemd"),
    *("--add-drivers", "virtio_pci virtio_blk ext4"),
)
_KERNEL_WORDS = "console=ttyS0 loglevel=4 no_timer_check nowatchdog root=/dev/vdb rootfstype=ext4 rw init=/" + _SCRIPT


def fill(root: Path, disk: Path, work: Path, make: str, seconds: float = 900) -> None:
    """Make ``disk`` a file that holds what is below ``root``. ``make``: commands that make the file system of /dev/vda
    and mount it at /mnt."""
    source, kernel, initrd = work / "source", work / "kernel", work / "initrd"
    with overlaid(root, work / "overlay") as own:
        script = own / _SCRIPT
        script.write_text(_WORK.replace("{make}", make))
        script.chmod(0o755)
        (version,) = [directory.name for directory in (own / "lib/modules").iterdir()]
        entered(own, *_DRACUT, "/boot/workshop.img", version)
        for name, file in ((f"vmlinuz-{version}", kernel), ("workshop.img", initrd)):
            file.write_bytes((own / "boot" / name).read_bytes())
        (own / "boot/workshop.img").unlink()
        for file, content in ((source, own), (disk, None)):
            with file.open("wb") as empty:
                empty.truncate(_DISK)
            if content is not None:
                argv = ["mkfs.ext4", "-q", "-F", "-d", str(content), str(file)]
                subprocess.run(argv, check=True, capture_output=True)
    said = work / "workshop.log"
    _boot(kernel, initrd, (disk, source), said, seconds)
    words = said.read_text(errors="replace")
    assert "WORKSHOP DONE" in words, f"the machine that fills the disk said:\n{words[-4000:]}"
    source.unlink()


def _boot(kernel: Path, initrd: Path, disks: tuple[Path, ...], log: Path, seconds: float) -> None:
    """Until the machine is off; ``log`` is its console."""
    argv = ["qemu-system-x86_64", "-machine", "pc", "-accel", "tcg,tb-size=128", "-cpu", "max", "-m", "1024"]
    argv += ["-display", "none", "-monitor", "none", "-no-reboot", "-nodefaults", "-vga", "none", "-serial", "stdio"]
    argv += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", _KERNEL_WORDS]
    for number, disk in enumerate(disks):
        argv += ["-drive", f"if=none,id=disk{number},format=raw,cache=unsafe,file={disk}"]
        argv += ["-device", f"virtio-blk-pci,drive=disk{number}"]
    with log.open("wb") as output, suppress(subprocess.TimeoutExpired):  # its console tells more
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=seconds, check=False)
