# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo-boot`: the wiki page's last chapter, played by machines. A root that two of them boot together, a file
that one writes and the other reads, a new kernel, and back to the old one. Nothing is faked; nothing outside is
touched."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.boot.cluster import PATIENCE, configuration, machines, prepare
from tests.boot.lab import PLACE, Lab
from tests.boot.machine import Machine
from tests.boot.roots import install_another_kernel, make_bootable
from tests.boot.serving import DNSMASQ
from tests.boot.watch import Change, Watch
from tests.conftest import REPOSITORY
from tests.debian import BOOKWORM, debootstrap, install, kept
from tests.end_to_end.demo import ENDS, end
from tests.end_to_end.serving import MAC1, MAC2, corrected
from tests.eventually import eventually
from tests.initrd.conftest import PACKAGES

_LOGS = Path(os.environ.get("OSRD_BOOT_LOGS", REPOSITORY / "build")) / "demo-boot"


class Timeline:
    """Lines with the seconds since the beginning. What is in a ``step`` block when it fails has failed."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self.step_now = "nothing yet"

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._begun:7.1f} s  {text}", flush=True)

    @contextmanager
    def step(self, text: str, done: str = "") -> Iterator[None]:
        self.step_now = text
        self.say(f"{text} ...")
        try:
            yield
        except SystemExit:
            with suppress(OSError):  # the terminal may be gone
                self.say("interrupted: ending all that was started, which takes a moment ...")
            raise
        if done:
            self.say(done)

    def changed(self, change: Change) -> None:
        _, node, state = change
        with suppress(BrokenPipeError):  # whoever says the next step finds out
            self.say(f"    on the bus: node{node} {state}")


def play(timeline: Timeline) -> None:
    step = timeline.step
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="osrd-demo-boot-")))
        with step("a Debian system from packages (minutes the first time)", "it is there"):
            system = make_system(scratch)
        with step("a boot host and a network, in namespaces of their own"):
            lab = stack.enter_context(Lab(corrected().replace(b'fstype="nfs"', b'fstype="nfs4"'), configuration()))
            root = scratch / "root"
            root.mkdir()
            lab.inside("mount", "--bind", str(root), PLACE)
        with step(f"osrctl root create {system} {PLACE}", "the root is created"):
            # It ends with a judgement of the root, which nobody has prepared yet.
            lab.command("root", "create", str(system), PLACE, check=False)
            assert (root / "usr/local/sbin/osr-agent").exists(), "nothing was copied"
        with step("osrctl root prepare: trees for node1 and node2, their own /var, identities", "it is prepared"):
            prepare(lab)
        with step("osrd starts, with the wiki page's cluster.conf"):
            lab.start_bus()
            lab.start()
        watch = Watch(lab, timeline.changed)
        stack.enter_context(watch.kept())
        with step(
            "osrd builds an initrd with the root's own dracut", "initrd built, menus, DHCP and exports published"
        ):
            eventually(lab.entry(MAC1).exists, "something to boot", PATIENCE)
        with step("the servers start: dnsmasq and an NFS server, with what osrd wrote", "they serve"):
            lab.start_nfs()
            DNSMASQ.start(lab)
        with step("node1 and node2 are switched on", "both are up"):
            both = stack.enter_context(machines(lab))
            old = come_up(timeline, watch, both)
        share(timeline, *both)
        with_old = menus(lab)
        with step("a new kernel package is installed in the root"):
            new = install_another_kernel(lab, old)
        with step(f"{new} is there, and osrd builds an initrd for it by itself", f"the menus have {new}"):
            wait_for_menus(lab, new, with_old)
        reboot(timeline, watch, both, new)
        with_new = menus(lab)
        with step("osrctl initrd rollback fc11", f"the menus have {old} again"):
            lab.osrctl("initrd", "rollback", "fc11")
            wait_for_menus(lab, old, with_new)
        reboot(timeline, watch, both, old)
        with step("both are switched off", "they are off, and unmounted nothing under themselves"):
            for machine in both:
                machine.shut_down(PATIENCE)


def make_system(scratch: Path) -> Path:
    """What the root is made from; kept from run to run."""

    def nodes(root: Path) -> None:
        debootstrap(root)
        install(root, PACKAGES)

    return make_bootable(kept("nodes", [BOOKWORM, *PACKAGES], nodes, scratch), scratch)


def come_up(timeline: Timeline, watch: Watch, both: tuple[Machine, Machine]) -> str:
    """Wait until both are up, and say what they are; the kernel."""
    kernel = ""
    for number, machine in enumerate(both, 1):
        machine.wait_until_up(2 * PATIENCE)
        eventually(partial(watch.is_up, number), f"{machine.name} is up", PATIENCE)
        kernel = machine.ask("uname -r")
        own = machine.ask("cat /etc/sysconfig/network")
        timeline.say(
            f"{machine.name}: hostname {machine.ask('hostname')}, kernel {kernel}, its own network file says {own}"
        )
    return kernel


def share(timeline: Timeline, one: Machine, other: Machine) -> None:
    with timeline.step("node1 writes /var/lib/hello, which is shared, and /var/log/hello, which is not"):
        one.ask("echo hello from node1 >/var/lib/hello; echo of node1 >/var/log/hello")
        said, own = other.ask("cat /var/lib/hello"), other.ask("test -e /var/log/hello || echo none")
        assert (said, own) == ("hello from node1", "none"), (said, own)
        timeline.say(f"node2 reads /var/lib/hello: {said}; of /var/log/hello it has {own}")


def menus(lab: Lab) -> list[bytes]:
    return [lab.entry(mac).read_bytes() for mac in (MAC1, MAC2)]


def wait_for_menus(lab: Lab, kernel: str, before: list[bytes]) -> None:
    """Until both nodes are offered ``kernel``, and no longer what ``before`` said."""
    eventually(lambda: offered(lab) == kernel, f"an image of {kernel} is offered", PATIENCE)
    eventually(lambda: not set(before) & set(menus(lab)), "it is in both menus", 60)


def reboot(timeline: Timeline, watch: Watch, both: tuple[Machine, Machine], kernel: str) -> None:
    with timeline.step("both nodes reboot", f"both are up with {kernel}"):
        for machine in both:
            machine.shut_down(PATIENCE)
        for machine in both:
            machine.switch_on()
        booted = come_up(timeline, watch, both)
        assert booted == kernel, f"they booted {booted}"


def offered(lab: Lab) -> str:
    """The kernel that nodes boot."""
    return next((image["kernel"] for image in lab.ask("initrd", "list")["images"] if image["state"] == "current"), "")


def _where() -> str:
    """Before there is a lab there is nothing to look at."""
    return f"\n\nConsoles and logs: {_LOGS}" if _LOGS.exists() else ""


def main() -> int:
    for number in ENDS:
        signal.signal(number, end)
    if os.geteuid() != 0:
        print("make demo-boot makes namespaces, mounts and a Debian system: run it as root.", file=sys.stderr)
        return 1
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    os.environ.setdefault("OSRD_TEST_DEBIAN", str(REPOSITORY / "build/debian"))
    Lab.logs = _LOGS
    shutil.rmtree(_LOGS, ignore_errors=True)  # of another run
    try:
        return present(Timeline())
    except BrokenPipeError:  # `make demo-boot | head`, as in the other demo
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def present(timeline: Timeline) -> int:
    """Play it to the end, whichever it has; the exit status."""
    try:
        play(timeline)
    except BrokenPipeError:
        raise
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        timeline.say(f"FAILED: {timeline.step_now}")
        print(f"{error}{_where()}", file=sys.stderr)
        return 1
    except SystemExit:
        with suppress(OSError):  # the terminal may be gone
            timeline.say(f"interrupted at: {timeline.step_now}. All that was started and mounted is gone{_where()}")
        raise
    timeline.say(f"that was it. Consoles and logs: {_LOGS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
