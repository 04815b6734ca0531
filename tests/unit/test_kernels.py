# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel pairs: what is current, what is previous, and what happens without one."""

from dataclasses import replace

from osrd.model.finding import Severity
from osrd.model.netboot import StoredPair
from osrd.model.output import CopyOf, FileState, Kind, Stage, StaysAs
from osrd.plan.kernels import choose_kernels
from tests.unit.planning import DIRECTORY, INITRD, KERNEL, ROOT, facts, settings

OLD = StoredPair("c" * 64, "d" * 64)
NOW = StoredPair(KERNEL, INITRD)


def test_files_are_named_by_their_content() -> None:
    choice = choose_kernels(ROOT, settings(), facts())
    assert {output.path: (output.kind, output.stage, output.recipe) for output in choice.outputs} == {
        f"{DIRECTORY}/kernels/vmlinuz-{'a' * 16}": (Kind.KERNEL, Stage.KERNEL, KERNEL),
        f"{DIRECTORY}/kernels/initrd-{'b' * 16}.img": (Kind.INITRD, Stage.KERNEL, INITRD),
    }
    assert choice.contents[KERNEL] == CopyOf("/boot/vmlinuz", KERNEL, 100)
    assert choice.stored == NOW
    assert choice.findings == ()


def test_the_first_pair_is_its_own_previous() -> None:
    pair = choose_kernels(ROOT, settings(), facts()).pair
    assert pair is not None
    assert (pair.previous_kernel, pair.previous_initrd) == (pair.kernel, pair.initrd)


def test_the_newest_other_stored_pair_is_previous_and_needs_no_source() -> None:
    stored = {"web": (NOW, OLD, StoredPair("e" * 64, ""))}
    choice = choose_kernels(ROOT, settings(), facts(pairs=stored))
    assert choice.pair is not None
    assert choice.pair.previous_kernel == f"kernels/vmlinuz-{'c' * 16}"
    assert choice.pair.previous_initrd == f"kernels/initrd-{'d' * 16}.img"
    assert choice.contents[OLD.kernel] == StaysAs(OLD.kernel)
    assert len(choice.outputs) == 4


def test_a_new_initrd_alone_makes_a_new_pair() -> None:
    choice = choose_kernels(ROOT, settings(), facts(pairs={"web": (StoredPair(KERNEL, "d" * 64),)}))
    assert choice.pair is not None
    assert choice.pair.previous_kernel == choice.pair.kernel
    assert choice.pair.previous_initrd == f"kernels/initrd-{'d' * 16}.img"
    # Its kernel is the current one, whose content can be copied: that must win over "stays as it is".
    assert choice.contents[KERNEL] == CopyOf("/boot/vmlinuz", KERNEL, 100)


def test_a_configured_previous_pair_wins() -> None:
    root = replace(ROOT, previous_kernel="/boot/old")
    known = facts(pairs={"web": (OLD,)})
    known = replace(known, files={**known.files, "/boot/old": FileState("f" * 64, 9, 0o644)})
    pair = choose_kernels(root, settings(), known).pair
    assert pair is not None
    assert (pair.previous_kernel, pair.previous_initrd) == (f"kernels/vmlinuz-{'f' * 16}", "")


def test_a_missing_previous_kernel_is_a_warning_and_the_stored_pair_serves() -> None:
    choice = choose_kernels(replace(ROOT, previous_kernel="/gone"), settings(), facts(pairs={"web": (OLD,)}))
    assert choice.pair is not None
    assert choice.pair.previous_kernel == f"kernels/vmlinuz-{'c' * 16}"
    assert [(finding.code, finding.severity) for finding in choice.findings] == [
        ("previous-kernel-missing", Severity.WARNING)
    ]


def test_no_initrd_is_fine() -> None:
    pair = choose_kernels(replace(ROOT, initrd=""), settings(), facts()).pair
    assert pair is not None
    assert (pair.initrd, pair.previous_initrd) == ("", "")


def test_a_missing_file_is_an_error_that_names_setting_and_file() -> None:
    choice = choose_kernels(replace(ROOT, initrd="/gone"), settings(), facts())
    assert choice.pair is None
    assert choice.outputs == ()
    (finding,) = choice.findings
    assert (finding.code, finding.severity, finding.value) == ("initrd-missing", Severity.ERROR, "/gone")
    assert "[root web]" in finding.fix


def test_no_kernel_configured_is_a_warning() -> None:
    choice = choose_kernels(replace(ROOT, kernel=""), settings(), facts())
    assert choice.pair is None
    assert [(finding.code, finding.severity) for finding in choice.findings] == [("no-kernel", Severity.WARNING)]


def test_content_is_copied_from_where_the_link_inside_the_root_led() -> None:
    choice = choose_kernels(ROOT, settings(), facts(sources={"/boot/vmlinuz": "/srv/root/boot/vmlinuz-6.1"}))
    assert choice.contents[KERNEL] == CopyOf("/srv/root/boot/vmlinuz-6.1", KERNEL, 100, shared=True)
