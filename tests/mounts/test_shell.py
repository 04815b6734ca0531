# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl shell: a real command in a real root, as each node sees it, and nothing of it on the host."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from osrd.apply.mounts import keep
from osrd.apply.shell import run as run_shell
from osrd.model.cdsl import Layout
from osrd.model.errors import ConflictError, InvalidArgsError, NotFoundError, OsrdError
from osrd.plan.shell import FALLBACK_SHELL, Login, default_node, environment, login
from tests.conftest import REPOSITORY
from tests.eventually import eventually
from tests.mounts.namespace import private_mounts
from tests.mounts.roots import LAYOUT, OLD, make_root, run, table

DRIVER = """
import sys
from osrd.apply.shell import run
from osrd.model.cdsl import Layout
sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3:], Layout(*{layout!r})))
"""


def bootable(root: Path, layout: Layout = LAYOUT, *, old: bool = False) -> Path:
    """A root in which programs run: the host's /usr is mounted in it."""
    make_root(root, layout, old=old)
    for name in ("usr", "etc", "proc", "sys", "dev", "root"):
        (root / name).mkdir()
    for name in ("bin", "lib", "lib64", "sbin"):
        if Path("/", name).is_symlink():
            (root / name).symlink_to(os.readlink(f"/{name}"))
    run("mount", "--bind", "/usr", root / "usr")
    return root


def command(root: Path, node: str, *argv: str, layout: Layout = LAYOUT) -> list[str]:
    driver = DRIVER.format(layout=(layout.tree, layout.shared, layout.link))
    return [sys.executable, "-c", driver, str(root), node, *argv]


def shell(
    root: Path,
    node: str,
    *argv: str,
    layout: Layout = LAYOUT,
    stdin: str = "",
    **more: str,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(root, node, *argv, layout=layout),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **more},
        timeout=60,
    )


def output(root: Path, node: str, *argv: str, **more: str) -> str:
    result = shell(root, node, *argv, **more)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.root
@pytest.mark.parametrize(("layout", "old"), [(LAYOUT, False), (LAYOUT, True), (OLD, True)])
def test_each_node_sees_its_own_copy(tmp_path: Path, layout: Layout, old: bool) -> None:
    @private_mounts
    def body() -> None:
        root = bootable(tmp_path / "root", layout, old=old)
        (root / "who").symlink_to(f"{layout.link}/who")
        keep(str(root), layout, "1")
        before = table()
        for node, sees in (("2", "2"), ("1", "1"), ("default", "default"), ("", "1")):
            result = shell(root, node, "cat", "/who", layout=layout)
            assert (result.stdout, result.stderr, result.returncode) == (sees, "", 0)
        assert (root / "who").read_text() == "1"
        assert table() == before

    body()


