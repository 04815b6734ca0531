# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths become CDSLs, and what must then differ between the copies."""

import pytest

from osrd.model.finding import Severity
from osrd.model.rootcare import (
    Family,
    Fresh,
    Infrastructure,
    Link,
    MakeHostDependent,
    MakeShared,
    Permit,
    Renew,
    RenewKey,
    SetAside,
    Write,
)
from osrd.plan.rootcare import cdsls, clusterfile, identity, ssh
from osrd.plan.rootcare.preparation import prepare
from osrd.plan.rootcare.shown import difference, headline
from osrd.plan.rootcare.survey import survey
from tests.unit.rootcare.trees import ID1, ID2, To, codes, found, root

SYSTEMD = {"usr/lib/systemd/systemd": b""}
DEBIAN = {
    **SYSTEMD,
    "etc": None,
    "var/log": None,
    "var/cache/debconf/config.dat": b"",
    "var/lib/dpkg/status": b"",
    "var/lib/systemd/random-seed": b"seed",
    "var/lib/systemd/deb-systemd-helper-enabled/x": b"",
    "var/lib/dhcp/dhclient.leases": b"",
    "var/lib/logrotate/status": b"",
}


def cdsl_repairs(*arguments: object, **options: object) -> list[object]:
    return [repair for each in found(cdsls.host_dependent, *arguments, **options) for repair in each.repairs]


def test_the_cdsls_of_a_debian_root_in_an_order_that_the_engine_takes() -> None:
    assert cdsl_repairs(DEBIAN, family=Family.DEBIAN) == [
        MakeHostDependent("var"),
        MakeShared("var/lib"),
        MakeShared("var/cache/debconf"),
        MakeHostDependent("var/lib/systemd"),
        MakeShared("var/lib/systemd/deb-systemd-helper-enabled"),
        MakeHostDependent("var/lib/dhcp"),
        MakeHostDependent("var/lib/logrotate"),
    ]


def test_the_cdsls_of_a_fedora_root() -> None:
    tree = {"var/lib/rpm": None, "var/lib/NetworkManager": None, "etc/sysconfig/network": b"", "etc/adjtime": b""}
    assert cdsl_repairs(tree) == [
        MakeHostDependent("var"),
        MakeShared("var/lib"),
        MakeHostDependent("var/lib/NetworkManager"),
        MakeHostDependent("etc/adjtime"),
        MakeHostDependent("etc/sysconfig/network"),
    ]


def test_the_seed_as_it_is_wants_what_2011_did_not_know() -> None:
    tree = {
        "var": To("cdsl.local/var"),
        "cluster/cdsl/1/var/lib": To("../../../../cluster/shared/var/lib"),
        "cluster/shared/var/lib/systemd": None,
        "cluster/shared/var/lib/nfs": None,
        "etc/sysconfig/network": To("../../cdsl.local/etc/sysconfig/network"),
    }
    made = cdsl_repairs(tree, "var", "+var/lib", "etc/sysconfig/network")
    assert made == [MakeHostDependent("var/lib/systemd"), MakeHostDependent("var/lib/nfs")]


def test_what_an_administrator_decided_stays() -> None:
    tree = {"cluster/shared/var/lib/systemd": None, "cluster/cdsl/1/var/lib/nfs": None}
    assert cdsl_repairs(tree, "var", "+var/lib", "+var/lib/systemd", "var/lib/nfs") == []


def test_var_in_parts_stays_in_parts() -> None:
    tree = {"var/log": To("../cdsl.local/var/log"), "var/tmp": None, "var/lib/nfs": None, "var/lib/rpm": None}
    made = cdsl_repairs(tree, "var/log")
    assert made == [MakeHostDependent("var/tmp"), MakeHostDependent("var/lib/nfs")]


def test_a_symlink_is_left_alone() -> None:
    assert MakeHostDependent("var/lib/dhcp") not in cdsl_repairs({"var/lib/dhcp": To("/elsewhere")})


