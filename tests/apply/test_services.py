# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers during a publication: judged before, told after, given the last good files back when they refuse."""

from pathlib import Path

import pytest

from osrd.model.output import Service
from osrd.model.plan import Reason, ReloadService
from osrd.model.view import ServiceState
from tests.apply.world import RecordingServer, World


@pytest.fixture
def server() -> RecordingServer:
    return RecordingServer()


@pytest.fixture
def world(tmp_path: Path, server: RecordingServer) -> World:
    world = World(tmp_path, {Service.DHCP: server})
    server.files = (world.path("dhcp.conf"),)
    return world


def files(dhcp: bytes, menu: bytes = b"menu") -> dict[str, bytes]:
    return {"dhcp.conf": dhcp, "grub/x": menu}


def test_candidates_are_checked_and_the_server_is_told_once(world: World, server: RecordingServer) -> None:
    result = world.publish(world.desired(files(b"good")))
    assert server.checked == [{world.path("dhcp.conf"): b"good"}]
    assert len(server.reloads) == 1
    assert world.path("dhcp.conf") in server.reloads[0]
    assert result.services == {Service.DHCP: ServiceState.RUNNING}
    assert world.store.owed == frozenset()
    world.publish(world.desired(files(b"good", b"other")))
    assert len(server.checked) == len(server.reloads) == 1


def test_files_that_fail_the_check_are_kept_back_and_the_others_go_on(world: World, server: RecordingServer) -> None:
    world.publish(world.desired(files(b"good")))
    server.refuses = b"bad"
    result = world.publish(world.desired(files(b"bad", b"new menu")))
    assert world.tree() == files(b"good", b"new menu")
    assert world.codes(result) == ["bad-syntax", "kept-back"]
    assert result.kept_back == (world.path("dhcp.conf"),)
    assert len(server.reloads) == 1
    assert world.store.owed == frozenset()
    before = world.store.generation
    world.publish(world.desired(files(b"bad", b"new menu")))
    assert (world.store.generation, world.tree()) == (before, files(b"good", b"new menu"))
    server.refuses = b"never"
    world.publish(world.desired(files(b"bad", b"new menu")))
    assert world.tree() == files(b"bad", b"new menu")


def test_a_server_that_refuses_gets_its_last_good_files_back(world: World, server: RecordingServer) -> None:
    world.publish(world.desired(files(b"good")))
    server.chokes_on = b"bad"
    bad = world.desired(files(b"bad", b"new menu"))
    result = world.publish(bad)
    assert world.tree() == files(b"good", b"new menu")
    assert world.codes(result) == ["refused"]
    assert len(server.reloads) == 3
    assert world.store.owed == frozenset()
    assert world.store.manifest[world.path("dhcp.conf")].size == len(b"good")
    assert world.store.outputs_of(2)[world.path("dhcp.conf")].generation == 1
    # the next full pass does not break the server again
    result = world.publish(bad)
    assert world.codes(result) == ["refused"]
    assert result.kept_back == (world.path("dhcp.conf"),)
    assert len(server.reloads) == 3
    # somebody asks for it
    server.chokes_on = b"never"
    world.publish(bad, world.note(retry=True))
    assert world.tree() == files(b"bad", b"new menu")


def test_what_was_put_back_is_what_a_restart_finds(world: World, server: RecordingServer) -> None:
    world.publish(world.desired(files(b"good")))
    server.chokes_on = b"bad"
    world.publish(world.desired(files(b"bad")))
    world.restart()
    assert world.plan(world.desired(files(b"good"))).actions == ()


def test_without_a_last_good_state_the_files_stay(world: World, server: RecordingServer) -> None:
    server.chokes_on = b"bad"
    result = world.publish(world.desired(files(b"bad")))
    assert world.tree() == files(b"bad")
    assert world.codes(result) == ["refused"]
    assert world.store.owed == {Service.DHCP}
    server.chokes_on = b"never"
    plan = world.plan(world.desired(files(b"bad")))
    assert plan.actions == (ReloadService(Service.DHCP, Reason.OWED),)
    result = world.publish(world.desired(files(b"bad")))
    assert (result.generation, result.services) == (1, {Service.DHCP: ServiceState.RUNNING})
    assert world.store.owed == frozenset()


def test_an_absent_server_is_owed_nothing(world: World, server: RecordingServer) -> None:
    server.state = ServiceState.ABSENT
    result = world.publish(world.desired(files(b"good")))
    assert result.services == {Service.DHCP: ServiceState.ABSENT}
    assert result.findings == ()
    assert world.store.owed == frozenset()


def test_a_service_nobody_manages(tmp_path: Path) -> None:
    world = World(tmp_path)
    result = world.publish(world.desired({"exports": b"/root 10.0.0.1(rw)"}))
    assert result.services == {Service.NFS: ServiceState.UNMANAGED}
    assert world.store.owed == frozenset()
