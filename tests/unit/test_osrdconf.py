# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd.conf: every key, every mistake at its line, no bytes that make the parser fail."""

from dataclasses import fields
from ipaddress import IPv4Address, IPv4Network
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.finding import Finding, Place, Severity
from osrd.model.settings import (
    Architecture,
    BootWay,
    KernelUse,
    Reload,
    ReloadMethod,
    RootSettings,
    Settings,
    SubnetSettings,
)
from osrd.parse.ini import LARGEST, MOST_FINDINGS
from osrd.parse.osrdconf import SECTIONS, parse_settings

MAIN = "/etc/osrd/osrd.conf"


def settings(text: str) -> Settings:
    """What a clean file says."""
    value, findings = parse_settings([(MAIN, text.encode())])
    assert findings == ()
    return value


def findings_of(text: str | bytes) -> tuple[Finding, ...]:
    return parse_settings([(MAIN, text.encode() if isinstance(text, str) else text)])[1]


def only(text: str | bytes) -> Finding:
    """The one finding of a file, which has to be complete."""
    findings = findings_of(text)
    assert len(findings) == 1, findings
    assert findings[0].place is not None
    assert findings[0].place.file == MAIN
    assert findings[0].message
    assert findings[0].fix
    return findings[0]


def test_nothing_means_the_documented_defaults() -> None:
    assert parse_settings([]) == (Settings(), ())
    assert settings("") == Settings()
    assert settings("# nothing\n;nothing\n\n[boot]\n") == Settings()


def test_every_field_of_the_settings_has_a_key() -> None:
    default = Settings()
    for kind in ("paths", "tftp", "boot", "dhcp", "nfs", "hosts", "watch"):
        keys = {key.field for key in SECTIONS[kind].values()}
        assert keys == {field.name for field in fields(getattr(default, kind))}
    assert {key.field for key in SECTIONS["root"].values()} | {"name"} == {f.name for f in fields(RootSettings)}
    assert {key.field for key in SECTIONS["subnet"].values()} | {"network"} == {f.name for f in fields(SubnetSettings)}


def test_a_complete_file() -> None:
    value = settings(
        """
        [cluster]
        config = /srv/cluster.conf
        [tftp]
        root = /srv/tftp/
        prefix = boot/osr
        [boot]
        server = 192.168.122.1
        architectures = bios, arm64 bios
        way = static
        timeout = 1min
        append = quiet # no comment; neither this
        http = http://192.168.122.1:8080/osr/
        loader-directories = /usr/lib /opt/loaders
        [root sr]
        volume = 192.168.122.1:/srv/osr
        path = /srv/osr
        kernel = /boot/vmlinuz
        initrd = /boot/initrd
        way = full
        [dhcp]
        backend = kea
        reload = socket:/run/kea/kea4-ctrl-socket
        lease-time = 12h
        serve-tftp = no
        [subnet 192.168.122.0/255.255.255.0]
        range = 192.168.122.100 - 192.168.122.199
        dns = 192.168.122.1, 192.168.122.2
        domain = cluster.example.
        [subnet 10.0.0.0/8]
        [nfs]
        exports = none
        reload = command:/usr/sbin/exportfs -r 'a b'
        [hosts]
        file =
        [watch]
        quiet = 50ms
        rescan = 1h 30min
        [log]
        level = DEBUG
        """
    )
    assert value.cluster_conf == "/srv/cluster.conf"
    assert value.tftp.directory == "/srv/tftp/boot/osr"
    assert value.boot.server == IPv4Address("192.168.122.1")
    assert value.boot.architectures == (Architecture.BIOS, Architecture.ARM64)
    assert value.boot.timeout == 60
    assert value.boot.append == "quiet # no comment; neither this"
    assert value.boot.http == "http://192.168.122.1:8080/osr"
    assert value.boot.loader_directories == ("/usr/lib", "/opt/loaders")
    assert value.roots == (
        RootSettings("sr", "192.168.122.1:/srv/osr", "/srv/osr", "/boot/vmlinuz", "/boot/initrd", way=BootWay.FULL),
    )
    assert value.dhcp.reload == Reload(ReloadMethod.SOCKET, ("/run/kea/kea4-ctrl-socket",))
    assert value.dhcp.lease_time == 43200
    assert value.dhcp.serve_tftp is False
    assert value.subnets[0].network == IPv4Network("192.168.122.0/24")
    assert value.subnets[0].range == (IPv4Address("192.168.122.100"), IPv4Address("192.168.122.199"))
    assert len(value.subnets[0].dns) == 2
    assert value.subnets[0].domain == "cluster.example"
    assert value.subnets[1] == SubnetSettings(IPv4Network("10.0.0.0/8"))
    assert settings("[root a]\nexport-options = none\n[root b]\nvolume = b\nexport-options =\n").roots == (
        RootSettings("a", export_options=""),
        RootSettings("b", "b"),
    )
    assert value.nfs.exports == ""
    assert value.nfs.reload == Reload(ReloadMethod.COMMAND, ("/usr/sbin/exportfs", "-r", "a b"))
    assert value.hosts.file == ""
    assert value.watch.quiet == pytest.approx(0.05)
    assert value.watch.rescan == 5400
    assert value.log_level == "debug"
    assert value.files == (MAIN,)


