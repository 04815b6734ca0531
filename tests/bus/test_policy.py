# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: our bus policy file, polkit mocked (allowing, refusing, hanging, absent) and the real polkitd."""

import asyncio
import contextlib
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from lxml import etree

from osrd.bus import polkit
from osrd.bus.connection import CallError
from osrd.bus.names import JOB, MANAGER
from osrd.model.job import JobState
from tests.bus.fake_engine import FakeEngine
from tests.bus.running import NAME, NOBODY, ROOT, PrivateBus, asking, busctl, gdbus, raw, run, serving
from tests.conftest import REPOSITORY
from tests.eventually import eventually_async

pytestmark = [pytest.mark.root, pytest.mark.needs("gdbus", "busctl", "setpriv", "dbus-daemon")]

POLKITD = Path("/usr/lib/polkit-1/polkitd")
ACTIONS = Path("/usr/share/polkit-1/actions")
ACTION = "org.opensharedroot.osrd"
NOT_AUTHORIZED = f"{NAME}.Error.NotAuthorized"


@asynccontextmanager
async def program(bus: PrivateBus, *argv: str, owns: str) -> AsyncIterator[None]:
    """Run a server until the end of the block; begins when it owns its name."""
    with (bus.directory / "server.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*argv, env=bus.environment, stdout=log, stderr=log)
        try:
            async with raw(bus) as watcher:
                await until_async(lambda: watcher.ask_bus("GetNameOwner", "s", owns))
            yield
        finally:
            process.kill()
            await process.wait()


async def until_async(ask: Callable[[], Awaitable[list[object]]]) -> None:
    """Poll a question until its answer is neither an error nor false."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(CallError):
                if (await ask())[0]:
                    return
            await asyncio.sleep(0.02)


def mocked(bus: PrivateBus) -> AbstractAsyncContextManager[None]:
    argv = (sys.executable, "-m", "dbusmock", "--system", "--template", "polkitd")
    return program(bus, *argv, owns=polkit.POLKIT)


async def mock(bus: PrivateBus, member: str, signature: str = "", *arguments: object) -> list[object]:
    async with raw(bus) as connection:
        return await connection.call(
            polkit.POLKIT,
            polkit.AUTHORITY_PATH,
            "org.freedesktop.DBus.Mock",
            member,
            signature=signature,
            arguments=arguments,
        )


async def until_asked(bus: PrivateBus) -> None:
    """Wait until the mock keeps somebody waiting."""
    await until_async(lambda: mock(bus, "HaveHangingCalls"))


def test_nobody_may_own_the_name(bus: PrivateBus) -> None:
    async def story() -> None:
        own = ["org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName", "su", NAME, "4"]
        ran = await busctl(bus, "call", *own, uid=NOBODY)
        assert ran.status != 0
        assert "Access denied" in ran.err
        assert (await busctl(bus, "call", *own)).out == "u 1\n"

    asyncio.run(story())


def test_nobody_reads_everything_and_changes_nothing_without_polkit(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine):
            for argv in (
                ("tree", NAME),
                ("introspect", NAME, ROOT),
                ("get-property", NAME, ROOT, MANAGER, "State"),
                ("call", NAME, ROOT, MANAGER, "ListNodes", "a{sv}", "0"),
                ("call", NAME, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"),
                ("call", NAME, ROOT, "org.freedesktop.DBus.Peer", "Ping"),
            ):
                ran = await busctl(bus, *argv, uid=NOBODY)
                assert ran.status == 0, (argv, ran)
            ran = await gdbus(bus, f"{MANAGER}.Plan", "{}", uid=NOBODY)
            assert ran.status == 0, ran
            for member, *arguments in (
                ("Reconcile",),
                ("Apply", ""),
                ("Verify",),
                ("Rollback", "1"),
                ("Reload",),
                ("AddNode", "x", "{}"),
                ("SetNode", "1", "{}"),
                ("RemoveNode", "1"),
            ):
                ran = await gdbus(bus, f"{MANAGER}.{member}", *arguments, "{}", uid=NOBODY)
                assert NOT_AUTHORIZED in ran.err, (member, ran)
                assert "polkit is not running, so only root may do this" in ran.err
            assert engine.requests == []
            ran = await gdbus(bus, f"{MANAGER}.Reconcile", "{}")
            assert ran.status == 0, ran

    asyncio.run(story())


def test_the_daemons_own_user_is_trusted(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine, allowed_uid=NOBODY):
            ran = await gdbus(bus, f"{MANAGER}.Reconcile", "{}", uid=NOBODY)
            assert ran.status == 0, ran
            assert engine.requests[0][1] == NOBODY

    asyncio.run(story())


def test_polkit_allows_and_refuses_by_action(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with mocked(bus), serving(bus, engine):
            ran = await gdbus(bus, f"{MANAGER}.Verify", "{}", uid=NOBODY)
            assert f"polkit does not allow you {ACTION}.verify" in ran.err
            await mock(bus, "SetAllowed", "as", [f"{ACTION}.verify"])
            ran = await gdbus(bus, f"{MANAGER}.Verify", "{}", uid=NOBODY)
            assert f"{ROOT}/jobs/1" in ran.out, ran
            assert engine.requests[0][1] == NOBODY
            ran = await gdbus(bus, f"{MANAGER}.Reconcile", "{}", uid=NOBODY)
            assert NOT_AUTHORIZED in ran.err

    asyncio.run(story())


def test_own_jobs_can_be_cancelled_others_not(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with mocked(bus), serving(bus, engine), asking(bus) as root:
            await mock(bus, "SetAllowed", "as", [f"{ACTION}.verify"])
            await gdbus(bus, f"{MANAGER}.Verify", "{}", uid=NOBODY)
            await root.call(MANAGER, "Verify", "a{sv}", {})
            mine, roots = f"{ROOT}/jobs/1", f"{ROOT}/jobs/2"
            ran = await gdbus(bus, f"{JOB}.Cancel", "{}", path=roots, uid=NOBODY)
            assert NOT_AUTHORIZED in ran.err
            ran = await gdbus(bus, f"{JOB}.Cancel", "{}", path=mine, uid=NOBODY)
            assert ran.status == 0, ran
            assert [job.state for job in engine.jobs] == [JobState.CANCELLED, JobState.QUEUED]

    asyncio.run(story())


def test_a_password_dialog_holds_up_nobody_else(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with mocked(bus), serving(bus, engine) as service, asking(bus) as root:
            await mock(bus, "AllowUnknown", "b", True)
            await mock(bus, "SimulateHang", "b", True)
            calls = [gdbus(bus, f"{MANAGER}.Reconcile", "{}", uid=NOBODY) for _ in range(polkit.LIMIT_PER_USER)]
            waiting = asyncio.gather(*calls)
            questions = service._dispatcher._authority._open
            await eventually_async(lambda: questions[NOBODY] == polkit.LIMIT_PER_USER, "all questions")
            await root.call(MANAGER, "Verify", "a{sv}", {})
            ran = await busctl(bus, "get-property", NAME, ROOT, MANAGER, "State", uid=NOBODY)
            assert ran.status == 0, "others, and the same user's reads, are served meanwhile"
            ran = await gdbus(bus, f"{MANAGER}.Reconcile", "{}", uid=NOBODY)
            assert f"{NAME}.Error.Busy" in ran.err, "but one user cannot open any number of dialogs"
            assert len(engine.requests) == 1
            await until_asked(bus)
            await mock(bus, "ReleaseHangingCalls")
            assert [ran.status for ran in await waiting] == [0] * polkit.LIMIT_PER_USER
            assert len(engine.requests) == 1 + polkit.LIMIT_PER_USER

    asyncio.run(story())


def test_a_caller_who_leaves_is_forgotten(bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled: list[str] = []
    original = polkit.Authority._cancel

    async def spy(self: polkit.Authority, cancellation: str) -> None:
        cancelled.append(cancellation)
        await original(self, cancellation)

    monkeypatch.setattr(polkit.Authority, "_cancel", spy)

    async def story() -> None:
        engine = FakeEngine()
        async with mocked(bus), serving(bus, engine) as service:
            await mock(bus, "AllowUnknown", "b", True)
            await mock(bus, "SimulateHang", "b", True)
            process = await asyncio.create_subprocess_exec(
                *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
                *("gdbus", "call", "--system", "-d", NAME, "-o", ROOT, "-m", f"{MANAGER}.Reconcile", "{}"),
                env=bus.environment,
            )
            authority = service._dispatcher._authority
            await until_asked(bus)
            process.kill()
            await process.wait()
            await eventually_async(lambda: cancelled, "the cancellation")
            await eventually_async(lambda: not service._dispatcher._tasks, "the end of the call")
            await mock(bus, "ReleaseHangingCalls")
            assert engine.requests == []
            assert not authority._open
            assert not service._connection._departures

    asyncio.run(story())


def test_polkit_dies_while_it_is_asked(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine):
            async with mocked(bus):
                await mock(bus, "SimulateHang", "b", True)
                call = asyncio.create_task(gdbus(bus, f"{MANAGER}.Reconcile", "{}", uid=NOBODY))
                await until_asked(bus)
            assert NOT_AUTHORIZED in (await call).err
            assert engine.requests == []

    asyncio.run(story())


@pytest.mark.skipif(not POLKITD.exists(), reason="polkitd is not installed")
def test_the_real_polkitd(bus: PrivateBus, tmp_path: Path) -> None:
    """With our policy file bound over the host's actions, in a mount namespace of its own."""
    actions = tmp_path / "actions"
    shutil.copytree(ACTIONS, actions)
    shutil.copy(REPOSITORY / f"data/polkit/{ACTION}.policy", actions)
    for path in (tmp_path, *tmp_path.parents[:1], actions):
        path.chmod(0o755)
    script = 'mount --bind "$0" "$1" && exec "$2" --no-debug'
    argv = ("unshare", "--mount", "sh", "-c", script, str(actions), str(ACTIONS), str(POLKITD))

    async def story() -> None:
        engine = FakeEngine()
        async with program(bus, *argv, owns=polkit.POLKIT), serving(bus, engine):
            ran = await gdbus(bus, f"{MANAGER}.Reconcile", "{}")
            assert ran.status == 0, ran
            ran = await gdbus(bus, f"{MANAGER}.RemoveNode", "1", "{}", uid=NOBODY)
            assert NOT_AUTHORIZED in ran.err
            assert "allow interactive authorisation or become root" in ran.err, "a registered action is a challenge"
            assert len(engine.requests) == 1
            if shutil.which("pkaction"):
                ran = await run(bus, "pkaction", "--verbose", "--action-id", f"{ACTION}.manage-nodes")
                assert re.search(r"implicit active:\s+auth_admin_keep", ran.out), ran

    asyncio.run(story())


def test_policy_files_are_well_formed() -> None:
    policy = etree.parse(REPOSITORY / f"data/polkit/{ACTION}.policy")
    for action in policy.iterfind("action"):
        assert action.find("description") is not None
        assert action.find("message") is not None
        levels = [element.text for element in action.iterfind("defaults/*")]
        assert len(levels) == 3
        if action.get("id") != f"{ACTION}.read":
            assert levels[:2] == ["auth_admin", "auth_admin"]
    conf = etree.parse(REPOSITORY / f"data/dbus/{NAME}.conf")
    for rule in conf.iter("allow", "deny"):
        if rule.get("own"):
            assert rule.getparent().get("user") == "root"
        else:
            assert (rule.get("send_destination"), rule.get("send_type")) == (NAME, "method_call")
