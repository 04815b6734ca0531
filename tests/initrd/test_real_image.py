# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian root from its kernels to a checked initrd: what is observed, built, looked into, compared, and not built
again."""

import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from osrd.apply.initrd.build import Built, build
from osrd.apply.initrd.unpack import image_kernel_version, read_image
from osrd.model.cdsl import Layout
from osrd.model.cluster import Cluster
from osrd.model.image import BuildLimits, BuildOrder, Dracut, Fingerprint, ImageContent, InputKind
from osrd.model.settings import BootWay, RootSettings, Settings
from osrd.observe.buildinputs import InputObserver
from osrd.observe.dracutmodules import module_sources
from osrd.parse.clusterconf import parse_cluster
from osrd.parse.kernelmodules import KernelModules
from osrd.plan.initrd.changes import changes
from osrd.plan.initrd.check import check
from osrd.plan.initrd.data import initrd_data
from osrd.plan.initrd.dracut import dracut_argv
from osrd.plan.initrd.fingerprint import Inputs, baked, content_names, content_of, fingerprint
from osrd.plan.initrd.modules import module_files
from osrd.plan.initrd.subject import Subject
from tests.conftest import REPOSITORY
from tests.debian import entered, overlaid

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.needs("debootstrap", "unshare", "mount"),
]

LIMITS = BuildLimits(timeout=1800, memory=2048, size=512, nice=0)


@dataclass(frozen=True)
class Made:
    """A root, and an initrd that was built for its kernel."""

    root: Path
    order: BuildOrder
    built: Built
    content: ImageContent
    own: Inputs
    print: Fingerprint
    dracut: Dracut
    modules: KernelModules
    cluster: Cluster


@pytest.fixture(scope="module", params=["debian", "forky"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    debian: Path = request.getfixturevalue(request.param)
    place = tmp_path_factory.mktemp("real-image")
    cluster = parse_cluster((REPOSITORY / "tests/fixtures/seed-fixed.conf").read_bytes(), "cluster.conf")
    with overlaid(debian, place / "overlay") as root:
        observer = InputObserver()
        with observer.looking(str(root)) as look:
            found = look.survey()
            modules = look.modules(found.kernels[0])
        assert found.findings == ()
        assert found.dracut is not None
        settings = RootSettings("demo", path=str(root))
        data = initrd_data(cluster, Settings(roots=(settings,)), settings, Layout(), BootWay.FULL)
        assert "nodeids" in data.files
        order = BuildOrder(
            root="demo",
            path=str(root),
            kernel=found.kernels[0],
            way=BootWay.FULL,
            fingerprint="0" * 64,
            data=data.files,
            modules=module_files(module_sources(), found.dracut),
        )
        (place / "built").mkdir()
        built = build(order, LIMITS, str(place / "built"))
        content = read_image(built.initrd)
        own = baked(order.data, order.modules, order.way, dracut_argv(order, "", ""))
        with observer.looking(str(root)) as look:
            inputs = look.observe(order.kernel, found.dracut, content_names(content.files))
        yield Made(root, order, built, content, own, fingerprint(inputs, own), found.dracut, modules, cluster)


def now(made: Made) -> Fingerprint:
    with InputObserver().looking(str(made.root)) as look:
        found = look.survey()
        assert found.dracut is not None
        return look.fingerprint(found.kernels[0], found.dracut, content_of(made.print), made.own)


def test_the_kernel_says_its_own_version(made: Made) -> None:
    (version,) = [directory.name for directory in (made.root / "lib/modules").iterdir()]
    assert image_kernel_version(made.built.kernel) == version
    assert made.order.kernel.version == version


def test_the_checks_have_nothing_against_it(made: Made) -> None:
    subject = Subject(
        order=made.order,
        dracut=made.dracut,
        size=made.built.initrd_size,
        content=made.content,
        own_version=image_kernel_version(made.built.kernel),
        cluster=made.cluster,
        nodes=made.cluster.nodes,
        modules=made.modules,
        limits=LIMITS,
    )
    assert [str(finding) for finding in check(subject)] == []


#: mode, links, owner, group, size (or device numbers), month, day, year or time, name
_LISTED = re.compile(r"([-dlcbps])[-rwxsStT]{9} +[0-9]+ +\S+ +\S+ +([0-9]+(?:, +[0-9]+)?) +\w+ +[0-9]+ +[0-9:]+ (.*)")


def test_lsinitrd_sees_the_same_files(made: Made) -> None:
    shutil.copy(made.built.initrd, made.root / "var/tmp/initrd")
    listed = {}
    for line in entered(made.root, "lsinitrd", "/var/tmp/initrd").stdout.splitlines():
        match = _LISTED.fullmatch(line)
        if match:
            name, _, target = match[3].partition(" -> ")
            listed[name] = match[1], target
    del listed["."]
    seen = {file.path: (_letter(file.mode), file.target) for file in made.content.files}
    # lsinitrd shows the early microcode apart, or not at all
    early = {name for name in seen if name.startswith(("kernel", "early_cpio"))}
    assert {name: seen[name] for name in seen.keys() - early} == {name: listed[name] for name in listed.keys() - early}
    assert len(seen) > 500


def _letter(mode: int) -> str:
    return stat.filemode(mode)[0]


def test_what_was_copied_is_what_is_in_the_root(made: Made) -> None:
    copied = [
        file for file in made.content.files if file.digest and (InputKind.CONTENT, file.path) in made.print.inputs
    ]
    other = [
        file.path
        for file in copied
        if sha256((made.root / file.path).read_bytes()).hexdigest() != file.digest
        if not (made.root / file.path).is_symlink()
    ]
    assert len(copied) > 400
    # units and settings that dracut changes for its own use after it copied them
    assert len(other) < 15, other


def test_nothing_is_to_be_built_until_something_changes(made: Made) -> None:
    kept = made.print
    assert now(made) == kept
    (made.root / "etc/motd").write_text("hello\n")
    (made.root / "etc/passwd").write_text((made.root / "etc/passwd").read_text() + "new:x:1000:1000::/:/bin/sh\n")
    assert now(made) == kept
    library = next((made.root / "usr/lib").glob("*/libc.so.6"))
    library.write_bytes(library.read_bytes() + b"\0")
    changed = now(made)
    assert changed.value != kept.value
    assert changes(kept, changed) == (f"{library.relative_to(made.root)} changed",)
