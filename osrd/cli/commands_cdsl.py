# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl cdsl``: the host-dependent files of a shared root."""

import click

from osrd.cli.commands_cdsl_care import adopt, archive, backups, bind, convert, rebuild, recover, repair, set_, undo
from osrd.cli.commands_cdsl_change import init, make, remove, share
from osrd.cli.commands_cdsl_look import check, list_, show


@click.group()
def cdsl() -> None:
    """Host-dependent files of a shared root.

    ROOT is a directory, or the name of a [root NAME] section of osrd.conf. A PATH is one inside the root, as a
    program on a node says it (/var). Where osrd runs and knows the root, changes are its jobs; else, and with
    --offline or -c, they are made by this process.
    """


for _command in (
    init,
    make,
    share,
    remove,
    list_,
    show,
    check,
    repair,
    rebuild,
    convert,
    undo,
    recover,
    set_,
    bind,
    adopt,
    archive,
    backups,
):
    cdsl.add_command(_command)
