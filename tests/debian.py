# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Debian roots for tests: made once in a run, small, and entered as a session in a chroot would be.

What takes the time is packages. ``OSRD_TEST_DEBIAN=DIR`` keeps the roots in DIR from run to run, for whoever works
on these tests; each is made anew when its packages change.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

BOOKWORM, TRIXIE, FORKY = "bookworm", "trixie", "forky"
_MIRROR = "http://deb.debian.org/debian"
#: what debootstrap does for every suite of Debian; one that is older than the suite has no file of its name
_SCRIPT = "/usr/share/debootstrap/scripts/sid"

#: nothing of these is looked at
_DOCUMENTS = ("doc", "doc-base", "info", "locale", "man")
#: and of the kernel's thousands of modules these would do, since each makes every image slower to build
_DRIVERS = (
    *("virtio", "block/virtio_blk", "block/loop", "cdrom", "char/hw_random", "char/virtio_console", "dca", "nvme"),
    *("ata/libata", "ata/ahci", "ata/libahci", "ata/ata_piix", "firmware/qemu_fw_cfg", "i2c/algos", "md/dm-mod"),
    *("net/bonding", "net/dummy", "net/ethernet/intel", "net/macvlan", "net/mdio", "net/mii", "net/net_failover"),
    *("net/tun", "net/veth", "net/virtio_net", "pps", "ptp", "scsi/scsi_common", "scsi/scsi_mod", "scsi/sd_mod"),
    *("scsi/sr_mod", "scsi/virtio_scsi"),
)
_NETWORKS = ("802", "8021q", "bridge/bridge", "core", "dns_resolver", "llc", "packet", "sunrpc")
_FILTER = (
    *(f"path-exclude=/usr/share/{directory}/*" for directory in _DOCUMENTS),
    *(f"path-exclude=*/lib/modules/*/kernel/{directory}/*" for directory in ("sound", "drivers", "net", "fs/nls")),
    *(f"path-include=*/lib/modules/*/kernel/drivers/{name}*" for name in _DRIVERS),
    *(f"path-include=*/lib/modules/*/kernel/net/{name}*" for name in _NETWORKS),
)

#: ``INITRD=No`` is what Debian's kernel hooks look at: no initrd is built on installation
_INSTALL = """set -e
mount -t proc proc /proc
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -q update
apt-get -q -y --no-install-recommends -o Acquire::Retries=3 install "$@"
apt-get clean
rm -rf /var/lib/apt/lists /usr/sbin/policy-rc.d
mkdir -p /var/lib/apt/lists/partial
"""

#: as the wiki page prepares a shell in a shared root, with nothing left of it afterwards
_ENTER = """set -e
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys"
mount -t tmpfs tmpfs "$1/run"
root=$1
shift
exec chroot "$root" "$@"
"""
_PRIVATE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
#: debootstrap unmounts what it has mounted in the root, unless it is killed
_OWN_MOUNTS = ("unshare", "--mount", "--propagation", "private")
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}


def debootstrap(root: Path, suite: str = BOOKWORM) -> None:
    """A new minimal Debian in ``root``, without documentation."""
    configuration = root / "etc/dpkg/dpkg.cfg.d/small"
    configuration.parent.mkdir(parents=True)
    configuration.write_text("".join(f"{line}\n" for line in ("force-unsafe-io", *_FILTER)))
    # The list of a suite that is not released is good for a week only, and mirrors lag behind.
    late = root / "etc/apt/apt.conf.d/late"
    late.parent.mkdir(parents=True)
    late.write_text('Acquire::Check-Valid-Until "false";\n')
    _run([*_OWN_MOUNTS, "debootstrap", "--variant=minbase", suite, str(root), _MIRROR, _SCRIPT], os.environ)


def install(root: Path, packages: Sequence[str]) -> None:
    """Packages and what they depend on, into a root; nothing is started."""
    environment = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    environment |= _ENVIRONMENT | {"DEBIAN_FRONTEND": "noninteractive", "INITRD": "No"}
    _run([*_PRIVATE, "chroot", str(root), "sh", "-c", _INSTALL, "sh", *packages], environment)


def entered(
    root: Path,
    *argv: str,
    check: bool = True,
    environment: dict[str, str] | None = None,
    timeout: float = 900,
    within: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Runs a program in ``root`` as in a chroot with /dev, /proc, /sys and /run, in mount and process namespaces of
    its own: nothing that it starts or mounts outlives it. ``within`` comes before the command: where ``root`` is."""
    done = subprocess.run(
        [*within, *_PRIVATE, "sh", "-c", _ENTER, "sh", str(root), *argv],
        env=_ENVIRONMENT | (environment or {}),
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=timeout,
    )
    assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


@contextmanager
def overlaid(lower: Path, work: Path) -> Iterator[Path]:
    """A root to write in that is ``lower`` at first and leaves it as it is; what is written is in ``work``."""
    for name in ("upper", "work", "root"):
        (work / name).mkdir(parents=True)
    root = work / "root"
    options = f"lowerdir={lower},upperdir={work}/upper,workdir={work}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", root], check=True)
    try:
        yield root
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)
        shutil.rmtree(work, ignore_errors=True)


def kept(name: str, key: Sequence[str], make: Callable[[Path], None], scratch: Path) -> Path:
    """The root that ``make`` fills, made once: in this run's ``scratch``, or in OSRD_TEST_DEBIAN for all runs with
    the same ``key``."""
    place = os.environ.get("OSRD_TEST_DEBIAN")
    if place is None:
        root = scratch / name
        root.mkdir()
        make(root)
        return root
    digest = hashlib.sha256("\0".join([*key, *_FILTER, _INSTALL]).encode()).hexdigest()[:12]
    root = Path(place) / f"{name}-{digest}"
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            unfinished = root.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(root)
    return root


def copy(source: Path, destination: Path) -> None:
    """The whole of a root, with owners, links and holes, by reflink where the file system has it."""
    _run(["cp", "-a", "--reflink=auto", f"{source}/.", f"{destination}/"], os.environ)


def _run(argv: Sequence[str], environment: "dict[str, str] | os._Environ[str]") -> None:
    done = subprocess.run(argv, env=environment, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{' '.join(argv)}: {(done.stdout + done.stderr)[-3000:]}"
