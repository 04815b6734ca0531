# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl initrd``: the kernels and initrds that nodes boot."""

import click

from osrd.cli.commands_initrd_change import build, rollback
from osrd.cli.commands_initrd_look import diff, list_, log
from osrd.cli.commands_initrd_root import data, install


@click.group()
def initrd() -> None:
    """Kernels and initrds that nodes boot.

    osrd builds the initrds of every root that has a path and no kernel in osrd.conf, by itself. ROOT is the name of
    a [root NAME] section of osrd.conf, or its directory. An IMAGE is the id that `osrctl initrd list` shows, or its
    beginning.
    """


for _command in (list_, build, rollback, diff, log, data, install):
    initrd.add_command(_command)