def test_a_drop_in_wins_key_by_key() -> None:
    value, findings = parse_settings(
        [
            (MAIN, b"[boot]\ntimeout = 3\nappend = quiet\n[root a]\nvolume = x\n"),
            (MAIN + ".d/10.conf", b"[boot]\nappend =\n[root a]\nvolume = y\n[root b]\nvolume=x"),
        ]
    )
    assert findings == ()
    assert (value.boot.timeout, value.boot.append) == (3, "")
    assert [(root.name, root.volume) for root in value.roots] == [("a", "y"), ("b", "x")]
    assert value.files == (MAIN, MAIN + ".d/10.conf")


def test_an_empty_value_is_the_default_or_nothing() -> None:
    value = settings("[tftp]\nroot=\nprefix=\n[boot]\narchitectures=\nserver=\n[nfs]\nexports=\noptions=\n")
    default = Settings()
    assert value.tftp.root == default.tftp.root
    assert value.tftp.prefix == ""
    assert value.boot == default.boot
    assert value.nfs.exports == ""
    assert value.nfs.options == default.nfs.options


def test_long_lines_windows_line_ends_and_marks() -> None:
    value = settings("\ufeff[boot]\r\nappend = a \\\r\n   b\\\r\n\r\ntimeout=7\\\n")
    assert (value.boot.append, value.boot.timeout) == ("a b", 7)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("[dhpc]", "unknown-section", "[dhcp]"),
        ("[completely else]", "unknown-section", "[cluster]"),
        ("[root]", "bad-section", "[root NAME]"),
        ("[dhcp x]", "bad-section", "[dhcp]"),
        ("[root ../etc]", "bad-value", "letters"),
        ("[subnet 10.0.0.1/24]", "bad-address", "10.0.0.0/24"),
        ("[subnet 10.0.0.0]", "bad-address", "/24"),
        ("[subnet 10.0.0.0/33]", "bad-address", "192.168.122.0/24"),
        ("[subnet 10.0.0.0/31]", "bad-address", "30 bits"),
        ("[boot]]", "conf-syntax", "[section]"),
        ("[]", "conf-syntax", "[section]"),
        ("[boot] timeout = 3", "conf-syntax", "[section]"),
        ("timeout", "conf-syntax", "key = value"),
        ("= 3", "conf-syntax", "key = value"),
        ("time-out = 3", "unknown-key", "'timeout'"),
        ("secure_boot = yes", "unknown-key", "'secure-boot'"),
        ("Timeout = 3", "unknown-key", "'timeout'"),
        ("backend = kea", "unknown-key", "[dhcp]"),
        ("zzz = 3", "unknown-key", "use one of"),
        ("timeout = soon", "bad-value", "5min"),
        ("timeout = 2.5", "bad-value", "whole"),
        ("timeout = 2h", "bad-value", "3600"),
        ("timeout = 99999999999999999999999", "bad-value", "duration"),
        ("timeout = 5 parsecs", "bad-value", "duration"),
        ("timeout = -1", "bad-value", "duration"),
        ("keep-generations = 0", "bad-value", "1 to 1000"),
        ("keep-generations = ٣", "bad-value", "1 to 1000"),
        ("secure-boot = perhaps", "bad-value", "yes or no"),
        ("way = sideways", "bad-value", "static, full"),
        ("architectures = bios, vax", "bad-value", "bios, x86_64, arm64"),
        ("server = 192.168.122", "bad-address", "192.168.122.1"),
        ("server = 0.0.0.0", "bad-address", "one machine"),
        ("server = fe80::1", "bad-address", "192.168.122.1"),
        ("loader-directories = usr/lib", "relative-path", "/..."),
        ("loader-directories = /usr/../lib", "bad-value", ".."),
        ("http = ftp://x/", "bad-value", "http://"),
        ("http = http://user:secret@x/", "bad-value", "http://"),
        ("http = http://x:99999/", "bad-value", "http://"),
    ],
)
def test_one_mistake_is_one_finding_at_its_line(line: str, code: str, words: str) -> None:
    finding = only(f"[boot]\n\n{line}\n")
    assert (finding.code, finding.place, finding.severity) == (code, Place(MAIN, 3), Severity.ERROR)
    assert words in finding.fix or words in finding.message


