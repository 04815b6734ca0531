# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl initrd``: the kernels and initrds that nodes boot."""

import click

from osrd.cli.commands_initrd_root import data, install


@click.group()
def initrd() -> None:
    """Kernels and initrds that nodes boot."""


for _command in (data, install):
    initrd.add_command(_command)
