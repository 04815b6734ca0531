# SPDX-License-Identifier: GPL-3.0-or-later
"""Initrds, pure: their data, what they depend on, whether a finished one is good, which one is offered."""
