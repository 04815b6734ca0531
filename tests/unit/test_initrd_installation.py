# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put into a root, decided without one: nothing of others is touched, nothing of ours is forgotten."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.image import Dracut
from osrd.model.installation import Found, InstalledFile, Record, Verb
from osrd.model.rootcare import Family
from osrd.model.settings import BootWay
from osrd.plan.initrd.installation import Sources, digest, installation, is_ours, steps

SOURCES = Sources(
    {"osr/module-setup.sh": b"#!/bin/bash\n", "osr-network/module-setup.sh": b"#!/bin/bash\n"},
    {"kernel-hook": b"#!/bin/sh\n", "postinst": b"#!/bin/sh\n", "prerm": b"#!/bin/sh\n"},
    {"49-osr.install": b"#!/bin/sh\n"},
    {"90-osr.conf": b"a\n", "91-osr-cluster.conf": b"b\n"},
)
DATA = {"format": b"2\n", "network/nm/x": b"[connection]\n"}
OLD, NEW = Dracut(59, "059-4"), Dracut(111, "111")


def everything(
    dracut: Dracut, family: Family, way: BootWay = BootWay.FULL, *, plugins: bool = False
) -> dict[str, int]:
    made = installation(SOURCES, dracut, family, way, DATA, plugins=plugins)
    assert all(is_ours(path) for path in made)
    return {path: file.mode for path, file in made.items()}


def test_a_debian_root() -> None:
    assert everything(OLD, Family.DEBIAN) == {
        "etc/kernel/postinst.d/00osr": 0o755,
        "etc/kernel/prerm.d/00osr": 0o755,
        "etc/osr/initrd/format": 0o644,
        "etc/osr/initrd/network/nm/x": 0o600,
        "usr/lib/dracut/dracut.conf.d/90-osr.conf": 0o644,
        "usr/lib/dracut/dracut.conf.d/91-osr-cluster.conf": 0o644,
        "usr/lib/dracut/modules.d/34osr-network/module-setup.sh": 0o755,
        "usr/lib/dracut/modules.d/95osr/module-setup.sh": 0o755,
        "usr/lib/osr/kernel-hook": 0o755,
    }


def test_a_root_with_kernel_install_and_the_static_way() -> None:
    assert everything(NEW, Family.REDHAT, BootWay.STATIC, plugins=True) == {
        "etc/osr/initrd/format": 0o644,
        "etc/osr/initrd/network/nm/x": 0o600,
        "usr/lib/dracut/dracut.conf.d/90-osr.conf": 0o644,
        "usr/lib/dracut/modules.d/55osr/module-setup.sh": 0o755,
        "usr/lib/kernel/install.d/49-osr.install": 0o755,
        "usr/lib/osr/kernel-hook": 0o755,
    }


def test_the_hook_runs_before_dracuts() -> None:
    assert sorted(["dracut", "00osr"], key=str.encode)[0] == "00osr"


@pytest.mark.parametrize(
    "path", ["etc/passwd", "etc/osr/initrd", "usr/lib/osrx/y", "../etc/osr/initrd/x", "etc/osr/initrd/../x"]
)
def test_a_record_cannot_name_other_places(path: str) -> None:
    assert not is_ours(path)


CONTENTS = st.sampled_from([b"", b"a", b"b", b"c"])
PATHS = st.sampled_from(["etc/osr/initrd/x", "etc/osr/initrd/y", "usr/lib/osr/z", "etc/kernel/w"])
WANTED = st.dictionaries(PATHS, st.builds(InstalledFile, CONTENTS, st.sampled_from([0o600, 0o644])))
FOUND = st.dictionaries(PATHS, st.builds(Found, CONTENTS | st.none(), st.sampled_from([0o600, 0o644])))
RECORDS = st.builds(Record, st.dictionaries(PATHS, st.lists(CONTENTS.map(digest), min_size=1, max_size=2).map(tuple)))


def carried_out(
    found: Mapping[str, Found], wanted: Mapping[str, InstalledFile], record: Record, scope: str
) -> tuple[dict[str, Found], Record]:
    disk = dict(found)
    done = steps(wanted, record, found, scope)
    for step in done.steps:
        there = disk.get(step.path)
        assert (there.data if there else None) == step.was
        if step.verb is Verb.REMOVE:
            del disk[step.path]
        else:
            disk[step.path] = Found(step.data, step.mode)
    return disk, done.record


@given(WANTED, FOUND, RECORDS, st.sampled_from(["", "etc/osr/initrd"]))
def test_the_laws(wanted: Mapping[str, InstalledFile], found: Mapping[str, Found], record: Record, scope: str) -> None:
    wanted = {path: file for path, file in wanted.items() if path.startswith(scope)}
    there = {path: each for path, each in found.items() if path in wanted or path in record.files}
    disk, after = carried_out(there, wanted, record, scope)
    changed = {path for path in there.keys() | disk.keys() if disk.get(path) != there.get(path)}
    for path in changed:
        # Only what is ours by its content, or was not there at all, and in the scope.
        before = there.get(path)
        assert path.startswith(scope)
        if before is not None:
            assert before.data is not None
            as_wanted = path in wanted and wanted[path].data == before.data
            assert digest(before.data) in record.files[path] or as_wanted
    # A second run has nothing to do.
    again = steps(wanted, after, disk, scope)
    assert again.steps == ()
    assert again.record == after
    # Taking it back leaves what was there before, apart from what was ours.
    empty, nothing = carried_out(disk, {}, after, "")
    for path, each in empty.items():
        assert there.get(path) == each or path in record.files
    assert nothing.files.keys() <= empty.keys()


def test_what_somebody_changed_is_kept() -> None:
    record = Record({"etc/kernel/w": (digest(b"old"),)})
    done = steps({"etc/kernel/w": InstalledFile(b"new")}, record, {"etc/kernel/w": Found(b"mine", 0o644)})
    assert (done.steps, done.edited, done.foreign, done.record) == ((), ("etc/kernel/w",), (), record)
    done = steps({}, record, {"etc/kernel/w": Found(b"mine", 0o644)})
    assert (done.steps, done.edited) == ((), ("etc/kernel/w",))


def test_what_others_made_is_in_the_way_unless_it_is_the_same() -> None:
    wanted = {"etc/kernel/w": InstalledFile(b"new")}
    assert steps(wanted, Record(), {"etc/kernel/w": Found(b"other", 0o644)}).foreign == ("etc/kernel/w",)
    assert steps(wanted, Record(), {"etc/kernel/w": Found(None)}).foreign == ("etc/kernel/w",)
    same = steps(wanted, Record(), {"etc/kernel/w": Found(b"new", 0o600)})
    assert (same.steps, same.foreign, same.record) == ((), (), Record())


def test_wrong_permission_bits_of_ours_are_set_right() -> None:
    record = Record({"etc/kernel/w": (digest(b"new"),)})
    (step,) = steps(
        {"etc/kernel/w": InstalledFile(b"new", 0o600)}, record, {"etc/kernel/w": Found(b"new", 0o644)}
    ).steps
    assert (step.verb, step.mode) == (Verb.PERMIT, 0o600)