def test_identity_of_the_source_goes_before_the_copies_are_made() -> None:
    gone = [each.repairs for each in found(cdsls.stale, DEBIAN)]
    assert gone == [(SetAside("var/lib/dhcp/dhclient.leases"),), (SetAside("var/lib/systemd/random-seed"),)]


def test_copied_seeds_are_found_and_own_ones_are_not() -> None:
    base = "cluster/cdsl/{}/var/lib/systemd/random-seed"
    own = {base.format(1): b"one", base.format(2): b"two"}
    assert found(cdsls.stale, own, "var/lib/systemd") == []
    same = {base.format(1): b"one", base.format(2): b"one"}
    assert [each.repairs for each in found(cdsls.stale, same, "var/lib/systemd")] == [
        (SetAside("var/lib/systemd/random-seed", "1"),)
    ]
    template = {base.format(1): b"one", base.format("default"): b"three"}
    (remark,) = found(cdsls.stale, template, "var/lib/systemd")
    assert remark.finding.node == "default"


def test_one_machine_id_for_all() -> None:
    (remark,) = found(identity.identities, {"etc/machine-id": ID1})
    assert remark.finding.code == "root-machine-id"
    assert remark.finding.severity is Severity.ERROR
    assert remark.repairs == (
        MakeHostDependent("etc/machine-id"),
        Renew("etc/machine-id", "1", Fresh.MACHINE_ID, 0o444, ID1),
        Renew("etc/machine-id", "2", Fresh.MACHINE_ID, 0o444, ID1),
        Write("etc/machine-id", ID1, b"", 0o444, "default", secret=True),
    )


def test_a_missing_machine_id_is_made_where_systemd_would_make_one_for_all() -> None:
    (remark,) = found(identity.identities, {**SYSTEMD, "etc": None})
    assert remark.repairs[:2] == (
        Write("etc/machine-id", None, b"", 0o444),
        MakeHostDependent("etc/machine-id"),
    )
    assert found(identity.identities, {"etc": None}) == [], "a system without systemd needs none"


@pytest.mark.parametrize(
    ("one", "two", "template", "wrong"),
    [
        (ID1, ID2, b"", []),
        (ID1, ID2, None, []),
        (ID1, ID1.strip(), b"", ["2"]),
        (ID1, b"", b"", ["2"]),
        (b"uninitialized\n", ID2, b"", ["1"]),
        (b"0" * 32 + b"\n", ID2, b"", ["1"]),
        (ID1.upper(), ID2, b"", ["1"]),
        (ID1, None, b"", ["2"]),
        (ID1, ID2, ID1, ["default"]),
    ],
)
def test_machine_ids_of_the_nodes(
    one: bytes | None, two: bytes | None, template: bytes | None, wrong: list[str]
) -> None:
    copies = {"1": one, "2": two, "default": template}
    tree = {f"cluster/cdsl/{node}/etc/machine-id": data for node, data in copies.items() if data is not None}
    remarks = found(identity.identities, {**tree, "etc": None}, "etc/machine-id")
    assert [each.finding.node for each in remarks] == wrong
    assert all(each.repairs for each in remarks)


def test_initiator_names() -> None:
    path = "etc/iscsi/initiatorname.iscsi"
    (remark,) = found(identity.identities, {path: b"InitiatorName=iqn.x:1\n"})
    assert remark.repairs[1] == Renew(path, "1", Fresh.ISCSI, 0o600, b"InitiatorName=iqn.x:1\n")


def test_the_dbus_id_is_a_link() -> None:
    (remark,) = found(identity.dbus_id, {"var/lib/dbus/machine-id": ID1})
    assert remark.repairs == (Link("var/lib/dbus/machine-id", "/etc/machine-id"),)
    assert found(identity.dbus_id, {"var/lib/dbus/machine-id": To("/etc/machine-id")}) == []
    assert found(identity.dbus_id, {"var/lib/dbus": None}) == []
    inside = {"cluster/shared/var/lib/dbus/machine-id": ID1}
    assert codes(found(identity.dbus_id, inside, "var", "+var/lib")) == ["root-dbus-id"]


