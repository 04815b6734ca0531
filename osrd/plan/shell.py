# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``osrctl shell`` decides without touching anything: whose tree, which shell, which environment."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from osrd.model.cdsl import MOUNT_POINT, Layout

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FALLBACK_SHELL = "/bin/sh"
#: variables of the caller that are about the terminal and the language, not about this host
_KEPT = re.compile(r"TERM|COLORTERM|LANG|LANGUAGE|LC_[A-Z]+|TZ")
#: bash runs $(...) that it finds in PS1, and node names come from the root, which is not trusted
_UNSAFE_IN_PROMPT = re.compile(r"[^A-Za-z0-9._:@+-]")


@dataclass(frozen=True, slots=True)
class Login:
    """What passwd(5) says of the user root."""

    home: str = "/root"
    shell: str = FALLBACK_SHELL


def default_node(bound: str, names: Iterable[str], layout: Layout) -> str:
    """The node that a shell is for when none was named: the one whose tree is bound, else the first there is
    (1, 2, 10 and not 1, 10, 2), "" when the root has no node trees."""
    if bound:
        return bound
    nodes = (name for name in names if name not in (layout.default, MOUNT_POINT) and not name.startswith("."))
    return min(nodes, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name), default="")


def login(passwd: bytes) -> Login:
    """The home and the shell of the first user with the number 0."""
    for line in passwd.split(b"\n"):
        fields = line.decode("utf-8", "surrogateescape").split(":")
        if len(fields) == 7 and fields[2] == "0":
            home, shell = fields[5], fields[6]
            return Login(home if home.startswith("/") else "/root", shell if shell.startswith("/") else FALLBACK_SHELL)
    return Login()


def environment(caller: Mapping[str, str], user: Login, node: str, root: str) -> dict[str, str]:
    """The environment of the command: nothing of the caller's but terminal and language. Prompts show the node and
    the name of the root's directory; debian_chroot is what Debian's own bashrc puts into its prompt."""
    name = _UNSAFE_IN_PROMPT.sub("_", root.rstrip("/").rpartition("/")[2]) or "root"
    place = f"{_UNSAFE_IN_PROMPT.sub('_', node)}@{name}" if node else name
    return {
        **{key: value for key, value in caller.items() if _KEPT.fullmatch(key)},
        "HOME": user.home,
        "SHELL": user.shell,
        "USER": "root",
        "LOGNAME": "root",
        "PATH": PATH,
        "PS1": f"[{place} $PWD]# ",
        "debian_chroot": place,
        # The services of this root run on other machines: systemctl enable works, start and reload do nothing.
        "SYSTEMD_OFFLINE": "1",
    }
