# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the nodes are with their boots, kept from what the servers' logs and the nodes' own reports say."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from osrd.model.bootevent import BootEvent, Leased
from osrd.model.image import NodeReport
from osrd.model.settings import Settings
from osrd.model.view import BootProgress, NodeView
from osrd.observe.serverlog import ServerLog, open_server_log
from osrd.plan.bootstates import Directory, after_event, after_report

Show = Callable[[Mapping[str, BootProgress]], None]


class BootStates:
    """Lives on the event loop. ``show`` gets what is known, by name of the node, when it is something else."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        show: Show,
        *,
        open_log: Callable[[str], ServerLog | None] = open_server_log,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._loop = loop
        self._show = show
        self._open_log = open_log
        self._clock = clock
        self._known: dict[str, BootProgress] = {}
        self._reports: tuple[NodeReport, ...] = ()
        self._directory = Directory({}, {})
        self._leases: dict[str, str] = {}  # address to node, of nodes that have none of their own
        self._settings = Settings()
        self._opened = ""
        self._log: ServerLog | None = None

    def follow(self, directory: Directory, settings: Settings) -> None:
        """Whose addresses are whose, and where the servers' log is."""
        self._directory, self._settings = directory, settings
        if settings.watch.server_log != self._opened:
            self.close()
            self._opened = settings.watch.server_log
            self._log = self._open_log(self._opened)
            if self._log is not None and (fd := self._log.fileno()) is not None:
                self._loop.add_reader(fd, self.look)

    def look(self) -> None:
        """Something may be new in the servers' log."""
        if self._log is not None:
            self.heard(self._log.read())

    def heard(self, events: Iterable[BootEvent]) -> None:
        """What servers did, in that order."""
        before, now = dict(self._known), self._clock()
        for event in events:
            node = self._node_of(event)
            if node:
                was = self._known.get(node, BootProgress())
                self._known[node] = after_event(was, event, self._settings.tftp, now)
        self._tell(before)

    def reported(self, reports: Iterable[NodeReport]) -> None:
        """What nodes say of themselves."""
        latest = tuple(reports)
        if latest == self._reports:
            return
        before, self._reports = dict(self._known), latest
        for report in latest:
            was = self._known.get(report.node, BootProgress())
            self._known[report.node] = after_report(was, report)
        self._tell(before)

    def close(self) -> None:
        if self._log is not None:
            if (fd := self._log.fileno()) is not None:
                self._loop.remove_reader(fd)
            self._log.close()
            self._log = None

    def _node_of(self, event: BootEvent) -> str:
        if isinstance(event, Leased):
            node = self._directory.by_mac.get(event.mac, "")
            if node and event.address not in self._directory.by_address:
                self._leases[event.address] = node
            return node
        return self._directory.by_address.get(event.address) or self._leases.get(event.address, "")

    def _tell(self, before: Mapping[str, BootProgress]) -> None:
        if self._known != before:
            self._show(MappingProxyType(dict(self._known)))


class Overlay:
    """Views of nodes with how far they are. What is as it was keeps its very object, and is not made again: of 10,000
    nodes one boots."""

    def __init__(self) -> None:
        self._below: Mapping[str, NodeView] = {}
        self._known: Mapping[str, BootProgress] = {}
        self._shown: Mapping[str, NodeView] = {}

    def over(self, views: Mapping[str, NodeView], known: Mapping[str, BootProgress]) -> Mapping[str, NodeView]:
        if views is self._below and known is self._known:
            return self._shown
        if not known:
            shown = views
        else:
            below, before = self._below, self._shown
            made = {key: _with(view, below.get(key), before.get(key), known) for key, view in views.items()}
            same = len(made) == len(before) and all(before.get(key) is view for key, view in made.items())
            shown = before if same else MappingProxyType(made)
        self._below, self._known, self._shown = views, known, shown
        return shown


def _with(
    view: NodeView, below: NodeView | None, before: NodeView | None, known: Mapping[str, BootProgress]
) -> NodeView:
    progress = known.get(view.node.name)
    if progress is None:
        return view
    if before is not None and view is below and before.boot is progress:
        return before
    return replace(view, boot=progress)