def test_host_names_come_from_cluster_conf() -> None:
    (remark,) = found(identity.hostname, {"etc/hostname": b"golden\n"})
    assert remark.repairs == (
        MakeHostDependent("etc/hostname"),
        Write("etc/hostname", b"golden\n", b"node1\n", node="1"),
        Write("etc/hostname", b"golden\n", b"node2\n", node="2"),
        Write("etc/hostname", b"golden\n", b"", node="default"),
    )
    (remark,) = found(identity.hostname, {**SYSTEMD, "etc": None})
    assert remark.repairs[0] == Write("etc/hostname", None, b"")
    assert found(identity.hostname, {"etc": None}) == []


def test_wrong_host_names() -> None:
    tree = {
        "cluster/cdsl/1/etc/hostname": b"# mine\nnode1\n",
        "cluster/cdsl/2/etc/hostname": b"node1\n",
        "cluster/cdsl/default/etc/hostname": b"",
    }
    (remark,) = found(identity.hostname, tree, "etc/hostname")
    assert remark.repairs == (Write("etc/hostname", b"node1\n", b"node2\n", node="2"),)
    assert found(identity.hostname, tree, "etc/hostname", hosts={"1": "", "2": ""}) == []


OLD = b'# made by anaconda\nNETWORKING=yes\nHOSTNAME="golden.example"\nHWADDR=00:11:22:33:44:55\n'


def test_the_old_network_file_of_each_node() -> None:
    remarks = found(identity.old_network, {"etc/sysconfig/network": OLD})
    written = {repair.node: repair.data for each in remarks for repair in each.repairs if isinstance(repair, Write)}
    assert written == {
        "1": b"# made by anaconda\nNETWORKING=yes\nHOSTNAME=node1\n",
        "2": b"# made by anaconda\nNETWORKING=yes\nHOSTNAME=node2\n",
        "default": b"# made by anaconda\nNETWORKING=yes\n",
    }
    done = {f"cluster/cdsl/{node}/etc/sysconfig/network": data for node, data in written.items()}
    assert found(identity.old_network, {**done, "etc/sysconfig": None}, "etc/sysconfig/network") == []


def test_a_modern_network_file_names_no_host() -> None:
    assert found(identity.old_network, {**SYSTEMD, "etc/sysconfig/network": b"# made by anaconda\n"}) == []
    remarks = found(identity.old_network, {"etc/sysconfig/network": b"NETWORKING=yes"})
    assert remarks[0].repairs == (
        Write("etc/sysconfig/network", b"NETWORKING=yes", b"NETWORKING=yes\nHOSTNAME=node1\n", node="1"),
    )


KEY = "etc/ssh/ssh_host_ed25519_key"


def test_one_ssh_key_for_all() -> None:
    (remark,) = found(ssh.keys, {KEY: b"private", f"{KEY}.pub": b"public", "etc/ssh/sshd_config": b""})
    assert remark.repairs == (
        MakeHostDependent(KEY),
        MakeHostDependent(f"{KEY}.pub"),
        RenewKey(KEY, "1", "ed25519", "root@node1"),
        RenewKey(KEY, "2", "ed25519", "root@node2"),
        Write(KEY, b"private", b"", 0o600, "default", secret=True),
        Write(f"{KEY}.pub", b"public", b"", 0o644, "default", secret=True),
    )


@pytest.mark.parametrize(
    ("one", "two", "template", "wrong"),
    [
        (b"a", b"b", b"", []),
        (b"a", b"a", b"", ["2"]),
        (b"a", b"", b"", ["2"]),
        (b"a", None, None, ["2"]),
        (b"a", b"b", b"a", ["default"]),
    ],
)
def test_ssh_keys_of_the_nodes(one: bytes, two: bytes | None, template: bytes | None, wrong: list[str]) -> None:
    copies = {"1": one, "2": two, "default": template}
    tree = {f"cluster/cdsl/{node}/{KEY}": data for node, data in copies.items() if data is not None}
    remarks = found(ssh.keys, {**tree, KEY: To(f"../../cdsl.local/{KEY}")}, KEY)
    assert [each.finding.node for each in remarks] == wrong
    assert all(
        each.finding.severity is (Severity.WARNING if one == two or template else Severity.ERROR) for each in remarks
    )