def test_a_joined_line_is_reported_at_its_beginning() -> None:
    assert only("[boot]\ntimeout = \\\n  \\\n soon\nappend = x\n").place == Place(MAIN, 2)


@pytest.mark.parametrize(
    "content",
    [b"[x]\n" * 50_000, b"[boot]\n" + b"x=y\n" * 50_000, b"[boot]\nappend = " + b"a\\\n" * 300_000],
    ids=["sections", "keys", "joined"],
)
def test_a_file_full_of_mistakes_costs_little(content: bytes) -> None:
    begin = process_time()
    findings = findings_of(content)
    assert len(findings) <= 1001
    assert process_time() - begin < 10


@pytest.mark.parametrize(
    ("section", "line", "code"),
    [
        ("cluster", "config = cluster.conf", "relative-path"),
        ("cluster", "config = /", "bad-value"),
        ("cluster", f"config = /{'x' * 300}", "bad-value"),
        ("tftp", "root = /", "bad-value"),
        ("tftp", "prefix = /osr", "bad-value"),
        ("tftp", "prefix = ../osr", "bad-value"),
        ("tftp", "prefix = a b", "bad-value"),
        ("root x", "kernel = vmlinuz", "relative-path"),
        ("root x", "volume = a b", "bad-value"),
        ("root x", "export-options = rw, (sync)", "bad-value"),
        ("root x", "link = ../1", "bad-value"),
        ("root x", "link = local", "bad-value"),
        ("dhcp", "backend = dnsmask", "bad-value"),
        ("dhcp", "reload = restart", "bad-value"),
        ("dhcp", "reload = systemd:", "bad-value"),
        ("dhcp", "reload = systemd:a b", "bad-value"),
        ("dhcp", "reload = command:exportfs -r", "relative-path"),
        ("dhcp", "reload = command:", "bad-value"),
        ("dhcp", "reload = command:/bin/x 'y", "bad-value"),
        ("dhcp", "reload = pidfile:run/x.pid", "relative-path"),
        ("dhcp", "interfaces = eth0 a/b", "bad-value"),
        ("dhcp", "interfaces = averyveryverylongname", "bad-value"),
        ("dhcp", "lease-time = 1", "bad-value"),
        ("subnet 10.0.0.0/8", "range = 10.0.0.1", "bad-value"),
        ("subnet 10.0.0.0/8", "range = 10.0.0.9 10.0.0.1", "bad-value"),
        ("subnet 10.0.0.0/8", "domain = -a.b", "bad-value"),
        ("nfs", "options = rw sync", "bad-value"),
        ("watch", "poll = 0", "bad-value"),
        ("log", "level = loud", "bad-value"),
    ],
)
def test_bad_values(section: str, line: str, code: str) -> None:
    finding = only(f"[{section}]\n{line}\n")
    assert (finding.code, finding.place) == (code, Place(MAIN, 2))
    assert finding.attribute == line.partition(" =")[0]
    assert finding.value


def test_all_findings_at_once_and_the_good_keys_count() -> None:
    text = "[boot]\ntimeout = x\nappend = kept\nway = y\n[subnet nonsense]\nrouter = z\n[nope]\n"
    value, findings = parse_settings([(MAIN, text.encode())])
    assert [finding.place.line for finding in findings if finding.place] == [2, 4, 5, 6, 7]
    assert value.boot.append == "kept"
    assert value.boot.timeout == Settings().boot.timeout
    assert value.subnets == ()


