# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.upgrade.make``: everything that this version keeps on disks, as tests/fixtures/state-N.

N is the schema version of the state database. Once released, a state-N is what versions after it must read: it is
never made again. What it says is in expected.json beside it, so that the test needs nothing of this module.
"""

import json
import sqlite3
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from osrd.apply.cdsl.journal import Journal, Move, State, Thing, write_journal
from osrd.apply.cdsl.work import make_work
from osrd.apply.initrd.installing import install
from osrd.apply.publication import Done, Intent, Note
from osrd.apply.rootcare.record import Entry, Run, write_record
from osrd.apply.store import Store
from osrd.engine.initrdinstall import RECORD
from osrd.model.cdsl import INVENTORY, Cdsl, CdslType, Inventory
from osrd.model.image import BuildFailure, Choice
from osrd.model.installation import InstalledFile, Record
from osrd.model.netboot import StoredPair
from osrd.model.output import Kind, Published, Service, Stage, text_recipe
from osrd.observe.inside import Inside
from osrd.observe.manifest import SCHEMA_VERSION
from osrd.parse.inventory_file import render_inventory
from osrd.plan.initrd.installation import steps
from tests.conftest import REPOSITORY
from tests.initrd.stored import Builds

BASE = "/srv/tftp/osr"
NODE = b'<clusternode name="node\xc3\xa91" nodeid="1"/>'
JOURNAL = Journal(
    *(1, State.STAGING, "make /var host-dependent", "host1", 4711, 1000.5),
    moves=(
        Move("cluster/cdsl/1/var", Thing(11), None),
        Move("var", Thing(12, "cdsl.local/var"), Thing(13), ".osrd/backup/var-7/1"),
    ),
    made=(".osrd/backup/var-7",),
    until=2_000_000_000,
)


def row(name: str, text: bytes, generation: int, kind: Kind = Kind.GRUB, stage: Stage = Stage.MENU) -> Published:
    recipe = text_recipe(text) if kind is Kind.GRUB else f"copy {len(text)}"
    digest = text_recipe(text)
    origin = ("cluster.conf",)
    return Published(f"{BASE}/{name}", kind, stage, recipe, digest, len(text), 0o644, "", generation, origin)


def state_database(directory: Path) -> dict[str, object]:
    """Two finished generations, the first held by a rollback; something kept, something owed; a third that was killed
    while it was published."""
    store = Store.open(str(directory))
    kernel = row("kernels/vmlinuz-1", b"kernel", 1, Kind.KERNEL, Stage.KERNEL)
    first = [row("grub/a", b"one", 1), row("grub/odd \udcff", b"odd", 1), kernel]
    texts = {text_recipe(text): text for text in (b"one", b"odd", b"two", b"three")}
    note = Note("first", 1, {"node1": NODE}, {"web": StoredPair("k1", "i1")})
    store.begin(Intent(first, texts, directories=(f"{BASE}/grub",), is_generation=True), note)
    store.complete(Done(first, (), (), (), frozenset(), 3, 0), note, 10)
    second = [row("grub/a", b"two", 2)]
    note = Note("second", 2, {"node1": NODE}, {"web": StoredPair("k2", "i2")}, pin=1, pin_inputs="abc")
    store.begin(Intent(second, texts, owed=frozenset({Service.DHCP}), is_generation=True), note)
    store.complete(Done(second, (), (kernel.path,), (), frozenset({Service.DHCP}), 1, 0), note, 10)
    store.checked = "yes"
    expected: dict[str, object] = {
        "generations": [[each.number, each.reason, each.pinned] for each in store.generations()],
        "manifest": {path: each.generation for path, each in store.manifest.items()},
        "kept": sorted(store.kept),
        "first": sorted(path for path in store.outputs_of(1)),
        "contents": {digest: text.decode() for digest, text in texts.items()},
        "good_nodes": {name: source.decode() for name, source in store.good_nodes().items()},
        "pairs": {root: [[pair.kernel, pair.initrd] for pair in pairs] for root, pairs in store.pairs().items()},
        "directories": sorted(store.directories),
        "owed": sorted(store.owed),
        "pin": [store.pin, store.pin_inputs, store.checked],
        "unfinished": [3, [f"{BASE}/grub/b"]],
    }
    store.begin(Intent([row("grub/b", b"three", 3)], texts, is_generation=True), replace(note, reason="killed"))
    store.close()
    return expected


def as_text(file: Path) -> str:
    """The database as SQL that a person can read in a diff: the tables, their rows, the version."""
    connection = sqlite3.connect(file)
    # SQLite's own table of sequences fills itself.
    made = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    lines = [f"{sql};" for _, _, sql in made]
    tables = [name for kind, name, _ in made if kind == "table"]
    for table in sorted(tables):
        for values in connection.execute(f"SELECT * FROM {table}"):
            lines.append(f"INSERT INTO {table} VALUES ({', '.join(map(_literal, values))});")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return "\n".join([*lines, f"PRAGMA user_version = {version};", ""])


def _literal(value: object) -> str:
    if isinstance(value, bytes):
        try:
            return f"CAST({_literal(value.decode())} AS BLOB)"
        except UnicodeDecodeError:
            return f"X'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else repr(value)


def image_store(base: Path, to: Path) -> dict[str, object]:
    builds = Builds(base)
    old, new = builds.add("6.1"), builds.add("6.1", print_="f2", when=2000.0)
    rejected = builds.add("6.1", print_="f3", when=3000.0)
    builds.store.choose("web", Choice(new.id, old.id, (rejected.id,), ("node1",)))
    (base / "log").write_bytes(b"no space\n")
    builds.store.fail("web", BuildFailure("6.2", "f4", 4000.0, 2, "no space", str(base / "log")))
    (builds.state / "images").rename(to)
    return {"current": new.id, "previous": old.id, "rejected": [rejected.id], "fallen": ["node1"], "failed": ["6.2"]}


def shared_root(root: Path) -> None:
    """What osrd has in a root. The journals of all states lie in journals/, since a root has one at a time."""
    (root / "cluster").mkdir(parents=True)
    node = root / "cluster/cdsl/1/.osr"
    node.mkdir(parents=True)
    (node / "report").write_text("version=1\nstep=up\ntime=1000\nkernel=6.1\nbuild=f1f1\nboot_id=0-0\nattempts=0\n")
    cdsls = (Cdsl("var", CdslType.HOSTDEPENDENT, ("1", "2"), "1000.00"), Cdsl("var/lib", CdslType.SHARED, ("1", "2")))
    (root / INVENTORY).parent.mkdir(parents=True, exist_ok=True)
    (root / INVENTORY).write_bytes(render_inventory(Inventory(maxnodeidnum=2, cdsls=cdsls)))
    with Inside.open(str(root)) as inside:
        make_work(inside)
        (root / ".osrd/lock").touch(0o600)
        wanted = {"etc/osr/initrd/format": InstalledFile(b"2\n")}
        install(inside, RECORD, steps(wanted, Record(), {}), Record())
        entry = Entry(("own-var",), "make", "var", "", "make /var host-dependent", state="done")
        write_record(inside, Run("prepare-1000.00", 1000.0, "0.1.0", [entry], "done"))
        for state in State:
            for path in (".osrd/tx", ".osrd/tx/1"):
                (root / path).mkdir(exist_ok=True)
            write_journal(inside, replace(JOURNAL, state=state))
            (root / ".osrd/tx/1/journal").rename(root.parent / f"journals/{state}")
    (root / ".osrd/tx/1").rmdir()
    (root / ".osrd/tx").rmdir()


def make(directory: Path) -> None:
    """All of it, in a directory that is not there yet."""
    (directory / "journals").mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        expected = {"database": state_database(Path(scratch, "state"))}
        (directory / "state.sql").write_text(as_text(Path(scratch, "state/state.db")))
        expected["images"] = image_store(Path(scratch, "builds"), directory / "images")
    shared_root(directory / "root")
    (directory / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    target = REPOSITORY / f"tests/fixtures/state-{SCHEMA_VERSION}"
    if target.exists():
        sys.exit(f"{target} is there already; a state is never made again, raise the version of what changed")
    make(target)
