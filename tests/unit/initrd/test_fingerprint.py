# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingerprint as a value: what is in it, how it is written down, and its differences in words."""

import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.errors import OsrdError
from osrd.model.image import Fingerprint, ImageFile, InputKind
from osrd.model.settings import BootWay
from osrd.parse.imagestore import parse_fingerprint, render_fingerprint
from osrd.plan.initrd.changes import changes
from osrd.plan.initrd.fingerprint import baked, content_names, content_of, fingerprint

DATA = {
    "format": b"2\n",
    "osr.conf": b"OSR_CLUSTER='demo'\n",
    "nodeids": b"1 00:0c:29:00:00:01\n2 00:0c:29:00:00:02\n",
    "nodenames": b"1 node1\n2 node2\n",
    "nodes.d/1.conf": b"OSR_NODEID='1'\nOSR_ROOT='nfs4:10.0.0.1:/srv/root:rw,vers=4.2'\n",
    "nodes.d/2.conf": b"OSR_NODEID='2'\nOSR_ROOT='nfs4:10.0.0.1:/srv/root:rw,vers=4.2'\nOSR_SYSLOG_SERVER='log'\n",
    "network/legacy/2": b"ip=10.0.0.2\n",
    "network/systemd/80-osr-1-eth0.network": b"[Match]\n",
}
MODULES = {"modules.d/95osr/module-setup.sh": b"check() { return 255; }\n", "modules.d/95osr/osr-lib.sh": b"# lib\n"}
OPTIONS = ("dracut", "--force", "--add", "osr osr-cluster")
OWN = baked(DATA, MODULES, BootWay.FULL, OPTIONS)
ROOT = {
    (InputKind.KERNEL, "boot/vmlinuz-6.1"): "k",
    (InputKind.DEPMOD, "usr/lib/modules/6.1/modules.dep"): "d",
    (InputKind.DRACUT, "usr/bin/dracut"): "b",
    (InputKind.CONFIGURATION, "etc/dracut.conf"): "c",
    (InputKind.CONTENT, "usr/lib/x86_64-linux-gnu/libc.so.6"): "l",
    (InputKind.CONTENT, "usr/lib/libz.so.1"): "-> libz.so.1.2\0z",
    (InputKind.CONTENT, "usr/lib/libz.so.1.2"): "z",
}
BEFORE = fingerprint(ROOT, OWN)
NAMES = {"1": "node1", "2": "node2"}


@pytest.mark.parametrize("key", sorted({**ROOT, **OWN}))
def test_each_input_changes_it(key: tuple[InputKind, str]) -> None:
    inputs = {**ROOT, **OWN}
    assert fingerprint(inputs | {key: inputs[key] + "!"}).value != BEFORE.value
    assert fingerprint({name: digest for name, digest in inputs.items() if name != key}).value != BEFORE.value


@given(st.permutations(sorted({**ROOT, **OWN}.items())), st.integers(0, 20))
def test_neither_order_nor_parts_change_it(items: list[tuple[tuple[InputKind, str], str]], cut: int) -> None:
    assert fingerprint(dict(items[:cut]), dict(items[cut:])) == BEFORE


@pytest.mark.parametrize("name", sorted(DATA))
@pytest.mark.parametrize("what", ["changed", "gone"])
def test_each_file_of_data_changes_it(name: str, what: str) -> None:
    data = (
        {**DATA, name: DATA[name] + b"more\n"} if what == "changed" else {k: v for k, v in DATA.items() if k != name}
    )
    assert fingerprint(ROOT, baked(data, MODULES, BootWay.FULL, OPTIONS)).value != BEFORE.value


@pytest.mark.parametrize(
    "own",
    [
        baked(DATA, MODULES, BootWay.STATIC, OPTIONS),
        baked(DATA, MODULES, BootWay.FULL, (*OPTIONS, "--gzip")),
        baked(DATA, MODULES, BootWay.FULL, OPTIONS[:-1]),
        baked(DATA, {**MODULES, "modules.d/95osr/osr-lib.sh": b"# new\n"}, BootWay.FULL, OPTIONS),
        baked(DATA, {**MODULES, "modules.d/95osr/more.sh": b""}, BootWay.FULL, OPTIONS),
        baked(DATA, {"modules.d/55osr/module-setup.sh": b""}, BootWay.FULL, OPTIONS),
    ],
)
def test_each_thing_of_osrd_changes_it(own: dict[tuple[InputKind, str], str]) -> None:
    assert fingerprint(ROOT, own).value != BEFORE.value


