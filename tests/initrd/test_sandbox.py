# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a root's dracut runs, and what comes out of it."""

import contextlib
import ctypes
import errno
import os
import re
import signal
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from osrd.apply.initrd import restrict
from osrd.apply.initrd.build import BuildFailedError, build
from osrd.apply.mounts import keep
from osrd.model.cdsl import Layout
from osrd.model.errors import CancelledError, ConflictError, FailedError, InvalidArgsError, NotFoundError, OsrdError
from osrd.model.settings import BootWay
from tests.conftest import REPOSITORY, refuse
from tests.initrd.miniroot import GOOD, LIMITS, VERSION, World, children, cmdline, make_order, running, set_dracut
from tests.mounts.namespace import in_child, private_mounts
from tests.mounts.roots import make_root as make_cdsl_root

pytestmark = [pytest.mark.root, pytest.mark.needs("busybox")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """No mount and no process of ours is left after any test."""
    os.environ["OSRD_TEST"] = "not for the root's programs"
    yield
    del os.environ["OSRD_TEST"]
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert children() == []


def test_kernel_and_image_come_out(world: World) -> None:
    built = world.build()
    assert world.names() == ["initrd", "kernel", "log"]
    assert Path(built.initrd).read_text() == "initrd\n"
    assert Path(built.kernel).read_bytes() == b"a kernel"
    assert built.initrd_size == 7
    assert built.log == str(world.destination / "log")
    assert "Including module: osr" in world.log()
    assert world.told == [(pytest.approx(0.5 / 41), "module osr")]


def test_what_dracut_is_called_with(world: World) -> None:
    words = world.says('echo "$@"', way=BootWay.STATIC).split()
    assert words[:4] == ["--force", "--no-hostonly", "--no-hostonly-cmdline", "--reproducible"]
    assert words[words.index("--kver") :][:2] == ["--kver", VERSION]
    assert world.says('echo "${11}|${12}"', way=BootWay.FULL) == "--add|osr osr-cluster\n"


def test_it_sees_our_files_and_the_root_does_not(world: World) -> None:
    (world.root / "etc/osr/initrd").mkdir(parents=True)
    (world.root / "etc/osr/initrd/stale").write_text("old")
    (world.root / "usr/lib/dracut/modules.d/50osr").mkdir()
    (world.root / "usr/lib/dracut/modules.d/95other").mkdir()
    before = sorted(world.root.rglob("*"))
    text = world.says(
        "cd /etc/osr/initrd; ls; cat build; ls -l /usr/lib/dracut/modules.d /usr/lib/dracut/modules.d/95osr"
    )
    assert text.split()[:3] == ["build", "nodes", "0123abcd"]
    assert re.search(r"-rwxr-xr-x .* module-setup.sh", text)
    assert "95other" in text
    assert "50osr" not in text
    assert sorted(world.root.rglob("*")) == before


def test_nothing_is_written_into_the_root(world: World) -> None:
    script = "echo x > /etc/new; rm -rf /boot /usr/lib/dracut; rm /usr/bin/busybox; echo z > /var/tmp/z\n" + GOOD
    world.build(script)
    assert (world.root / f"boot/vmlinuz-{VERSION}").read_bytes() == b"a kernel"
    assert not (world.root / "etc/new").exists()
    assert list((world.root / "var/tmp").iterdir()) == []


def test_a_program_that_fails_says_why(world: World) -> None:
    error = world.fails('echo "first"; printf "\\033[31mno space\\033[0m\\007\\n" >&2; exit 3')
    assert "exit status 3" in error.message
    assert error.lines == ("first", "no space")
    assert str(world.destination / "log") in error.fix
    assert "osrd: dracut failed with exit status 3" in world.log()


def test_no_dracut(world: World) -> None:
    order = make_order(world.root)
    (world.root / "usr/bin/dracut").unlink()
    with pytest.raises(BuildFailedError, match=r"exit status 127.*No such file"):
        build(order, LIMITS, str(world.destination))


def test_the_room(world: World) -> None:
    """What is in there: the root, /proc, a few devices; nothing of this host."""
    before = set(os.listdir("/proc"))
    text = world.says(
        "cat /proc/self/mountinfo; echo; ls /proc; echo; ls /dev; echo; ls /sys; ls -l /proc/self/fd; env"
    )
    mounts, processes, devices, rest = text.split("\n\n", 3)
    table = {line.split()[4]: line.split() for line in mounts.splitlines()}
    assert set(table) == {"/", "/run", "/tmp", "/proc", "/dev", *(f"/dev/{name}" for name in DEVICES)}
    assert {"nosuid", "nodev"} <= set(table["/"][5].split(","))
    assert "ro" in table["/proc"][5].split(",")
    assert {name for name in processes.split() if name.isdigit()} <= set("12345")
    assert len(before) > 3
    assert set(devices.split()) == {*DEVICES, "fd", "stdin", "stdout", "stderr"}
    descriptors = re.findall(r" (\d+) -> (\S+)", rest)
    assert {"0", "1", "2"} <= {number for number, _ in descriptors} <= {"0", "1", "2", "3"}
    assert all(
        target in ("/dev/null", "/run/osrd/initrd", "/proc/self/fd") or "/proc/" in target for _, target in descriptors
    )
    assert str(world.root) not in text
    assert "OSRD_TEST" not in rest


DEVICES = ("full", "null", "random", "tty", "urandom", "zero")


def test_nobody_to_talk_to(world: World) -> None:
    text = world.says("cat /proc/net/dev | tail -n +3; ip addr; ip link set lo up; hostname; ipcs -q | tail -n +4")
    assert next(line.split()[0] for line in text.splitlines() if ":" in line) == "lo:"
    assert "state DOWN" in text or "<LOOPBACK>" in text
    assert "UP" not in re.findall(r"<(.*?)>", text)[0].split(",")
    assert re.search(r"not permitted", text)
    assert "localhost" in text.splitlines()


def test_its_rights(world: World) -> None:
    text = world.says("cat /proc/self/status; ulimit -a; id -u; cat /proc/self/oom_score_adj")
    kept = sum(1 << number for number in restrict.KEPT)
    for which in ("CapPrm", "CapEff", "CapBnd"):
        assert f"{which}:\t{kept:016x}" in text
    assert "NoNewPrivs:\t1" in text
    assert "Seccomp:\t2" in text
    assert re.search(rf"file size .*{16 << 11}\n", text)
    assert re.search(r"core file size .* 0\n", text)
    assert re.search(rf"(address space|virtual memory).* {256 << 10}\n", text)
    assert "\n0\n500\n" in text


def test_it_is_nice(world: World) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    fields = world.says("cat /proc/self/stat", limits=replace(LIMITS, nice=7)).rpartition(")")[2].split()
    assert int(fields[16]) == before + 7


SETTINGS = ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname")


@pytest.mark.parametrize(
    "command",
    [
        "unshare -U true",
        "unshare -m true",
        "mount -t tmpfs x /tmp",
        "mount -o remount,rw /proc",
        "umount /proc",
        "mknod /tmp/disk b 8 0",
        "nsenter -t 1 -m true",
        "hostname evil",
        "adjtimex -f 100",
        "swapoff -a; swapon /usr/bin/busybox",
        "insmod /usr/bin/busybox",
        "dmesg -n 1",
        "renice -n -5 $$",
        "chroot / mount -t proc x /proc",
        "echo 1 > /proc/sys/vm/drop_caches",
        "echo evil > /proc/sys/kernel/hostname",
        "echo '|/tmp/x' > /proc/sys/kernel/core_pattern",
        "echo -1000 > /proc/self/oom_score_adj",
        "ulimit -f unlimited",
        "ulimit -v unlimited",
    ],
)
def test_what_is_refused(world: World, command: str) -> None:
    before = [Path(name).read_text() for name in SETTINGS]
    text = world.says(f"( {command} ); echo status $?")
    assert not text.endswith("status 0\n"), text
    assert [Path(name).read_text() for name in SETTINGS] == before


def test_system_calls_that_are_refused() -> None:
    """Keys of the host's root, and what would give all rights over new namespaces."""
    script = textwrap.dedent("""
        import ctypes, os, sys
        from osrd.apply.initrd.restrict import restrict
        calls = {"keyctl": (250, 0, -4, 1), "add_key": (248, b"user", b"x", b"y", 1, -4), "unshare": (272, 0x10000000),
            "setns": (308, 0, 0), "bpf": (321, 0, 0, 0), "clone": (56, 0x10000000 | 17, 0, 0, 0, 0),
            "clone3": (435, 0, 0), "io_uring_setup": (425, 1, 0), "x32": (0x40000000 + 39,)}
        libc = ctypes.CDLL(None, use_errno=True)
        restrict(1 << 30, 1 << 40, 0)
        for name, (number, *arguments) in calls.items():
            ctypes.set_errno(0)
            kinds = (ctypes.c_char_p if isinstance(each, bytes) else ctypes.c_long for each in arguments)
            result = libc.syscall(ctypes.c_long(number), *(kind(each) for kind, each in zip(kinds, arguments)))
            if result == 0 and name == "clone":
                os._exit(0)
            print(name, ctypes.get_errno())
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        print("fork", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    if os.uname().machine != "x86_64":
        refuse("the numbers are those of x86-64")
    environment = {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        *("keyctl 1", "add_key 1", "unshare 1", "setns 1", "bpf 1", "clone 1"),
        *("clone3 38", "io_uring_setup 38", "x32 38", "fork 7"),
    ]


@pytest.mark.parametrize("layout", [Layout(), Layout(tree=".cluster/cdsl", link=".cdsl.local")], ids=["new", "old"])
@pytest.mark.parametrize("bound", [False, True])
def test_a_nodes_tree_is_at_the_link(world: World, layout: Layout, bound: bool) -> None:
    old = layout.link == ".cdsl.local"
    make_cdsl_root(world.root, layout, old=old)

    @private_mounts
    def body() -> None:
        if bound:
            keep(str(world.root), layout, "2")
        script = f"cat /{layout.link}/who; echo; echo mine > /{layout.link}/new; cat /{layout.node_tree('1')}/new"
        assert world.says(script, link=layout.link, tree=layout.node_tree("1")).split() == ["1", "mine"]

    body()
    assert not (world.root / layout.node_tree("1") / "new").exists()


def test_a_link_that_leads_nowhere(world: World) -> None:
    layout = Layout()
    make_cdsl_root(world.root, layout)
    (world.root / layout.link).unlink()
    (world.root / layout.link).symlink_to("../../etc")
    with pytest.raises(BuildFailedError, match="leads nowhere"):
        world.build(link=layout.link, tree=layout.node_tree("1"))


def test_what_is_mounted_in_the_root(world: World) -> None:
    """File systems of the root are seen, and cannot be changed; what this host mounted there for a chroot is not."""

    @private_mounts
    def body() -> None:
        for name, kind in (("opt", "tmpfs"), ("proc", "proc"), ("srv", "proc"), ("sys", "sysfs"), ("run", "tmpfs")):
            (world.root / name).mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", kind, kind, world.root / name], check=True)
        (world.root / "opt/there").write_text("yes\n")
        (world.root / "run/host").write_text("secret")
        text = world.says("cat /opt/there; echo x > /opt/there; ls /srv /sys /run")
        assert text.startswith("yes\n")
        assert "Read-only file system" in text
        assert [line for line in text.splitlines()[2:] if line] == ["/run:", "osrd", "/srv:", "/sys:"]

    body()


@pytest.mark.parametrize(
    "kind",
    ["tmpfs", "overlay", "ext4", pytest.param("btrfs", marks=pytest.mark.needs("mkfs.btrfs"))],
)
def test_file_systems(tmp_path: Path, kind: str) -> None:
    @private_mounts
    def body() -> None:
        place = tmp_path / "mounted"
        place.mkdir()
        if kind == "tmpfs":
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        elif kind != "overlay":
            disk = tmp_path / "disk"
            with disk.open("wb") as file:
                file.truncate(256 << 20)
            subprocess.run([f"mkfs.{kind}", "-q", disk], check=True)
            subprocess.run(["mount", "-o", "loop", disk, place], check=True)
        else:
            for name in ("lower", "upper", "work"):
                (tmp_path / name).mkdir()
            options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
            subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", place], check=True)
        built = World(place).build("echo x > /etc/x\n" + GOOD)
        assert built.initrd_size == 7
        subprocess.run(["umount", place], check=True)

    body()


def test_cancelled(world: World) -> None:
    with pytest.raises(CancelledError):
        world.build("echo '*** Including module: a ***'\nsleep 1000.125\n", cancelled=lambda: bool(world.told))
    assert running("1000.125") == []
    assert world.names() == ["log"]


def test_timeout(world: World) -> None:
    error = world.fails("trap '' TERM\necho waiting\nsleep 1000.25\n", replace(LIMITS, timeout=0.5))
    assert "had not ended after 0.5 s (waiting)" in error.message
    assert running("1000.25") == []


def test_files_use_memory(world: World) -> None:
    error = world.fails("for n in 1 2 3 4 5 6; do dd if=/dev/zero of=/tmp/$n bs=1M count=10 || exit 9; done\n", SMALL)
    assert "No space left on device" in " ".join(error.lines)


def test_processes_use_memory(world: World) -> None:
    """None of them is near the limit of a process, not even while it doubles what it has."""
    grow = 'awk \'BEGIN { x = "0123456789abcdef"; while (length(x) < 4e6) x = x x; system("sleep 1000.375") }\' &\n'
    error = world.fails(grow * 20 + "wait\n", SMALL)
    assert "needed more than 48 MiB of memory" in error.message
    assert "[build]" in error.fix


def test_a_process_that_grows(world: World) -> None:
    """Its own limit ends it, or that of all of them together when somebody looks just then."""
    message = world.fails("tail /dev/zero || exit 3\n", SMALL).message
    assert "exit status" in message or "needed more than 48 MiB" in message


SMALL = replace(LIMITS, memory=48)


def test_another_kernel(world: World) -> None:
    order = make_order(world.root)
    (world.root / order.kernel.image).write_bytes(b"a kennel")
    with pytest.raises(ConflictError, match="changed"):
        build(order, LIMITS, str(world.destination))
    assert world.names() == []


@pytest.mark.parametrize("how", ["written", "replaced", "gone", "longer"])
def test_the_kernel_changes_meanwhile(world: World, how: str) -> None:
    order = make_order(world.root)
    kernel = world.root / order.kernel.image

    def change(_fraction: float, _message: str) -> None:
        if how == "written":
            kernel.write_bytes(b"a kernel")
        elif how == "longer":
            kernel.write_bytes(b"a kernel of another length")
        else:
            kernel.unlink()
        if how == "replaced":
            kernel.write_bytes(b"a kernel")

    with pytest.raises(ConflictError, match="changed"):
        build(order, LIMITS, str(world.destination), change)
    assert world.names() == ["log"]


def test_a_kernel_that_a_link_leads_to(world: World) -> None:
    order = make_order(world.root)
    (world.root / "boot").rename(world.root / "usr/boot")
    (world.root / "boot").symlink_to("/usr/boot")
    assert Path(build(order, LIMITS, str(world.destination)).kernel).read_bytes() == b"a kernel"


def test_a_kernel_of_this_host(world: World, tmp_path: Path) -> None:
    (tmp_path / "host").write_bytes(b"a kernel")
    order = make_order(world.root)
    (world.root / order.kernel.image).unlink()
    (world.root / order.kernel.image).symlink_to(tmp_path / "host")
    with pytest.raises((NotFoundError, ConflictError)):
        build(order, LIMITS, str(world.destination))


@pytest.mark.parametrize("version", ["--help", "6.1/../x", "6.1 x", "6.1\n", "", ".."])
def test_versions_that_are_none(world: World, version: str) -> None:
    order = make_order(world.root)
    with pytest.raises(InvalidArgsError):
        build(replace(order, kernel=replace(order.kernel, version=version)), LIMITS, str(world.destination))


@pytest.mark.parametrize("path", ["../../../etc/x", "a/../../x", "modules.d/x", "/modules.d/95x/y", "bin/95x/y"])
def test_modules_that_are_none(world: World, path: str) -> None:
    with pytest.raises(OsrdError):
        world.build(modules={path: b""})
    assert not (world.root / "etc/x").exists()


def test_an_older_build_gives_way(world: World) -> None:
    world.build()
    (world.destination / ".initrd.osrd-0").write_text("killed")
    world.fails("exit 1")
    world.build()


def test_a_full_disk(world: World) -> None:
    @private_mounts
    def body() -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", world.destination], check=True)
        with pytest.raises(FailedError, match=r"a build needs 4\.0 MiB, and 1\.0 MiB are free"):
            world.build()
        with pytest.raises(FailedError, match="no room for the image of 3 MiB"):
            world.build('dd if=/dev/zero of="$image" bs=1M count=3', replace(LIMITS, size=3))
        assert world.names() == ["log"]

    body()


def test_a_destination_without_unnamed_files(world: World) -> None:
    """As on NFS. The kernel is made to refuse them."""
    call = {"x86_64": 257, "aarch64": 56}.get(os.uname().machine)
    if call is None:
        refuse("the number of openat is not known here")
    program = [(0x20, 0, 0, 0), (0x15, 0, 3, call), (0x20, 0, 0, 32), (0x45, 0, 1, os.O_TMPFILE & ~os.O_DIRECTORY)]
    program += [(0x06, 0, 0, 0x00050000 | errno.EOPNOTSUPP), (0x06, 0, 0, 0x7FFF0000)]

    def body() -> None:
        filter_calls(program)
        with pytest.raises(OSError, match="not supported"):
            os.open(world.destination, os.O_RDWR | os.O_TMPFILE)
        assert Path(world.build().initrd).read_text() == "initrd\n"
        assert world.names() == ["initrd", "kernel", "log"]
        world.fails("exit 1")

    assert in_child(body) == ""


def filter_calls(program: list[tuple[int, int, int, int]]) -> None:
    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    code = b"".join(struct.pack("=HBBI", *step) for step in program)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(Program(len(program), code)), 0, 0) == 0


def test_a_disk_that_is_full_of_others(world: World) -> None:
    """Of the log there is what fits; the image is refused."""

    @private_mounts
    def body() -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", world.destination], check=True)

        def fill(_fraction: float, _message: str) -> None:
            with contextlib.suppress(OSError), (world.destination / "other").open("wb") as file:
                while True:
                    file.write(bytes(1 << 16))

        set_dracut(world.root, GOOD + 'head -c 1000000 /dev/zero; sleep 0.2; head -c 1000000 /dev/zero > "$image"')
        with pytest.raises(BuildFailedError, match=r"no room|No space") as caught:
            build(make_order(world.root), LIMITS, str(world.destination), fill)
        assert caught.value.passing
        assert world.names() == ["log", "other"]

    body()


def test_no_destination(world: World) -> None:
    with pytest.raises(FailedError, match="No such file"):
        build(make_order(world.root), LIMITS, str(world.destination / "missing"))


_TRY = """
import sys
from pathlib import Path
from osrd.apply.initrd.build import build
from osrd.model.errors import UnsupportedError
from tests.initrd.miniroot import LIMITS, make_order
try:
    build(make_order(Path(sys.argv[1])), LIMITS, sys.argv[2])
except UnsupportedError as error:
    print(error)
"""


@pytest.mark.needs("setpriv")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--reuid=65534", "--clear-groups"], "can be run safely by root only; run osrd as root"),
        (["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"], "cannot be sealed off here: mounts"),
    ],
)
def test_without_the_rights(world: World, options: list[str], says: str) -> None:
    for path in (world.destination, *world.destination.parents):
        if path.is_relative_to("/tmp/") and path.owner() == "root":
            path.chmod(0o777)
    argv = ["setpriv", *options, sys.executable, "-c", _TRY, world.root, world.destination]
    done = subprocess.run(argv, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=True)
    assert says in done.stdout
    assert world.names() == ["log"]


def test_the_guard_is_killed(world: World) -> None:
    def kill(_fraction: float, _message: str) -> None:
        (guard,) = [pid for pid in children() if "guard.py" in cmdline(pid)]
        os.kill(guard, signal.SIGKILL)

    with pytest.raises(BuildFailedError, match="was ended"):
        build(make_order(world.root), LIMITS, str(world.destination), kill)
