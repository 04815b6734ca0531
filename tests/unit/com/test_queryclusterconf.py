# SPDX-License-Identifier: GPL-3.0-or-later
"""com-queryclusterconf: every query with its answer, byte for byte, and the original's mistakes one by one."""

import re
from pathlib import Path

import click
import pytest

from osrd.cli.com.queryclusterconf import queryclusterconf
from osrd.plan.queries.keys import NAMES
from osrd.plan.queries.named import QUERIES
from tests.conftest import REPOSITORY
from tests.unit.com.asking import FIXTURES, ask, isolate


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


SEED = "seed-fixed.conf"


@pytest.mark.parametrize(
    ("file", "words", "answer"),
    [
        (SEED, "nodeids", "1 2"),
        (SEED, "nodeid 00:0C:29:C9:C6:F5", "1"),
        (SEED, "nodename 00:0C:29:C9:C6:F6", "node2"),
        (SEED, "nodenamebyid 2", "node2"),
        (SEED, "netdevs node1", "eth0"),
        (SEED, "ip 1 eth0", "192.168.122.171"),
        (SEED, "ip node2 eth0", "192.168.122.172"),
        (SEED, "mask 1 eth0", "255.255.255.0"),
        (SEED, "gateway 1 eth0", "192.168.122.1"),
        (SEED, "ifconfig 00:0C:29:C9:C6:F5", "eth0 192.168.122.171 255.255.255.0"),
        (SEED, "hosts", "192.168.122.171 \tnode1\n192.168.122.172 \tnode2"),
        (SEED, "rootvolume 1", "192.168.122.1:/mnt/virtual/nfsosr/fc11"),
        (SEED, "rootfs 1", "nfs"),
        (SEED, "scsifailover 1", "driver"),
        (SEED, "query_value /cluster/@type", "gfs"),
        (SEED, "query_value /cluster/clusternodes/clusternode/@name", "node1 node2"),
        (SEED, "query_value count(/cluster/clusternodes/clusternode)", "2"),
        (SEED, "clustertype", "gfs"),
        (SEED, "clustername_name", "axqad109"),
        (SEED, "nodes", "2"),
        (SEED, "macs 1", "00:0C:29:C9:C6:F5"),
        (SEED, "name_name 2", "node2"),
        (SEED, "rootvolume_fstype 2", "nfs"),
        ("full.conf", "nodeids", "1 2 7 8 9 99"),
        ("full.conf", "nodeids ,", "1,2,7,8,9,99"),
        ("full.conf", "netdevs 1", "eth0 eth1 bond0 bond0.45"),
        ("full.conf", "netdevs 1 -", "eth0-eth1-bond0-bond0.45"),
        ("full.conf", "-s , netdevs 1", "eth0,eth1,bond0,bond0.45"),
        ("full.conf", "netdevs 1 - --separator +", "eth0+eth1+bond0+bond0.45"),
        ("full.conf", "master 1 eth0", "bond0"),
        ("full.conf", "slave 1 eth1", "yes"),
        ("full.conf", "ip 2 eth0", "dhcp"),
        ("full.conf", "ip 1 00-16-3E-00-01-01", ""),
        ("full.conf", "ifconfig 00163e000101", "eth1  "),
        (
            "full.conf",
            "hosts",
            "10.0.0.11 \taxqa1\n10.0.0.17 \taxqa7.example.org\n10.0.0.18 \taxqa8\n10.0.0.19 \taxqa9",
        ),
        ("full.conf", "rootvolume 2", "nfs4:10.0.0.1:/srv/root:sec=sys,vers=4.1"),
        ("full.conf", "rootfs 2", "nfs4"),
        ("full.conf", "rootfs 9", "ext3"),
        ("full.conf", "mountopts 1", "nfsvers=3,hard"),
        ("full.conf", "mountopts 2", "sec=sys,vers=4.1"),
        ("full.conf", "syslog axqa1", "syslog.example.org"),
        ("full.conf", "failoverdomainnodes web", "axqa1 axqa2 axqa8"),
        ("full.conf", "failoverdomainnodes web :", "axqa1:axqa2:axqa8"),
        ("full.conf", "failoverdomainprefnode web", "axqa2"),
        ("full.conf", "eth_name 1", "eth0 eth1 bond0 bond0.45"),
        ("full.conf", "ETH_NAME_IP 1 bond0", "10.0.0.11"),
        ("full.conf", "eth_name_slave 1 eth1", "yes"),
        ("full.conf", "eth_name_bridge 7 eth0", "br0"),
        ("full.conf", "eth_name_type axqa7.example.org br0", "Bridge"),
        (
            "full.conf",
            "-s ; eth_name_properties 1 bond0",
            "BONDING_OPTS=mode=1 miimon=100;MTU=9000;PEERDNS=no;NM_CONTROLLED=no",
        ),
        ("full.conf", "filesystem_dest 1", "/var/run /var/data"),
        ("full.conf", "filesystem_dest_source 1 /var/data", "10.0.0.1:/srv/var/1"),
        ("full.conf", "filesystem_dest_source axqa1 /var/data", "10.0.0.1:/srv/var/1"),
        ("full.conf", "-E filesystem_dest_source 1 /var/data", "10.0.0.1:/srv/var/%(nodeid)s"),
        ("full.conf", "filesystem_dest_mountwait 1 /var/data", "3"),
        ("full.conf", "syslog_filter 1", "kern,daemon.info"),
        ("full.conf", "sysloglevel 1", "info"),
        ("full.conf", "scsi_driver 1", "lpfc"),
        ("full.conf", "rootsource_name 1", "nfs"),
        ("full.conf", "chrootenv_chrootdir 1", "/var/comoonics/chroot"),
        ("full.conf", "chroot_dir 1", "/var/comoonics/chroot"),
        ("full.conf", "chroot_device 1", "/dev/vg_local/chroot"),
        ("full.conf", "hwid_by_nodeid 2 eth0", "00:16:3E:00:02:00"),
        ("full.conf", "nodeid_by_hwid 00:16:3e:00:02:00", "2"),
        ("full.conf", "query_xml //failoverdomainnode[@priority]/@name", "axqa1\naxqa2"),
        ("full.conf", "query_xml //totem", '<totem token="21000"/>'),
        ("full.conf", "query_value 1=1", "true"),
        ("full.conf", "query_value 1=2", "false"),
        ("full.conf", "query_value 1div4", "0.25"),
        ("full.conf", "query_value string(/cluster/@name)", "full"),
        ("full.conf", "query_value count(//nothing)", "0"),
        ("full.conf", "query_value //property[1]", "mode=1 miimon=100"),
        ("query.conf", "-s , rootvolume 3", "10.0.0.1:/srv/%(nodeid)s"),
    ],
)
def test_an_answer(file: str, words: str, answer: str) -> None:
    result = ask(*words.split(" "), file=file)
    assert (result.stdout, result.stderr) == (answer, "")
    assert result.exit_code == (0 if answer else 1)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (SEED, "syslog 1"),
        (SEED, "mountopts 1"),
        (SEED, "master 1 eth0"),
        (SEED, "slave 1 eth0"),
        (SEED, "eth_name_bridge 1 eth0"),
        (SEED, "rootvolume_mountopts 1"),
        (SEED, "fenceacksv_name 1"),
        (SEED, "filesystem_dest 1"),
        (SEED, "query_value /cluster/@nothing"),
        (SEED, "query_xml /nothing"),
        ("full.conf", "gateway 2 eth0"),
        ("full.conf", "rootvolume 99"),
        ("full.conf", "rootfs arbiter"),
        ("full.conf", "netdevs 99"),
    ],
)
def test_an_empty_answer_is_status_1_without_a_word(file: str, words: str) -> None:
    result = ask(*words.split(" "), file=file)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nodid"], "there is no query 'nodid'\n    query: nodid\n    fix: did you mean nodeid?"),
        (["nodenamebyid", "77"], "no node has the id '77'"),
        (["ip", "77", "eth0"], "no node has the id or name '77'"),
        (["ip", "1", "eth9"], "node 'axqa1' has no network device 'eth9'"),
        (["eth_name_ip", "1", "eth9"], "node 'axqa1' has no <eth> whose name is 'eth9'"),
        (["filesystem_dest_source", "1", "/x"], "node 'axqa1' has no <filesystem> whose dest is '/x'"),
        (["eth_name_properties", "1", "eth9"], "node 'axqa1' has no network device 'eth9'"),
        (["nodeid", "00:16:3e:00:77:77"], "no node has a NIC with the hardware address 00:16:3e:00:77:77"),
        (["nodeid", "eth0"], "'eth0' is no hardware address"),
        (["ifconfig", ""], "'' is no hardware address"),
        (["failoverdomainnodes", "x"], "there is no failover domain 'x'"),
        (["failoverdomainprefnode", "x"], "there is no failover domain 'x'"),
        (["convert", "xml"], "cannot convert to 'xml'"),
        (["convert", "ocfs2"], "node 'axqa2' has no fixed address"),
        (["ip", "1"], "ip takes 2 arguments, not 1\n    query: ip 1\n    fix: write ip NODE DEV"),
        (["nodename", "1", "2"], "nodename takes 1 argument, not 2"),
        (["nodes", "1"], "nodes takes 0 arguments, not 1"),
        (["eth_name", "1", "2"], "eth_name takes 1 argument, not 2"),
        (["query_value"], "query_value needs an XPath"),
        (["query_value", "//eth["], "'//eth[' is no XPath"),
        (["query_value", "//x:eth"], "'//x:eth' is no XPath"),
        (["query_value", "$value0"], "'$value0' is no XPath"),
    ],
)
def test_a_query_that_fails(words: list[str], message: str) -> None:
    result = ask(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("com-queryclusterconf: error: ")
    assert message in result.stderr
    assert "    fix: " in result.stderr


def test_ids_come_in_the_order_of_the_file_and_nodes_without_one_are_left_out() -> None:
    assert ask("nodeids", file="query.conf").stdout == "3 1 4 5 6 6 8 9"


@pytest.mark.parametrize("mac", ["00:16:3e:00:03:00", "00:16:3E:00:03:00", "00-16-3E-00-03-00", "00163e000300"])
@pytest.mark.parametrize(("query", "answer"), [("nodeid", "3"), ("nodename", "three"), ("nodeid_by_hwid", "3")])
def test_hardware_addresses_are_compared_as_numbers(mac: str, query: str, answer: str) -> None:
    assert ask(query, mac, file="query.conf").stdout == answer


@pytest.mark.parametrize("query", ["nodeid", "nodename", "ifconfig", "nodeid_by_hwid", "nodename_by_hwid"])
def test_one_address_of_two_nodes_is_an_error_that_names_both(query: str) -> None:
    result = ask(query, "00:0c:29:c9:c6:f5", file="seed.conf")
    assert (result.exit_code, result.stdout) == (1, "")
    file = FIXTURES / "seed.conf"
    assert f"hardware address of 'node1' ({file}:4) and of 'node2' ({file}:10)" in result.stderr


def test_an_address_that_a_nodes_bond_repeats_is_no_conflict() -> None:
    assert ask("nodeid", "00:16:3e:00:01:00").stdout == "1"


def test_one_id_or_name_of_two_nodes_is_an_error_that_names_both() -> None:
    for words in (["ip", "6", "eth0"], ["nodenamebyid", "6"], ["macs", "clash"]):
        result = ask(*words, file="query.conf")
        assert result.exit_code == 1
        assert "'clash'" in result.stderr
        assert "query.conf:30) and of 'clash'" in result.stderr


def test_an_id_goes_before_a_name() -> None:
    assert ask("ip", "1", "eth0", file="query.conf").stdout == "10.0.0.1"


def test_a_node_without_an_id_has_not_the_id_none() -> None:
    assert ask("name_name", "None", file="query.conf").stdout == "None"
    assert ask("nodenamebyid", "None", file="query.conf").exit_code == 1
    assert ask("nodenamebyid", "", file="query.conf").exit_code == 1


def test_a_node_without_an_id_has_a_name_and_no_id() -> None:
    assert ask("nodename", "00:16:3e:00:00:99", file="query.conf").stdout == "nobody"
    result = ask("nodeid", "00:16:3e:00:00:99", file="query.conf")
    assert result.exit_code == 1
    assert "node 'nobody', which has that hardware address, has no nodeid" in result.stderr


def test_nodes_without_com_info_or_id_break_no_other_query() -> None:
    assert ask("hosts", file="query.conf").stdout == "10.0.0.3 \tthree\n10.0.0.1 \tone"
    assert ask("netdevs", "three", "/", file="query.conf").stdout == "eth0/bond 0"


def test_a_cluster_without_any_com_info(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text('<cluster name="c"><clusternodes><clusternode name="a" nodeid="1"/></clusternodes></cluster>')
    assert ask("nodeids", file=file).stdout == "1"
    assert ask("hosts", file=file).exit_code == 1


def test_what_slave_says_is_told_as_it_is_written() -> None:
    assert ask("slave", "3", "eth0", file="query.conf").stdout == "no"


def test_words_with_blanks_stay_whole() -> None:
    assert ask("ip", "three", "bond 0", file="query.conf").stdout == "10.0.1.3"
    assert ask("query_value", "/cluster/@name | /cluster/@type", file="query.conf").stdout == "query gfs"


def test_priorities_are_numbers_and_the_first_of_equals_wins() -> None:
    assert ask("failoverdomainprefnode", "numbers", file="query.conf").stdout == "one"


def test_a_domain_without_nodes() -> None:
    result = ask("failoverdomainprefnode", "empty", file="query.conf")
    assert result.exit_code == 1
    assert "the failover domain 'empty' has no node" in result.stderr
    assert ask("failoverdomainnodes", "empty", file="query.conf").exit_code == 1


def test_both_placeholders_are_the_nodes_id_and_others_stay() -> None:
    answer = ask("filesystem_dest_source", "three", "/data", file="query.conf").stdout
    assert answer == "10.0.0.1:/srv/3/3//data"


def test_conversion_to_ocfs2() -> None:
    result = ask("convert", "ocfs2", file=SEED)
    assert result.exit_code == 0
    assert result.stdout == (
        "cluster:\n\tnode_count = 2\n\tname = axqad109\n\n"
        "node:\n\tip_port = 7777\n\tip_address = 192.168.122.171\n\tnumber = 1\n\tname = node1\n"
        "\tcluster = axqad109\n\n"
        "node:\n\tip_port = 7777\n\tip_address = 192.168.122.172\n\tnumber = 2\n\tname = node2\n"
        "\tcluster = axqad109\n"
    )


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ('name="a" nodeid="1" tcp_port="7&#10;8"', "'7\\n8' of node 'a' is no port"),
        ('name="a" nodeid="1" tcp_port="70000"', "'70000' of node 'a' is no port"),
        ('name="a&#10;b" nodeid="1"', "OCFS2 cannot use 'a\\nb' as the name of a node"),
        ('name="a"', "node 'a' has no id that OCFS2 can use"),
        ('name="a" nodeid="255"', "node 'a' has no id that OCFS2 can use"),
    ],
)
def test_what_ocfs2_cannot_hold(tmp_path: Path, node: str, message: str) -> None:
    file = tmp_path / "c"
    eth = '<com_info><eth name="e" ip="10.0.0.1"/></com_info>'
    file.write_text(
        f'<cluster name="c"><clusternodes><clusternode {node}>{eth}</clusternode></clusternodes></cluster>'
    )
    result = ask("convert", "ocfs2", file=file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{file}:1: {message}" in result.stderr


def test_the_port_of_a_node_for_ocfs2(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text(
        '<cluster name="c"><clusternodes><clusternode name="a" nodeid="1" tcp_port="7778">'
        '<com_info><eth name="d" ip="dhcp"/><eth name="e" ip="10.0.0.1"/></com_info></clusternode></clusternodes>'
        "</cluster>"
    )
    assert "ip_port = 7778\n\tip_address = 10.0.0.1\n" in ask("convert", "ocfs2", file=file).stdout


def test_properties() -> None:
    lines = "BONDING_OPTS=mode=1 miimon=100\nMTU=9000\nPEERDNS=no\nNM_CONTROLLED=no"
    assert ask("-p", "query_xml", '//eth[@name="bond0"]').stdout == lines
    assert ask("-p", "query_value", '//eth[@name="bond0"]').stdout == lines
    assert ask("-p", "query_xml", '//eth[@name="eth0"]').exit_code == 1
    assert ask("-p", "ifconfig", "00:16:3e:00:02:00").stdout == "eth0 dhcp "


def test_properties_of_the_device_with_an_address(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text(
        '<cluster name="c"><clusternodes><clusternode name="a" nodeid="1"><com_info><eth name="e" ip="1.2.3.4"'
        ' mask="m" mac="00:16:3e:00:00:01"><properties><property name="MTU" value="9000"/></properties></eth>'
        "</com_info></clusternode></clusternodes></cluster>"
    )
    assert ask("-p", "ifconfig", "00:16:3e:00:00:01", file=file).stdout == "e 1.2.3.4 m MTU=9000"
    assert ask("ifconfig", "00:16:3e:00:00:01", file=file).stdout == "e 1.2.3.4 m"


def test_elements_are_indented() -> None:
    answer = ask("query_xml", "//failoverdomain").stdout
    assert answer.startswith('<failoverdomain name="web" ordered="1"')
    assert '\n\t<failoverdomainnode name="axqa1" priority="10"/>\n' in answer
    assert answer.endswith("\n</failoverdomain>")
    assert ask("-Y", "query_xml", "//failoverdomain").stdout == answer


def test_help_lists_everything() -> None:
    words = ask("--help").stdout.split()
    assert {*QUERIES, *NAMES, "query_value", "query_xml"} <= set(words)


def test_the_manual_names_every_query_key_and_option() -> None:
    page = (REPOSITORY / "man/com-queryclusterconf.1").read_text().replace("\\-", "-")
    listed = {word.strip(".,:;()") for word in re.split(r"[\s\"]|\\f[BIR]", page)}
    # Their attributes are listed on their own.
    implied = re.compile(r"eth_name_(?!properties)|filesystem_dest_")
    wanted = {*QUERIES, *(name for name in NAMES if not implied.match(name)), "query_value", "query_xml"}
    assert wanted - listed == set()
    options = {option for each in queryclusterconf.params if isinstance(each, click.Option) for option in each.opts}
    assert options - listed == set()