def test_the_fingerprint_itself_is_no_input() -> None:
    """It is written into the data of the image that it is the fingerprint of."""
    assert baked({**DATA, "build": b"0123\n"}, MODULES, BootWay.FULL, OPTIONS) == OWN


def test_names_cannot_be_mistaken_for_others() -> None:
    one = {(InputKind.CONTENT, "a"): "b", (InputKind.CONTENT, "c"): "d"}
    other = {(InputKind.CONTENT, "a"): "b\0c", (InputKind.CONTENT, "d"): ""}
    assert fingerprint(one).value != fingerprint(other).value
    assert fingerprint({(InputKind.CONTENT, "a"): "b"}).value != fingerprint({(InputKind.DRACUT, "a"): "b"}).value


def regular(path: str) -> ImageFile:
    return ImageFile(path, stat.S_IFREG | 0o644, 1, "d")


def test_what_dracut_makes_itself_is_no_content() -> None:
    taken = ["usr/bin/bash", "usr/lib/modules/6.1/kernel/fs/nfs/nfs.ko", "etc/idmapd.conf", "cdsl.local/etc/nfs.conf"]
    made = [
        *("etc/passwd", "etc/ld.so.cache", "etc/machine-id", "etc/osr/nodeids", "usr/lib/modules/6.1/modules.dep"),
        *("usr/lib/dracut/modules.txt", "var/lib/dracut/hooks/cmdline/12-osr-cmdline.sh", "init", "dev/null"),
    ]
    files = [regular(path) for path in [*made, *taken]]
    files += [ImageFile("lib", stat.S_IFLNK | 0o777, target="usr/lib"), ImageFile("etc", stat.S_IFDIR | 0o755)]
    assert content_names(files) == tuple(sorted([*taken, "lib"]))


def test_what_to_observe_next_is_what_was_observed() -> None:
    assert sorted(content_of(BEFORE)) == sorted(name for kind, name in ROOT if kind is InputKind.CONTENT)
    assert content_of(None) == ()


def after(root: dict[tuple[InputKind, str], str] | None = None, **data: bytes | None) -> Fingerprint:
    told = {**DATA, **{name.replace("__", "/").replace("_conf", ".conf"): text for name, text in data.items()}}
    own = baked({name: text for name, text in told.items() if text is not None}, MODULES, BootWay.FULL, OPTIONS)
    return fingerprint({**ROOT, **(root or {})}, own)


_NODE_2 = DATA["nodes.d/2.conf"]


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        (after(), ()),
        (
            after(**{"nodes.d/2.conf": _NODE_2.replace(b"/srv/root", b"/srv/new")}),
            ("the root volume of node2 changed",),
        ),
        (after(**{"nodes.d/2.conf": _NODE_2.replace(b"'log'", b"'x'")}), ("the syslog settings of node2 changed",)),
        (after(**{"nodes.d/2.conf": _NODE_2 + b"OSR_FS_1='/a|b'\n"}), ("the file systems of node2 changed",)),
        (after(**{"nodes.d/2.conf": _NODE_2 + b"OSR_NEWER='a'\n"}), ("OSR_NEWER of node2 changed",)),
        (after(**{"nodes.d/3.conf": b"OSR_NODEID='3'\n"}), ("node 3 is new",)),
        (after(**{"nodes.d/1.conf": None}), ("node1 is gone",)),
        (after(nodeids=b"1 00:0c:29:00:00:09\n2 00:0c:29:00:00:02\n"), ("the hardware addresses of node1 changed",)),
        (after(nodeids=b"1 00:0c:29:00:00:01\n"), ("node2 is gone",)),
        (after(**{"network/legacy/2": b"ip=10.0.0.3\n"}), ("the network of node2 changed",)),
        (after(**{"network/systemd/80-osr-1-eth0.network": b"x"}), ("the network of node1 changed",)),
        (after(**{"osr.conf": b"x"}), ("what is the same for all nodes changed",)),
        (
            after({(InputKind.CONTENT, "usr/lib/x86_64-linux-gnu/libc.so.6"): "new"}),
            ("usr/lib/x86_64-linux-gnu/libc.so.6 changed",),
        ),
        (
            after(
                {
                    (InputKind.CONTENT, "usr/lib/libz.so.1"): "-> libz.so.1.2\0new",
                    (InputKind.CONTENT, "usr/lib/libz.so.1.2"): "new",
                }
            ),
            ("usr/lib/libz.so.1.2 changed",),
        ),
        (after({(InputKind.CONTENT, "usr/lib/libz.so.1"): "-> libz.so.1.3\0z"}), ("usr/lib/libz.so.1 changed",)),
        (after({(InputKind.CONFIGURATION, "etc/dracut.conf.d/a.conf"): "a"}), ("etc/dracut.conf.d/a.conf is new",)),
        (after({(InputKind.KERNEL, "boot/vmlinuz-6.1"): "new"}), ("the kernel changed",)),
        (
            after({(InputKind.DRACUT, "usr/bin/dracut"): "n", (InputKind.DRACUT, "usr/lib/dracut/x"): "n"}),
            ("dracut changed",),
        ),
    ],
)
def test_changes_in_words(now: Fingerprint, lines: tuple[str, ...]) -> None:
    assert changes(BEFORE, now, NAMES) == lines