def test_keys_that_nobody_makes_any_more() -> None:
    (remark,) = found(ssh.keys, {"etc/ssh/ssh_host_dsa_key": b"x"})
    assert remark.repairs == ()


CLUSTER = b'<cluster name="c" config_version="3"><fencedevice passwd="geheim"/></cluster>\n'


def test_the_cluster_conf_inside_is_this_hosts() -> None:
    path = clusterfile.CLUSTER_CONF
    assert found(clusterfile.same_cluster, {path: CLUSTER}, cluster_conf=CLUSTER) == []
    assert found(clusterfile.same_cluster, {path: CLUSTER}) == [], "no cluster.conf on this host: nothing to say"
    here = root({"etc": None}, cluster_conf=CLUSTER)
    assert [headline(change.repair) for change in prepare(here, clusterfile.same_cluster(here)).edits] == [
        "make the directory /etc/cluster (mode 0755)",
        "write /etc/cluster/cluster.conf",
    ]
    older = CLUSTER.replace(b'"3"', b'"2"')
    (remark,) = found(clusterfile.same_cluster, {path: older}, cluster_conf=CLUSTER)
    shown = difference(remark.repairs[0])
    assert 'config_version="3"' in shown
    assert "geheim" not in shown
    (remark,) = found(clusterfile.same_cluster, {path: CLUSTER}, cluster_conf=older)
    assert remark.repairs == (), "a newer one inside is not thrown away"


def test_fence_passwords_are_roots_only() -> None:
    path = clusterfile.CLUSTER_CONF
    (remark,) = found(clusterfile.secrets, {path: CLUSTER})
    assert remark.repairs == (Permit(path, 0o640),)
    assert found(clusterfile.secrets, {path: CLUSTER}, modes={path: 0o640}) == []
    assert found(clusterfile.secrets, {path: b"<cluster/>"}) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (To("../run/systemd/resolve/stub-resolv.conf"), False),
        (To("/run/NetworkManager/resolv.conf"), False),
        (To("/etc/resolvconf/run/resolv.conf"), True),
        (b"# Generated by NetworkManager\nnameserver 10.0.0.1\n", True),
        (b"nameserver 10.0.0.1\n", False),
    ],
)
def test_resolv_conf(content: bytes | To, told: bool) -> None:
    assert bool(found(clusterfile.resolv_conf, {"etc/resolv.conf": content})) is told


def test_the_order_of_a_whole_preparation() -> None:
    tree = {**DEBIAN, "etc/machine-id": ID1, "etc/hostname": b"golden\n", "var/lib/dbus/machine-id": ID1, KEY: b"k"}
    here = root(tree, family=Family.DEBIAN)
    preparation = prepare(here, survey(here))
    first = [change.repair for change in preparation.cdsls]
    assert first[0] == Infrastructure()
    paths = [repair.path for repair in first[1:]]  # type: ignore[union-attr]
    assert all(
        paths.index(path) > paths.index(above) for path in paths for above in paths if path.startswith(above + "/")
    )
    assert SetAside("var/lib/systemd/random-seed") in [change.repair for change in preparation.edits]
    assert {type(change.repair) for change in preparation.contents} == {Renew, RenewKey, Write}
    assert all(getattr(change.repair, "node", "") for change in preparation.contents)


def test_content_below_var_that_people_expect_everywhere() -> None:
    (remark,) = found(cdsls.data_of_all, {"cluster/cdsl/1/var/www": None}, "var")
    assert remark.finding.severity is Severity.INFO
    assert found(cdsls.data_of_all, {"cluster/cdsl/1/var/www": None}, "var", "+var/www") == []