@pytest.mark.root
@private_mounts
def test_writes_arrive_in_the_nodes_tree(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    assert output(root, "2", "sh", "-c", "echo new >/cdsl.local/file") == ""
    assert (root / "cluster/cdsl/2/file").read_text() == "new\n"
    assert not (root / "cluster/cdsl/1/file").exists()


@pytest.mark.root
@private_mounts
def test_nothing_is_mounted_on_the_host_meanwhile(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    # As systemd has it: everything is shared, so that a careless mount would appear here.
    run("mount", "--make-rshared", "/")
    keep(str(root), LAYOUT, "1")
    before = table()
    process = subprocess.Popen(
        command(root, "2", "sh", "-c", "echo ready; read line; cat /cdsl.local/who"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert table() == before
    # The host may change its mind meanwhile; the shell does not follow.
    keep(str(root), LAYOUT, "")
    assert process.communicate("\n")[0] == "2"
    run("mount", "--make-rprivate", "/")


@pytest.mark.root
@private_mounts
def test_the_root_is_the_whole_world(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    (root / "data").mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", root / "data")
    (root / "data/file").write_text("below")
    keep(str(root), LAYOUT, "1")
    assert output(root, "2", "cat", "/data/file") == "below"  # file systems mounted in the root are there
    points = output(root, "2", "sh", "-c", "while read a b c d e f; do echo $e; done </proc/self/mountinfo").split()
    assert points[0] == "/"
    assert {"/usr", "/data", "/proc", "/sys", "/dev", "/dev/pts"} < set(points)
    assert points.count("/cluster/cdsl/local") == 1  # the host's bind is not below it
    assert not any(str(tmp_path) in point for point in points)
    assert output(root, "2", "sh", "-c", "cd ..; pwd; ls -d ../../etc") == "/\n../../etc\n"


@pytest.mark.root
@private_mounts
def test_proc_sys_dev(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    os.mknod(root / "disk", 0o600 | 0o060000, os.makedev(7, 0))
    script = """
        set -e
        for f in null zero full random urandom tty; do [ -c /dev/$f ]; done
        echo x >/dev/null; head -c 4 /dev/zero >/dev/null; [ -e /dev/fd/0 ]; [ -d /dev/shm ]; [ -c /dev/pts/ptmx ]
        [ -z "$(find /dev -type b)" ]
        [ "$(cat /proc/1/comm)" ]; [ -d /sys/kernel ]
        ! head -c 1 /disk 2>/dev/null || exit 3          # a device that a node made
        mknod /dev/made b 7 0; ! head -c 1 /dev/made 2>/dev/null || exit 4
        ! echo h 2>/dev/null >/proc/sys/kernel/hostname || exit 5
        ! mkdir /sys/kernel/made 2>/dev/null || exit 6
        ! ls /proc/1/root/ >/dev/null 2>&1 || exit 7
        echo fine
    """
    assert output(root, "1", "sh", "-c", script) == "fine\n"


@pytest.mark.root
@private_mounts
def test_missing_directories_are_told_and_no_obstacle(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    (root / "proc").rmdir()
    (root / "sys").rmdir()
    (root / "dev").rmdir()
    victim = tmp_path / "victim"
    victim.mkdir()
    (root / "dev").symlink_to(victim)
    result = shell(root, "1", "sh", "-c", "echo fine")
    assert result.stdout == "fine\n"
    assert [line.split(",")[0] for line in result.stderr.splitlines()] == [
        f"osrctl: {root} has no directory {name}" for name in ("sys", "dev", "proc")
    ]
    assert list(victim.iterdir()) == []


@pytest.mark.root
@private_mounts
def test_exit_statuses(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    assert shell(root, "1", "true").returncode == 0
    assert shell(root, "1", "sh", "-c", "exit 7").returncode == 7
    assert shell(root, "1", "sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM
    assert shell(root, "1", "sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL
    assert shell(root, "1", "sh", "-c", "exit 125").returncode == 125
    missing = shell(root, "1", "no such command")
    assert (missing.returncode, missing.stderr) == (127, "osrctl: no such command: No such file or directory\n")
    assert shell(root, "1", "/etc").returncode == 126


@pytest.mark.root
@private_mounts
def test_the_command_is_no_shell_string(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    words = ["a b", "$(id)", "'", '"', "\n", "*", "", "\udcff"]
    shown = subprocess.run(
        command(root, "1", "printf", "[%s]", *words),
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ).stdout
    assert shown == b"".join(b"[%s]" % os.fsencode(word) for word in words)


@pytest.mark.root
@private_mounts
def test_without_a_command_the_shell_of_root_reads_standard_input(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    assert shell(root, "2", stdin="echo $0; cat /cdsl.local/who; exit 3").stdout == "/bin/sh\n2"
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    result = shell(root, "2", stdin="echo $BASH $HOME; exit 3")
    assert (result.stdout, result.returncode) == ("/bin/bash /root\n", 3)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/no/such/shell\n")
    assert shell(root, "2", stdin="echo $0").stdout == "/bin/sh\n"
    (root / "etc/passwd").unlink()
    os.mkfifo(root / "etc/passwd")  # would wait for ever for a writer
    assert shell(root, "2", stdin="echo $0").stdout == "/bin/sh\n"


@pytest.mark.root
@private_mounts
def test_the_environment_is_clean(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    shown = output(root, "2", "env", SECRET="s", TERM="vt100", LANG="de_DE.UTF-8", PATH=f"/opt:{os.environ['PATH']}")
    variables = dict(line.split("=", 1) for line in shown.splitlines())
    assert variables.pop("PATH").startswith("/usr/local/sbin:")
    assert variables["PS1"] == "[2@root $PWD]# "
    assert (variables["TERM"], variables["LANG"], variables["HOME"]) == ("vt100", "de_DE.UTF-8", "/root")
    assert not {"SECRET", "PYTHONPATH"} & set(variables)


@pytest.mark.root
@private_mounts
def test_no_descriptor_of_the_host_gets_in(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    outside = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(outside, True)
    shown = subprocess.run(
        command(root, "1", "sh", "-c", "echo /proc/self/fd/*"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        pass_fds=(outside,),
    ).stdout.split()
    assert len(shown) <= 4  # 0, 1, 2 and the listing itself
    assert f"/proc/self/fd/{outside}" not in shown[3:] or outside == 3


@pytest.mark.root
@private_mounts
def test_what_was_started_in_it_ends_with_it(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    result = shell(root, "1", "sh", "-c", "setsid sh -c 'sleep 61.7 & wait' >/dev/null 2>&1 & echo")
    assert result.returncode == 0
    assert not running("61.7")


@pytest.mark.root
@private_mounts
def test_signals_are_passed_on_and_a_killed_osrctl_leaves_nothing(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    before = table()
    for number, script, status in (
        (signal.SIGTERM, "trap 'exit 9' TERM; echo; sleep 62.7 & wait", 9),
        (signal.SIGHUP, "echo; exec sleep 62.7", 128 + signal.SIGHUP),
        (signal.SIGKILL, "echo; exec sleep 62.7", -signal.SIGKILL),
    ):
        process = subprocess.Popen(
            command(root, "1", "sh", "-c", script),
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(10) == status
        eventually(lambda: not running("62.7"), "the command is gone")
    assert table() == before


def running(word: str) -> bool:
    """Whether a process has ``word`` as an argument."""
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in each.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


@pytest.mark.root
@private_mounts
def test_hostile_names_are_refused(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    secret = make_root(tmp_path / "secret")
    before = table()

    def refused(node: str, kind: type[OsrdError], layout: Layout = LAYOUT) -> None:
        with pytest.raises(kind):
            run_shell(str(root), node, ("true",), layout)
        assert table() == before

    (root / "cluster/cdsl/3").symlink_to(secret)
    refused("3", ConflictError)
    for node in ("..", ".", "local", "../1", "1/", "a\0b"):
        refused(node, InvalidArgsError)
    refused("4", NotFoundError)
    refused("1", ConflictError, Layout(tree="../secret/cluster/cdsl"))
    (root / "cdsl.local").unlink()
    (root / "cdsl.local").symlink_to(secret / "cluster/cdsl/local")
    refused("1", NotFoundError)
    (root / "cdsl.local").unlink()
    (root / "cdsl.local").symlink_to("cluster/cdsl/local")
    (root / "cluster/cdsl/local").rmdir()
    (root / "cluster/cdsl/local").symlink_to(secret)
    refused("1", ConflictError)
    (root / "cluster").rename(root / "elsewhere")
    (root / "cluster").symlink_to(secret / "cluster")
    refused("1", ConflictError)
    with pytest.raises(NotFoundError):
        run_shell(str(tmp_path / "nowhere"), "", ("true",), LAYOUT)


@pytest.mark.root
@private_mounts
def test_a_root_without_cdsls_is_shown_as_it_is(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    run("rm", "-r", root / "cluster", root / "cdsl.local")
    assert output(root, "", "ls", "/") == output(root, "", "sh", "-c", "cd /; ls")
    with pytest.raises(NotFoundError, match="no tree of node 1"):
        run_shell(str(root), "1", ("true",), LAYOUT)


@pytest.mark.root
@private_mounts
def test_a_link_that_is_a_nodes_tree_without_a_mount(tmp_path: Path) -> None:
    root = bootable(tmp_path / "root")
    (root / "cdsl.local").unlink()
    (root / "cdsl.local").symlink_to("cluster/cdsl/1")
    assert output(root, "1", "cat", "/cdsl.local/who") == "1"
    with pytest.raises(NotFoundError):
        run_shell(str(root), "2", ("true",), LAYOUT)


@pytest.mark.root
@private_mounts
def test_without_root_in_a_user_namespace(tmp_path: Path) -> None:
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", tmp_path)  # others may not enter pytest's directories
    for parent in tmp_path.parents[:-1]:
        os.chmod(parent, os.stat(parent).st_mode | 0o011)
    root = bootable(tmp_path / "root")
    keep(str(root), LAYOUT, "1")
    run("chown", "-R", "65534:65534", root / "cluster")
    before = table()

    script = "cat /cdsl.local/who; id -u; echo x >/cdsl.local/new; echo /dev/n*; cat /proc/sys/kernel/ostype; ls /sys"
    said = tmp_path / "said"
    said.touch()
    child = os.fork()
    if child == 0:
        # Not another Python: the one of the tests may be where nobody else may read.
        os.dup2(os.open(said, os.O_WRONLY), 1)
        os.dup2(1, 2)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, as exec would: /proc/self is ours again
        status = 99
        try:
            status = run_shell(str(root), "2", ("sh", "-c", script), LAYOUT)
        except OsrdError as error:
            os.write(2, str(error).encode())
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert said.read_text().startswith("20\n/dev/null\nLinux\n")
    assert status == 0
    assert (root / "cluster/cdsl/2/new").stat().st_uid == 65534
    assert table() == before


def test_the_default_node() -> None:
    names = ["10", "2", "default", "local", "node1", ".hidden"]
    assert default_node("node1", names, LAYOUT) == "node1"
    assert default_node("", names, LAYOUT) == "2"
    assert default_node("", ["b", "a", "default"], LAYOUT) == "a"
    assert default_node("", ["default", "local"], LAYOUT) == ""


@pytest.mark.parametrize(
    ("passwd", "expected"),
    [
        (b"", Login()),
        (b"nonsense\n\xff:x:1:\nroot:x:0:0:root:/root:/bin/zsh\n", Login("/root", "/bin/zsh")),
        (b"root:x:0:0:root::\n", Login("/root", FALLBACK_SHELL)),
        (b"toor:x:0:0::/home/toor:relative\n", Login("/home/toor", FALLBACK_SHELL)),
    ],
)
def test_the_login_of_root(passwd: bytes, expected: Login) -> None:
    assert login(passwd) == expected


def test_a_prompt_runs_nothing() -> None:
    variables = environment({"LC_ALL": "C", "LD_PRELOAD": "x"}, Login(), "$(reboot)`x`\n", "/mnt/new $root/")
    assert variables["PS1"] == "[__reboot__x__@new__root $PWD]# "
    assert variables["LC_ALL"] == "C"
    assert "LD_PRELOAD" not in variables
    assert environment({}, Login(), "", "/")["PS1"] == "[root $PWD]# "
