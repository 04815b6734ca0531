# SPDX-License-Identifier: GPL-3.0-or-later
"""What released versions left on disks is read; what a version to come leaves is refused, and not one byte changes."""

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osrd.apply.cdsl.journal import State, read_journal
from osrd.apply.initrd.store import ImageStore
from osrd.apply.rootcare.record import RECORD as PREPARED
from osrd.apply.rootcare.record import Run, write_record
from osrd.apply.store import Store
from osrd.engine.initrdinstall import RECORD, Elsewhere, InitrdInstall
from osrd.engine.sharedroot import SharedRoot
from osrd.model.cdsl import INVENTORY
from osrd.model.errors import FailedError, OsrdError, UnsupportedError
from osrd.model.image import BuildFailure, Choice
from osrd.model.settings import Settings
from osrd.observe import manifest
from osrd.observe.images import read_contents, read_fingerprint
from osrd.observe.inside import Inside
from osrd.observe.installation import read_record
from osrd.observe.nodereports import REPORT, ReportReader
from osrd.plan.initrd.data import InitrdData
from tests.conftest import REPOSITORY
from tests.upgrade.make import as_text, make

FIXTURES = REPOSITORY / "tests/fixtures"
VERSIONS = sorted(path.name for path in FIXTURES.glob("state-*"))
NOW = f"state-{manifest.SCHEMA_VERSION}"


class Host:
    """A copy of a fixture: what an osrd of that version left on a host and in a root."""

    def __init__(self, version: str, directory: Path) -> None:
        self.fixture = FIXTURES / version
        self.expected = json.loads((self.fixture / "expected.json").read_text())
        self.base = directory / "host"
        self.state = self.base / "state"
        self.state.mkdir(parents=True)
        connection = sqlite3.connect(self.state / "state.db")
        connection.executescript((self.fixture / "state.sql").read_text())
        connection.close()
        shutil.copytree(self.fixture / "images", self.state / "images")
        self.root = self.base / "root"
        shutil.copytree(self.fixture / "root", self.root)
        (self.root / ".osrd").chmod(0o700)

    def journal(self, state: State, number: int = 1) -> Path:
        """The root with a transaction in this state."""
        directory = self.root / f".osrd/tx/{number}"
        for name in ("new", "old"):
            (directory / name).mkdir(parents=True)
        (directory / "new/0").write_text("staged")
        shutil.copy(self.fixture / f"journals/{state}", directory / "journal")
        return directory / "journal"

    def everything(self) -> dict[str, tuple[object, ...]]:
        """Every byte, mode and time below it."""
        found: dict[str, tuple[object, ...]] = {}
        for directory, names, files in os.walk(self.base):
            for path in (Path(directory), *(Path(directory, name) for name in (*names, *files))):
                status = path.lstat()
                content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
                found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, content)
        return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(NOW, tmp_path)


# what older versions left


@pytest.mark.parametrize("version", VERSIONS)
def test_the_state_database_is_read_and_an_interrupted_run_is_settled(version: str, tmp_path: Path) -> None:
    host = Host(version, tmp_path)
    expected = host.expected["database"]
    store = Store.open(str(host.state))
    number, killed = expected["unfinished"]
    assert (store.unfinished.number, sorted(store.unfinished.rows)) == (number, killed)
    store.settle(killed)
    assert [[each.number, each.reason, each.pinned] for each in store.generations()] == expected["generations"]
    rows = {path: row.generation for path, row in store.manifest.items()}
    assert rows == expected["manifest"] | dict.fromkeys(killed, number)
    assert sorted(store.outputs_of(1)) == expected["first"]
    assert {digest: store.content(digest) for digest in expected["contents"]} == {
        digest: text.encode() for digest, text in expected["contents"].items()
    }
    good = {name: source.decode() for name, source in store.good_nodes().items()}
    pairs = {root: [[pair.kernel, pair.initrd] for pair in pairs] for root, pairs in store.pairs().items()}
    assert (good, pairs) == (expected["good_nodes"], expected["pairs"])
    assert (sorted(store.kept), sorted(store.directories)) == (expected["kept"], expected["directories"])
    assert sorted(store.owed) == expected["owed"]
    assert [store.pin, store.pin_inputs, store.checked] == expected["pin"]
    store.close()
    again = Store.open(str(host.state))
    assert {path: row.generation for path, row in again.manifest.items()} == rows
    again.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_image_store_is_read(version: str, tmp_path: Path) -> None:
    host = Host(version, tmp_path)
    expected = host.expected["images"]
    found = ImageStore(str(host.state)).root("web")
    assert (found.findings, found.unknown) == ((), False)
    ids = expected["current"], expected["previous"], *expected["rejected"]
    assert sorted(image.id for image in found.images) == sorted(ids)
    assert found.choice == Choice(*ids[:2], tuple(expected["rejected"]), tuple(expected["fallen"]))
    assert [failure.kernel for failure in found.failures] == expected["failed"]
    for image in found.images:
        assert read_contents(str(host.state), image)
        assert read_fingerprint(str(host.state), image).value == image.fingerprint


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_transaction_is_read_in_every_state(version: str, state: State, tmp_path: Path) -> None:
    host = Host(version, tmp_path)
    journal = host.journal(state)
    with SharedRoot(str(host.root)) as root, Inside.open(str(host.root)) as inside:
        assert read_journal(inside, 1).state is state
        assert len(read_journal(inside, 1).moves) == 2
        if state in (State.STAGING, State.REMOVING):
            assert "/var" in str(root._transactions.recover()) or state is State.REMOVING
            assert not journal.parent.exists()
        elif state is State.DONE:
            assert root._transactions.last() == "make /var host-dependent"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_in_a_root_is_read(version: str, tmp_path: Path) -> None:
    host = Host(version, tmp_path)
    with SharedRoot(str(host.root)) as root:
        assert [cdsl.src for cdsl in root.inventory.cdsls] == ["var", "var/lib"]
    with Inside.open(str(host.root)) as inside:
        assert read_record(inside, RECORD).directories == ("etc", "etc/osr", "etc/osr/initrd")
        write_record(inside, Run("prepare-2000.00", 2000.0, "later"))
        reports, findings = ReportReader().read(inside, "cluster/cdsl", {"node1": "1"}, 0)
    assert (reports["node1"].step, findings) == ("up", ())
    runs = json.loads((host.root / PREPARED).read_text())["runs"]
    assert [run["name"] for run in runs] == ["prepare-1000.00", "prepare-2000.00"]
    with InitrdInstall(str(host.root), Settings()) as installer:
        installer.perform(installer.plan_removal())
    assert not (host.root / "etc").exists()


