# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of an initrd, with the real daemon, bus, sandbox, checks and store, in a root whose dracut is a small
program: what makes an image and what does not, what nodes boot then, and what an accident in the middle leaves."""

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.miniroot import add_kernel, kernel_image, make_root
from tests.end_to_end.sandbox import CONF, Sandbox
from tests.end_to_end.serving import corrected
from tests.eventually import eventually

pytestmark = [pytest.mark.root, pytest.mark.needs("busybox", "busctl", "dbus-daemon", "ldd")]

MAC1 = "00:0C:29:C9:C6:F5"
_KERNEL = re.compile(r"(?m)^(kernel|initrd) = .*\n")
CONFIGURATION = (
    _KERNEL.sub("", CONF).replace("path = /mnt/virtual/nfsosr/fc11", "path = {directory}/shared")
    + "[build]\nquiet = 0.2s\npoll = 1s\n"
)


class InitrdHost(Sandbox):
    """A boot host with one shared root, ``root``, in which osrd builds the initrds."""

    def __init__(self) -> None:
        super().__init__(corrected(), CONFIGURATION)
        self.root = self.directory / "shared"
        make_root(self.root)
        self.start_bus()

    def asked(self, path: str, interface: str, kind: str, *words: str) -> Any:
        """What the bus says, quicker than a program that imports much."""
        argv = ["busctl", "--address", self.address, "--json=short", kind, "org.opensharedroot.Osrd1"]
        argv += [f"/org/opensharedroot/Osrd1{path}", f"org.opensharedroot.Osrd1.{interface}", *words]
        return plain(json.loads(self._run(argv, check=True).stdout)["data"])

    def images(self) -> list[dict[str, Any]]:
        (found,) = self.asked("", "Manager", "call", "ListImages", "a{sv}", "0")
        return list(found)

    def kernels(self) -> dict[str, str]:
        rows = self.asked("/roots/fc11", "SharedRoot", "get-property", "Kernels")
        return {row["version"]: row["state"] for row in rows}

    def current(self) -> dict[str, Any]:
        return next((image for image in self.images() if image["state"] == "current"), {})

    def built(self, what: str, count: int) -> dict[str, Any]:
        """Wait until there are ``count`` images and no more is to be built; the current one."""
        try:
            eventually(lambda: len(self.images()) == count and set(self.kernels().values()) == {"built"}, what, 20)
        except AssertionError:
            print(self.osrctl("status").stdout, self.log.read_text())
            raise
        return self.current()

    def menu(self) -> list[str]:
        """What node 1 is offered: kernel and initrd of its entries, in their order."""
        entry = self.entry(MAC1)
        return re.findall(r"(?m)^\s+(?:KERNEL|INITRD) (\S+)$", entry.read_text()) if entry.exists() else []

    def offers(self, first: dict[str, Any], second: dict[str, Any] | None = None) -> bool:
        """Whether the menu of node 1 begins with the first image and goes on with the second (or the first again)."""
        menu = self.menu()
        files = [(self.tftp / name).read_bytes() for name in menu]
        return files == [content for image in (first, second or first) for content in self.stored(image)]

    def stored(self, image: dict[str, Any]) -> list[bytes]:
        """The content of kernel and initrd."""
        directory = self.directory / "state/images/fc11" / image["id"]
        return [(directory / name).read_bytes() for name in ("vmlinuz", "initrd.img")]

    def files_of_builds(self) -> list[Path]:
        """What a build leaves in the store while it goes on."""
        return [path for path in (self.directory / "state/images/fc11").glob(".*") if any(path.iterdir())]

    def codes(self) -> set[str]:
        return {finding["code"] for finding in self.asked("", "Manager", "get-property", "Findings")}


def plain(value: Any) -> Any:
    """JSON of busctl without the types that it gives with each variant."""
    if isinstance(value, dict):
        return plain(value["data"]) if value.keys() == {"type", "data"} else {key: plain(value[key]) for key in value}
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def host() -> Iterator[InitrdHost]:
    with InitrdHost() as host:
        yield host


@pytest.fixture
def ready(host: InitrdHost) -> InitrdHost:
    """With one kernel, and its image published."""
    add_kernel(host.root, "6.1.0-1")
    host.start()
    image = host.built("the first image", 1)
    eventually(lambda: host.offers(image), "node 1 boots it")
    return host


def test_a_new_kernel_is_what_nodes_boot_soon(ready: InitrdHost) -> None:
    first = ready.current()
    start = time.monotonic()
    add_kernel(ready.root, "6.1.0-2")
    second = ready.built("the image of the new kernel", 2)
    eventually(lambda: ready.offers(second, first), "node 1 boots it, and the one before is one line away")
    print(f"a new kernel is offered after {time.monotonic() - start:.2f} s")
    assert (second["kernel"], first["kernel"]) == ("6.1.0-2", "6.1.0-1")
    assert [image["state"] for image in ready.images()] == ["current", "previous"]
    assert (ready.root / "usr/lib/dracut/modules.d").is_dir()
    assert list((ready.root / "usr/lib/dracut/modules.d").iterdir()) == [], "nothing is written into the root"
    assert not (ready.root / "etc/osr").exists()


def test_what_an_image_is_made_from_makes_a_new_one(ready: InitrdHost) -> None:
    ready.replace(
        'name="192.168.122.1:/mnt/virtual/nfsosr/fc11"/>\n',
        'name="192.168.122.1:/mnt/virtual/nfsosr/fc11" mountopts="rsize=8192"/>\n',
        1,
    )
    second = ready.built("the root volume of node 1 is another", 2)
    changed = ready.ask("initrd", "diff", "./shared")
    assert changed["reasons"] == ["the root volume of node1 changed"]
    assert [file["path"] for file in changed["files"]] == ["etc/osr/nodes.d/1.conf", "etc/osr/build"]
    (ready.root / "usr/lib/libroot.so").write_text("the second\n")
    third = ready.built("a library of the root is another", 3)
    text = ready.osrctl("initrd", "diff", "./shared").stdout
    assert text.startswith("because usr/lib/libroot.so changed\nunpacked ")
    assert "  usr/lib/libroot.so (11 bytes, +5 bytes)" in text.splitlines()
    assert ready.ask("initrd", "diff", second["id"], third["id"]) == {**ready.ask("initrd", "diff", "./shared")}


def test_nothing_else_does(ready: InitrdHost) -> None:
    image = ready.current()
    (ready.root / "etc/motd").write_text("welcome\n")
    (ready.root / "var/somebody's").write_text("data\n")
    ready.replace('votes="1"', 'votes="2"', 1)
    done = ready.ask("initrd", "build", "./shared")
    assert (done["state"], done["result"]["changed"]) == ("done", False)
    assert [one["id"] for one in ready.images()] == [image["id"]]
    builds = [job["job"] for job in ready.ask("jobs")["jobs"] if job["kind"] == "initrd-build"]
    assert len(builds) == 2, "the first image, and the question just now"


def test_going_back_and_forward(ready: InitrdHost) -> None:
    first = ready.current()
    add_kernel(ready.root, "6.1.0-2")
    second = ready.built("the image of the new kernel", 2)
    eventually(lambda: ready.offers(second, first), "node 1 boots it")
    said = ready.osrctl("initrd", "rollback", "./shared").stdout
    assert said == f"{first['id']} is the current image\n"
    eventually(lambda: ready.offers(first, second) or ready.offers(first), "node 1 boots the first one again")
    done = ready.ask("initrd", "build", "./shared")
    assert done["result"]["changed"] is False
    assert ready.current()["id"] == first["id"], "what was rolled back from is not chosen again"
    (ready.root / "usr/lib/libroot.so").write_text("mended\n")
    third = ready.built("a new image of the new kernel", 3)
    assert third["kernel"] == "6.1.0-2"
    eventually(lambda: ready.offers(third, first), "node 1 boots what was built since")
    ready.osrctl("initrd", "rollback", "./shared", second["id"][:8])
    eventually(lambda: ready.current()["id"] == second["id"], "the one that was named")


def test_a_build_that_fails_changes_nothing(ready: InitrdHost) -> None:
    image, menu = ready.current(), ready.menu()
    (ready.root / "etc/broken").write_text("the moon\n")
    add_kernel(ready.root, "6.1.0-2")
    eventually(lambda: "initrd-failed" in ready.codes(), "the failure is told", 20)
    (finding,) = [each for each in ready.ask("status")["findings"] if each["code"] == "initrd-failed"]
    assert "cannot find what it needs: the moon" in finding["message"]
    log = re.search(r"/\S+\.log", finding["fix"])
    assert log, finding
    assert "the moon" in Path(log[0]).read_text()
    assert ready.osrctl("initrd", "log", "./shared").stdout.splitlines()[0].endswith("the moon")
    assert (ready.kernels()["6.1.0-2"], ready.current(), ready.menu()) == ("failed", image, menu)
    failed = ready.osrctl("initrd", "build", "./shared", check=False)
    assert (failed.returncode, "the moon" in failed.stderr) == (8, True)
    ready.stop()
    ready.start()
    eventually(lambda: "initrd-failed" in ready.codes(), "it is known after a restart")
    assert ready.kernels()["6.1.0-2"] == "failed"
    (ready.root / "etc/broken").unlink()
    assert ready.osrctl("initrd", "build", "./shared", "--kernel", "6.1.0-2").returncode == 0
    second = ready.built("it is built when somebody asks", 2)
    eventually(lambda: ready.offers(second, image), "node 1 boots it")
    assert "initrd-failed" not in ready.codes()


def test_a_kernel_that_is_not_what_its_name_says_is_not_published(ready: InitrdHost) -> None:
    image = ready.current()
    add_kernel(ready.root, "6.1.0-2")
    (ready.root / "boot/vmlinuz-6.1.0-2").write_bytes(kernel_image("6.1.0-3"))
    eventually(lambda: "initrd-failed" in ready.codes(), "the check fails", 20)
    assert ready.current() == image
    assert "says that it is '6.1.0-3'" in ready.osrctl("status").stdout


def building(host: InitrdHost) -> str:
    """Make a build that takes a minute; the number of its job, once it runs."""
    (host.root / "etc/slow").write_text("")
    add_kernel(host.root, "6.1.0-2")

    def running() -> str | None:
        (jobs,) = host.asked("", "Manager", "call", "ListJobs", "a{sv}", "0")
        found = [job for job in jobs if job[1:3] == ["initrd-build", "running"] and "module" in job[4]]
        return str(found[0][0]).rpartition("/")[2] if found else None

    return eventually(running, "the build runs", 20) or ""


def test_a_cancelled_build(ready: InitrdHost) -> None:
    image, menu = ready.current(), ready.menu()
    number = building(ready)
    assert ready.kernels()["6.1.0-2"] == "building"
    start = time.monotonic()
    ready.osrctl("cancel", number)
    eventually(lambda: "initrd-cancelled" in ready.codes(), "it is told")
    assert time.monotonic() - start < 10
    assert (ready.current(), ready.menu(), ready.files_of_builds()) == (image, menu, [])
    (ready.root / "etc/slow").unlink()
    ready.osrctl("initrd", "build", "./shared")
    eventually(lambda: ready.current()["kernel"] == "6.1.0-2", "it is built when somebody asks")


def test_osrd_is_killed_in_the_middle_of_a_build(ready: InitrdHost) -> None:
    image, menu = ready.current(), ready.menu()
    building(ready)
    assert ready.stop(signal.SIGKILL) == -signal.SIGKILL
    assert ready.menu() == menu
    assert ready.offers(image)
    (ready.root / "etc/slow").unlink()
    eventually(lambda: not sleeping(ready), "what the build ran is gone")
    ready.start()
    assert ready.offers(image)
    second = ready.built("the build is made again", 2)
    eventually(lambda: ready.offers(second, image), "node 1 boots it")
    assert ready.files_of_builds() == []


def test_osrd_is_stopped_in_the_middle_of_a_build(ready: InitrdHost) -> None:
    building(ready)
    start = time.monotonic()
    assert ready.stop() == 0
    assert time.monotonic() - start < 20
    assert ready.files_of_builds() == []
    assert not sleeping(ready)


def sleeping(host: InitrdHost) -> list[str]:
    """The processes of a build in this root: the only ones that sleep for a minute in busybox."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            root = str((path.parent / "root").readlink())
        except OSError:
            continue
        if words[:2] == [b"sleep", b"60"] and root != "/":
            found.append(path.parent.name)
    return found


def test_osrd_once_builds_nothing(host: InitrdHost) -> None:
    add_kernel(host.root, "6.1.0-1")
    host.once(check=False)
    assert not (host.directory / "state/images").exists()


def test_a_root_without_dracut_says_what_to_install(host: InitrdHost) -> None:
    add_kernel(host.root, "6.1.0-1")
    (host.root / "usr/lib/dracut/dracut-version.sh").unlink()
    host.start()
    eventually(lambda: "root-without-dracut" in host.codes(), "it is told")
    (finding,) = [each for each in host.ask("status")["findings"] if each["code"] == "root-without-dracut"]
    assert "dracut-network" in finding["fix"]
    assert host.kernels() == {"6.1.0-1": "found"}
    failed = host.osrctl("initrd", "build", "./shared", check=False)
    assert (failed.returncode, "has no dracut" in failed.stderr) == (8, True)
