# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian that nodes boot, and another kernel for it."""

import os
import re
import subprocess
from pathlib import Path

from tests.boot import agent
from tests.boot.lab import PLACE, Lab
from tests.debian import BOOKWORM, copy, entered, install, kept
from tests.initrd.conftest import PACKAGES

_MORE = ("openssh-server",)

#: The newest one with security updates. Right after a point release none is newer than what the root has; then it is
#: the same for clouds, instead of the general one, which would count as newer.
_KERNEL = r"""set -e
echo 'deb http://deb.debian.org/debian-security bookworm-security main' >/etc/apt/sources.list.d/security.list
apt-get -q update
newest() { apt-cache pkgnames linux-image-6.1.0- | grep -Ex "linux-image-6\.1\.0-[0-9]+-$1" | sort -V | tail -n 1; }
package=$(newest amd64)
[ "$package" != "linux-image-$1" ] || package=$(newest cloud-amd64)
apt-get -q -y --no-install-recommends -o Acquire::Retries=3 install "$package"
case $package in
    *-cloud-*) apt-get -q -y purge linux-image-amd64 "linux-image-$1" ;;
esac
apt-get clean
rm -rf /var/lib/apt/lists
mkdir -p /var/lib/apt/lists/partial
echo "NEW KERNEL ${package#linux-image-}"
"""


def make_bootable(debian: Path, scratch: Path) -> Path:
    """``debian`` with an SSH server, and a service that obeys its second serial line: not to be written in."""

    def make(root: Path) -> None:
        copy(debian, root)
        install(root, _MORE)
        agent.install(root)

    key = [BOOKWORM, *PACKAGES, *_MORE, Path(agent.__file__).read_text()]
    return kept("boot", key, make, scratch)


def install_another_kernel(lab: Lab, old: str) -> str:
    """As an administrator does it in the root, over this machine's network; its version."""
    environment = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    # Its initrd is osrd's business; in the root nobody else makes one (Debian's hooks look at INITRD).
    environment |= {"DEBIAN_FRONTEND": "noninteractive", "INITRD": "No"}
    # The root may be kept from a day on which this machine was in another network.
    subprocess.run([*lab.mounts, "cp", "/etc/resolv.conf", f"{PLACE}/etc/resolv.conf"], check=True)
    done = entered(Path(PLACE), "sh", "-c", _KERNEL, "sh", old, environment=environment, within=lab.mounts)
    found = re.search("^NEW KERNEL (.*)$", done.stdout, re.M)
    assert found is not None
    return found[1]
