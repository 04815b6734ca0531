# SPDX-License-Identifier: GPL-3.0-or-later
"""Initrds: building, unpacking and storing them."""