def test_a_key_given_twice_in_one_file_names_both_lines() -> None:
    finding = only("[boot]\ntimeout = 3\n[boot]\ntimeout = 4\n")
    assert finding.code == "duplicate-key"
    assert (finding.place, finding.other_place) == (Place(MAIN, 4), Place(MAIN, 2))
    assert findings_of("[root a]\nvolume=1\n[root b]\nvolume=2\n") == ()


@pytest.mark.parametrize(
    ("text", "code", "line", "other_line"),
    [
        ("[tftp]\nprefix = osr\n[boot]\nsecure-boot = yes\n", "secure-boot-prefix", 4, 2),
        ("[boot]\nsecure-boot = yes\n", "secure-boot-prefix", 2, None),
        (
            "[boot]\nsecure-boot = yes\nuefi-loader = ipxe\n[tftp]\nprefix = none\n",
            "secure-boot-ipxe",
            2,
            3,
        ),
        ("[dhcp]\nbackend = isc\nreload = socket:/run/s\n", "reload-misfit", 3, 2),
        ("[dhcp]\nreload = socket:/run/s\n", "reload-misfit", 2, None),
        ("[dhcp]\nbackend = isc\nreload = pidfile:/run/s\n", "reload-misfit", 3, 2),
        ("[nfs]\nreload = pidfile:/run/s\n", "reload-misfit", 2, None),
        ("[subnet 10.0.0.0/24]\nrange = 10.0.0.9 10.0.1.9\n", "range-outside-subnet", 2, 1),
        ("[subnet 10.0.0.0/24]\nrange = 10.0.0.9 10.0.0.255\n", "range-outside-subnet", 2, 1),
        ("[subnet 10.0.0.0/24]\nrouter = 10.0.1.1\n", "router-outside-subnet", 2, 1),
        ("[subnet 10.0.0.0/24]\nrouter = 10.0.0.5\nrange=10.0.0.1 10.0.0.9\n", "router-in-range", 3, 2),
        ("[subnet 10.0.0.0/24]\n[subnet 10.0.0.0/8]\n", "overlapping-subnets", 1, 2),
        ("[root a]\nvolume = x\n[root b]\nvolume = x\n", "duplicate-volume", 4, 2),
        ("[root a]\n[root b]\n", "duplicate-volume", 2, 1),
        ("[watch]\nlimit = 1\nquiet = 2\n", "quiet-over-limit", 3, 2),
        ("[hosts]\nfile = /etc/exports.d/osrd.exports\n", "same-file", 2, None),
        ("[cluster]\nconfig = /a\n[dhcp]\nhosts = /a\n", "same-file", 4, 2),
    ],
)
def test_contradictions(text: str, code: str, line: int, other_line: int | None) -> None:
    finding = only(text)
    assert (finding.code, finding.severity) == (code, Severity.ERROR)
    assert finding.place == Place(MAIN, line)
    assert finding.other_place == (Place(MAIN, other_line) if other_line else None)


@pytest.mark.parametrize(
    "text",
    [
        "[boot]\nsecure-boot = yes\n[tftp]\nprefix = none\n",
        "[boot]\nsecure-boot = yes\narchitectures = bios\n",
        "[dhcp]\nbackend = kea\nreload = pidfile:/run/kea.pid\n",
        "[subnet 10.0.0.0/24]\n[subnet 10.0.1.0/24]\n[subnet 10.0.2.0/23]\n",
        "[root a]\nvolume = x\n[root b]\n",
    ],
)
def test_no_contradiction(text: str) -> None:
    assert findings_of(text) == ()


def test_a_wide_subnet_overlaps_all_inside_it() -> None:
    findings = findings_of("[subnet 10.0.0.0/8]\n[subnet 10.1.0.0/24]\n[subnet 10.2.0.0/24]\n[subnet 11.0.0.0/24]\n")
    assert [(f.value, f.other_place) for f in findings] == [
        ("10.1.0.0/24", Place(MAIN, 1)),
        ("10.2.0.0/24", Place(MAIN, 1)),
    ]


