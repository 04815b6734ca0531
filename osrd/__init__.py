# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd keeps a cluster that boots from one shared root consistent: see HACKING.md for the architecture."""

__version__ = "0.1.0"
