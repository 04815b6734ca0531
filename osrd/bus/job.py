# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods of org.opensharedroot.Osrd1.Job."""

from collections.abc import Mapping

from osrd.bus.invocation import Implementation, Invocation
from osrd.bus.wire import Packed, packed
from osrd.model.job import Job


async def _cancel(call: Invocation) -> Packed:
    if isinstance(call.source, Job):
        call.engine.cancel(call.source.number)
    return packed("", [])


METHODS: Mapping[str, Implementation] = {"Cancel": Implementation(_cancel)}
