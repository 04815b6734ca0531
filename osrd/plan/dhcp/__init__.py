# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP for the nodes: complete configurations for dnsmasq, ISC dhcpd and Kea, made from cluster.conf."""

from osrd.plan.dhcp.planner import DhcpPlanner
from osrd.plan.dhcp.values import DhcpFile, DhcpResult, config_place, hosts_place

__all__ = ["DhcpFile", "DhcpPlanner", "DhcpResult", "config_place", "hosts_place"]
