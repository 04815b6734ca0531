# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that reads files osrd publishes: what the publisher needs of it, whatever it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from osrd.model.finding import Finding
from osrd.model.view import ServiceState


@dataclass(frozen=True, slots=True)
class Reloaded:
    """``ok`` is False when the server was there and did not take the new files: go back to the last good ones."""

    state: ServiceState
    ok: bool = True
    findings: tuple[Finding, ...] = ()


class Server(Protocol):
    """Called from the one writer thread; may block for as long as its own timeouts say."""

    def check(self, candidates: Mapping[str, str]) -> tuple[Finding, ...]:
        """Judge files before they are published. ``candidates`` maps final paths to files with the new content (all
        files of this service that changed). An error finding keeps all of them from being published."""

    def reload(self, changed: frozenset[str]) -> Reloaded:
        """Tell the server that the files at these final paths changed (an empty set: something did, unknown what)
        and find out whether it took them."""
