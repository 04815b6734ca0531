# SPDX-License-Identifier: GPL-3.0-or-later
"""packaging/bootstrap.sh on a machine with nothing installed: its PATH holds what every distribution has, and an
apt-get that writes down what it is asked. The real one is tried on a fresh machine, since it changes the host."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ALWAYS = ("cat", "chmod", "dirname", "env", "flock", "mktemp", "rm", "sed", "sh", "sort", "tail", "tr", "uname")
APT = """#!/bin/sh
echo "$*" >>{calls}
[ "$(wc -l <{calls})" -gt {failures} ]
"""


class Machine:
    """A checkout and a PATH. ``sleep`` returns at once."""

    def __init__(self, directory: Path, user: int, failures: int = 0) -> None:
        self.checkout, self.bin, self.temporary = directory / "a checkout", directory / "bin", directory / "tmp"
        self.calls = directory / "calls"
        for place in (self.checkout / "packaging", self.bin, self.temporary):
            place.mkdir(parents=True)
        script = self.checkout / "packaging/bootstrap.sh"
        shutil.copy(REPOSITORY / "packaging/bootstrap.sh", script)
        text = script.read_text().replace("/usr/sbin/policy-rc.d", f'"{self.policy}"')
        script.write_text(text.replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n", ""))
        shutil.copy(REPOSITORY / "setup.cfg", self.checkout)
        for name in (*ALWAYS, "wc"):
            found = shutil.which(name)
            assert found is not None, name
            (self.bin / name).symlink_to(found)
        self.program("apt-get", APT.format(calls=self.calls, failures=failures))
        self.program("id", f"#!/bin/sh\necho {user}\n")
        self.program("sleep", "#!/bin/sh\n")

    @property
    def policy(self) -> Path:
        """In the place of /usr/sbin/policy-rc.d."""
        return self.bin / "policy-rc.d"

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def bootstrap(self, purpose: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.checkout / "packaging/bootstrap.sh", purpose],
            env={"PATH": str(self.bin), "TMPDIR": str(self.temporary), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def asked(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def files(self) -> list[str]:
        return sorted(path.name for path in self.checkout.rglob("*") if path.is_file())


def test_a_normal_user_is_told_the_command_and_nothing_is_touched(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000)
    done = machine.bootstrap("demo")
    assert done.returncode == 1
    assert "apt-get update && apt-get install --no-install-recommends" in done.stderr
    assert {"gcc", "python3", "python3-dev", "python3-venv"} <= set(done.stderr.split())
    assert machine.asked == []
    assert machine.files() == ["bootstrap.sh", "setup.cfg"]
    assert list(machine.temporary.iterdir()) == []


def test_a_mirror_that_stumbles_is_asked_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0, failures=1)
    done = machine.bootstrap("demo")
    verbs = [next(word for word in line.split() if word in {"update", "install"}) for line in machine.asked]
    assert verbs == ["update", "update", "install"]
    installed = machine.asked[-1].split()
    assert {"gcc", "python3", "python3-dev", "python3-venv"} <= set(installed)
    assert len(installed) == len(set(installed) | {"-o"}) + installed.count("-o") - 1, "each package once"
    # This apt-get installs nothing, which must not end in a traceback of whatever needs it first.
    assert done.returncode == 1
    assert "Still missing after their installation" in done.stderr


def test_a_mirror_that_stays_away_ends_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0, failures=99)
    done = machine.bootstrap("demo")
    assert done.returncode == 1
    assert len(machine.asked) == 3
    assert "The packages could not be installed. Try by hand: apt-get update && apt-get install" in done.stderr
    assert list(machine.temporary.iterdir()) == []


@pytest.mark.parametrize(("there", "disabled"), [((), ["rpcbind.socket"]), (("rpcbind",), [])])
def test_servers_for_booting_machines_are_neither_started_nor_enabled(
    tmp_path: Path, there: tuple[str, ...], disabled: list[str]
) -> None:
    """Apart from those that were there before, which are the user's own."""
    machine = Machine(tmp_path, user=0)
    for name in there:
        machine.program(name, "#!/bin/sh\n")
    asked = tmp_path / "asked"
    machine.program("systemctl", f'#!/bin/sh\n[ -x "{machine.policy}" ] && echo "$*" >>{asked}\n')
    done = machine.bootstrap("boot")
    assert "Still missing after their installation" in done.stderr
    words = asked.read_text().split()
    assert {"isc-dhcp-server", "kea-dhcp4-server", "nfs-ganesha", "tftpd-hpa"} <= set(words)
    assert [word for word in words if word == "rpcbind.socket"] == disabled
    assert not machine.policy.exists()


def test_a_server_that_cannot_be_disabled_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0)
    machine.program("systemctl", "#!/bin/sh\nexit 1\n")
    assert "to prevent it: systemctl disable rpcbind.service rpcbind.socket" in machine.bootstrap("boot").stdout
