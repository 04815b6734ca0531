# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine in memory: the seam between the bus and everything else, for tests of the bus alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from osrd.engine import api
from osrd.model.cdsl import Cdsl, CdslType
from osrd.model.cluster import Nic, Node, RootVolume
from osrd.model.errors import NotFoundError, UnsupportedError
from osrd.model.finding import Finding, Place, Severity
from osrd.model.image import Image, ImageState
from osrd.model.job import Job, JobKind, JobState
from osrd.model.settings import BootWay
from osrd.model.view import (
    Event,
    Generation,
    ImageView,
    JobAdded,
    JobChanged,
    JobRemoved,
    KernelState,
    KernelView,
    NodeView,
    PlannedAction,
    PlanView,
    RootState,
    RootView,
    SharedRootView,
    Snapshot,
    SnapshotChanged,
    State,
)

T = TypeVar("T")
KINDS = {
    api.Reconcile: JobKind.RECONCILE,
    api.Apply: JobKind.APPLY,
    api.Verify: JobKind.VERIFY,
    api.Rollback: JobKind.ROLLBACK,
    api.Reload: JobKind.RELOAD,
    api.MakeHostDependent: JobKind.CDSL_MAKE,
    api.DropBackup: JobKind.CDSL_DROP,
    api.BuildInitrd: JobKind.INITRD_BUILD,
    api.RollbackInitrd: JobKind.INITRD_ROLLBACK,
}


def finding(number: int = 1) -> Finding:
    return Finding(
        code="duplicate-mac",
        severity=Severity.ERROR,
        message=f"the NIC eth0 has the MAC of another node ({number})",
        fix="give it its own",
        place=Place("/etc/cluster/cluster.conf", number),
        node=f"node{number}",
        other="node2",
        other_place=Place("/etc/cluster/cluster.conf", number + 9),
    )


def view(number: int, name: str = "") -> NodeView:
    mac = f"00:16:3e:00:{number >> 8:02x}:{number & 255:02x}"
    nic = Nic("eth0", mac, mac, f"10.0.{number >> 8}.{number & 255}", "255.255.0.0", "10.0.0.1")
    root = RootVolume("nas:/vol/root", "nfs", "nas", "/vol/root", "ro")
    node = Node(name or f"node{number}", number, str(number), root=root, nics=(nic,))
    return NodeView(str(number), node, False, BootWay.FULL, "main")


def shared_root(name: str = "main", **values: object) -> SharedRootView:
    start = SharedRootView(
        name,
        "/srv/root",
        "nas:/vol/root",
        "nfs",
        state=RootState.READY,
        cdsls=2,
        link="cdsl.local",
        link_node="1",
        link_mounted=True,
        kernels=(KernelView("6.1.0-9", "boot/vmlinuz-6.1.0-9", KernelState.BUILT, NEW),),
    )
    return replace(start, **values)


#: The ids of the two images of the root ``main``.
OLD, NEW = "00000000000000a1", "00000000000000b2"


def image_view(identity: str = NEW, **values: object) -> ImageView:
    image = Image(
        id=identity,
        root="main",
        kernel="6.1.0-9",
        way=BootWay.FULL,
        fingerprint=f"f{identity}",
        built=1795341958.5,
        seconds=31.5,
        kernel_file="/var/lib/osrd/k",
        kernel_digest="k",
        kernel_size=8_000_000,
        initrd_file="/var/lib/osrd/i",
        initrd_digest="i",
        initrd_size=30_000_000,
        sequence=2 if identity == NEW else 1,
    )
    start = ImageView(image, ImageState.CURRENT if identity == NEW else ImageState.PREVIOUS, ("node1",))
    return replace(start, **values)


def snapshot(nodes: int = 2, **values: object) -> Snapshot:
    views = {str(number): view(number) for number in range(1, nodes + 1)}
    start = Snapshot(
        state=State.READY,
        in_sync=True,
        generation=7,
        config_version=3,
        cluster_name="axqa107",
        nodes=views,
        roots=(RootView("main", "nas:/vol/root", "nfs", "/srv/root", nodes),),
        shared_roots={"main": shared_root(nodes=nodes)},
        images={NEW: image_view(), OLD: image_view(OLD, used_by=())},
    )
    return replace(start, **values)


class FakeEngine:
    """Implements osrd.engine.api.Engine; ``requests`` holds what was submitted, with the uid."""

    def __init__(self, start: Snapshot | None = None) -> None:
        self.snapshot = start or snapshot()
        self.jobs: tuple[Job, ...] = ()
        self.requests: list[tuple[api.Request, int]] = []
        self.failure: Exception | None = None
        self.plan_view = PlanView("0123abcd", (PlannedAction("write", "/srv/tftp/x", "new", "node1", "+x"),))
        self.inventory = (
            Cdsl("var", CdslType.HOSTDEPENDENT, ("1", "2"), "1795341958.99"),
            Cdsl("var/\udcff", CdslType.SHARED),
        )
        self.root_findings: tuple[Finding, ...] = ()
        self.difference = api.ImageDifference()
        self.compared: list[tuple[str, str]] = []
        self.logs: dict[str, bytes] = {"main": b"all of it\n", NEW: b"\xff" * 300_000}
        self._listeners: list[Callable[[Event], None]] = []

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[Event], None]) -> None:
        self._listeners.remove(listener)

    def submit(self, request: api.Request, owner: int) -> Job:
        if self.failure is not None:
            raise self.failure
        self.requests.append((request, owner))
        job = Job(len(self.requests), KINDS.get(type(request), JobKind.EDIT), JobState.QUEUED, owner=owner)
        self.jobs += (job,)
        self.tell(JobAdded(job))
        return job

    def cancel(self, number: int) -> None:
        job = next((job for job in self.jobs if job.number == number), None)
        if job is None:
            raise NotFoundError(f"there is no job {number}")
        if job.state is not JobState.QUEUED:
            raise UnsupportedError("it runs")
        self.change(replace(job, state=JobState.CANCELLED))

    async def plan(self, *, diff: bool) -> PlanView:
        return self.plan_view if diff else replace(self.plan_view, actions=())

    async def generations(self) -> tuple[Generation, ...]:
        return (Generation(7, 1.5, "cluster.conf", 3, 4, 1, current=True),)

    async def cdsls(self, root: str) -> tuple[Cdsl, ...]:
        return self._of(root, self.inventory)

    async def check_cdsls(self, root: str) -> tuple[Finding, ...]:
        return self._of(root, self.root_findings)

    async def backups(self, root: str) -> tuple[str, ...]:
        return self._of(root, ("1795341958.99-var",))

    async def image_difference(self, one: str, other: str) -> api.ImageDifference:
        if self.failure is not None:
            raise self.failure
        self.compared.append((one, other))
        return self.difference

    async def build_log(self, root: str, image: str = "") -> bytes:
        if (image or root) not in self.logs:
            raise NotFoundError("there is no log")
        return self.logs[image or root]

    def _of(self, root: str, answer: T) -> T:
        if self.failure is not None:
            raise self.failure
        assert root in self.snapshot.shared_roots
        return answer

    def change(self, job: Job) -> None:
        self.jobs = tuple(job if old.number == job.number else old for old in self.jobs)
        self.tell(JobChanged(job))

    def remove(self, job: Job) -> None:
        self.jobs = tuple(old for old in self.jobs if old.number != job.number)
        self.tell(JobRemoved(job))

    def show(self, after: Snapshot) -> None:
        before, self.snapshot = self.snapshot, after
        self.tell(SnapshotChanged(before, after))

    def tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)
