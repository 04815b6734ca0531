# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that start the previous entry by themselves: in each boot loader's language, and nobody else's files."""

import re
from dataclasses import replace

import pytest

from osrd.model.image import Choice, Image, RootImages
from osrd.model.netboot import HostFacts, StoredPair
from osrd.model.output import Desired, FileState
from osrd.model.settings import BootWay, RootSettings, Settings
from osrd.plan.desired import Desirer, Inputs
from tests.unit.planning import facts, inputs, mac, node, settings

ROOT = RootSettings("web", path="/srv/web", previous_after=3)


def image(name: str, sequence: int) -> Image:
    kernel, initrd = f"k{name}" * 32, f"i{name}" * 32
    place = f"/state/images/web/{name}"
    return Image(
        name, "web", "6.1", BootWay.FULL, name, 0, 0, f"{place}/vmlinuz", kernel, 1, f"{place}/initrd.img", initrd, 1,
        sequence,
    )  # fmt: skip


OLD, NEW, NEWER = image("a", 1), image("b", 2), image("c", 3)


def known(current: Image = NEW, previous: Image = OLD, fallen: tuple[str, ...] = ()) -> HostFacts:
    made = facts()
    files = {
        path: FileState(digest, 1, 0o644)
        for each in (OLD, NEW, NEWER)
        for path, digest in ((each.kernel_file, each.kernel_digest), (each.initrd_file, each.initrd_digest))
    }
    images = RootImages((NEWER, NEW, OLD), Choice(current.id, previous.id, fallen=fallen))
    return replace(made, files={**made.files, **files}, images={"web": images})


def configured(timeout: int = 5, root: RootSettings = ROOT) -> Settings:
    return replace(settings(timeout=timeout), roots=(root,))


def asked(*numbers: int, **others: object) -> Inputs:
    return inputs(*map(node, numbers), **{"settings": configured(), "facts": known(), **others})


def texts(desirer: Desirer, desired: Desired, number: int) -> dict[str, str]:
    """The menus of a node by boot loader."""
    name = mac(number).replace(":", "-")
    return {
        output.kind: (desirer.content_of(path) or b"").decode()
        for path, output in desired.outputs.items()
        if name in path and output.node
    }


@pytest.mark.parametrize(
    ("timeout", "kind", "default", "fallen"),
    [
        (5, "pxelinux", "^DEFAULT osr$", "^DEFAULT previous$"),
        (5, "pxelinux", "^SAY node1: osr boots in 5 s; type previous", "^SAY node1: previous boots in 5 s; type osr"),
        (0, "pxelinux", "^DEFAULT osr$", "^DEFAULT previous$"),
        (5, "grub", "^set default=osr$", "^set default=previous$"),
        (5, "ipxe", "^choose --default osr .* goto osr$", "^choose --default previous .* goto previous$"),
        (5, "ipxe", r"^menu node1 \|\| goto osr$", r"^menu node1 \|\| goto previous$"),
        (0, "ipxe", "^goto osr$", "^goto previous$"),
    ],
)
def test_what_a_boot_loader_starts_by_itself(timeout: int, kind: str, default: str, fallen: str) -> None:
    desirer = Desirer()
    asking = asked(1, 2, settings=configured(timeout))
    before = texts(desirer, desirer.desire(asking), 1)
    after = texts(desirer, desirer.desire(replace(asking, facts=known(fallen=("node1",)))), 1)
    assert re.search(default, before[kind], re.MULTILINE)
    assert re.search(fallen, after[kind], re.MULTILINE)
    assert not re.search(default, after[kind], re.MULTILINE)
    # Both entries are there as before: an administrator can choose.
    assert re.findall(r"\S*kernels/\S*", before[kind]) == re.findall(r"\S*kernels/\S*", after[kind])


def test_only_files_of_the_node_change_and_come_back_with_another_image() -> None:
    desirer = Desirer()
    before = desirer.desire(asked(1, 2, 3))
    after = desirer.desire(asked(1, 2, 3, facts=known(fallen=("node2",))))
    changed = {path for path, output in after.outputs.items() if before.outputs.get(path) != output}
    assert {after.outputs[path].node for path in changed} == {"node2"}
    assert len(changed) == 3
    newer = desirer.desire(asked(1, 2, 3, facts=known(NEWER, NEW)))
    assert "DEFAULT osr\n" in texts(desirer, newer, 2)["pxelinux"]
    assert "set default=osr\n" in texts(desirer, newer, 2)["grub"]


def test_an_edit_keeps_who_fell_back() -> None:
    """Between edits only the nodes that differ are looked at."""
    desirer = Desirer()
    fell = known(fallen=("node2", "node4"))
    desirer.desire(asked(1, 2, 3, facts=fell))
    edited = desirer.desire(asked(1, 2, 3, 4, facts=fell))
    assert (
        desirer.desire(asked(1, 2, 3, 4, facts=fell)).outputs
        == Desirer().desire(asked(1, 2, 3, 4, facts=fell)).outputs
    )
    assert edited.outputs == Desirer().desire(asked(1, 2, 3, 4, facts=fell)).outputs
    less = desirer.desire(asked(1, 3, 4, facts=fell))
    assert less.outputs == Desirer().desire(asked(1, 3, 4, facts=fell)).outputs


@pytest.mark.parametrize(
    ("root", "found"),
    [
        (replace(ROOT, previous_after=0), known(fallen=("node1",))),
        (replace(ROOT, kernel="/boot/vmlinuz", initrd="/boot/initrd"), known(fallen=("node1",))),
        (ROOT, replace(known(NEW, NEW, ("node1",)), pairs={})),
    ],
    ids=["never", "a configured kernel", "nothing before"],
)
def test_who_does_not_fall_back(root: RootSettings, found: HostFacts) -> None:
    desirer = Desirer()
    desired = desirer.desire(asked(1, settings=configured(root=root), facts=found))
    assert "DEFAULT osr\n" in texts(desirer, desired, 1)["pxelinux"]


def test_a_pair_that_was_published_before_is_what_a_node_falls_back_to() -> None:
    """The first image after configured kernels has no image before it."""
    desirer = Desirer()
    fell = replace(known(fallen=("node1",)), pairs={"web": (StoredPair("e" * 64, "f" * 64),)})
    images = replace(fell.images["web"], choice=Choice(NEW.id, "", fallen=("node1",)))
    desired = desirer.desire(asked(1, facts=replace(fell, images={"web": images})))
    text = texts(desirer, desired, 1)["pxelinux"]
    assert "DEFAULT previous\n" in text
    assert f"vmlinuz-{'e' * 16}" in text.partition("LABEL previous")[2]


def test_what_all_nodes_share_does_not_depend_on_it() -> None:
    made = [
        {
            path: output
            for path, output in Desirer().desire(asked(1, 2, 3, facts=each)).outputs.items()
            if not output.node
        }
        for each in (known(), known(fallen=("node2",)))
    ]
    assert made[0] == made[1]