@pytest.mark.parametrize("prefix", ["", "previous-"])
def test_half_a_pair_is_a_warning(prefix: str) -> None:
    finding = only(f"[root a]\n{prefix}kernel = /boot/k\n")
    assert (finding.code, finding.severity) == ("kernel-without-initrd", Severity.WARNING)
    assert finding.place == Place(MAIN, 2)
    finding = only(f"[root a]\n{prefix}initrd = /boot/k\n")
    assert (finding.code, finding.severity) == ("initrd-without-kernel", Severity.WARNING)


@pytest.mark.parametrize("key", ["kernels = all", "previous-after = 3"])
@pytest.mark.parametrize(("others", "why"), [("path = /srv/web\nkernel = /v\ninitrd = /i\n", "/v"), ("", "path")])
def test_keys_about_images_where_there_are_none_are_warnings(key: str, others: str, why: str) -> None:
    finding = only(f"[root web]\n{others}{key}\n")
    assert (finding.code, finding.severity, finding.attribute) == (
        "no-images",
        Severity.WARNING,
        key.partition(" ")[0],
    )
    assert finding.place is not None
    assert finding.place.line == 2 + others.count("\n")
    assert why in finding.message


def test_what_is_built_for_a_root() -> None:
    (root,) = settings("[root web]\npath = /srv/web\nkernels = all\nprevious-after = 3\n").roots
    assert (root.takes_images, root.kernels, root.previous_after) == (True, KernelUse.ALL, 3)
    assert only("[root web]\npath = /srv/web\nkernels = some\n").place == Place(MAIN, 3)
    assert only("[root web]\npath = /srv/web\nprevious-after = -1\n").place == Place(MAIN, 3)


def test_bytes_that_are_no_text() -> None:
    finding = only(b"[boot]\nappend = caf\xe9\ntimeout = 3\n")
    assert (finding.code, finding.place) == ("conf-encoding", Place(MAIN, 2))
    assert "0xe9" in finding.message
    finding = only(b"[boot]\nappend = a\x00b\n")
    assert (finding.code, finding.place) == ("conf-encoding", Place(MAIN, 2))
    assert "U+0000" in finding.message


def test_a_huge_file_is_not_read() -> None:
    assert only(b"#" * (LARGEST + 1)).code == "conf-too-large"
    assert findings_of(b"#" * LARGEST) == ()


def test_a_binary_file_has_few_findings() -> None:
    findings = findings_of(b"\xff\n" * 10_000)
    assert len(findings) == MOST_FINDINGS + 1
    assert "9900 more" in findings[-1].message


_TITLES = st.sampled_from([*SECTIONS, "root a", "subnet 10.0.0.0/8", "subnet 10.0.0.0/9", "x", ""])
_KEYS = st.sampled_from([*sorted({key for keys in SECTIONS.values() for key in keys}), "", "nokey"])
_VALUES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=30),
    st.sampled_from(["none", "10.0.0.1 10.0.0.9", "/a/b", "5min", "yes", "socket:/s", "command:/a 'b"]),
)
_LINES = st.one_of(
    st.builds(lambda title: f"[{title}]", _TITLES),
    st.builds(lambda key, value: f"{key} = {value}", _KEYS, _VALUES),
    st.text(max_size=20),
)


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_no_bytes_make_it_fail(contents: list[bytes]) -> None:
    parse_settings([(f"/f{number}", content) for number, content in enumerate(contents)])


@given(st.lists(_LINES, max_size=30))
def test_no_text_makes_it_fail_and_every_finding_is_complete(lines: list[str]) -> None:
    content = "\n".join(lines).encode()
    value, findings = parse_settings([(MAIN, content)])
    assert parse_settings([(MAIN, content)]) == (value, findings)
    for finding in findings:
        assert finding.code
        assert finding.message
        assert finding.fix
        assert finding.place is not None
        assert finding.place.line <= content.count(b"\n") + 1


@given(_TITLES.filter(bool), _KEYS.filter(bool), _VALUES)
def test_a_key_alone_is_reported_at_its_line_or_taken(title: str, key: str, value: str) -> None:
    _, findings = parse_settings([(MAIN, f"# comment\n[{title}]\n\n{key} = {value}\n".encode())])
    assert {finding.place.line for finding in findings if finding.place} <= {2, 4}
