# SPDX-License-Identifier: GPL-3.0-or-later
"""What an initrd is told: data whatever cluster.conf holds, the same bytes every time, and no secrets."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osrd.model.cdsl import Layout
from osrd.model.cluster import Filesystem, Nic, Node, RootVolume, Syslog
from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Severity
from osrd.model.settings import BootWay, RootSettings, Settings
from osrd.parse.clusterconf import parse_cluster
from osrd.plan.initrd.data import InitrdData, conf, initrd_data, mode_of
from tests.conftest import REPOSITORY
from tests.unit import planning
from tests.unit.planning import cluster, mac

FULL = (REPOSITORY / "tests/fixtures/full.conf").read_bytes()
SHELLS = [shell for shell in ("dash", "bash", "busybox sh") if shutil.which(shell.split()[0])]

#: the ways to read a .conf file; each prints every value and a line break
SOURCED = """
. "$1"
for key in $(sed 's/=.*//' "$1"); do eval "printf '%s\\n' \\"\\$$key\\""; done
"""
READ = r"""
while IFS= read -r line; do
    value=${line#*=\'}
    value=${value%\'}
    whole=
    while [ "${value#*\'\"\'\"\'}" != "$value" ]; do
        whole=$whole${value%%\'\"\'\"\'*}\'
        value=${value#*\'\"\'\"\'}
    done
    printf '%s\n' "$whole$value"
done < "$1"
"""


def eth(number: int, name: str = "eth0", **others: object) -> Nic:
    return planning.eth(number, name, **{"gateway": "10.0.99.1", **others})


def node(number: int, **others: object) -> Node:
    return planning.node(number, **{"nics": (eth(number),), **others})


#: the modules' own reader
MODULE = f"""
getarg() {{ :; }}
. {REPOSITORY}/data/dracut/osr/osr-lib.sh
for key in $(sed 's/=.*//' "$1"); do osr_conf "$1" "$key" || echo; done
"""


def made(*nodes: Node, **others: object) -> InitrdData:
    return initrd_data(cluster(*nodes), Settings(), None, Layout(), BootWay.FULL, **others)  # type: ignore[arg-type]


def text(data: InitrdData, path: str) -> str:
    return data.files[path].decode()


def values(data: InitrdData, nodeid: int) -> dict[str, str]:
    lines = text(data, f"nodes.d/{nodeid}.conf").splitlines()
    return {key: value[1:-1] for key, _, value in (line.partition("=") for line in lines)}


def test_the_tables() -> None:
    data = made(node(10), node(9, nics=(eth(9), eth(11, "eth1"))))
    assert text(data, "format") == "2\n"
    assert text(data, "nodeids") == f"9 {mac(9)} {mac(11)}\n10 {mac(10)}\n"
    assert text(data, "nodenames") == "9 node9\n10 node10\n"
    assert text(data, "cmdline") == ""
    assert text(data, "nodes.d/9.conf") == (
        "OSR_NODEID='9'\n"
        "OSR_NODENAME='node9'\n"
        "OSR_HOSTNAME='node9'\n"
        "OSR_ROOT='nfs4:192.168.122.1:/srv/root:rw,vers=4.2'\n"
        "OSR_ROOTFSTYPE='nfs4'\n"
        "OSR_ROOTTRIES='30'\n"
        "OSR_ROOTWAIT='10'\n"
        f"OSR_PRIMARY='{mac(9)}'\n"
        "OSR_NFSID='osr:web:9'\n"
    )
    assert data.findings == ()


def test_the_names_of_the_layout() -> None:
    layout = Layout(tree=".cluster/cdsl", shared=".cluster/shared", link=".cdsl.local", prefix="n")
    data = initrd_data(cluster(node(1)), Settings(), None, layout, BootWay.FULL)
    assert text(data, "osr.conf") == (
        "OSR_CLUSTER='web'\n"
        "OSR_CDSLTREE='/.cluster/cdsl'\n"
        "OSR_CDSLLINK='/.cdsl.local'\n"
        "OSR_CDSLSHARED='/.cluster/shared'\n"
        "OSR_CDSLBIND='bind'\n"
    )
    assert values(data, 1)["OSR_TREE"] == "n1"
    named = initrd_data(cluster(node(1)), Settings(), None, Layout(), BootWay.FULL, by_name=True)
    assert values(named, 1)["OSR_TREE"] == "node1"
    assert "OSR_TREE" not in values(made(node(1)), 1)


def test_the_static_way_does_not_know_the_nodes() -> None:
    few = initrd_data(cluster(node(1)), Settings(), None, Layout(), BootWay.STATIC)
    many = initrd_data(cluster(node(2), node(3)), Settings(), None, Layout(), BootWay.STATIC)
    assert sorted(few.files) == ["cmdline", "format", "osr.conf"]
    assert few.files == many.files


def test_only_the_nodes_of_the_root() -> None:
    other = RootVolume("s:/other", "nfs4", "s", "/other")
    web = RootSettings("web", volume="192.168.122.1:/srv/root", path="/srv/root")
    config = Settings(roots=(web, RootSettings("other", volume="s:/other", path="/srv/other")))
    nodes = (node(1), node(2, root=other), node(3, com_info=False))
    data = initrd_data(cluster(*nodes), config, web, Layout(), BootWay.FULL)
    assert text(data, "nodenames") == "1 node1\n"


def test_quarantined_nodes_are_left_out_and_stand_ins_are_not() -> None:
    broken = node(2, nics=(eth(1),))
    assert "nodes.d/2.conf" not in made(node(1), broken, node(3)).files
    assert "nodes.d/1.conf" not in made(node(1), broken, node(3)).files
    data = made(node(1), broken, node(3), nodes=(node(1), node(2), node(3)))
    assert text(data, "nodenames") == "1 node1\n2 node2\n3 node3\n"


def test_an_edit_that_means_nothing_changes_nothing() -> None:
    before = initrd_data(parse_cluster(FULL, "a"), Settings(), None, Layout(), BootWay.FULL)
    edited = FULL.replace(b'config_version="42"', b'config_version="43"').replace(b"<!-- an", b"\n\n<!-- An")
    after = initrd_data(parse_cluster(edited, "b"), Settings(), None, Layout(), BootWay.FULL)
    assert dict(before.files) == dict(after.files)
    assert list(before.files) == list(after.files)
    assert not any(b"config" in data.lower() for name, data in before.files.items() if name.endswith(".conf"))


def test_votes_mean_nothing_where_nobody_votes() -> None:
    assert made(node(1), node(2, votes="2")).files == made(node(1), node(2)).files


def test_the_order_of_the_file_means_nothing() -> None:
    assert made(node(1), node(2)).files == made(node(2), node(1)).files


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (RootVolume("s:/p", "nfs", "s", "/p"), "nfs:s:/p:rw"),
        (RootVolume("s:/p", "nfs", "s", "/p", "ro,nolock"), "nfs:s:/p:ro,nolock"),
        (RootVolume("s:/p", "nfs3", "s", "/p"), "nfs:s:/p:rw,vers=3"),
        (RootVolume("s:/p", "nfs4", "s", "/p", "nolock,vers=4.1"), "nfs4:s:/p:rw,vers=4.1"),
        (RootVolume("[fd00::1]:/p", "nfs4", "[fd00::1]", "/p"), "nfs4:[fd00::1]:/p:rw,vers=4.2"),
        (RootVolume("/dev/vg/root", "ext4", "", "/dev/vg/root"), "block:/dev/vg/root"),
        (RootVolume("LABEL=r", "gfs2", "", "LABEL=r"), "block:LABEL=r"),
    ],
)
def test_the_root_string(volume: RootVolume, expected: str) -> None:
    assert values(made(node(1, root=volume)), 1)["OSR_ROOT"] == expected


def test_a_device_that_all_nodes_have_is_on_the_baked_command_line() -> None:
    volume = RootVolume("LABEL=root", "ext4", "", "LABEL=root", "noatime")
    data = made(node(1, root=volume), node(2, root=volume))
    assert text(data, "cmdline") == "root=LABEL=root\nrootfstype=ext4\nrootflags=noatime\nrw\n"
    assert values(data, 1)["OSR_ROOTFLAGS"] == "rw,noatime"
    other = replace(volume, name="/dev/sda", path="/dev/sda")
    assert text(made(node(1, root=volume), node(2, root=other)), "cmdline") == ""
    assert text(made(node(1, root=volume), node(2)), "cmdline") == ""


def test_extra_file_systems_parents_first() -> None:
    extra = (
        Filesystem("/var/data", "s:/data/%(nodeid)s", "nfs", "ro", "3", "5"),
        Filesystem("/var", "/dev/sdb%(param0)s", "ext4"),
    )
    found = values(made(node(7, filesystems=extra)), 7)
    assert found["OSR_FS_1"] == "/var|/dev/sdb7|ext4|||"
    assert found["OSR_FS_2"] == "/var/data|s:/data/7|nfs|ro|5|3"


@pytest.mark.parametrize(
    "item",
    [
        Filesystem("/x", "//s/x", "cifs", "username=a,password=b"),
        Filesystem("/x", "s:/x", "nfs", "password=b"),
        Filesystem("/x|y", "s:/x", "nfs"),
        Filesystem("x", "s:/x", "nfs"),
        Filesystem("/x/../y", "s:/x", "nfs"),
        Filesystem("/x\ny", "s:/x", "nfs"),
    ],
)
def test_file_systems_that_cannot_be_said_are_left_out(item: Filesystem) -> None:
    data = made(node(1, filesystems=(item,)))
    assert not any(key.startswith("OSR_FS") for key in values(data, 1))
    assert [(finding.code, finding.severity, finding.node) for finding in data.findings] == [
        ("initrd-filesystem", Severity.WARNING, "node1")
    ]


def test_syslog_and_iscsi() -> None:
    log = Syslog("log.example.org", "info", "kern", "rsyslogd")
    found = values(made(node(1, syslog=log, rootsource="iscsi://s:3260/iqn.2011-01.org:n1")), 1)
    assert found["OSR_SYSLOG_SERVER"] == "log.example.org"
    assert found["OSR_SYSLOG_FILTER"] == "kern.info"
    assert found["OSR_SYSLOG_TYPE"] == "rsyslogd"
    assert found["OSR_ISCSI_INITIATOR"] == "iqn.2011-01.org:n1"


def test_the_primary_nic_is_in_the_servers_subnet() -> None:
    nics = (eth(1, "eth1"), eth(2, ip="192.168.122.5", mask="255.255.255.0", gateway=""))
    assert values(made(node(1, nics=nics)), 1)["OSR_PRIMARY"] == mac(2)
    assert values(made(node(1, nics=(eth(1, "a", gateway=""), eth(2, "b")))), 1)["OSR_PRIMARY"] == mac(2)


def test_a_node_that_cannot_be_said_is_in_no_table() -> None:
    long = initrd_data(cluster(node(1), name="x" * 60), Settings(), None, Layout(), BootWay.FULL)
    assert long.files["nodeids"] == long.files["nodenames"] == b""
    assert [(finding.code, finding.severity) for finding in long.findings] == [("initrd-node", Severity.ERROR)]
    secret = RootVolume("s:/p", "nfs4", "s", "/p", "password=x")
    data = made(node(1), node(2, root=secret))
    assert text(data, "nodenames") == "1 node1\n"
    assert not any(re.search(r"\b2\b", path) for path in data.files)
    assert [finding.node for finding in data.findings] == ["node2"]


def test_a_cluster_whose_name_is_no_line_has_no_data() -> None:
    data = initrd_data(cluster(node(1), name="a\nb"), Settings(), None, Layout(), BootWay.FULL)
    assert data.files == {}
    assert [finding.severity for finding in data.findings] == [Severity.ERROR]


def test_no_secret_of_cluster_conf_gets_in() -> None:
    """Passwords wherever XML has a place for them that osrd does not need."""
    source = FULL.replace(b"<clusternode ", b'<clusternode passwd="s3cret-node" ')
    source = source.replace(b"<eth ", b'<eth password="s3cret-eth" ')
    source = source.replace(b"<rootvolume ", b'<rootvolume key="s3cret-root" ')
    source = source.replace(b"<syslog ", b'<syslog token="s3cret-syslog" ')
    source = source.replace(b"<scsi ", b'<scsi chap="s3cret-scsi" ')
    source = source.replace(b"<filesystem ", b'<filesystem password="s3cret-fs" ')
    source = source.replace(b"<device ", b'<device secret="s3cret-dev" ')
    source = source.replace(b"<properties>", b'<properties><property name="KEY_PASSPHRASE1">s3cret-wpa</property>')
    source = source.replace(b"rm>", b"rm>").replace(b'label="qdisk"', b'label="s3cret-qdisk"')
    assert source.count(b"s3cret") > 20
    data = initrd_data(parse_cluster(source, "x"), Settings(), None, Layout(), BootWay.FULL)
    assert len(data.files) > 20
    assert not [path for path, content in data.files.items() if b"s3cret" in content or "s3cret" in path]


def test_keyfiles_are_for_root_alone() -> None:
    data = made(node(1))
    modes = {path: mode_of(path) for path in data.files}
    assert modes["network/nm/osr-1-eth0.nmconnection"] == 0o600
    assert {mode for path, mode in modes.items() if not path.startswith("network/nm/")} == {0o644}


ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
ODD = st.text(st.sampled_from("'\"\\$`; |&\t!#%{}()*?~^=-ab\u00e9\u0101\u4e2d\U0001f600"), max_size=20)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("program", [SOURCED, READ, MODULE], ids=["sourced", "read", "module"])
@settings(max_examples=10)
@given(texts=st.lists(ANY_TEXT | ODD, min_size=1, max_size=20))
def test_any_value_is_data_for_a_shell(
    shell: str, program: str, texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = []
    for value in texts:
        try:
            conf({"K": value})
        except InvalidConfigError:
            assert not value.isprintable()
            continue
        kept.append(value)
    file: Path = tmp_path_factory.getbasetemp() / "values.conf"
    file.write_bytes(conf({f"OSR_{number}": value for number, value in enumerate(kept)}))
    done = subprocess.run(
        [*shell.split(), "-euc", program, "sh", str(file)],
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        cwd="/",
    )
    assert done.stdout == "".join(f"{value}\n" for value in kept).encode()
    assert done.stderr == b""


@given(st.text(), st.text(), st.text(), st.text(), st.text())
def test_whatever_a_node_says_every_line_is_a_key_and_a_value(a: str, b: str, c: str, d: str, e: str) -> None:
    first = node(
        1,
        nics=(eth(1, b or "x", mask=c, gateway=d, properties=(("MTU", e), ("BONDING_OPTS", f"mode={a} {b}={c}"))),),
        root=RootVolume(a, c, b, d or "/x", e),
        syslog=Syslog(a, b, c, d, e),
        filesystems=(Filesystem(f"/{a}", b, "nfs", d, e, a),),
        rootsource=f"iscsi://{a}/{b}",
    )
    data = made(first, nodes=(first, node(2), replace(first, nodeid=3, name=a)))
    assert "nodes.d/2.conf" in data.files
    for path, content in data.files.items():
        lines = content.decode().split("\n")
        assert lines.pop() == ""
        if path.endswith(".conf"):
            assert all(re.fullmatch(r"""OSR_[A-Z0-9_]+='(?:[^']|'"'"')*'""", line) for line in lines), content
        elif path.startswith("network/legacy/"):
            assert all(re.fullmatch(r"[A-Za-z0-9_./:=,@%+\[\]~-]+", line) for line in lines)
        elif path.startswith("network/"):
            assert all(re.fullmatch(r"(\[\w+\]|[\w-]+=[A-Za-z0-9_.,:/@+ -]*)?", line) for line in lines)
        elif path.startswith("node"):
            assert all(re.fullmatch(r"[1-9]\d* [^\n]+", line) for line in lines)


def test_data_that_takes_much_memory_is_told() -> None:
    nodes = tuple(node(number) for number in range(2, 3402))
    (found,) = initrd_data(cluster(*nodes), Settings(), None, Layout(), BootWay.FULL, nodes=nodes).findings
    assert (found.code, found.severity) == ("initrd-many-nodes", Severity.WARNING)
    assert "3400 nodes takes 66 MiB" in found.message


def test_nics_without_an_address_are_told() -> None:
    data = made(node(1, nics=(eth(1, ip="", mask="", gateway=""),)))
    assert "nodes.d/1.conf" in data.files
    assert [finding.code for finding in data.findings] == ["initrd-network"]
    assert Nic("x").mac == ""
