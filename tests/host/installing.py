# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd into a root, as long as there is no package: the checkout's files where they belong."""

import shutil
from pathlib import Path

from tests.conftest import REPOSITORY

_PROGRAM = """#!/usr/bin/python3
import sys
from {module} import main
sys.exit(main())
"""


def install_osrd(root: Path) -> None:
    python = root / "usr/lib/python3/dist-packages/osrd"
    shutil.copytree(REPOSITORY / "osrd", python, ignore=shutil.ignore_patterns("__pycache__"))
    data = REPOSITORY / "data"
    shutil.copytree(data, root / "usr/share/osrd")
    for name, module in (("osrd", "osrd.__main__"), ("osrctl", "osrd.cli.main")):
        program = root / "usr/bin" / name
        program.write_text(_PROGRAM.format(module=module))
        program.chmod(0o755)
    for unit in [*data.glob("systemd/*.service"), *data.glob("systemd/*.socket")]:
        shutil.copy(unit, root / "usr/lib/systemd/system")
    shutil.copy(data / "systemd/osrd.catalog", root / "usr/lib/systemd/catalog")
    shutil.copy(data / "systemd/osrd.tmpfiles", root / "usr/lib/tmpfiles.d/osrd.conf")
    shutil.copy(data / "dbus/org.opensharedroot.Osrd1.conf", root / "usr/share/dbus-1/system.d")
    shutil.copy(data / "dbus/org.opensharedroot.Osrd1.service", root / "usr/share/dbus-1/system-services")
    shutil.copy(data / "polkit/org.opensharedroot.osrd.policy", root / "usr/share/polkit-1/actions")
