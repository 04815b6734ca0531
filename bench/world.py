# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot host of N nodes in a directory, made only for measuring."""

from pathlib import Path

_NODE = """    <clusternode name="node{i}" nodeid="{i}" votes="1">
      <com_info>
        <rootvolume fstype="nfs" name="10.255.0.1:/srv/roots/one"/>
        <eth name="eth0" ip="10.{a}.{b}.{c}" mac="{mac}" mask="255.0.0.0" gateway="10.255.0.1"/>
      </com_info>
    </clusternode>
"""

_CONF = """[cluster]
config = {d}/cluster.conf
[paths]
state = {d}/state
runtime = {d}/run
cache = {d}/cache
templates = {d}/templates
[tftp]
root = {d}/tftp
[boot]
server = 10.255.0.1
[root one]
volume = 10.255.0.1:/srv/roots/one
path = /srv/roots/one
kernel = {d}/vmlinuz
initrd = {d}/initrd
[dhcp]
config = {d}/dnsmasq/osrd.conf
hosts = {d}/dnsmasq/hosts
reload = {reload}
[nfs]
exports = {d}/exports.d/osrd.exports
reload = none
[hosts]
file = {d}/hosts
"""


def node_text(number: int, salt: int = 0) -> str:
    """The element of one node; another ``salt`` gives it another MAC."""
    a, b, c = number >> 16 & 255, number >> 8 & 255, number & 255
    return _NODE.format(i=number, a=a, b=b, c=c, mac=f"02:00:{salt:02X}:{a:02X}:{b:02X}:{c:02X}")


def make(directory: Path, nodes: int, reload: str = "none") -> None:
    """Write cluster.conf, osrd.conf and stand-ins for a kernel and an initrd into an empty directory."""
    for name in ("tftp", "dnsmasq", "exports.d"):
        (directory / name).mkdir(parents=True)
    (directory / "vmlinuz").write_bytes(b"kernel" * 1000)
    (directory / "initrd").write_bytes(b"initrd" * 1000)
    (directory / "osrd.conf").write_text(_CONF.format(d=directory, reload=reload))
    body = "".join(node_text(number) for number in range(1, nodes + 1))
    write_cluster(directory, body)


def write_cluster(directory: Path, body: str, version: int = 1) -> None:
    text = (
        f'<?xml version="1.0"?>\n<cluster config_version="{version}" name="big" type="gfs">\n  <clusternodes>\n{body}'
    )
    text += "  </clusternodes>\n</cluster>\n"
    new = directory / "cluster.conf.new"
    new.write_text(text)
    new.rename(directory / "cluster.conf")


def edit_one(directory: Path, number: int, salt: int) -> None:
    """Give node ``number`` another MAC, as an administrator who replaced its NIC would."""
    old, new = node_text(number, salt - 1), node_text(number, salt)
    text = (directory / "cluster.conf").read_text()
    assert old in text
    fresh = directory / "cluster.conf.new"
    fresh.write_text(text.replace(old, new))
    fresh.rename(directory / "cluster.conf")
