# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl initrd build, rollback``: jobs of the daemon, which alone writes its images."""

from typing import Any

import click

from osrd.bus.names import SHARED_ROOT
from osrd.cli import images
from osrd.cli.exits import Exit
from osrd.cli.output import emit_json, emit_lines
from osrd.cli.progress import ended_well, job_object, reporting
from osrd.cli.root_option import complete_root
from osrd.cli.session import Bus, Session, json_option, pass_session
from osrd.cli.shared_root import Where
from osrd.cli.text import safe
from osrd.model.errors import NotAuthorizedError

_ACTIONS = {"BuildInitrd": "build-initrd", "RollbackInitrd": "rollback-initrd"}


@click.command()
@click.argument("root", metavar="ROOT", shell_complete=complete_root)
@click.option("--kernel", metavar="VERSION", default="", help="Only for the kernel with this version.")
@click.option("--force", is_flag=True, help="Also when nothing has changed (the newest kernel, or that of --kernel).")
@json_option
@pass_session
def build(session: Session, root: str, kernel: str, force: bool) -> Exit:
    """Build what is missing or outdated now, without waiting until ROOT rests.

    A build that failed before is tried again. The images are checked, and offered to nodes, like those that osrd
    builds by itself.
    """
    options: dict[str, object] = {}
    if kernel:
        options["kernel"] = kernel
    if force:
        options["force"] = True
    where = images.root_named(session, root)

    async def work(bus: Bus) -> dict[str, Any]:
        return await _job(bus, session, where, "BuildInitrd", options)

    return _show(session, session.run(work), "every image is of what is in the root now")


@click.command()
@click.argument("root", metavar="ROOT", shell_complete=complete_root)
@click.argument("image", metavar="[IMAGE]", required=False, shell_complete=images.complete_root_or_image)
@json_option
@pass_session
def rollback(session: Session, root: str, image: str | None) -> Exit:
    """Have the nodes of ROOT boot another image: the previous one, or IMAGE.

    The image that is current until then is not chosen again by osrd itself; one that is built later is.
    """
    where = images.root_named(session, root)

    async def work(bus: Bus) -> dict[str, Any]:
        options: dict[str, object] = {}
        if image:
            options["image"] = images.image(image, await images.list_images(bus))["id"]
        return await _job(bus, session, where, "RollbackInitrd", options)

    return _show(session, session.run(work), "it is the current image already")


async def _job(bus: Bus, session: Session, where: Where, member: str, options: dict[str, object]) -> dict[str, Any]:
    """Start a job of the root and wait for its end. Raises the error that it failed with."""
    path = await images.root_object(bus, where)
    try:
        (job,) = await bus.call(SHARED_ROOT, member, "a{sv}", options, path=path)
    except NotAuthorizedError as error:
        action = f"org.opensharedroot.osrd.{_ACTIONS[member]}"
        error.fix = f"become root, or have polkit allow you {action} (osrctl(8), AUTHORIZATION)"
        raise
    with reporting(session) as report:
        return ended_well({"Path": job, **await bus.wait_job(job, report)})


def _show(session: Session, job: dict[str, Any], nothing: str) -> Exit:
    if session.json:
        emit_json(job_object(job))
    else:
        emit_lines(map(safe, job.get("Result", {}).get("lines") or [f"nothing to do: {nothing}"]))
    return Exit.OK
