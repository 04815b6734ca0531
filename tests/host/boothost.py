# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot host of the story in a container: osrd is its service, and this is how its administrator works with it."""

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from osrd.engine.journal import MessageId
from tests.end_to_end.serving import MAC1, MAC2, cluster_xml, node_xml
from tests.eventually import eventually
from tests.host.container import Container

#: what these tests need
TOOLS = ("busybox", "debootstrap", "nsenter", "systemd-nspawn")
NAME, ROOT = "org.opensharedroot.Osrd1", "/org/opensharedroot/Osrd1"
#: the shared root of the wiki page
SHARED = "/mnt/virtual/nfsosr/fc11"
#: where the tree of this host's node is mounted
LINK = f"{SHARED}/cluster/cdsl/local"
CLUSTER, SETTINGS = "/etc/cluster/cluster.conf", "/etc/osrd/osrd.conf"
UNIT = "osrd.service"
DROP_INS = f"/run/systemd/system/{UNIT}.d"
TFTP = "/srv/tftp/osr"
NODE1, NODE2 = node_xml("node1", 1, "192.168.122.171", MAC1), node_xml("node2", 2, "192.168.122.172", MAC2)

T = TypeVar("T")

OSRD_CONF = f"""[boot]
server = 192.168.122.1
[root fc11]
path = {SHARED}
link = 1
[nfs]
reload = none
[build]
quiet = 0.2s
poll = 1s
"""


def soon(check: Callable[[], T], what: str) -> T:
    """eventually(), for a machine in a machine that may be busy."""
    return eventually(check, what, 60)


class BootHost(Container):
    """A container in which osrd is installed."""

    _cursor = ""

    def write(self, name: str, text: str) -> None:
        """As editors do it: a new file renamed over the old one."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_text(text)
        new.rename(path)

    def nodes(self, nodes: Iterable[str] = (NODE1, NODE2), version: int = 1) -> None:
        """Edit cluster.conf."""
        self.write(CLUSTER, cluster_xml(nodes, version))

    def settings(self, append: str = "", *, wait: bool = True) -> None:
        """Edit osrd.conf, and tell osrd: what the kernels of all nodes are told besides. It is published then, unless
        nobody waits for it."""
        self.write(SETTINGS, OSRD_CONF.replace("[boot]\n", f"[boot]\nappend = {append}\n"))
        self.run("systemctl", "reload", *([] if wait else ["--no-block"]), "osrd")

    def entry(self, mac: str) -> Path:
        """The PXELINUX entry of a hardware address."""
        return self.path(f"{TFTP}/pxelinux.cfg/01-{mac.lower().replace(':', '-')}")

    def entries(self) -> dict[str, bytes]:
        found = {}
        for path in self.path(f"{TFTP}/pxelinux.cfg").glob("01-*"):
            with suppress(FileNotFoundError):  # of a node that is gone since
                found[path.name] = path.read_bytes()
        return found

    def bus(self, kind: str, interface: str, *words: str, path: str = "", user: str = "") -> Any:
        """What busctl has from the bus: ``call`` or ``get-property``."""
        argv = ["busctl", "--json=short", kind, NAME, f"{ROOT}{path}", f"{NAME}.{interface}", *words]
        return plain(json.loads(self.says(*argv, user=user))["data"])

    def get(self, name: str) -> Any:
        return self.bus("get-property", "Manager", name)

    def show(self, name: str, unit: str = UNIT) -> str:
        """A property of a unit."""
        return self.says("systemctl", "show", f"--property={name}", "--value", unit)

    def running(self) -> bool:
        return self.show("ActiveState") == "active"

    def main_pid(self) -> int:
        """In the container."""
        return int(self.show("MainPID"))

    def pid_outside(self) -> int:
        """The same process as the tests' machine counts it."""
        inside = str(self.main_pid())
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                match = re.search(r"(?m)^NSpid:\s+(\d+)\s+(\d+)$", status.read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
            if match and match[2] == inside and _same_namespace(int(match[1]), self.pid):
                return int(match[1])
        raise AssertionError(f"no process {inside}")

    def mounted(self) -> list[str]:
        """The mounts at the link as PID 1 has them: its namespace is every other program's, too."""
        lines = self.path("/proc/1/mountinfo").read_text().splitlines()
        return [line for line in lines if line.split()[4] == LINK]

    def is_true(self) -> bool:
        """Whether osrd runs, and everything is as cluster.conf says."""
        if not self.running():
            return False
        done = self.run("busctl", "--json=short", "get-property", NAME, ROOT, f"{NAME}.Manager", "InSync", check=False)
        return done.returncode == 0 and '"data":true' in done.stdout and self.get("State") == "ready"

    def wait_true(self, what: str, seconds: float = 60) -> None:
        eventually(self.is_true, what, seconds)

    def restart(self, what: str = "osrd runs, and everything is true") -> None:
        self.run("systemctl", "reset-failed", "osrd", check=False)
        self.run("systemctl", "restart", "osrd")
        self.wait_true(what)

    def drop_in(self, text: str) -> None:
        """Override something of the unit until the test ends."""
        self.write(f"{DROP_INS}/test.conf", text)
        self.run("systemctl", "daemon-reload")

    def turn_page(self) -> None:
        """What journal() has begins here."""
        said = self.says("journalctl", "--lines=0", "--show-cursor")
        self._cursor = said.rpartition("-- cursor: ")[2]

    def page(self) -> str:
        """All that anybody logged since, as it is read."""
        return self.says("journalctl", f"--after-cursor={self._cursor}", "--output=short-precise")

    def journal(self, **fields: str) -> list[dict[str, Any]]:
        """Entries about osrd with these fields, oldest first."""
        # Not journalctl's own matches: with them and a cursor it leaves out the first that matches.
        said = self.says("journalctl", f"--after-cursor={self._cursor}", "--output=json")
        entries = [json.loads(line) for line in said.splitlines()]
        return [
            entry
            for entry in entries
            if UNIT in (entry.get("_SYSTEMD_UNIT"), entry.get("UNIT")) and fields.items() <= entry.items()
        ]

    def events(self, kind: MessageId) -> list[str]:
        """The messages of these events."""
        return [str(entry["MESSAGE"]) for entry in self.journal(MESSAGE_ID=kind.value)]


def plain(value: Any) -> Any:
    """JSON of busctl without the types that it gives with each variant."""
    if isinstance(value, dict):
        return plain(value["data"]) if value.keys() == {"type", "data"} else {key: plain(value[key]) for key in value}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _same_namespace(one: int, other: int) -> bool:
    return Path(f"/proc/{one}/ns/pid").readlink() == Path(f"/proc/{other}/ns/pid").readlink()
