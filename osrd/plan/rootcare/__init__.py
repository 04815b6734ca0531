# SPDX-License-Identifier: GPL-3.0-or-later
"""What a root needs before many nodes can boot from it: one function per rule, findings and repairs as data."""
