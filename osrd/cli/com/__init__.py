# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the original tools, under their own names and with their own options (spec/cdsl.md 2, 3 and 5)."""
