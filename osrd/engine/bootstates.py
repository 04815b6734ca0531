# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the nodes are with their boots, kept from what the servers' logs and the nodes' own reports say."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from osrd.model.bootevent import BootEvent, Leased, Refused, Sent
from osrd.model.finding import Finding
from osrd.model.image import NodeReport
from osrd.model.settings import Settings
from osrd.model.view import BootProgress, BootState, NodeView
from osrd.observe.serverlog import ServerLog, open_server_log
from osrd.plan.bootstates import BOOTING, Directory, after_event, after_report, late, stranger

Show = Callable[[Mapping[str, BootProgress]], None]
Tell = Callable[[tuple[Finding, ...]], None]

#: Unknown machines that are told: the last ones, since anybody on the network can be ever so many.
_STRANGERS = 8
#: Seconds for which each step of a node is shown when several are heard of at once: the bus tells what is, so that
#: nobody would see the others. A flood is not drawn out.
_STEP = 0.05
_FLOOD = 100


class BootStates:
    """Lives on the event loop. ``show`` gets what is known, by name of the node, when it is something else; ``tell``
    what is to be said of machines that are no nodes."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        show: Show,
        tell: Tell,
        *,
        open_log: Callable[[str], ServerLog | None] = open_server_log,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._loop = loop
        self._show = show
        self._tell_of = tell
        self._open_log = open_log
        self._clock = clock
        self._known: dict[str, BootProgress] = {}
        self._reports: tuple[NodeReport, ...] = ()
        self._directory = Directory({}, {})
        #: by node, whether it asked for an address after its last loader; of others that is not known
        self._asked: dict[str, bool] = {}
        self._leases: dict[str, str] = {}  # address to node, of nodes that have none of their own
        self._began: dict[str, float] = {}  # by node, when its loader was fetched, by the clock of the loop
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[BootEvent] = deque()  # heard of, and not shown yet
        self._step: asyncio.TimerHandle | None = None
        self._strangers: tuple[str, ...] = ()  # the latest one last
        self._settings = Settings()
        self._opened = ""
        self._log: ServerLog | None = None

    def follow(self, directory: Directory, settings: Settings) -> None:
        """Whose addresses are whose, and where the servers' log is."""
        self._directory, self._settings = directory, settings
        self._meet(())
        self._judge()
        if settings.watch.server_log != self._opened:
            self._close_log()
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
        self._waiting.extend(events)
        if self._step is None:
            self._go_on()

    def _go_on(self) -> None:
        """Take in what is heard, up to the second step of one node."""
        self._step = None
        before, now = dict(self._known), self._clock()
        stepped: set[str] = set()
        refused: list[str] = []
        while self._waiting:
            event = self._waiting.popleft()
            if isinstance(event, Refused):
                refused.append(event.mac)
                continue
            node = self._node_of(event)
            if not node:
                continue
            was = self._known.get(node, BootProgress())
            asked = self._asked.get(node, True)
            progress = after_event(was, event, self._settings.tftp, now, asked=asked)
            if progress.state is not was.state:
                if node in stepped and len(self._waiting) < _FLOOD:
                    self._waiting.appendleft(event)
                    self._step = self._loop.call_later(_STEP, self._go_on)
                    break
                stepped.add(node)
            self._known[node] = progress
            if isinstance(event, Leased):
                self._asked[node] = True
            elif progress.state is BootState.LOADER and node in self._asked:
                self._asked[node] = False
        self._tell(before)
        self._meet(refused)

    def reported(self, reports: Iterable[NodeReport]) -> None:
        """What nodes say of themselves."""
        latest = tuple(reports)
        if latest == self._reports:
            return
        before, told = dict(self._known), {report.node: report for report in self._reports}
        self._reports = latest
        for report in latest:
            if told.get(report.node) == report:
                continue  # it said so before it began to boot again
            was = self._known.get(report.node, BootProgress())
            self._known[report.node] = after_report(was, report)
        self._tell(before)

    def close(self) -> None:
        for timer in (self._timer, self._step):
            if timer is not None:
                timer.cancel()
        self._close_log()

    def _close_log(self) -> None:
        if self._log is not None:
            if (fd := self._log.fileno()) is not None:
                self._loop.remove_reader(fd)
            self._log.close()
            self._log = None

    def _node_of(self, event: Leased | Sent) -> str:
        if isinstance(event, Leased):
            node = self._directory.by_mac.get(event.mac, "")
            self._leases.pop(event.address, None)
            if node and event.address not in self._directory.by_address:
                self._leases[event.address] = node
            return node
        return self._directory.by_address.get(event.address) or self._leases.get(event.address, "")

    def _tell(self, before: Mapping[str, BootProgress]) -> None:
        now = self._loop.time()
        for name, progress in self._known.items():
            if progress.state not in BOOTING:
                self._began.pop(name, None)
            elif progress is not before.get(name):
                self._began.setdefault(name, now)
        self._mark_late(now)
        if self._known != before:
            self._show(MappingProxyType(dict(self._known)))

    def _judge(self) -> None:
        """Time has passed, or what is late may be something else."""
        self._tell(dict(self._known))

    def _mark_late(self, now: float) -> None:
        """Say of the nodes that boot whether they should be up, and come again when the next one should."""
        limit, next_one = self._settings.watch.boot_limit, None
        for name, began in self._began.items():
            volume, progress = self._directory.volumes.get(name), self._known[name]
            finding = None
            if volume is not None and now >= began + limit:
                finding = late(name, progress.state, volume, limit)
            elif volume is not None:
                next_one = min(began + limit, next_one or began + limit)
            if finding != progress.late:
                self._known[name] = replace(progress, late=finding)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if next_one is None else self._loop.call_at(next_one, self._judge)

    def _meet(self, refused: Iterable[str]) -> None:
        """Machines that no DHCP server knows; nodes that share an address have a finding of their own."""
        latest = list(dict.fromkeys(refused))
        met = [mac for mac in self._strangers if mac not in latest] + latest
        strangers = tuple(mac for mac in met if mac not in self._directory.by_mac)[-_STRANGERS:]
        if set(strangers) != set(self._strangers):
            self._tell_of(tuple(stranger(mac) for mac in sorted(strangers)))
        self._strangers = strangers


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
    findings = view.findings if progress.late is None else (*view.findings, progress.late)
    return replace(view, boot=progress, findings=findings)
