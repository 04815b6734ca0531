# SPDX-License-Identifier: GPL-3.0-or-later
"""Random sequences of changes on a real root with real mounts, against the model of what each node must see.

`python -m tests.cdsl.machine STEPS` in a mount namespace of its own; test_model.py runs it.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from osrd.apply.mounts import keep
from osrd.engine.sharedroot import SharedRoot
from osrd.model.cdsl import INVENTORY, CdslType, Layout, Members, Place, Removal
from osrd.model.errors import OsrdError
from osrd.model.finding import Severity
from tests.cdsl.crash import killed_at
from tests.cdsl.model import HOST, SHARED, TEMPLATE, Entry, Model
from tests.cdsl.seen import seen_by

#: Directories nested deep enough for three changes of type, awkward names among them.
DIRECTORIES = ["a", "a/b", "a/b/c", "a/b/c/d", "a/b c", "e", "e/.cdsl.f", "e/.cdsl.f/'g\n"]
FILES = ["x", "y"]
LINKS = {"a/out": "e/x", "a/b/up": "a/x", "a/b/c/far": "e/y", "e/in": "e/x"}
LAYOUT = Layout()
_NODES = ["1", "2"]
steps = 0


def start_tree() -> dict[str, Entry]:
    tree: dict[str, Entry] = {}
    for number, directory in enumerate(DIRECTORIES):
        tree[directory] = ("directory", 0o700 if number % 3 == 1 else 0o755)
        for name in FILES:
            tree[f"{directory}/{name}"] = ("file", f"{directory} {name}".encode(), 0o640 if name == "y" else 0o644)
    return tree | {path: ("link", target) for path, target in LINKS.items()}


def write_tree(root: Path, tree: dict[str, Entry]) -> None:
    for path, entry in sorted(tree.items()):
        place = root / path
        match entry:
            case ("directory", int(mode)):
                place.mkdir()
                place.chmod(mode)
            case ("file", bytes(content), int(mode)):
                place.write_bytes(content)
                place.chmod(mode)
            case ("link", str(target)):
                place.symlink_to(os.path.relpath(target, os.path.dirname(path)))


directories = st.sampled_from(DIRECTORIES)
sources = st.sampled_from([*DIRECTORIES, *(f"{directory}/x" for directory in DIRECTORIES), *LINKS])
nodes = st.sampled_from([*_NODES, TEMPLATE])


class SharedRootMachine(RuleBasedStateMachine):
    """After each step everybody sees what the model says, nothing is wrong, and nobody's bytes are lost."""

    @initialize()
    def create(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="osrd-model-"))
        self.root = self.directory / "root"
        self.root.mkdir()
        tree = start_tree()
        write_tree(self.root, tree)
        self.members = Members(("1", "2"), ("node1", "node2"))
        self.model = Model({node: dict(tree) for node in ("1", "2", TEMPLATE)})
        self.before: Model | None = None  # what undo would bring back
        self.engine(lambda root: root.init(LAYOUT))
        self.see()

    def engine(self, change: "Callable[[SharedRoot], object]") -> None:
        with SharedRoot(str(self.root), self.members) as root:
            change(root)

    def see(self) -> None:
        global steps  # noqa: PLW0603 - hypothesis makes the machines, this counts over all of them
        steps += 1
        for node in self.model.views:
            assert seen_by(self.root, LAYOUT, node, self.model.cdsls) == self.model.expected(node), node
        with SharedRoot(str(self.root), self.members) as root:
            assert {cdsl.src: cdsl.type for cdsl in root.inventory.cdsls} == self.model.cdsls
            wrong = [finding for finding in root.check() if finding.severity is not Severity.INFO]
        # The link is mounted for a moment only, while somebody looks.
        assert [finding for finding in wrong if finding.code != "cdsl-not-mounted"] == []

    def change(self, change: "Callable[[SharedRoot], object]", after: Callable[[Model], None], crash: int) -> None:
        """A change that must work. With ``crash`` it is killed somewhere first: what recovery leaves is the old state
        or the new one, and then the same change works, or is done already."""
        new = self.model.copy()
        after(new)
        if crash and killed_at(crash, lambda: self.engine(change)):
            self.engine(lambda root: root.recover())
            if self.inventory_says() == new.cdsls and new.cdsls != self.model.cdsls:
                self.before, self.model = self.model, new
            self.see()
            if self.model is new:
                return
        elif crash and self.inventory_says() == new.cdsls:
            self.before, self.model = self.model, new
            self.see()
            return
        self.engine(change)
        self.before, self.model = self.model, new
        self.see()

    def inventory_says(self) -> dict[str, CdslType]:
        with SharedRoot(str(self.root), self.members) as root:
            return {cdsl.src: cdsl.type for cdsl in root.inventory.cdsls}

    def refused(self, change: "Callable[[SharedRoot], object]") -> None:
        inventory = (self.root / INVENTORY).read_bytes()
        try:
            self.engine(change)
        except OsrdError:
            assert (self.root / INVENTORY).read_bytes() == inventory
            self.see()
        else:
            raise AssertionError("it must be refused")

    @rule(node=nodes, directory=directories, name=st.sampled_from(FILES), content=st.binary(max_size=4))
    def write(self, node: str, directory: str, name: str, content: bytes) -> None:
        path = f"{directory}/{name}"
        if directory not in self.model.views[node]:
            return
        self._as(node, lambda root: self._written(root / path, content))
        self.model.write(node, path, content)
        self.before = None
        self.see()

    def _written(self, file: Path, content: bytes) -> None:
        file.write_bytes(content)
        file.chmod(0o644)

    @rule(node=nodes, directory=directories, name=st.sampled_from(FILES))
    def delete(self, node: str, directory: str, name: str) -> None:
        path = f"{directory}/{name}"
        if path not in self.model.views[node] or path in self.model.cdsls:
            return
        self._as(node, lambda root: (root / path).unlink())
        self.model.delete(node, path)
        self.before = None
        self.see()

    def _as(self, node: str, work: Callable[[Path], None]) -> None:
        keep(str(self.root), LAYOUT, node)
        try:
            work(self.root)
        finally:
            keep(str(self.root), LAYOUT, "")

    @rule(path=sources, crash=st.integers(0, 60))
    def make(self, path: str, crash: int) -> None:
        there = all(path in view for view in self.model.views.values())
        dangling = self.model.expected(TEMPLATE).get(path) == ("link", None)
        if there and not dangling and self.model.may_be(path, HOST):
            self.change(lambda root: root.make(f"/{path}"), lambda model: model.make(path), crash)
        else:
            self.refused(lambda root: root.make(path))

    @rule(path=sources, winner=nodes, crash=st.integers(0, 60))
    def share(self, path: str, winner: str, crash: int) -> None:
        winner = winner if winner in self.model.views else TEMPLATE
        if path in self.model.views[winner] and self.model.may_be(path, SHARED):
            if not self.model.alike(path):
                self.refused(lambda root: root.share(path))
            self.change(lambda root: root.share(path, winner), lambda model: model.share(path, winner), crash)
        else:
            self.refused(lambda root: root.share(path, winner))

    @precondition(lambda self: self.model.cdsls)
    @rule(data=st.data(), winner=nodes, crash=st.integers(0, 60))
    def remove(self, data: st.DataObject, winner: str, crash: int) -> None:
        path = data.draw(st.sampled_from(sorted(self.model.cdsls)))
        children = self.model.children(path)
        if children:
            self.refused(lambda root: root.remove(path, Removal(winner)))
        if path not in self.model.views[winner]:
            return
        removal = Removal(winner, recursive=bool(children), others=Place.BACKUP)
        self.change(lambda root: root.remove(path, removal), lambda model: model.remove(path, winner), crash)

    @precondition(lambda self: len(self.model.views) < 5)
    @rule()
    def add_node(self) -> None:
        number = str(len(self.model.views))
        self.members = Members((*self.members.ids, number), (*self.members.names, f"node{number}"))
        self.engine(lambda root: root.follow())
        self.model.add_node(number)
        self.before = None
        self.see()

    @precondition(lambda self: self.before is not None)
    @rule()
    def undo(self) -> None:
        assert self.before is not None
        self.engine(lambda root: root.undo())
        self.model, self.before = self.before, None
        self.see()

    @rule()
    def read_only_work_writes_nothing(self) -> None:
        before = sorted((str(path), path.lstat().st_mtime_ns) for path in self.root.rglob("*"))
        with SharedRoot(str(self.root), self.members) as root:
            root.check()
        assert sorted((str(path), path.lstat().st_mtime_ns) for path in self.root.rglob("*")) == before

    def teardown(self) -> None:
        shutil.rmtree(self.directory)


def main(wanted: int) -> None:
    """Examples until ``wanted`` steps were taken; prints how many there were."""
    settings = hypothesis.settings(
        max_examples=10,
        stateful_step_count=50,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    while steps < wanted:
        run_state_machine_as_test(SharedRootMachine, settings=settings)
    print(f"{steps} steps")


if __name__ == "__main__":
    main(int(sys.argv[1]))
