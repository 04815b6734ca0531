# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a shared root as transactions: staged, committed by one record, exchanged, and undone (DESIGN 5)."""
