# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing files of a root, and making roots."""