def test_changes_in_other_words() -> None:
    assert changes(None, BEFORE) == ("there is no initrd for this kernel yet",)
    gone = {key: digest for key, digest in ROOT.items() if "libc" not in key[1]}
    assert changes(BEFORE, fingerprint(gone, OWN)) == ("usr/lib/x86_64-linux-gnu/libc.so.6 is gone",)
    own = baked(DATA, {**MODULES, "modules.d/95osr/osr-lib.sh": b"# new\n"}, BootWay.STATIC, ())
    assert changes(BEFORE, fingerprint(ROOT, own)) == (
        "the options of dracut changed",
        "the boot way changed",
        "the dracut modules of osrd changed",
    )


def test_many_changes_are_counted_and_the_telling_ones_come_first() -> None:
    many = {(InputKind.CONTENT, f"usr/bin/{number:03}"): "x" for number in range(100)}
    lines = changes(BEFORE, after(many, **{"nodes.d/1.conf": b"OSR_ROOT='x'\n"}), NAMES, most=4)
    assert lines[:2] == ("OSR_NODEID of node1 changed", "the root volume of node1 changed")
    assert lines[4:] == ("98 more changes",)


_INPUTS = st.dictionaries(
    st.tuples(st.sampled_from(InputKind), st.text(st.characters(codec="utf-8"), max_size=9) | st.just("\udcff")),
    st.text(max_size=9),
    max_size=9,
)


@given(_INPUTS)
def test_it_is_read_as_it_was_written(inputs: dict[tuple[InputKind, str], str]) -> None:
    print_ = Fingerprint("v", inputs)
    data = render_fingerprint(print_)
    assert parse_fingerprint(data, "file") == print_
    assert render_fingerprint(Fingerprint("v", dict(reversed(inputs.items())))) == data


_GOOD = json.loads(render_fingerprint(BEFORE))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "everything is missing"),
        (b'{"version": "1"}', "version is missing"),
        (json.dumps({**_GOOD, "version": 2}).encode(), "newer osrd"),
        (json.dumps({**_GOOD, "value": 1}).encode(), "value is missing"),
        (json.dumps({**_GOOD, "inputs": {}}).encode(), "inputs is missing"),
        (json.dumps({**_GOOD, "inputs": [["moon", "a", "b"]]}).encode(), "inputs is missing"),
        (json.dumps({**_GOOD, "inputs": [["osr", "a"]]}).encode(), "inputs is missing"),
        (json.dumps({**_GOOD, "inputs": [["osr", "a", None]]}).encode(), "inputs is missing"),
    ],
    ids=range(11),
)
def test_what_is_no_fingerprint_is_told(data: bytes, problem: str) -> None:
    with pytest.raises(OsrdError, match=f"^the/file .*{problem}"):
        parse_fingerprint(data, "the/file")


@given(st.recursive(st.none() | st.integers() | st.text(max_size=4), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["version", "value", "inputs", "kernel", "a"]), inner), max_leaves=20))  # fmt: skip
def test_any_json_is_told_and_nothing_else_happens(document: object) -> None:
    try:
        parse_fingerprint(json.dumps(document).encode(), "file")
    except OsrdError:
        return
    assert isinstance(document, dict)
    assert document["version"] <= 1
