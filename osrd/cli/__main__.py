# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m osrd.cli`` is osrctl."""

from osrd.cli.main import main

main()
