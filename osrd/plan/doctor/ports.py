# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports of everything that a node asks a boot host for."""

DHCP, TFTP, RPCBIND, NFS, MOUNTD = 67, 69, 111, 2049, 20048
PORTS = frozenset((DHCP, TFTP, RPCBIND, NFS, MOUNTD))
#: The program that may be at any port.
MOUNTD_PROGRAM = "rpc.mountd"
#: What a dnsmasq is called that libvirt runs for a virtual network of its own.
LIBVIRT = "dnsmasq of libvirt"