def test_records_from_before_they_had_numbers_are_read(host: Host) -> None:
    for path in (RECORD, PREPARED):
        values = json.loads((host.root / path).read_text())
        del values["version"]
        (host.root / path).write_text(json.dumps(values))
    with Inside.open(str(host.root)) as inside:
        assert read_record(inside, RECORD).files
        write_record(inside, Run("prepare-2000.00", 2000.0, "later"))
    assert json.loads((host.root / PREPARED).read_text())["version"] == 1


# a form that changes gets another number


def shape(value: Any) -> Any:
    """A JSON value without its values."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


def test_what_is_written_today_has_the_form_of_its_version(tmp_path: Path) -> None:
    """Red: something is written in another form under the same number. Raise the number, keep reading the old one,
    and make the fixture of the new one (HACKING.md, State on disks)."""
    make(tmp_path / "today")
    old, new = (FIXTURES / NOW, tmp_path / "today")
    tables = [path.joinpath("state.sql").read_text().partition("INSERT")[0] for path in (old, new)]
    assert tables[0] == tables[1]
    for path in sorted(old.rglob("*")):
        twin = new / path.relative_to(old)
        assert twin.exists(), path
        if (path.suffix == ".json" and path.name != "expected.json") or path.parent.name == "journals":
            assert shape(json.loads(twin.read_bytes())) == shape(json.loads(path.read_bytes())), path
        elif path.is_file() and "root" in path.parts:
            assert twin.read_bytes() == path.read_bytes(), path


def test_every_version_of_the_database_can_be_brought_up_to_date() -> None:
    assert sorted(manifest.MIGRATIONS) == list(range(1, manifest.SCHEMA_VERSION))
    assert [f"state-{number}" for number in range(1, manifest.SCHEMA_VERSION + 1)] == VERSIONS


MADE_UP = (
    "ALTER TABLE generation ADD COLUMN who TEXT NOT NULL DEFAULT 'nobody'",
    "UPDATE note SET value = 'migrated' WHERE key = 'checked'",
)


def test_a_migration_is_one_transaction(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    file = host.state / "state.db"
    before = as_text(file)
    monkeypatch.setattr(manifest, "SCHEMA_VERSION", 2)
    with pytest.raises(UnsupportedError, match="older osrd"):
        manifest.open_read_only(str(host.state))
    monkeypatch.setattr(manifest, "MIGRATIONS", {1: (*MADE_UP, "UPDATE nowhere SET a = 1")})
    with pytest.raises(FailedError):
        Store.open(str(host.state))
    assert as_text(file) == before
    monkeypatch.setattr(manifest, "MIGRATIONS", {1: MADE_UP})
    store = Store.open(str(host.state))
    assert (store.checked, len(store.manifest)) == ("migrated", 3)
    store.close()
    assert "who TEXT" in as_text(file)
    assert as_text(file).endswith("PRAGMA user_version = 2;\n")


# what a version to come left


def raised(file: Path, **more: object) -> None:
    """Another version of a JSON file, with what this one knows nothing of."""
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "version": values["version"] + 1, "more": [1], **more}))


def refused(host: Host, *calls: Callable[[], object]) -> None:
    before = host.everything()
    for call in calls:
        with pytest.raises(UnsupportedError, match="newer osrd") as error:
            call()
        assert error.value.fix, "the way out"
    assert host.everything() == before


def test_a_state_database_to_come(host: Host) -> None:
    connection = sqlite3.connect(host.state / "state.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    refused(host, lambda: Store.open(str(host.state)), lambda: manifest.open_read_only(str(host.state)))


def test_a_state_database_to_come_that_was_being_written_is_not_rolled_back(host: Host, tmp_path: Path) -> None:
    file = host.state / "state.db"
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA user_version = 99")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    rows = ((str(number), b"x" * 9999) for number in range(9))
    connection.executemany("INSERT INTO content (digest, data) VALUES (?, ?)", rows)
    copies = tmp_path / "killed"
    shutil.copytree(host.state, copies)
    connection.rollback()
    connection.close()
    shutil.rmtree(host.state)
    copies.rename(host.state)
    assert (host.state / "state.db-journal").stat().st_size
    refused(host, lambda: Store.open(str(host.state)), lambda: manifest.open_read_only(str(host.state)))


def test_an_image_store_to_come(host: Host) -> None:
    directory = host.state / "images/web"
    expected = host.expected["images"]
    previous, (rejected,) = expected["previous"], expected["rejected"]
    for name in ("choice.json", "failures.json", f"{rejected}/image.json"):
        raised(directory / name)
    for name in ("contents.json", "fingerprint.json"):
        raised(directory / previous / name)
    store = ImageStore(str(host.state))
    found = store.root("web")
    assert sorted(finding.value.rpartition("/")[2] for finding in found.findings) == sorted(
        ["choice.json", "failures.json", rejected]
    )
    assert all("newer osrd" in each.message and "use that osrd" in each.fix for each in found.findings)
    image = found.get(previous)
    assert image is not None
    refused(
        host,
        lambda: store.choose("web", Choice(previous)),
        lambda: store.fail("web", BuildFailure("6.2", "f4", 1.0, 3, "no")),
        lambda: read_contents(str(host.state), image),
        lambda: read_fingerprint(str(host.state), image),
    )
    (directory / "choice.json").unlink()
    refused(host, lambda: store.remove("web", rejected))


def test_a_transaction_to_come_and_the_ones_before_it(host: Host) -> None:
    host.journal(State.STAGING, 1)
    raised(host.journal(State.STAGING, 2), state="unheard of")
    with SharedRoot(str(host.root), wait=0.1) as root:
        changes = (root._transactions.recover, root.undo, root.repair, root.rebuild, lambda: root.make("/etc"))
        refused(host, *changes)


def test_an_inventory_to_come(host: Host) -> None:
    file = host.root / INVENTORY
    file.write_bytes(file.read_bytes().replace(b'config_version="2.0"', b'config_version="3.0" more="1"'))
    with SharedRoot(str(host.root), wait=0.1) as root:
        changes = (root.repair, root.rebuild, root.convert, root.check, lambda: root.make("/etc"))
        refused(host, *changes)


def test_records_to_come(host: Host) -> None:
    raised(host.root / RECORD)
    raised(host.root / PREPARED)
    elsewhere = host.base / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(host.root / RECORD, elsewhere / ".made.json")
    with (
        Inside.open(str(host.root)) as inside,
        InitrdInstall(str(host.root), Settings()) as installer,
        Elsewhere(str(elsewhere)) as other,
    ):
        refused(
            host,
            installer.plan_removal,
            lambda: other.plan(InitrdData({}, ())),
            lambda: write_record(inside, Run("prepare-2000.00", 2000.0, "later")),
        )


def test_a_report_to_come_is_a_finding(host: Host) -> None:
    report = host.root / "cluster/cdsl/1" / REPORT
    report.write_text(report.read_text().replace("version=1", "version=2\nmore=1"))
    before = host.everything()
    with Inside.open(str(host.root)) as inside:
        reports, (finding,) = ReportReader().read(inside, "cluster/cdsl", {"node1": "1"}, 0)
    assert (reports, "version 2" in finding.message) == ({}, True)
    assert host.everything() == before


@pytest.mark.parametrize("damage", ["0", "-1", '"1"', "true", "1.0"])
def test_a_version_that_is_none(host: Host, damage: str) -> None:
    files = (host.state / "images/web/choice.json", host.journal(State.DONE), host.root / RECORD, host.root / PREPARED)
    for file in files:
        text = file.read_text()
        assert '"version":' in text
        text = text.replace('"version": 1', f'"version": {damage}')
        file.write_text(text.replace('"version":1', f'"version":{damage}'))
    before = host.everything()
    with Inside.open(str(host.root)) as inside, SharedRoot(str(host.root)) as root:
        for call in (
            root._transactions.recover,
            lambda: read_record(inside, RECORD),
            lambda: write_record(inside, Run("prepare-2000.00", 2000.0, "later")),
        ):
            with pytest.raises(OsrdError, match=r"damaged|no record"):
                call()
    assert ImageStore(str(host.state)).root("web").unknown
    assert host.everything() == before
