# SPDX-License-Identifier: GPL-3.0-or-later
"""Any sequence of changes against what each node must see afterwards, and the checker and the rebuilt inventory
against the disk that results."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from osrd.model.cdsl import CdslType, Inventory, Layout, MarkerStyle, Place, Removal
from osrd.model.errors import ConflictError, InvalidArgsError, NotFoundError, OsrdError
from osrd.model.layout import within
from osrd.model.transaction import Transaction
from osrd.plan.cdsl.check import check
from osrd.plan.cdsl.index import Index
from osrd.plan.cdsl.infrastructure import infrastructure
from osrd.plan.cdsl.make import make
from osrd.plan.cdsl.membership import add_nodes, adopt, archive
from osrd.plan.cdsl.rebuild import rebuild
from osrd.plan.cdsl.remove import remove
from osrd.plan.cdsl.repair import repair
from osrd.plan.cdsl.share import copies, share
from tests.unit.cdsl.disk import Directory, Disk, File, Link

LAYOUTS = (
    Layout(),
    Layout(style=MarkerStyle.SUFFIX),
    Layout(".cluster/cdsl", ".cluster/shared", ".cdsl.local"),
    Layout("t", "s", "l/o/c", default="template", marker="%"),
)
NAMES = ("a", "b", "a.cdsl", "x y")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6).map("/".join)
#: a path to begin with, and which of its ancestors (by the number of components) are CDSLs
CHAINS = st.tuples(
    st.lists(st.sampled_from(NAMES), min_size=6, max_size=6).map("/".join),
    st.sets(st.integers(1, 6), max_size=5).map(sorted),
)
TEXTS = st.sampled_from(["../b", "../../a/b", "b", "/a/b", "../../../../../../b", "../a", "."])


class Sequences(RuleBasedStateMachine):
    """The disk is only changed by transactions, and by nodes that write at public paths."""

    @initialize(
        layout=st.sampled_from(LAYOUTS),
        paths=st.lists(PATHS, min_size=3, max_size=12),
        links=st.lists(st.tuples(PATHS, TEXTS), max_size=4),
        chain=CHAINS,
    )
    def begin(
        self, layout: Layout, paths: list[str], links: list[tuple[str, str]], chain: tuple[str, list[int]]
    ) -> None:
        self.disk = Disk(layout)
        self.disk.add(chain[0], File(b"deep"))
        for path in sorted(paths):
            self.add(path, File(path.encode()))
        for path, text in links:
            self.add(path, Link(text))
        self.nodes = ["1", "2"]
        self.clock = 0
        inventory = Inventory(layout, maxnodeidnum=2)
        self.disk.apply(infrastructure(inventory, self.nodes, self.disk.look, "0"), inventory)
        for level, length in enumerate(chain[1]):
            path = "/".join(chain[0].split("/")[:length])
            with suppress(ConflictError):
                if level % 2:
                    self.perform(share(self.inventory, path, "", (), self.disk.look, "0"))
                else:
                    self.perform(make(self.inventory, path, self.nodes, self.disk.look, "0"))

    def add(self, path: str, node: File | Link) -> None:
        parts = path.split("/")
        above = [self.disk.files.get("/".join(parts[:k]), Directory()) for k in range(len(parts))]
        if path not in self.disk.files and all(isinstance(each, Directory) for each in above):
            self.disk.add(path, node)

    @property
    def inventory(self) -> Inventory:
        return self.disk.inventory

    @property
    def when(self) -> str:
        self.clock += 1
        return f"{self.clock}.00"

    def everything(self) -> dict[str, dict[str, object]]:
        inventory = self.inventory
        return {node: self.disk.seen(node, inventory) for node in [*self.nodes, self.disk.layout.default]}

    def perform(self, transaction: Transaction | None) -> None:
        self.disk.apply(transaction, self.inventory)

    def differing(self, paths: dict[str, str], winner: str) -> list[str]:
        def content(path: str) -> dict[str, object]:
            return {each[len(path) :]: self.disk.files[each] for each in self.disk.below(path)}

        having = {node: path for node, path in paths.items() if path in self.disk.files}
        first = having.get(winner) or next(iter(having.values()), None)
        return [node for node, path in having.items() if first and content(path) != content(first)]

    def somewhere(self, data: st.DataObject) -> str:
        """Mostly a public path that there is."""
        seen = self.disk.seen("1", self.inventory)
        there = sorted(path for path in seen if path)
        return data.draw(st.sampled_from(there) | PATHS if there else PATHS)

    @rule(data=st.data())
    def make(self, data: st.DataObject) -> None:
        path = self.somewhere(data)
        before = self.everything()
        with suppress(ConflictError, NotFoundError):
            self.perform(make(self.inventory, path, self.nodes, self.disk.look, self.when))
        assert self.everything() == before

    @rule(data=st.data(), winner=st.sampled_from(["", "1", "2"]))
    def share(self, data: st.DataObject, winner: str) -> None:
        path = self.somewhere(data)
        before = self.everything()
        try:
            different = self.differing(dict(copies(self.inventory, path)), winner)
            transaction = share(self.inventory, path, winner, different, self.disk.look, self.when)
        except (ConflictError, NotFoundError):
            return
        kept = self.content_of(different, path) if different else []
        self.perform(transaction)
        source = self.source(before, path, winner)
        for node, seen in self.everything().items():
            assert self.without(seen, path) == self.without(before[node], path, parents_of=source)
            assert self.only(seen, path) == source
        assert all(self.is_kept(one) for one in kept if one != source)

    def content_of(self, nodes: list[str], path: str) -> list[dict[str, object]]:
        inventory = self.inventory
        return [self.only(self.disk.seen(node, inventory), path) for node in nodes]

    def is_kept(self, content: dict[str, object]) -> bool:
        """Whether every file of a copy is in some backup."""
        backups = [node for path, node in self.disk.files.items() if path.startswith(".osrd/backup/")]
        return all(node in backups for node in content.values() if isinstance(node, File))

    def source(self, before: dict[str, dict[str, object]], path: str, winner: str) -> dict[str, object]:
        for node in (winner, "1", "2", "3", self.disk.layout.default):
            if node in before and path in before[node]:
                return self.only(before[node], path)
        raise AssertionError("nobody had it")

    @staticmethod
    def only(seen: dict[str, object], path: str) -> dict[str, object]:
        return {each: node for each, node in seen.items() if within(each, path)}

    @staticmethod
    def without(seen: dict[str, object], path: str, parents_of: dict[str, object] | None = None) -> dict[str, object]:
        """Everything else; directories above it may have been made for it."""
        above = {path[:k] for k in range(len(path)) if path[k] == "/"}
        del parents_of
        return {each: node for each, node in seen.items() if not within(each, path) and each not in above}

    @precondition(lambda self: self.inventory.cdsls)
    @rule(data=st.data(), winner=st.sampled_from(["", "1", "2"]), recursive=st.booleans(), beside=st.booleans())
    def remove(self, data: st.DataObject, winner: str, recursive: bool, beside: bool) -> None:
        cdsl = data.draw(st.sampled_from(self.inventory.cdsls))
        before = self.everything()
        paths = dict(copies(self.inventory, cdsl.src))
        different = self.differing(paths, winner)
        removal = Removal(winner, recursive, others=Place.BESIDE if beside else Place.BACKUP)
        try:
            transaction = remove(
                self.inventory, cdsl.src, removal, "", different, self.disk.look, self.when, self.disk.names
            )
        except (ConflictError, NotFoundError):
            return
        self.perform(transaction)
        source = self.source(before, cdsl.src, winner)
        for node, seen in self.everything().items():
            beside_it = {each for each in seen if each.startswith(f"{cdsl.src}.") and each not in before[node]}
            assert not beside_it or (beside and different)
            rest = {each: what for each, what in seen.items() if each not in beside_it}
            assert self.without(rest, cdsl.src) == self.without(before[node], cdsl.src)
            shared = cdsl.type is CdslType.SHARED
            assert self.only(rest, cdsl.src) == (self.only(before[node], cdsl.src) if shared else source)

    @precondition(lambda self: self.inventory.cdsls)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        cdsl = data.draw(st.sampled_from(self.inventory.cdsls))
        before = self.everything()
        removal = Removal(recursive=True, discard=True)
        self.perform(remove(self.inventory, cdsl.src, removal, "", (), self.disk.look, self.when, self.disk.names))
        for node, seen in self.everything().items():
            assert seen == {each: what for each, what in before[node].items() if not within(each, cdsl.src)}

    @rule(data=st.data(), node=st.sampled_from(["1", "2", "default"]))
    def write(self, data: st.DataObject, node: str) -> None:
        """A node writes where it sees a file or nothing."""
        path = self.somewhere(data)
        physical = Index(self.inventory).locate(path, node.replace("default", self.disk.layout.default))
        if isinstance(self.disk.files.get(physical, File()), File):
            parent = physical.rpartition("/")[0]
            if isinstance(self.disk.files.get(parent), Directory):
                self.disk.files[physical] = File(f"{node} {self.clock}".encode())

    @precondition(lambda self: len(self.nodes) == 2)
    @rule()
    def third_node(self) -> None:
        before = self.everything()
        self.perform(add_nodes(self.inventory, ["3"], self.disk.look, self.when))
        self.nodes.append("3")
        after = self.everything()
        assert after["3"] == before[self.disk.layout.default]
        assert {node: after[node] for node in before} == before

    @precondition(lambda self: len(self.nodes) == 3)
    @rule(adopted=st.booleans())
    def third_node_goes(self, adopted: bool) -> None:
        before = self.everything()
        self.nodes.remove("3")
        if adopted:
            self.perform(adopt(self.inventory, "3", "1", self.disk.look, self.when, self.nodes))
            before["1"] = before["3"]
        else:
            self.perform(archive(self.inventory, "3", self.disk.look, self.when))
        del before["3"]
        assert self.everything() == before

    @precondition(lambda self: self.inventory.cdsls)
    @rule(data=st.data(), kind=st.sampled_from(["drop", "twist", "replace"]))
    def damage_a_link(self, data: st.DataObject, kind: str) -> None:
        index = Index(self.inventory)
        cdsl = data.draw(st.sampled_from(self.inventory.cdsls))
        node, place = data.draw(st.sampled_from(sorted(index.places(cdsl.src).items())))
        before = self.everything()
        del self.disk.files[place]
        if kind != "drop":
            self.disk.files[place] = Link("../elsewhere") if kind == "twist" else File(b"precious")
        findings = check(self.inventory, self.nodes, self.disk.look, self.disk.names, ("x",), "1")
        assert [(finding.node, finding.value) for finding in findings][:1] == [(node, place)]
        self.perform(repair(self.inventory, self.nodes, self.disk.look, self.when))
        assert self.everything() == before
        assert kind != "replace" or self.is_kept({"": File(b"precious")})

    @precondition(lambda self: self.inventory.cdsls)
    @rule(data=st.data(), template=st.booleans())
    def lose_a_copy(self, data: st.DataObject, template: bool) -> None:
        index = Index(self.inventory)
        hosts = [cdsl for cdsl in self.inventory.cdsls if cdsl.type is CdslType.HOSTDEPENDENT]
        cdsl = data.draw(st.sampled_from(hosts))
        node = self.disk.layout.default if template else "1"
        for path in list(self.disk.below(index.data(cdsl, node))):
            del self.disk.files[path]
        self.perform(repair(self.inventory, self.nodes, self.disk.look, self.when))

    @invariant()
    def nothing_to_complain(self) -> None:
        if not hasattr(self, "disk"):
            return
        findings = check(self.inventory, self.nodes, self.disk.look, self.disk.names, ("x",), "1")
        assert [str(finding) for finding in findings] == []
        assert repair(self.inventory, self.nodes, self.disk.look, "x") is None
        assert infrastructure(self.inventory, self.nodes, self.disk.look, "x") is None

    @invariant()
    def the_disk_tells_the_inventory(self) -> None:
        if not hasattr(self, "disk"):
            return
        found = rebuild(self.disk.look, self.disk.names, self.disk.layout, "")
        assert {(c.src, c.type, frozenset(c.nodes)) for c in found.cdsls} == {
            (c.src, c.type, frozenset(c.nodes)) for c in self.inventory.cdsls
        }


Sequences.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSequences = Sequences.TestCase


@pytest.mark.parametrize("path", ["", "cluster", "cluster/cdsl/1", "cdsl.local/x", ".osrd", ".cdsl_inventory.xml"])
def test_machinery_is_never_a_cdsl(path: str) -> None:
    disk = Disk()
    inventory = Inventory()
    disk.apply(infrastructure(inventory, ["1"], disk.look, "0"), inventory)
    with pytest.raises(InvalidArgsError):
        make(inventory, path, ["1"], disk.look, "1")
    with pytest.raises(OsrdError):
        share(replace(inventory, maxnodeidnum=1), path, "", (), disk.look, "1")
