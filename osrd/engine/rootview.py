# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown of a shared root, and what trouble with it is called."""

from osrd.engine.rootwork import Looked, Order
from osrd.model.errors import BusyError, OsrdError
from osrd.model.finding import Finding, Severity
from osrd.model.view import RootState, SharedRootView


def view_of(name: str, order: Order, looked: Looked, trouble: tuple[Finding, ...], stuck: float) -> SharedRootView:
    """``trouble`` is why the last look has no result; ``stuck``: the seconds without a sign of life, 0 with one."""
    state = looked.state
    if any(finding.severity is Severity.ERROR for finding in trouble):
        state = RootState.FAILED
    if stuck:
        state = RootState.STUCK
        trouble = (_stuck(name, order.path, stuck), *trouble)
    return SharedRootView(
        name=name,
        path=order.path,
        source=order.source,
        fstype=order.fstype,
        nodes=len(order.members.names) if order.members else 0,
        state=state,
        cdsls=looked.cdsls,
        link=looked.layout.link if looked.layout else "",
        link_node=looked.link.node,
        link_mounted=looked.link.mounted,
        findings=(*trouble, *looked.findings, *looked.link.findings),
    )


def trouble_of(name: str, error: OsrdError) -> Finding:
    """Why a look has no result."""
    message, fix = f"[root {name}] {error.message}", error.fix or "osrd tries again"
    if isinstance(error, BusyError):  # another host works there: nothing is wrong
        return Finding("root-busy", Severity.INFO, message, fix)
    return Finding("root-failed", Severity.ERROR, message, fix)


def _stuck(name: str, path: str, seconds: float) -> Finding:
    message = f"[root {name}] {path} has not answered for {seconds:g} s"
    fix = "look at the mount and at its server; osrd goes on with this root when it answers, and with others meanwhile"
    return Finding("root-stuck", Severity.WARNING, message, fix)
