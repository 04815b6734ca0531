# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl initrd list, diff, log``: the daemon's images, what changed between them, what their builds said."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from osrd.bus.names import IMAGE, MANAGER, SHARED_ROOT, image_path
from osrd.cli import images
from osrd.cli.exits import Exit
from osrd.cli.images import Row
from osrd.cli.output import emit_json, emit_lines, emit_table
from osrd.cli.root_option import complete_root
from osrd.cli.session import Bus, Session, json_option, pass_session
from osrd.cli.text import safe
from osrd.model.errors import NotFoundError
from osrd.model.view import KernelState

_UNITS = ("B", "KiB", "MiB", "GiB")

_root_or_image = images.complete_root_or_image


@click.command(name="list")
@click.argument("root", metavar="[ROOT]", required=False, shell_complete=complete_root)
@json_option
@pass_session
def list_(session: Session, root: str | None) -> Exit:
    """List the images that nodes can boot, and kernels without one, of ROOT or of all roots."""
    where = images.root_named(session, root) if root else None

    async def work(bus: Bus) -> tuple[list[Row], list[Row]]:
        rows = await images.list_images(bus)
        if where:
            names = [await images.root_name(bus, where)]
        else:
            (roots,) = await bus.call(MANAGER, "ListRoots", "a{sv}", {})
            names = list(dict.fromkeys([row["root"] for row in rows] + [row[0] for row in roots if row[3]]))
        kernels = [kernel for name in names for kernel in await _kernels(bus, name)]
        return [row for row in rows if row["root"] in names], kernels

    rows, kernels = session.run(work)
    if session.json:
        facts = [{key: value for key, value in row.items() if key != "path"} for row in rows]
        emit_json({"images": facts, "kernels": kernels})
        return Exit.OK
    if rows:
        emit_table(("IMAGE", "ROOT", "KERNEL", "STATE", "BUILT", "SIZE", "USED BY"), [_cells(row) for row in rows])
    emit_lines(line for kernel in kernels if (line := _kernel_line(kernel)))
    if not rows and not kernels:
        emit_lines(["no images: osrd builds them for roots that have a path and no kernel in osrd.conf"])
    return Exit.OK


async def _kernels(bus: Bus, name: str) -> list[Row]:
    """The kernels of a root that is in osrd's configuration."""
    try:
        (path,) = await bus.call(MANAGER, "GetRoot", "sa{sv}", name, {})
    except NotFoundError:
        return []
    properties = await bus.properties(path, SHARED_ROOT)
    return [{"root": name, **kernel} for kernel in properties.get("Kernels", [])]


def _cells(row: Row) -> tuple[str, ...]:
    built = datetime.fromtimestamp(row["built"], UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    used = row["used_by"]
    more = f" and {len(used) - 3} more" if len(used) > 3 else ""
    return (
        row["id"],
        row["root"],
        row["kernel"],
        row["state"],
        built,
        size(row["size"]),
        " ".join(used[:3]) + more,
    )


_KERNEL_LINES = {
    KernelState.FOUND: "nothing is built for it",
    KernelState.WAITING: "an image is built when the root rests",
    KernelState.BUILDING: "an image is being built",
    KernelState.FAILED: "the build failed; osrctl initrd log says why",
}


def _kernel_line(kernel: Row) -> str:
    told = _KERNEL_LINES.get(kernel["state"])
    return f"{safe(kernel['root'])}: kernel {safe(kernel['version'])}: {told}" if told else ""


def size(number: int) -> str:
    """Bytes as people read them: 31.4 MiB."""
    value, unit = float(number), _UNITS[0]
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == _UNITS[0] else f"{value:.1f} {unit}"


@click.command()
@click.argument("words", metavar="[ROOT | IMAGE [IMAGE]]", nargs=-1, required=True, shell_complete=_root_or_image)
@json_option
@pass_session
def diff(session: Session, words: Sequence[str]) -> Exit:
    """Show what changed between two images, and why the later one was built.

    Of ROOT: from its previous image to the current one. With one IMAGE: from the image that was built before it. All
    files are shown with --json, at most 1,000 of them.
    """
    if len(words) > 2:
        raise click.UsageError("give a ROOT, or one or two images")

    async def work(bus: Bus) -> tuple[Row, str, list[Any]]:
        rows = await images.list_images(bus)
        if len(words) == 2:
            earlier, later = (images.image(word, rows) for word in words)
        elif found := images.named_image(words[0], rows):
            earlier, later = None, found
        else:
            name = await images.root_name(bus, images.root_named(session, words[0]))
            earlier, later = (images.image_in_state(state, name, rows) for state in ("previous", "current"))
        before = earlier["id"] if earlier else ""
        answer = await bus.call(IMAGE, "Compare", "sa{sv}", before, {}, path=image_path(later["id"]))
        return later, before, answer

    later, before, (reasons, lines, files, total) = session.run(work)
    if session.json:
        facts = {"from": before, "to": later["id"], "reasons": reasons, "files": files, "total": total}
        emit_json(facts)
    else:
        emit_lines(_difference(reasons, lines))
    return Exit.OK


_COLOURS = {"+": "green", "-": "red"}


def _difference(reasons: Sequence[str], lines: Sequence[str]) -> Iterator[str]:
    for reason in reasons:
        yield f"because {safe(reason)}"
    for line in lines:
        colour = _COLOURS.get(line[:1])
        yield click.style(safe(line), fg=colour) if colour else safe(line)


@click.command()
@click.argument("word", metavar="ROOT|IMAGE", shell_complete=_root_or_image)
@json_option
@pass_session
def log(session: Session, word: str) -> Exit:
    """Show what the last build for ROOT said, also one that failed, or the build that made IMAGE.

    The end of it, when it is longer than 256 KiB.
    """

    async def work(bus: Bus) -> tuple[str, list[Any]]:
        if found := images.named_image(word, await images.list_images(bus)):
            return found["id"], await bus.call(IMAGE, "GetLog", "a{sv}", {}, path=image_path(found["id"]))
        path = await images.root_object(bus, images.root_named(session, word))
        return "", await bus.call(SHARED_ROOT, "GetBuildLog", "a{sv}", {}, path=path)

    identity, (text, length) = session.run(work)
    if session.json:
        emit_json({"image": identity, "log": text.decode(errors="replace"), "size": length})
    else:
        lines = text.decode(errors="replace").splitlines()
        left_out = [f"... {length - len(text)} bytes before"] if length > len(text) else []
        emit_lines([*left_out, *map(safe, lines)])
    return Exit.OK
