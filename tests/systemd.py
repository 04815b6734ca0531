# SPDX-License-Identifier: GPL-3.0-or-later
"""A systemd of its own, over this host's files, that runs one module of the tests as a process of osrd.service.

``restricted`` boots it: the module runs under the restrictions of the shipped osrd.service, beside the shipped socket
units and what they start. It takes three seconds.
"""

import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

SHIPPED = REPOSITORY / "data/systemd"
PROGRAMS = ("systemd-nspawn", "unshare")
#: what the module prints last
WELL = "all is well"
#: the last word of a pair: the option of osrd that is meant by the unit
_SOCKETS = {"osrd-build": "--build", "osrd-copy": "--copy"}
#: what the trial needs of this host, which may lie where a unit sees nothing
_PATHS = sorted({str(REPOSITORY), sys.prefix, sys.base_prefix})

_TRIAL = """[Unit]
DefaultDependencies=no
SuccessAction=poweroff-force
FailureAction=poweroff-force
Wants={sockets}
After={sockets}

[Service]
Type=oneshot
StandardOutput=file:/out/said
StandardError=file:/out/said
Environment=PYTHONPATH={repository}
ExecStart={python} -B -m {module}
"""
_EARLY = "[Unit]\nDefaultDependencies=no\n"
_SERVICE = f"""{_EARLY}
[Service]
ExecStart=
ExecStart={sys.executable} -B -m osrd {{option}}
Environment=PYTHONPATH={REPOSITORY}
ProtectHome=tmpfs
BindReadOnlyPaths={" ".join(_PATHS)}
"""
#: the host's own files below, what is written above is gone with the mount namespace; $1: a directory, in it "units"
_BOOT = """set -e
cd "$1"
mount -t tmpfs tmpfs over
mkdir over/upper over/work
mount -t overlay -o lowerdir=/,upperdir=over/upper,workdir=over/work overlay root
mkdir -p root/etc/systemd/system
cp -r units/. root/etc/systemd/system
shift
exec systemd-nspawn -q -D root --register=no --keep-unit "$@" -b systemd.unit=trial.service
"""


def restricted(directory: Path, module: str, *more: str) -> None:
    """Run ``module``, which prints WELL at its end; raises AssertionError with what it said when it does not. It sees
    "out" of ``directory`` as /out, and ``more`` (outside:inside)."""
    for name in ("over", "root", "out", "units"):
        (directory / name).mkdir(exist_ok=True)
    (directory / "out").chmod(0o777)
    for name, text in _units(module).items():
        (directory / "units" / name).parent.mkdir(exist_ok=True)
        (directory / "units" / name).write_text(text)
    binds = [f"--bind-ro={path}" for path in _PATHS] + [f"--bind={pair}" for pair in more]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", _BOOT, "sh", directory, f"--bind={directory}/out:/out", *binds],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    said = directory / "out/said"
    assert said.exists(), done.stdout + done.stderr
    lines = said.read_text().splitlines()
    assert lines[-1:] == [WELL], "\n".join([*lines, done.stdout[-2000:], done.stderr[-2000:]])


def _units(module: str) -> dict[str, str]:
    shipped = (SHIPPED / "osrd.service").read_text()
    told = [line for line in shipped.splitlines() if line.startswith("Environment=OSRD_")]
    assert len(told) == len(_SOCKETS)
    restrictions = shipped[shipped.index("\nNoNewPrivileges=") : shipped.index("[Install]")]
    assert "SystemCallFilter=" in restrictions
    sockets = " ".join(f"{name}.socket" for name in _SOCKETS)
    trial = _TRIAL.format(sockets=sockets, repository=REPOSITORY, python=sys.executable, module=module)
    units = {"trial.service": "\n".join([trial, *told, restrictions])}
    for name, option in _SOCKETS.items():
        units |= {
            f"{name}.socket": (SHIPPED / f"{name}.socket").read_text(),
            f"{name}.socket.d/trial.conf": _EARLY,
            f"{name}@.service": (SHIPPED / f"{name}@.service").read_text(),
            f"{name}@.service.d/trial.conf": _SERVICE.format(option=option),
        }
    return units


def instances(name: str) -> str:
    """Which services of that name there are now; asked in there."""
    return systemctl("list-units", "--plain", "--no-legend", f"{name}@*")


def systemctl(*arguments: str) -> str:
    done = subprocess.run(["systemctl", *arguments], check=False, stdout=subprocess.PIPE, text=True)
    return done.stdout
