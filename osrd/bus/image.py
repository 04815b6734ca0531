# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods of org.opensharedroot.Osrd1.Image."""

import asyncio
from collections.abc import Mapping

from osrd.bus.invocation import Implementation, Invocation
from osrd.bus.values import FINDINGS_LIMIT, image_change_row, text
from osrd.bus.wire import Packed, packed
from osrd.model.errors import NotFoundError
from osrd.model.view import ImageView

#: Bytes of a log that one reply carries: its end.
LOG_LIMIT = 256 * 1024


async def _compare(call: Invocation) -> Packed:
    view = _view(call)
    before = call.arguments[0] or _before(call, view)
    difference = await call.engine.image_difference(before, view.image.id)
    rows = difference.files[:FINDINGS_LIMIT]
    reasons, lines = (
        [text(line) for line in each[:FINDINGS_LIMIT]] for each in (difference.reasons, difference.lines)
    )
    return await asyncio.to_thread(
        lambda: packed("asasaa{sv}u", [reasons, lines, [image_change_row(row) for row in rows], len(difference.files)])
    )


async def _get_log(call: Invocation) -> Packed:
    image = _view(call).image
    return packed_log(await call.engine.build_log(image.root, image.id))


def packed_log(log: bytes) -> Packed:
    """The reply of a method that shows a log."""
    return packed("ayt", [log[-LOG_LIMIT:], len(log)])


def _before(call: Invocation, view: ImageView) -> str:
    """The image of the same root that was built before. Raises NotFoundError."""
    mine = view.image
    earlier = [
        other.image
        for other in call.engine.snapshot.images.values()
        if other.image.root == mine.root and other.image.sequence < mine.sequence
    ]
    if not earlier:
        raise NotFoundError(f"there is no image of {mine.root} from before {mine.id}", "name one: osrctl initrd list")
    return max(earlier, key=lambda image: image.sequence).id


def _view(call: Invocation) -> ImageView:
    assert isinstance(call.source, ImageView)
    return call.source


METHODS: Mapping[str, Implementation] = {
    "Compare": Implementation(_compare, charged=True),
    "GetLog": Implementation(_get_log, charged=True),
}
