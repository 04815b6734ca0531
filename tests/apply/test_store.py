# SPDX-License-Identifier: GPL-3.0-or-later
"""The state database: versions, damage, permissions, and readers."""

import sqlite3
import stat
from pathlib import Path

import pytest

from osrd.apply.store import Store
from osrd.model.errors import BusyError, FailedError, NotFoundError, UnsupportedError
from osrd.observe import manifest
from tests.apply.world import World


def test_a_newer_schema_is_refused_and_not_touched(tmp_path: Path) -> None:
    Store.open(str(tmp_path)).close()
    file = tmp_path / "state.db"
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = file.read_bytes(), file.stat().st_mtime_ns
    with pytest.raises(UnsupportedError, match="version 99"):
        Store.open(str(tmp_path))
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


@pytest.mark.parametrize("damage", [b"this is no database" * 100, None], ids=["garbage", "holes"])
def test_a_damaged_database_names_the_way_out(tmp_path: Path, damage: bytes | None) -> None:
    world = World(tmp_path)
    world.publish(world.desired({f"grub/{number}": b"x" * 900 for number in range(50)}))
    world.store.close()
    file = world.state / "state.db"
    content = file.read_bytes()
    file.write_bytes(damage or content[:4096] + b"\xff" * 30000 + content[34096:])
    with pytest.raises(FailedError, match="move it away"):
        Store.open(str(world.state))


def test_it_is_private(tmp_path: Path) -> None:
    Store.open(str(tmp_path / "a/b")).close()
    assert stat.S_IMODE((tmp_path / "a/b/state.db").stat().st_mode) == 0o600


def test_an_unusable_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FailedError, match="state database"):
        Store.open(str(tmp_path / "file"))


def test_two_writers(tmp_path: Path) -> None:
    world = World(tmp_path)
    other = sqlite3.connect(world.state / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    world.store._connection.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(BusyError):
        world.publish(world.desired({"grub/a": b"a"}))
    assert world.tree() == {}
    other.rollback()
    other.close()
    world.publish(world.desired({"grub/a": b"a"}))
    assert world.tree() == {"grub/a": b"a"}


def test_a_reader_sees_what_was_published_and_writes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(NotFoundError):
        manifest.open_read_only(str(tmp_path / "nowhere"))
    world.publish(world.desired({"grub/a": b"a"}))
    before = (world.state / "state.db").stat().st_mtime_ns
    reader = manifest.open_read_only(str(world.state))
    assert manifest.owned(reader) == world.store.manifest
    assert manifest.generations(reader) == world.store.generations()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM output")
    reader.close()
    assert (world.state / "state.db").stat().st_mtime_ns == before
    assert [path.name for path in world.state.iterdir()] == ["state.db"]


def test_a_free_value(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    store.checked = "yes"
    store.close()
    store = Store.open(str(tmp_path))
    assert store.checked == "yes"
    store.close()


def test_unreferenced_content_is_swept(tmp_path: Path) -> None:
    world = World(tmp_path, keep=2)
    for number in range(17):
        world.publish(world.desired({"grub/a": b"%d" % number}))
    counted = world.store._connection.execute("SELECT count(*) FROM content").fetchone()[0]
    assert counted <= 4
