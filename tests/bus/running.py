# SPDX-License-Identifier: GPL-3.0-or-later
"""A private system bus with our policy, osrd's service on it, and programs that call it as scripts would."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from osrd.bus.client import Client
from osrd.bus.connection import Connection
from osrd.bus.service import BusService
from tests.bus.fake_engine import FakeEngine
from tests.conftest import REPOSITORY

POLICY = REPOSITORY / "data/dbus/org.opensharedroot.Osrd1.conf"
NAME = "org.opensharedroot.Osrd1"
ROOT = "/org/opensharedroot/Osrd1"
NOBODY = 65534

# What dbus's own system.conf allows, and no more.
_CONFIG = """<busconfig>
  <type>system</type>
  <listen>unix:path={directory}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Peer"/>
  </policy>
  <include>{policy}</include>
  <include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
  {more}
</busconfig>
"""


class PrivateBus:
    """A dbus-daemon of its own, of the type system."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="osrd-bus-"))
        self.directory.chmod(0o755)  # other users call too
        config = self.directory / "bus.conf"
        # A developer's own bus belongs to the developer; the policy file names only root.
        mine = f'<policy user="{os.geteuid()}"><allow own="*"/></policy>' if os.geteuid() else ""
        mock = '<policy user="root"><allow own="*"/><allow send_destination="*"/></policy>'
        config.write_text(_CONFIG.format(directory=self.directory, policy=POLICY, more=mine or mock))
        self.address = f"unix:path={self.directory}/bus"
        self._argv = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--nosyslog"]
        self._log = (self.directory / "log").open("wb")
        self.start()

    def start(self) -> None:
        """Begin, or begin again at the same address: returns when it takes connections."""
        argv = [*self._argv, "--print-address"]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=self._log)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": self.address}

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def close(self) -> None:
        self.stop()
        self._log.close()
        shutil.rmtree(self.directory)


@asynccontextmanager
async def serving(bus: PrivateBus, engine: FakeEngine, allowed_uid: int | None = None) -> AsyncIterator[BusService]:
    connection = Connection()
    await connection.connect(bus.address)
    service = BusService(engine, connection, allowed_uid=os.geteuid() if allowed_uid is None else allowed_uid)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


@asynccontextmanager
async def asking(bus: PrivateBus) -> AsyncIterator[Client]:
    client = await Client.connect(bus.address)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def raw(bus: PrivateBus) -> AsyncIterator[Connection]:
    connection = Connection()
    await connection.connect(bus.address)
    try:
        yield connection
    finally:
        await connection.close()


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


async def run(bus: PrivateBus, *argv: str, uid: int | None = None) -> Ran:
    """Run a program against the bus, as another user if ``uid`` is given, and fail after 20 seconds."""
    other = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid is not None else []
    process = await asyncio.create_subprocess_exec(
        *other, *argv, env=bus.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 20)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    return Ran(process.returncode or 0, out.decode(), err.decode())


async def gdbus(bus: PrivateBus, method: str, *arguments: str, path: str = ROOT, uid: int | None = None) -> Ran:
    argv = ["gdbus", "call", "--system", "--dest", NAME, "--object-path", path, "--method", method, *arguments]
    return await run(bus, *argv, uid=uid)


async def busctl(bus: PrivateBus, *argv: str, uid: int | None = None) -> Ran:
    return await run(bus, "busctl", "--system", *argv, uid=uid)
