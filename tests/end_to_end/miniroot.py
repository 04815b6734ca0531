# SPDX-License-Identifier: GPL-3.0-or-later
"""A small shared root in which a build takes a moment: busybox, and a short program in dracut's place that makes a
real newc archive with everything that osrd's checks want to see. It is run by the real sandbox."""

import re
import shutil
import subprocess
from pathlib import Path

#: What the program understands of dracut's command line, and says of what it does. /etc/broken makes it fail,
#: /etc/slow makes it take a minute.
_DRACUT = r"""#!/bin/sh
set -e
while [ $# -gt 0 ]; do
    case "$1" in
        --kver) kver=$2; shift ;;
        --tmpdir) tmp=$2; shift ;;
        --add) modules=$2; shift ;;
        -*) ;;
        *) output=$1 ;;
    esac
    shift
done
if [ -e /etc/broken ]; then
    echo "dracut: cannot find what it needs: $(cat /etc/broken)" >&2
    exit 1
fi
image=$tmp/image
mkdir -p "$image/etc/osr" "$image/etc/cmdline.d" "$image/usr/lib/dracut" "$image/usr/lib/modules" "$image/sbin"
hooks=$image/usr/lib/dracut/hooks
for module in $modules; do
    echo "*** Including module: $module ***"
    for moddir in /usr/lib/dracut/modules.d/[0-9][0-9]"$module"; do
        sed -n 's/^ *inst_hook  *\([^ ]*\)  *\([0-9]*\)  *"$moddir.\([^"]*\)".*/\1 \2 \3/p' "$moddir/module-setup.sh" |
        while read -r hook number script; do
            mkdir -p "$hooks/$hook"
            cp "$moddir/$script" "$hooks/$hook/$number-$script"
        done
    done
done
if [ -e /etc/slow ]; then
    sleep 60
fi
cp /usr/lib/dracut/modules.d/*osr/osrroot.sh "$image/sbin/osrroot"
cp /sbin/mount.nfs "$image/sbin/mount.nfs"
cp /sbin/mount.nfs "$image/sbin/switch_root"
cp /usr/lib/libroot.so "$image/usr/lib/libroot.so"
case "$modules" in
    *osr-cluster*) cp -R /etc/osr/initrd/. "$image/etc/osr/" ;;
    *) for name in format build osr.conf; do cp "/etc/osr/initrd/$name" "$image/etc/osr/"; done ;;
esac
if [ -s /etc/osr/initrd/cmdline ]; then cp /etc/osr/initrd/cmdline "$image/etc/cmdline.d/10-osr.conf"; fi
rm -f "$image/etc/osr/cmdline"
for module in base $modules network-legacy nfs; do echo "$module"; done > "$image/usr/lib/dracut/modules.txt"
cp -R "/usr/lib/modules/$kver" "$image/usr/lib/modules/"
echo "*** Creating image file '$output' ***"
cd "$image"
find . | sed 's,^\./,,' | cpio -o -H newc > "$output"
"""
_BUILTIN = ("kernel/fs/nfs/nfs.ko", "kernel/fs/nfs/nfsv3.ko", "kernel/fs/nfs/nfsv4.ko")


def make_root(root: Path) -> None:
    """Everything but a kernel."""
    for name in ("etc", "boot", "usr/lib/dracut/modules.d", "usr/lib/modules", "usr/bin", "usr/sbin", "var", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("proc", "sys", "dev", "run"):
        (root / name).mkdir(exist_ok=True)
    for link in ("bin", "sbin", "lib"):
        if not (root / link).exists():
            (root / link).symlink_to(f"usr/{link}")
    if not (root / "lib64").exists():
        (root / "lib64").symlink_to("usr/lib")
    _provide_busybox(root)
    (root / "usr/lib/dracut/dracut-version.sh").write_text("DRACUT_VERSION=059-4\n")
    _program(root / "usr/bin/dracut", _DRACUT)
    _program(root / "usr/sbin/mount.nfs", "#!/bin/sh\n")
    (root / "usr/lib/libroot.so").write_text("first\n")
    (root / "etc/motd").write_text("hello\n")


def add_kernel(root: Path, version: str) -> None:
    """As a package does it: the modules, then the image."""
    modules = root / "usr/lib/modules" / version
    modules.mkdir()
    (modules / "modules.builtin").write_text("".join(f"{name}\n" for name in _BUILTIN))
    (modules / "kernel").mkdir()
    (modules / "kernel/e1000.ko").write_bytes(b"driver of " + version.encode())
    (modules / "modules.dep").write_text("kernel/e1000.ko:\n")
    (root / "boot" / f"vmlinuz-{version}").write_bytes(kernel_image(version))


def kernel_image(version: str) -> bytes:
    """What says of itself that it is this kernel, like a bzImage (the kernel's arch/x86/boot.rst)."""
    image = bytearray(4096)
    image[0x202:0x206] = b"HdrS"
    image[0x20E:0x210] = (0x100).to_bytes(2, "little")
    text = version.encode() + b" (root@build) #1\0"
    image[0x300 : 0x300 + len(text)] = text
    return bytes(image)


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _provide_busybox(root: Path) -> None:
    """This machine's busybox, and the libraries that it needs, if it needs any."""
    program = shutil.which("busybox")
    assert program is not None
    shutil.copy(program, root / "usr/bin/busybox")
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for path in re.findall(r"/\S+", libraries):
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(path, target)
    for name in ("sh", "sed", "cat", "cp", "mkdir", "rm", "find", "cpio", "sleep"):
        link = root / "usr/bin" / name
        if not link.exists():
            link.symlink_to("busybox")
